"""`tahoe train` is killed at random moments until it comes through: the same metrics, models and predictions."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from typing import TYPE_CHECKING

from chaos.campaign import BrokenError
from chaos.disks import mount_tmpfs, require_mounts, resize_tmpfs
from chaos.full_disk import ROOMY_KIB, fill, require_words
from chaos.processes import Launched, send

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.campaign import Campaign, Trial

STOPPED = 75
MOST_KILLS = 40  # of one training: it gets further each time, or it would never end
DESIGN = ("--plates", "4,6", "--wells", "12", "--cells", "6000", "--shard-rows", "1000", "--seed", "3")
LINES = "CVCL_0131,CVCL_1239,CVCL_0480"
# All three ways of training, a search in memory and one that goes rung by rung.
TASK = """features = "biospark-m4"
targets = "cell_line"
bootstrap = 50
seed = 5
[folds]
number = 3
rows = 1500
[importance]
rows = 200
repeats = 2
[[models]]
name = "forest"
estimator = "random_forest"
search = { n_estimators = [5, 15], max_depth = [3, 6] }
[[models]]
name = "sgd"
estimator = "sgd"
parameters = { alpha = 0.001 }
passes = { epochs = 6, window = 2, patience = 0 }
[[models]]
name = "halved"
estimator = "sgd"
how = "halving"
search = { alpha = [0.1, 0.01, 0.001, 0.0001] }
passes = { epochs = 4, window = 2, patience = 0 }
"""


def run(campaign: Campaign) -> None:
    """Train once undisturbed, then under fire."""
    base = campaign.place / "base"
    task = campaign.place / "mine.toml"
    task.write_text(TASK)
    tahoe(campaign.place, "synth", campaign.place / "atlas", *DESIGN, "--lines", LINES)
    tahoe(campaign.place, "cells", campaign.place / "atlas", "--into", base, "--workers", 0)
    tahoe(campaign.place, "features", "--into", base, "--recipe", "biospark-m4", "--workers", 0)
    calm = campaign.place / "calm"
    shutil.copytree(base, calm)
    seconds = tahoe(campaign.place, *train(calm, task, 0))
    campaign.at_most("undisturbed, s", seconds)
    wanted = read_models(calm)
    campaign.repeat(campaign.pick(2, 20), lambda trial: kill_training(campaign, trial, base, task, seconds, wanted))
    campaign.repeat(
        campaign.pick(1, 8), lambda trial: lose_workers(campaign, trial, base, task, seconds, wanted), first=1000
    )
    campaign.repeat(
        campaign.pick(1, 8), lambda trial: fill_up(campaign, trial, base, task, seconds, wanted), first=2000
    )


def train(into: Path, task: Path, workers: int) -> tuple[object, ...]:
    """The command that is disturbed."""
    return ("train", "--into", into, "--task", task, "--workers", workers)


def kill_training(
    campaign: Campaign, trial: Trial, base: Path, task: Path, seconds: float, wanted: dict[str, bytes]
) -> None:
    """Kill at random moments, sometimes with workers, until it comes through."""
    into = trial.place / "run"
    shutil.copytree(base, into)
    kills, workers = 0, 2 if trial.number % 4 == 3 else 0
    while True:
        with Launched(command(*train(into, task, workers)), trial.place) as launched:
            moment = time.monotonic() + trial.rng.uniform(0.2, max(1.5, seconds))
            while launched.running() and time.monotonic() < moment and kills < MOST_KILLS:
                time.sleep(0.02)
            if launched.running() and kills < MOST_KILLS:
                launched.send(signal.SIGKILL)
                kills += 1
                campaign.count("kills")
                continue
            ended = launched.wait()
        ended.require(0, STOPPED)
        if ended.code == 0:
            break
    campaign.count("trainings resumed and equal")
    require_equal(into, wanted, f"after {kills} kills")


def lose_workers(
    campaign: Campaign, trial: Trial, base: Path, task: Path, seconds: float, wanted: dict[str, bytes]
) -> None:
    """Kill single workers, one now and then: it goes on, or stops and says so."""
    into = trial.place / "run"
    shutil.copytree(base, into)
    lost = 0
    while True:
        with Launched(command(*train(into, task, 2)), trial.place) as launched:
            moment = time.monotonic() + trial.rng.uniform(1, max(3, seconds / 4))
            while launched.running():
                time.sleep(0.02)
                if time.monotonic() < moment or lost >= MOST_KILLS or not (workers := launched.workers()):
                    continue
                lost += send(trial.rng.choice(workers), signal.SIGKILL)
                moment = time.monotonic() + trial.rng.uniform(1, max(3, seconds / 4))
            ended = launched.wait()
        ended.require(0, STOPPED)
        campaign.count(f"workers lost in mid-training: ended with {ended.code}")
        if ended.code == 0:
            break
    campaign.count("workers lost", lost)
    require_equal(into, wanted, f"after the loss of {lost} workers")


def fill_up(campaign: Campaign, trial: Trial, base: Path, task: Path, seconds: float, wanted: dict[str, bytes]) -> None:
    """Others take the room of the disk while it trains."""
    require_mounts()
    disk = trial.place / "disk"
    with mount_tmpfs(disk, ROOMY_KIB):
        into = disk / "run"
        shutil.copytree(base, into)
        with Launched(command(*train(into, task, 2 * (trial.number % 2))), trial.place) as launched:
            end = time.monotonic() + trial.rng.uniform(2, max(3, seconds))
            while launched.running() and time.monotonic() < end:
                time.sleep(0.02)
            fill(disk, trial.rng.randrange(0, 40, 4))
            ended = launched.wait()
        # What is left to do may fit in what is left of the disk, or be done already.
        campaign.count(f"disk filled up: ended with {ended.require(0, STOPPED).code}")
        if ended.code:
            require_words(ended)
        resize_tmpfs(disk, ROOMY_KIB)
        tahoe(trial.place, *train(into, task, 0))
        require_equal(into, wanted, "after a full disk")


def require_equal(into: Path, wanted: dict[str, bytes], when: str) -> None:
    """Insist on the same models, byte by byte, and that nothing of the work is left."""
    found = read_models(into)
    differing = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if differing:
        raise BrokenError(f"{when} these differ: {', '.join(differing[:10])}")
    left = [path.name for name in ("kept", "tmp") for path in (into / ".tahoe" / name).rglob("*") if path.is_file()]
    if left:
        raise BrokenError(f"{when} is left of the work: {', '.join(left[:10])}")


def read_models(into: Path) -> dict[str, bytes]:
    """Every byte that a reader sees of the models."""
    return {
        str(path.relative_to(into)): path.read_bytes()
        for path in sorted((into / "models").rglob("*"))
        if path.is_file()
    }


def tahoe(place: Path, *arguments: object) -> float:
    """Run a command to its end; give the seconds it took."""
    with Launched(command(*arguments), place) as launched:
        ended = launched.wait()
    ended.require(0)
    return ended.seconds


def command(*arguments: object) -> list[str]:
    """The words of a command of this tree."""
    return [sys.executable, "-m", "tahoe_engine", *map(str, arguments)]
