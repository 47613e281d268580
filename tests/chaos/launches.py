"""Two launches at one folder: one proceeds, the other ends with 73; a driver is stopped and comes back too late."""

from __future__ import annotations

import signal
import socket
import time
from typing import TYPE_CHECKING

from chaos.atlases import run_undisturbed
from chaos.campaign import BrokenError
from chaos.injection import keep_pace
from chaos.judge import describe_differences, hash_everything, require_same
from chaos.processes import Ended, launch_scan, scan, send, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.campaign import Campaign, Trial
    from chaos.injection import Injection
    from chaos.judge import Undisturbed
    from chaos.processes import Launched

SHARDS = 60
PACE = 0.05  # so that a run takes 3 s in one process, and a second launch meets it
HELD = 73


def run(campaign: Campaign) -> None:
    """Launch twice at random offsets; stop a driver while another tries; take a stopped one's place."""
    wanted = run_undisturbed(campaign.cache, SHARDS)
    twice = campaign.pick(3, 100)
    campaign.repeat(twice, lambda trial: launch_twice(campaign, trial, wanted))
    stops = campaign.pick(1, 6)
    campaign.repeat(stops, lambda trial: stop_and_continue(campaign, trial, wanted), first=1000)
    campaign.repeat(campaign.pick(1, 12), lambda trial: take_its_place(campaign, trial, wanted), first=2000)


def launch_twice(campaign: Campaign, trial: Trial, wanted: Undisturbed) -> None:
    """Start the same command a little later."""
    run, pace = trial.place / "run", keep_pace(trial.place, PACE)
    # One in ten on worker processes; half of the offsets within the moment in which the lock is taken.
    workers = 2 if trial.number % 10 == 9 else 0
    offset = trial.rng.choice([trial.rng.uniform(0, 0.1), trial.rng.uniform(0, 1.5)])
    with launch_scan(wanted.atlas, run, "--workers", workers, env=pace.env) as first:
        time.sleep(offset)
        with launch_scan(wanted.atlas, run, "--workers", workers, env=pace.env) as second:
            ended = {launched.pid: launched.wait(120) for launched in (second, first)}
    codes = sorted(one.code for one in ended.values())
    if codes != [0, HELD]:
        raise BrokenError(f"{offset:.3f} s apart they ended with {codes}:\n{[one.stderr for one in ended.values()]}")
    winner = next(pid for pid, one in ended.items() if one.code == 0)
    loser = next(one for one in ended.values() if one.code == HELD)
    campaign.count("double launches")
    campaign.count("the later one proceeded", int(winner == second.pid))
    require_named(loser, winner)
    require_same(run, wanted)


def require_named(loser: Ended, winner: int) -> None:
    """Insist on words that name who holds the run."""
    loser.require(HELD)
    if str(winner) not in loser.stderr or socket.gethostname() not in loser.stderr:
        raise BrokenError(f"73 does not name process {winner} on {socket.gethostname()}: {loser.stderr}")


def start_and_stop(trial: Trial, wanted: Undisturbed, pace: Injection, workers: int) -> Launched:
    """Start a run and stop its driver at a random moment of it."""
    launched = launch_scan(wanted.atlas, trial.place / "run", "--workers", workers, env=pace.env)
    moment = trial.rng.randrange(1, SHARDS // 2)
    if not wait_until(lambda: len(pace.calls()) >= moment or not launched.running(), 60) or not launched.running():
        launched.end()
        raise BrokenError(f"it did not get under way:\n{launched.errors()}")
    launched.send(signal.SIGSTOP)
    return launched


def stop_and_continue(campaign: Campaign, trial: Trial, wanted: Undisturbed) -> None:
    """A stopped driver still holds its run; continued, it finishes as if nothing had been."""
    run, pace = trial.place / "run", keep_pace(trial.place, PACE)
    workers = 2 * (trial.number % 2)
    with start_and_stop(trial, wanted, pace, workers) as first:
        require_named(scan(wanted.atlas, run, "--workers", workers, seconds=60), first.pid)
        first.send(signal.SIGCONT)
        first.wait(120).require(0)
    campaign.count("stopped and continued")
    require_same(run, wanted)


def take_its_place(campaign: Campaign, trial: Trial, wanted: Undisturbed) -> None:
    """The lock file of a stopped driver is lost, another launch takes over; the first must notice and end."""
    run, pace = trial.place / "run", keep_pace(trial.place, PACE)
    workers = 2 * (trial.number % 2)
    with start_and_stop(trial, wanted, pace, workers) as first:
        if workers and trial.number % 4 == 1:
            # Its workers too: they come back in the middle of a shard that others have done.
            for pid in first.workers():
                send(pid, signal.SIGSTOP)
        (run / ".tahoe/lock").unlink()
        finished = trial.rng.random() < 0.5
        with launch_scan(wanted.atlas, run, "--workers", workers, env=None if finished else pace.env) as second:
            if finished:
                second.wait(120).require(0)
            else:
                before = len(pace.calls())
                wait_until(lambda: len(pace.calls()) > before or not second.running(), 60)
            left = keep_lasting(run) if finished else {}
            for pid in [first.pid, *first.workers()]:
                send(pid, signal.SIGCONT)
            late = first.wait(120)
            second.wait(120).require(0)
    campaign.count(f"taken over {'after' if finished else 'before'} the other finished: ended with {late.code}")
    late.require(HELD)
    if finished and (differing := describe_differences(keep_lasting(run), left)):
        raise BrokenError(f"the driver that came back changed {differing}")
    require_same(run, wanted)


def keep_lasting(run: Path) -> dict[str, str]:
    """Look at all files of a run but the temporary ones."""
    return {name: sha256 for name, sha256 in hash_everything(run).items() if not name.startswith(".tahoe/tmp/")}
