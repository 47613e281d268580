"""The network between driver, scheduler and worker goes down, for good or for a while."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chaos.atlases import run_undisturbed
from chaos.campaign import BrokenError, SkippedError
from chaos.disks import call
from chaos.foreign import Place, open_scheduler
from chaos.hangs import SHARDS, STOPPED, await_calls, await_end, options, resume
from chaos.injection import keep_pace
from chaos.judge import require_same
from chaos.processes import launch_scan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaos.campaign import Campaign, Trial
    from chaos.judge import Undisturbed

PACE = 0.1
NEAR, FAR = "10.213.77.1", "10.213.77.2"  # nobody else sees them


@dataclass(frozen=True)
class Net:
    """Two network namespaces and the link between them."""

    near: Place
    far: Place
    name: str

    def set_link(self, state: str) -> None:
        """Pull the plug or put it back."""
        call("ip", "-n", f"{self.name}n", "link", "set", f"{self.name}n", state)


def run(campaign: Campaign) -> None:
    """Cut off the worker, or scheduler and worker; for good, or for a while."""
    if os.geteuid() != 0:
        raise SkippedError("only root may make network namespaces")
    if shutil.which("ip") is None:
        raise SkippedError("ip is not installed")
    with open_net() as net:
        wanted = run_undisturbed(campaign.cache, SHARDS)
        numbers = range(4) if campaign.full else [campaign.generator("way").randrange(4)]
        for number in numbers:
            campaign.repeat(1, lambda trial: cut_off(campaign, trial, wanted, net), first=number)


@contextmanager
def open_net() -> Iterator[Net]:
    """Make the namespaces; they are gone afterwards."""
    name = f"chaos{os.getpid() % 100_000}"
    ends = ((f"{name}n", NEAR), (f"{name}f", FAR))
    try:
        try:
            for end, _ in ends:
                call("ip", "netns", "add", end)
            call(
                "ip",
                "link",
                "add",
                ends[0][0],
                "netns",
                ends[0][0],
                "type",
                "veth",
                "peer",
                ends[1][0],
                "netns",
                ends[1][0],
            )
            for end, address in ends:
                call("ip", "-n", end, "address", "add", f"{address}/24", "dev", end)
                call("ip", "-n", end, "link", "set", end, "up")
                call("ip", "-n", end, "link", "set", "lo", "up")
        except BrokenError as error:
            raise SkippedError(f"no network namespaces here: {error}") from error
        near, far = (Place(address, ("ip", "netns", "exec", end)) for end, address in ends)
        yield Net(near, far, name)
    finally:
        for end, _ in ends:
            subprocess.run(["ip", "netns", "delete", end], capture_output=True, check=False)  # noqa: S607


def cut_off(campaign: Campaign, trial: Trial, wanted: Undisturbed, net: Net) -> None:
    """Pull the plug at a random moment."""
    alone, for_good = trial.number % 2 == 0, trial.number < 2
    away = trial.rng.uniform(2, 6) if not campaign.full else trial.rng.uniform(5, 40)
    what = f"{'worker' if alone else 'scheduler and worker'} cut off {'for good' if for_good else f'for {away:.0f} s'}"
    run, pace = trial.place / "run", keep_pace(trial.place, PACE)
    at = net.near if alone else net.far
    with open_scheduler(trial, pace, at=at, worker_at=net.far) as (_, _, address):
        given = ("--scheduler", address, "--insecure-cluster", *options(campaign))
        with launch_scan(wanted.atlas, run, *given, prefix=net.near.prefix) as launched:
            await_calls(launched, pace, trial.rng.randrange(2, 20))
            net.set_link("down")
            began = time.monotonic()
            try:
                if not for_good:
                    time.sleep(away)
                    net.set_link("up")
                await_end(campaign, what, launched, began, *((STOPPED,) if for_good else (0, STOPPED)))
            finally:
                net.set_link("up")
    if (run / "_MANIFEST.json").exists():
        require_same(run, wanted)
    resume(trial, wanted)
