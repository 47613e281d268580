"""The wall clock is a day wrong, jumps in the middle of a run, and differs from launch to launch."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from chaos.atlases import run_undisturbed
from chaos.campaign import BrokenError, SkippedError
from chaos.disks import call
from chaos.injection import keep_pace
from chaos.judge import require_same, require_whole_parts
from chaos.processes import launch_scan, scan, wait_until

if TYPE_CHECKING:
    from chaos.campaign import Campaign, Trial
    from chaos.judge import Undisturbed

SHARDS = 60
PACE = 0.05
DAY = 86_400
SOURCE = Path(__file__).with_name("skewed_clock.c")


def run(campaign: Campaign) -> None:
    """Kill and resume runs under clocks that disagree."""
    if shutil.which("gcc") is None:
        raise SkippedError("gcc is not installed: the shim cannot be compiled")
    shim = campaign.place / "skewed_clock.so"
    call("gcc", "-shared", "-fPIC", "-O2", "-o", str(shim), str(SOURCE), "-ldl")
    require_skew(shim)
    wanted = run_undisturbed(campaign.cache, SHARDS)
    campaign.repeat(campaign.pick(1, 10), lambda trial: disagree(campaign, trial, wanted, shim))


def skew(shim: Path, seconds: int, after_ms: int = 0) -> dict[str, str]:
    """Give the environment of a clock that is wrong by so much, from a moment on."""
    return {"LD_PRELOAD": str(shim), "TAHOE_CLOCK": f"{seconds} {after_ms}"}


def require_skew(shim: Path) -> None:
    """Make sure that the shim does what it is for."""
    program = [sys.executable, "-c", "import time; print(time.time())"]
    told = subprocess.run(program, env=skew(shim, -DAY), capture_output=True, check=True, text=True)
    if not -1.1 * DAY < float(told.stdout) - time.time() < -0.9 * DAY:
        raise BrokenError(f"the shim does not shift the clock: {told.stdout}")


def disagree(campaign: Campaign, trial: Trial, wanted: Undisturbed, shim: Path) -> None:
    """A first launch is a day ahead or behind and is killed; the next one's clock jumps the other way in the middle."""
    run, pace = trial.place / "run", keep_pace(trial.place, PACE)
    workers, days = 2 * (trial.number % 2), trial.rng.choice([-1, 1])
    with launch_scan(wanted.atlas, run, "--workers", workers, env=pace.env | skew(shim, days * DAY)) as launched:
        moment = trial.rng.randrange(3, SHARDS // 2)
        wait_until(lambda: len(pace.calls()) >= moment or not launched.running(), 60)
    require_whole_parts(run, wanted)
    jump = trial.rng.randrange(1000, 4000)
    scan(wanted.atlas, run, "--workers", workers, env=pace.env | skew(shim, -days * DAY, jump)).require(0)
    campaign.count("killed under one clock, resumed under another that jumped")
    require_same(run, wanted)
