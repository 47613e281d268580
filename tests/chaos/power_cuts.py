"""The power of an ext4 file system is cut at random moments of a run; what the journal knows must be there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from chaos.atlases import run_undisturbed
from chaos.campaign import BrokenError
from chaos.disks import Ext4, require_loop
from chaos.driver import Driver
from chaos.judge import require_journalled_parts, require_same, require_whole_parts

if TYPE_CHECKING:
    from chaos.campaign import Campaign, Trial
    from chaos.judge import Undisturbed

SHARDS = 160
DISK_MIB = 96
CUTS = 10  # of one run, before it may finish
# As most systems mount, and with everything off that saves programs that do not sync.
OPTIONS = ("defaults", "noauto_da_alloc,data=writeback", "noauto_da_alloc,data=writeback,commit=300")


def run(campaign: Campaign) -> None:
    """Cut runs short, ten times each."""
    require_loop(campaign.place / "probe")
    wanted = run_undisturbed(campaign.cache, SHARDS)
    cuts = campaign.pick(3, CUTS)
    with Driver() as driver:
        campaign.repeat(campaign.pick(2, 32), lambda trial: cut_often(campaign, trial, wanted, driver, cuts))


def cut_often(campaign: Campaign, trial: Trial, wanted: Undisturbed, driver: Driver, cuts: int) -> None:
    """Run, cut, mount again, look; then resume from what is left."""
    options = OPTIONS[trial.number % len(OPTIONS)]
    with Ext4(trial.place, DISK_MIB) as disk:
        run = disk.root / "run"
        for number in range(cuts):
            disk.mount(options)
            driver.start(wanted.atlas, run)
            time.sleep(trial.rng.uniform(0.05, 0.6))
            disk.cut()
            answer = driver.answer()
            disk.unmount()
            disk.mount(options)
            campaign.count("cuts")
            campaign.count(f"the driver was told: {answer.split(':', 1)[0]}")
            try:
                campaign.count("parts under their final names looked at", require_whole_parts(run, wanted))
                campaign.count("parts in journals looked at", require_journalled_parts(run))
            except BrokenError as error:
                raise BrokenError(f"after cut {number} ({options}): {error}") from error
            disk.unmount()
        disk.mount(options)
        driver.start(wanted.atlas, run)
        if (answer := driver.answer()) != "done":
            raise BrokenError(f"resuming after {cuts} cuts ({options}): {answer}")
        require_same(run, wanted)
        disk.unmount()
