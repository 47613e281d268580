"""The stage, end to end: plan, hand out, record, merge, publish."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tahoe_engine.cells.launch import PUBLISHED, Launch
from tahoe_engine.cells.missing import run_missing
from tahoe_engine.cells.plan import Source, plan_cells
from tahoe_engine.cells.publish import publish
from tahoe_engine.cells.report import CellsReport, Progress
from tahoe_engine.config import Settings, change_settings
from tahoe_engine.errors import BadDataError, ConfigError
from tahoe_engine.run import Journal, Layout, open_run, require_free, set_aside_stages, translate_disk_errors
from tahoe_engine.source import find_shards, scheme_of
from tahoe_engine.vocabulary.joined import copy_joined

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tahoe_engine.source import Shard


def scan_cells(  # noqa: PLR0913 - the keywords are the options of the command
    source: Source,
    into: str | os.PathLike[str],
    *,
    stats: str | None = None,
    cell_lines: Sequence[str] | None = None,
    drugs: Sequence[str] | None = None,
    plates: Sequence[str | int] | None = None,
    samples: Sequence[str] | None = None,
    min_genes: int | None = None,
    rows: str | None = None,
    bad_rows: str | None = None,
    vocabulary: str | None = None,
    strict: bool | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    settings: Settings | None = None,
    new: bool = False,
    accept_changed_inputs: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_unknown: Callable[[dict[str, dict[str, list[str]]]], None] | None = None,
) -> CellsReport:
    """Scan shards into exact tables of cells and genes.

    Parameters
    ----------
    source : str, path or list of them
        A folder, a glob, a list of files (.txt), a file (also ``.jsonl``), a folder saved by `datasets`, an address
        (``hf://``, ``s3://``, ``https://``), or several.
    into : str or path-like
        The run folder. The same call again does only what is missing.
    stats : {"summary", "qc", "all"}, optional
        How much is computed.
    cell_lines, drugs, plates, samples : sequence of str, optional
        Keep these only; ids or names.
    min_genes : int, optional
        Keep cells with at least this many genes.
    rows : str, optional
        ``"A:B"`` over the source in shard order.
    bad_rows : {"quarantine", "reject"}, optional
        What a defective row does.
    vocabulary : str, optional
        Gene table of a sister data set.
    strict : bool, optional
        Publish nothing if a shard is quarantined or a row rejected.
    workers : int, optional
        Processes; 0 = this one.
    scheduler : str, optional
        Address of a running scheduler.
    settings : Settings, optional
        The rest; the keywords above change it.
    new : bool
        Start anew, also with other settings: what the run has of this stage is set aside (`tahoe gc` removes it).
    accept_changed_inputs : bool
        Take shards that changed, appeared or vanished since the run was started; only these are done anew.
    on_progress : callable, optional
        Called with a `Progress` after each shard.
    on_unknown : callable, optional
        Called before the work with wanted names that no table knows, and the nearest that one does.

    Returns
    -------
    CellsReport
        With the manifest.

    Raises
    ------
    SourceError, ConfigError, StageError, HeldError, BadDataError, StoppedError
        See `tahoe_engine.errors`; each says what to do.

    Notes
    -----
    Worker processes import the script that started them: in a script, call this under
    ``if __name__ == "__main__":``, or with ``workers=0``.

    Examples
    --------
    >>> import tahoe_engine as te
    >>> te.scan_cells("demo/atlas", "demo/run", plates=[4], workers=0)  # doctest: +SKIP
    """
    cells: dict[str, object] = {
        "stats": stats,
        "cell_lines": cell_lines,
        "drugs": drugs,
        "plates": plates,
        "samples": samples,
        "min_genes": min_genes,
        "rows": rows,
        "bad_rows": bad_rows,
        "vocabulary": vocabulary,
    }
    changes: dict[str, dict[str, object]] = {
        "cells": cells,
        "run": {"strict": strict},
        "workers": {"count": workers, "scheduler": scheduler},
    }
    settings = change_settings(settings or Settings(), changes, "scan_cells")
    start = time.monotonic()
    tell = on_progress or _ignore
    require_free(into)
    shards = find_shards(source, settings.source)
    _require_apart(shards, into)
    with translate_disk_errors():
        # Before the run folder is made: a range or a table that is wrong leaves nothing behind.
        plan = plan_cells(
            source,
            settings=settings,
            shards=shards,
            on_footer=lambda n: tell(Progress("footers", n, len(shards), seconds=time.monotonic() - start)),
            # Those of remote shards: a run that stops while it fetches them goes on with the next.
            kept=Layout(Path(into)).footers,
        )
    if on_unknown is not None and any(plan.wanted.unknown.values()):
        on_unknown(plan.wanted.unknown)
    with open_run(into) as layout:
        if new:
            set_aside_stages(layout, "cells", PUBLISHED)
        with Journal(layout, "cells") as journal:
            launch = Launch(plan, layout, journal, accept_changed_inputs=accept_changed_inputs)
            return _scan(launch, tell, start)


def _require_apart(shards: Sequence[Shard], into: str | os.PathLike[str]) -> None:
    """Refuse to write a run over its own source, or elsewhere than on a disk."""
    if scheme_of(os.fspath(into)):
        raise ConfigError(f"{into}: a run folder is on a disk that all workers share; name a path")
    # Where they really are: a link and ".." lead there too.
    root = Path(into).resolve()
    own = {root, *(root / name for name in ("data", "cells", "genes", "metadata", ".tahoe"))}
    local = [shard.path for shard in shards if not scheme_of(shard.path)]
    inside = [path for path in local if Path(path).parent.resolve() in own]
    if inside:
        raise ConfigError(f"{into} is the folder of the source itself ({inside[0]} is in it); name another run folder")


def _scan(launch: Launch, tell: Callable[[Progress], None], start: float) -> CellsReport:
    plan, layout, found_done = launch.plan, launch.layout, len(launch.receipts)
    plan.require_fit(layout.root, done=found_done / max(1, len(plan.shards)))
    tables = copy_joined(plan.joined, layout)
    try:
        launch.check_bad()
        rows_done, n_done = run_missing(launch, tell)
        launch.check_bad(at_end=True)
    except BadDataError:
        launch.hold_back()
        raise
    launch.sync()
    manifest = publish(launch, tables, tell)
    seconds = time.monotonic() - start
    taken_over, torn = launch.ledger.adopted, launch.n_torn
    return CellsReport(layout.root, manifest, n_done, found_done, rows_done, seconds, taken_over, torn)


def _ignore(progress: Progress) -> None:
    """Tell nobody."""
