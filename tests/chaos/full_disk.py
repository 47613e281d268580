"""The disk fills up at a random moment: the run stops with 75, leaves nothing torn, and goes on when there is room."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from chaos.atlases import run_undisturbed
from chaos.campaign import BrokenError
from chaos.disks import mount_tmpfs, require_mounts, resize_tmpfs
from chaos.injection import keep_pace
from chaos.judge import require_journalled_parts, require_same, require_whole_parts
from chaos.processes import launch_scan, scan, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.campaign import Campaign, Trial
    from chaos.judge import Undisturbed
    from chaos.processes import Ended

SHARDS = 60
PACE = 0.02
STOPPED, REFUSED = 75, 64
ROOMY_KIB = 1 << 20  # the plan wants room for all it might write, before the run begins


def run(campaign: Campaign) -> None:
    """Fill disks before and during runs."""
    require_mounts()
    wanted = run_undisturbed(campaign.cache, SHARDS)
    campaign.repeat(campaign.pick(2, 60), lambda trial: fill_up(campaign, trial, wanted))
    campaign.repeat(campaign.pick(1, 10), lambda trial: begin_full(campaign, trial, wanted), first=1000)


def fill_up(campaign: Campaign, trial: Trial, wanted: Undisturbed) -> None:
    """Others take the room while it runs."""
    workers, disk = 2 * (trial.number % 2), trial.place / "disk"
    run, pace = disk / "run", keep_pace(trial.place, PACE)
    # After the plan, which would refuse (64) what has no room.
    moment = trial.rng.randrange(1, SHARDS - 5)
    with mount_tmpfs(disk, ROOMY_KIB):
        with launch_scan(wanted.atlas, run, "--workers", workers, env=pace.env) as launched:
            wait_until(lambda: len(pace.calls()) >= moment or not launched.running(), 60, every=0.002)
            # What is there, and a little: enough for nothing, for half a part, or for a part and half of the next.
            fill(disk, trial.rng.randrange(0, 400, 4))
            ended = launched.wait(180)
        campaign.count(f"filled up at a random moment: ended with {ended.code}")
        require_words(ended.require(STOPPED))
        require_whole_parts(run, wanted)
        require_journalled_parts(run)
        require_no_leftovers(run)
        resize_tmpfs(disk, ROOMY_KIB)
        scan(wanted.atlas, run, "--workers", workers).require(0)
        require_same(run, wanted)


def begin_full(campaign: Campaign, trial: Trial, wanted: Undisturbed) -> None:
    """There is no room from the beginning, or the plan sees that there is not enough."""
    disk = trial.place / "disk"
    with mount_tmpfs(disk, kib := trial.rng.choice([4, 16, 64, 1024, 6144])):
        ended = scan(wanted.atlas, disk / "run", "--workers", 0).require(STOPPED, REFUSED)
        campaign.count(f"{kib} KiB from the beginning: ended with {ended.code}")
        resize_tmpfs(disk, ROOMY_KIB)
        scan(wanted.atlas, disk / "run", "--workers", 0).require(0)
        require_same(disk / "run", wanted)


def fill(disk: Path, spare_kib: int) -> None:
    """Leave so much room; it may be taken while we look, and less than is held cannot be left."""
    for _ in range(20):
        try:
            return resize_tmpfs(disk, used_kib(disk) + spare_kib)
        except BrokenError:
            continue
    raise BrokenError("the run writes faster than its disk can be made smaller")


def used_kib(disk: Path) -> int:
    """Give what a file system holds."""
    told = os.statvfs(disk)
    return (told.f_blocks - told.f_bfree) * told.f_frsize // 1024


def require_words(ended: Ended) -> None:
    """Insist that the words say what is wrong and what to do, in a few lines."""
    if "No space left" not in ended.stderr or "run the same command again" not in ended.stderr:
        raise BrokenError(f"75 does not say what to do:\n{ended.stderr}")
    if len(ended.stderr.splitlines()) > 3:
        raise BrokenError(f"75 in {len(ended.stderr.splitlines())} lines:\n{ended.stderr}")


def require_no_leftovers(run: Path) -> None:
    """Insist that the run's own temporary files are gone: they would keep the disk full."""
    if left := [path.name for path in (run / ".tahoe/tmp").rglob("*") if path.is_file()]:
        raise BrokenError(f"temporary files are left on a full disk: {left[:5]}")
