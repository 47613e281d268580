"""A worker is stopped in the middle of a shard and comes back when others have done it: nothing changes."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from chaos.atlases import run_undisturbed
from chaos.campaign import BrokenError
from chaos.injection import keep_pace
from chaos.judge import describe_differences, hash_published, require_same
from chaos.processes import launch_scan, scan, send, wait_until

if TYPE_CHECKING:
    from chaos.campaign import Campaign, Trial
    from chaos.injection import Injection
    from chaos.judge import Undisturbed
    from chaos.processes import Launched

SHARDS = 60
PACE = 0.1


def run(campaign: Campaign) -> None:
    """Stop workers while their driver lives, and such as outlive it."""
    wanted = run_undisturbed(campaign.cache, SHARDS)
    campaign.repeat(campaign.pick(1, 10), lambda trial: stop_for_a_while(campaign, trial, wanted))
    campaign.repeat(campaign.pick(0, 2), lambda trial: stop_for_good(campaign, trial, wanted), first=100)
    campaign.repeat(campaign.pick(1, 20), lambda trial: come_back_late(campaign, trial, wanted), first=200)


def start(trial: Trial, wanted: Undisturbed, pace: Injection) -> Launched:
    """Start a run on two workers and wait for a random moment of it."""
    launched = launch_scan(wanted.atlas, trial.place / "run", "--workers", 2, env=pace.env)
    moment = trial.rng.randrange(3, SHARDS // 2)
    if not wait_until(lambda: len(pace.calls()) >= moment or not launched.running(), 60) or not launched.running():
        launched.end()
        raise BrokenError(f"it did not get under way:\n{launched.errors()}")
    time.sleep(trial.rng.uniform(0, 2 * PACE))  # in its sleep, in the core, or in the middle of a commit
    return launched


def stop_one(trial: Trial, launched: Launched) -> int:
    """Stop a random worker."""
    pid = trial.rng.choice(sorted(launched.workers()))
    send(pid, signal.SIGSTOP)
    return pid


def stop_for_a_while(campaign: Campaign, trial: Trial, wanted: Undisturbed) -> None:
    """It goes on after seconds: the scheduler has hardly noticed."""
    with start(trial, wanted, pace := keep_pace(trial.place, PACE)) as launched:
        pid = stop_one(trial, launched)
        time.sleep(trial.rng.uniform(0.5, 6))
        send(pid, signal.SIGCONT)
        launched.wait(180).require(0)
    campaign.count("stopped for a while")
    campaign.count("shards begun twice", len(pace.calls()) - SHARDS)
    require_same(trial.place / "run", wanted)


def stop_for_good(campaign: Campaign, trial: Trial, wanted: Undisturbed) -> None:
    """It never goes on by itself: others do its shard."""
    with start(trial, wanted, keep_pace(trial.place, PACE)) as launched:
        began, _ = time.monotonic(), stop_one(trial, launched)
        launched.wait(180).require(0)
        campaign.at_most("stopped for good: seconds to the end", time.monotonic() - began)
    require_same(trial.place / "run", wanted)


def come_back_late(campaign: Campaign, trial: Trial, wanted: Undisturbed) -> None:
    """Its driver is killed, another launch finishes; then it wakes in the middle of a shard that is long done."""
    run = trial.place / "run"
    with start(trial, wanted, keep_pace(trial.place, PACE)) as launched:
        stopped = launched.workers()
        for pid in stopped:
            send(pid, signal.SIGSTOP)
        launched.send(signal.SIGKILL)
        launched.process.wait(30)
        scan(wanted.atlas, run, "--workers", 1).require(0)
        require_same(run, wanted)
        before = hash_published(run)
        for pid in stopped:
            send(pid, signal.SIGCONT)
        if not wait_until(lambda: not launched.session(), 60):
            raise BrokenError("workers of a killed driver are still there 60 s after they woke")
    campaign.count("came back after the run was over")
    if differing := describe_differences(hash_published(run), before):
        raise BrokenError(f"a worker that came back changed {differing}")
    require_same(run, wanted)
