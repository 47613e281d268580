"""`python -m chaos [CAMPAIGN ...]`: disturb the main job in every way that is known, and judge what it leaves.

Exits with 1 if a campaign failed. One that cannot run here (no root, no strace) says SKIPPED and why.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import shutil
import signal
import sys
from pathlib import Path

from chaos.campaign import Campaign, SkippedError
from chaos.results import conclude

CAMPAIGNS = (
    "crash_points",
    "power_cuts",
    "launches",
    "kills",
    "poison",
    "hangs",
    "flips",
    "settings",
    "full_disk",
    "zombies",
    "partition",
    "clock",
    "training",
)
INSIDE = "TAHOE_CHAOS_NAMESPACE"


def read_arguments() -> argparse.Namespace:
    """What is asked for; the defaults are those of `make chaos`."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("campaigns", nargs="*", metavar="CAMPAIGN", help=f"some of {', '.join(CAMPAIGNS)}; all without")
    parser.add_argument("--size", choices=["short", "full"], default="full", help="short: what CI runs, in minutes")
    parser.add_argument("--seed", type=int, help="a number that an earlier call printed: the same again")
    parser.add_argument("--trial", type=int, help="run this trial of the campaign alone")
    parser.add_argument("--keep-going", action="store_true", help="do not stop a campaign after three failures")
    parser.add_argument("--into", type=Path, default=Path("chaos-results"), help="results, atlases and scratch")
    asked = parser.parse_args()
    if unknown := [name for name in asked.campaigns if name not in CAMPAIGNS]:
        parser.error(f"no campaign {unknown[0]!r}; there are {', '.join(CAMPAIGNS)}")
    return asked


def enter_namespace() -> None:
    """Start over in a mount namespace of our own, where we may: what is mounted is gone with us, however we end."""
    if os.geteuid() == 0 and INSIDE not in os.environ and (unshare := shutil.which("unshare")):
        os.environ[INSIDE] = "1"
        os.execv(  # noqa: S606 - no shell is wanted
            unshare, [unshare, "--mount", "--propagation", "private", sys.executable, "-m", "chaos", *sys.argv[1:]]
        )


def run_campaign(name: str, asked: argparse.Namespace, seed: int) -> str:
    """Run one and give its verdict."""
    into = asked.into.absolute()
    place = into / "scratch" / name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    campaign = Campaign(name, seed, asked.size == "full", into, place, asked.trial, asked.keep_going)
    print(f"\n== {name}, seed {seed}, {asked.size}", flush=True)
    try:
        importlib.import_module(f"chaos.{name}").run(campaign)
    except SkippedError as skipped:
        return conclude(into, campaign, str(skipped))
    if not campaign.failures:
        shutil.rmtree(place, ignore_errors=True)
    return conclude(into, campaign)


def main() -> int:
    """Run what was asked for; 1 if something did not hold."""
    asked = read_arguments()
    enter_namespace()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # so that what we started is ended
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    verdicts = {name: run_campaign(name, asked, seed) for name in asked.campaigns or CAMPAIGNS}
    failed = [name for name, verdict in verdicts.items() if verdict == "FAILED"]
    skipped = [name for name, verdict in verdicts.items() if verdict == "skipped"]
    print(f"\n{len(verdicts) - len(failed) - len(skipped)} held", end="")
    print(f", skipped: {', '.join(skipped)}" if skipped else "", end="")
    print(f", FAILED: {', '.join(failed)}" if failed else "", flush=True)
    for undisturbed in (asked.into / "scratch").glob("undisturbed-*"):
        shutil.rmtree(undisturbed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
