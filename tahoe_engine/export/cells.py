"""The cells table as AnnData: what is known of each cell, without expression."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from tahoe_engine.cells import Progress
from tahoe_engine.export.choose import as_filters
from tahoe_engine.export.h5ad import require_target, write_h5ad, write_provenance
from tahoe_engine.export.obs import Cells
from tahoe_engine.export.report import ExportReport, describe_origin, tell_absent
from tahoe_engine.export.room import require_room
from tahoe_engine.export.var import write_no_var
from tahoe_engine.run import Run

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence


def export_cells(  # noqa: PLR0913 - the keywords are the options of the command
    run: str | os.PathLike[str],
    into: str | os.PathLike[str],
    *,
    plates: Sequence[str | int] | None = None,
    drugs: Sequence[str] | None = None,
    cell_lines: Sequence[str] | None = None,
    samples: Sequence[str] | None = None,
    compression: str = "gzip",
    force: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_unknown: Callable[[dict[str, dict[str, list[str]]]], None] | None = None,
) -> ExportReport:
    """Write the cells table of a run as an AnnData file without genes: cells x 0.

    Parameters
    ----------
    run : str or path-like
        A run with the stage `cells`.
    into : str or path-like
        The file, ``*.h5ad``.
    plates, drugs, cell_lines, samples : sequence, optional
        Keep the cells with these values only; ids or names.
    compression : {"gzip", "lzf", "none"}
        Of the columns.
    force : bool
        Replace an older file.
    on_progress : callable, optional
        Called with a `Progress` after each part.
    on_unknown : callable, optional
        Called with wanted names that the run has not, and the nearest that it has.

    Returns
    -------
    ExportReport
        Rows and bytes.

    Raises
    ------
    ConfigError
        If the target cannot be written, does not fit the disk, or nothing is left.
    StageError
        If the stage is missing, or a part is gone.
    StoppedError
        If the disk fails.

    Notes
    -----
    ``obs`` has all columns of the table in source order. Its names are the barcodes; a barcode that stands there more
    than once gets its shard and row appended. Texts but the barcode are categoricals; a null number is NaN.

    Examples
    --------
    >>> from tahoe_engine.export import export_cells
    >>> export_cells("demo/run", "demo/cells.h5ad", drugs=["DMSO_TF"])  # doctest: +SKIP
    """
    start, target = time.monotonic(), Path(into)
    require_target(target, compression, force=force)
    opened = Run(run)
    filters = as_filters(plates=plates, drugs=drugs, cell_lines=cell_lines, samples=samples)
    cells = Cells(opened, filters, on_progress=on_progress)
    tell_absent(cells.chosen, on_unknown)
    cells.chosen.require_some(cells.n_rows, "cells")
    require_room(target, 0, 0, held=0, compression=compression, n_rows=cells.n_rows)
    with write_h5ad(target, force=force) as file:
        obs = cells.open_obs(file, compression)
        for done, (_, frame) in enumerate(cells.frames(), 1):
            obs.append(cells.name_rows(frame), frame)
            if on_progress is not None:
                on_progress(Progress("export", done, cells.n_parts))
        write_no_var(file)
        write_provenance(file, describe_origin(opened, "cells", cells.chosen, ("cells",)))
    return ExportReport(target, "cells", (cells.n_rows, 0), 0, time.monotonic() - start, cells.chosen.absent)
