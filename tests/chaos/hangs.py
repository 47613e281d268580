"""Everybody is gone, or nobody moves: it is over or it goes on within 120 s, and the exit code says which."""

from __future__ import annotations

import json
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

from chaos.atlases import run_undisturbed
from chaos.campaign import BrokenError
from chaos.foreign import open_scheduler
from chaos.injection import Injection, keep_pace
from chaos.judge import require_same, require_verified, require_whole_parts
from chaos.processes import launch_scan, send, wait_until
from tahoe_engine import scan_cells

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaos.campaign import Campaign, Trial
    from chaos.judge import Undisturbed
    from chaos.processes import Launched

SHARDS = 60
PACE = 0.1
LIMIT = 120.0  # seconds from the disturbance to the end
STOPPED, QUARANTINED = 75, 2
# In the short size the limits that can be set are a tenth, and 40 s of patience that cannot be set remain: half the bar
# has to do. The full size tries the defaults.
SHORT = ("--set", "workers.wait_s=6", "--set", "workers.unit_s=5")


def run(campaign: Campaign) -> None:
    """Each way to hang, once; two of them in the short size."""
    wanted = run_undisturbed(campaign.cache, SHARDS)
    ways: list[Callable[[Campaign, Trial, Undisturbed], None]] = [
        lose_all_workers,
        partial(stick, what="sleep"),
        partial(stick, what="hold"),
        partial(disturb_scheduler, number=signal.SIGKILL),
        partial(disturb_scheduler, number=signal.SIGSTOP),
        partial(disturb_foreign_worker, number=signal.SIGKILL),
        partial(disturb_foreign_worker, number=signal.SIGSTOP),
    ]
    chosen = range(len(ways)) if campaign.full else sorted(campaign.generator("ways").sample(range(len(ways)), 2))
    for number in chosen:
        campaign.repeat(1, lambda trial, way=ways[number]: way(campaign, trial, wanted), first=number)  # type: ignore[misc]


def options(campaign: Campaign) -> tuple[str, ...]:
    """Give the settings of this size."""
    return () if campaign.full else SHORT


def await_end(campaign: Campaign, what: str, launched: Launched, since: float, *codes: int) -> None:
    """Insist that a disturbed launch ends in time, as the contract says."""
    ended = launched.wait(LIMIT + 30).require(*codes)
    taken = time.monotonic() - since
    campaign.figures[f"{what}: seconds to the end, code {ended.code}"] = round(taken, 1)
    # Units that were not hit go on meanwhile; what counts is that it is over.
    limit = LIMIT if campaign.full else LIMIT / 2
    if taken > limit:
        raise BrokenError(f"{what}: over after {taken:.0f} s, {limit:.0f} s are allowed")


def resume(trial: Trial, wanted: Undisturbed) -> None:
    """Look at what is there, and finish it."""
    if (trial.place / "run/_MANIFEST.json").exists():
        require_verified(trial.place / "run")  # without the shard that was set aside, tables and manifests differ
    else:
        require_whole_parts(trial.place / "run", wanted)
    scan_cells(wanted.atlas, trial.place / "run", workers=0)
    require_same(trial.place / "run", wanted)


def await_calls(launched: Launched, injection: Injection, n: int) -> None:
    """Wait until a run is under way."""
    if not wait_until(lambda: len(injection.calls()) >= n or not launched.running(), 60) or not launched.running():
        raise BrokenError(f"it did not get under way:\n{launched.errors()}")


def lose_all_workers(campaign: Campaign, trial: Trial, wanted: Undisturbed) -> None:
    """Kill every worker as soon as it shows, until the run gives up."""
    pace = keep_pace(trial.place, PACE)
    with launch_scan(wanted.atlas, trial.place / "run", "--workers", 2, *options(campaign), env=pace.env) as launched:
        await_calls(launched, pace, 3)
        began = time.monotonic()
        while launched.running() and time.monotonic() - began < LIMIT + 30:
            for pid in launched.workers():
                campaign.count("all workers gone: kills", int(send(pid, signal.SIGKILL)))
            time.sleep(0.05)
        await_end(campaign, "all workers gone", launched, began, STOPPED)
    resume(trial, wanted)


def stick(campaign: Campaign, trial: Trial, wanted: Undisturbed, what: str) -> None:
    """A unit never ends, in Python or with the interpreter's lock held: it is set aside by name."""
    shard = trial.rng.choice(sorted(path.stem for path in (wanted.atlas / "data").glob("*.parquet")))
    stuck = Injection(trial.place / "marks", what, shard)
    with launch_scan(wanted.atlas, trial.place / "run", "--workers", 2, *options(campaign), env=stuck.env) as launched:
        wait_until(lambda: stuck.calls_of(shard), 60)
        await_end(campaign, f"stuck unit ({what})", launched, time.monotonic(), QUARANTINED)
    manifest = json.loads((trial.place / "run/cells/_MANIFEST.json").read_bytes())
    found = [(record["shard"], record["code"]) for record in manifest["quarantined"]]
    if found != [(shard, "E_WORKER_CRASH")]:
        raise BrokenError(f"{shard} is stuck, set aside are {found}")
    resume(trial, wanted)


def launch_foreign(campaign: Campaign, trial: Trial, wanted: Undisturbed, address: str) -> Launched:
    """Start the main job on it."""
    run = trial.place / "run"
    return launch_scan(wanted.atlas, run, "--scheduler", address, *options(campaign))


def disturb_scheduler(campaign: Campaign, trial: Trial, wanted: Undisturbed, number: signal.Signals) -> None:
    """Kill or stop the scheduler in the middle."""
    pace = keep_pace(trial.place, PACE)
    with (
        open_scheduler(trial, pace) as (scheduler, _, address),
        launch_foreign(campaign, trial, wanted, address) as launched,
    ):
        await_calls(launched, pace, trial.rng.randrange(2, 20))
        scheduler.send(number)
        await_end(campaign, f"scheduler {number.name}", launched, time.monotonic(), STOPPED)
    resume(trial, wanted)


def disturb_foreign_worker(campaign: Campaign, trial: Trial, wanted: Undisturbed, number: signal.Signals) -> None:
    """Kill or stop the only worker there is, and whoever would start another."""
    pace = keep_pace(trial.place, PACE)
    with (
        open_scheduler(trial, pace) as (_, worker, address),
        launch_foreign(campaign, trial, wanted, address) as launched,
    ):
        await_calls(launched, pace, trial.rng.randrange(2, 20))
        for pid in worker.session():
            send(pid, number)
        await_end(campaign, f"only worker {number.name}", launched, time.monotonic(), STOPPED)
    resume(trial, wanted)
