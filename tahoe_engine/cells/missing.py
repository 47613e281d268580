"""Hand out what is missing, and record what comes back."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from tahoe_engine.cells.report import Progress
from tahoe_engine.cells.unit import CellsUnit, scan_unit
from tahoe_engine.errors import ConflictError, FetchError, ShardError
from tahoe_engine.run.fingerprint import describe_build
from tahoe_engine.run.ledger import CRASHED
from tahoe_engine.source import scheme_of
from tahoe_engine.workers import Deferred, WorkerDiedError, guard_units, run_units

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tahoe_engine.cells.launch import Launch
    from tahoe_engine.sections import SourceSettings


def run_missing(launch: Launch, tell: Callable[[Progress], None]) -> tuple[int, int]:
    """Run the units that are missing, and record each as it completes.

    Parameters
    ----------
    launch : Launch
        What is to be done.
    tell : callable
        Called with a `Progress` after each shard.

    Returns
    -------
    rows, units : int
        Done by this launch.

    Raises
    ------
    BadDataError
        If more is bad than may be.
    StoppedError
        If workers or source are lost for now.
    """
    units = launch.missing()
    rows_total = sum(unit.last_row - unit.first_row for unit in units)
    begun = time.monotonic()
    rows_done = n_done = 0
    if not units:
        return rows_done, n_done
    for folder in (launch.layout.stage("cells"), launch.layout.gene_parts):
        folder.mkdir(exist_ok=True)
    total, deferred = len(units), Deferred[CellsUnit]()
    slack_s, workers = _slack(units, launch.plan.settings.source), launch.plan.settings.workers
    scan = guard_units(scan_unit, launch.ledger, lambda unit: [unit.shard.name], workers, slack_s=slack_s)
    while units:
        outcomes = run_units(
            scan,
            units,
            workers,
            gate=describe_build,
            slack_s=slack_s,
            on_drain=lambda n: tell(Progress("draining", 0, n)),
        )
        again: list[CellsUnit] = []
        # Closing the generator stops the workers, whatever ends the loop; only then may temporary files go.
        with closing(outcomes):
            for unit, outcome in outcomes:
                if isinstance(outcome.error, FetchError):
                    deferred.add(unit, outcome.error)
                    continue
                if isinstance(outcome.error, ConflictError) and launch.ledger.void(unit.shard.name):
                    again.append(unit)
                    continue
                deferred.reached()
                if outcome.receipt is not None:
                    launch.record_receipt(unit, outcome.receipt)
                else:
                    launch.record_defect(unit, _defect(unit.shard.name, outcome.error))
                n_done += 1
                rows_done += unit.last_row - unit.first_row
                seconds = time.monotonic() - begun
                tell(Progress("cells", n_done, total, rows_done, rows_total, len(launch.quarantined), seconds))
                launch.check_bad()
        units = [*again, *deferred.take()]
    return rows_done, n_done


def _slack(units: Sequence[CellsUnit], source: SourceSettings) -> float:
    """Give the seconds that a unit may wait for a server."""
    remote = any(scheme_of(unit.shard.path) for unit in units)
    return source.retry_budget_s + source.timeout_s if remote else 0.0


def _defect(shard: str, error: BaseException | None) -> ShardError:
    """Give the defect of a shard; raise what is not the shard's fault."""
    if isinstance(error, ShardError):
        return error
    if isinstance(error, WorkerDiedError):
        return ShardError(shard, None, None, CRASHED, str(error))
    raise error or AssertionError("an outcome without receipt and error")
