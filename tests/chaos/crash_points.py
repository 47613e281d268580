"""Every call to the kernel about a small run's folder is met by a kill, an I/O error and a full disk, one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.atlases import run_undisturbed
from chaos.campaign import BrokenError
from chaos.judge import describe_differences, hash_published, require_same, require_whole_parts
from chaos.syscalls import FAULTS, list_points, require_strace, trace_scan, was_hit
from tahoe_engine import scan_cells

if TYPE_CHECKING:
    from chaos.campaign import Campaign, Trial
    from chaos.judge import Undisturbed
    from chaos.syscalls import Point

SHARDS = 2
SHORT = 12
KILLED = 137  # of a shell; strace ends as what it traced did
TEMPORARY = 75


def run(campaign: Campaign) -> None:
    """Count the calls of a run that nobody disturbs, then disturb each."""
    require_strace(campaign.place)
    wanted = run_undisturbed(campaign.cache, SHARDS)
    place = campaign.place / "counted"
    with trace_scan(wanted.atlas, place / "run", log := campaign.place / "counted.log") as launched:
        launched.wait().require(0)
    require_same(place / "run", wanted)
    points = [(point, fault) for point in list_points(log, place / "run") for fault in FAULTS]
    campaign.figures["calls about the run"] = len(points) // len(FAULTS)
    if len(points) < 100:
        raise BrokenError(f"strace shows only {len(points)} points: what is counted here?")
    chosen = list(range(len(points)))
    if not campaign.full:
        chosen = sorted(campaign.generator("points").sample(chosen, SHORT))
    for number in chosen:
        campaign.repeat(1, lambda trial: disturb(campaign, trial, wanted, *points[trial.number]), first=number)


def disturb(campaign: Campaign, trial: Trial, wanted: Undisturbed, point: Point, fault: str) -> None:
    """Meet one call with one fault, look at what is left, and resume."""
    run, log = trial.place / "run", trial.place / "strace.log"
    where = f"{fault} at {point.call} number {point.when}: {point.about}"
    inject = ("-e", f"inject={point.call}:{FAULTS[fault]}:when={point.when}")
    with trace_scan(wanted.atlas, run, log, *inject) as launched:
        ended = launched.wait(120)
    try:
        if fault != "KILL" and not was_hit(log, point, run):
            raise BrokenError("the fault met another call: the run differs from time to time")  # noqa: TRY301
        campaign.count(f"{fault}: ended with {ended.code}")
        if fault == "KILL":
            ended.require(-9, KILLED)
        elif ended.code == 0:
            # A call whose failure costs nothing (the removal of a file that is gone): then all must be there.
            ended.require(0)
            require_same(run, wanted)
        else:
            ended.require(TEMPORARY)
        if run.exists():
            require_whole_parts(run, wanted)
        resume(trial, wanted)
    except Exception as error:
        raise BrokenError(f"{where}: {error}") from error


def resume(trial: Trial, wanted: Undisturbed) -> None:
    """Run the same again, in this process: what starts it makes no difference to it, and it saves half the time."""
    run = trial.place / "run"
    scan_cells(wanted.atlas, run, workers=0)
    require_same(run, wanted)
    left = describe_differences({str(path): "" for path in (run / ".tahoe/tmp").rglob("*") if path.is_file()}, {})
    if left:
        raise BrokenError(f"temporary files are left: {left}")
    if hash_published(run) != wanted.published:
        raise BrokenError("a second look differs from the first")
