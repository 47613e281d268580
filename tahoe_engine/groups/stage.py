"""The stage, end to end: plan, hand out, record, publish."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tahoe_engine.config import Settings, change_settings
from tahoe_engine.groups.launch import Launch
from tahoe_engine.groups.plan import plan_groups
from tahoe_engine.groups.publish import publish
from tahoe_engine.groups.report import GroupsReport
from tahoe_engine.run import Journal, open_run, require_free, set_aside_stages

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from tahoe_engine.cells import Progress


def sum_groups(  # noqa: PLR0913 - the keywords are the options of the command
    into: str | os.PathLike[str],
    *,
    by: Sequence[str] | None = None,
    source: str | os.PathLike[str] | Sequence[str] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    settings: Settings | None = None,
    new: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> GroupsReport:
    """Sum the kept cells of a run group by group: exact moments of every gene, as pseudobulk needs them.

    Parameters
    ----------
    into : str or path-like
        A run whose cells are finished. The same call again does only what is missing.
    by : sequence of str, optional
        Columns of the cells table; cells that agree in all of them are a group. Default: well and cell line.
    source : str, path or list of them, optional
        Where the shards are now, if they have moved since the cells were scanned.
    workers : int, optional
        Processes; 0 = this one.
    scheduler : str, optional
        Address of a running scheduler.
    settings : Settings, optional
        The rest; the keywords above change it.
    new : bool
        Start anew, also by other keys: what the run has of this stage is set aside (`tahoe gc` removes it).
    on_progress : callable, optional
        Called with a `Progress` after each unit.

    Returns
    -------
    GroupsReport
        With the manifest.

    Raises
    ------
    SourceError, ConfigError, StageError, HeldError, BadDataError, StoppedError
        See `tahoe_engine.errors`; each says what to do.

    Notes
    -----
    Counts and their squares are summed as whole numbers. CP10k and log1p(CP10k) of a cell are rounded once, to
    multiples of 2^-36 and 2^-40, and summed as whole numbers too, so that the tables do not depend on block size,
    workers or order; mean and variance (ddof 1, zeros counted) follow from the sums in one step.

    Examples
    --------
    >>> import tahoe_engine as te
    >>> te.sum_groups("demo/run", workers=0)  # doctest: +SKIP
    >>> te.Run("demo/run").table("groups").head().collect()  # doctest: +SKIP
    """
    changes: dict[str, dict[str, object]] = {
        "groups": {"by": None if by is None else tuple(by)},
        "workers": {"count": workers, "scheduler": scheduler},
    }
    settings = change_settings(settings or Settings(), changes, "sum_groups")
    start = time.monotonic()
    require_free(into)
    plan = plan_groups(into, settings=settings, source=source)
    plan.require_fit()
    with open_run(into) as layout:
        if new:
            set_aside_stages(layout, "groups", ["groups"])
        with Journal(layout, "groups") as journal:
            launch = Launch(plan, layout, journal)
            found = len(launch.ledger.receipts)
            rows, done = launch.run_missing(on_progress or _ignore)
            launch.sync()
            manifest = publish(launch)
            return GroupsReport(layout.root, manifest, done, found, rows, time.monotonic() - start)


def _ignore(progress: Progress) -> None:
    """Tell nobody."""
