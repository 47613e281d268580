"""Counts of chosen cells, straight from the shards, as AnnData."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from tahoe_engine.cells import Progress
from tahoe_engine.cells.counts import Counts, locate_shards
from tahoe_engine.config import Settings
from tahoe_engine.errors import TahoeWarning
from tahoe_engine.export.choose import as_filters
from tahoe_engine.export.h5ad import SparseWriter, require_target, write_h5ad, write_provenance
from tahoe_engine.export.obs import Cells
from tahoe_engine.export.pick import Sample
from tahoe_engine.export.report import ExportReport, describe_origin, tell_absent
from tahoe_engine.export.room import require_room
from tahoe_engine.export.var import load_var, write_var
from tahoe_engine.run import Run
from tahoe_engine.schema import GROUP_KEYS

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from tahoe_engine.cells.counts import Source
    from tahoe_engine.export.var import Flavor

# A float32, which scanpy expects, holds every whole number up to here.
EXACT_IN_FLOAT32 = 1 << 24
DTYPES = {"X": "<f4"}
MEANING = "raw counts of the cells, without the marker entry; float32 as scanpy expects it"


def export_raw(  # noqa: PLR0913 - the keywords are the options of the command
    run: str | os.PathLike[str],
    into: str | os.PathLike[str],
    *,
    plates: Sequence[str | int] | None = None,
    drugs: Sequence[str] | None = None,
    cell_lines: Sequence[str] | None = None,
    samples: Sequence[str] | None = None,
    per_group: int | None = None,
    by: Sequence[str] = GROUP_KEYS,
    seed: int = 0,
    source: Source | None = None,
    flavor: Flavor | None = None,
    n_top_genes: int | None = None,
    compression: str = "gzip",
    force: bool = False,
    settings: Settings | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_unknown: Callable[[dict[str, dict[str, list[str]]]], None] | None = None,
) -> ExportReport:
    """Write the counts of chosen cells of a run as an AnnData file.

    Parameters
    ----------
    run : str or path-like
        A run with the stage `cells`; what was not kept there is not exported.
    into : str or path-like
        The file, ``*.h5ad``.
    plates, drugs, cell_lines, samples : sequence, optional
        Keep the cells with these values only; ids or names.
    per_group : int, optional
        So many cells of every group, all of a smaller one.
    by : sequence of str
        What a group is, for `per_group`: columns of the cells table.
    seed : int
        Another seed takes other cells; the same one the same cells, however the source is cut into shards.
    source : str, path or list of them, optional
        Where the shards are now, if they have moved.
    flavor : {"seurat", "cell_ranger"}, optional
        Add the selection of genes to ``var``, from the run's table of genes: over all its cells, whatever is filtered,
        and among the genes with counts, as after ``scanpy.pp.filter_genes(min_cells=1)``.
    n_top_genes : int, optional
        How many genes are selected; with `flavor`.
    compression : {"gzip", "lzf", "none"}
        Of the values.
    force : bool
        Replace an older file.
    settings : Settings, optional
        ``[limits]`` and ``[source]`` of it.
    on_progress : callable, optional
        Called with a `Progress` after each shard.
    on_unknown : callable, optional
        Called with wanted names that the run has not, and the nearest that it has.

    Returns
    -------
    ExportReport
        Rows, values, bytes.

    Raises
    ------
    ConfigError
        If the target cannot be written, does not fit the disk, or nothing is left.
    StageError
        If the stage is missing.
    ShardError
        If a shard is not the one that was scanned: E_INPUT_CHANGED where its footer differs, E_COUNTS_DIFFER where the
        counts of a cell do not add up to its ``total_counts``.
    FetchError, StoppedError
        If a shard or the disk fails for now.

    Notes
    -----
    In this process, shard after shard: what is held is bounded by the entries of a few thousand cells.

    Examples
    --------
    >>> from tahoe_engine.export import export_raw
    >>> export_raw("demo/run", "demo/small.h5ad", per_group=20)  # doctest: +SKIP
    """
    import numpy as np

    start, target, settings = time.monotonic(), Path(into), settings or Settings()
    require_target(target, compression, force=force)
    opened = Run(run)
    sample = None if per_group is None else Sample(per_group, tuple(by), seed)
    filters = as_filters(plates=plates, drugs=drugs, cell_lines=cell_lines, samples=samples)
    cells = Cells(opened, filters, sample, on_progress)
    tell_absent(cells.chosen, on_unknown)
    cells.chosen.require_some(cells.n_rows, "cells")
    genes = load_var(opened, flavor, n_top_genes)
    require_room(target, cells.n_entries, 8, held=8, compression=compression, n_rows=cells.n_rows)
    counts = Counts(opened.path, genes, locate_shards(opened.path, settings, source), settings)
    shape, largest = (cells.n_rows, genes.height), 0
    lengths = np.zeros(cells.n_rows, dtype=np.int64)
    with write_h5ad(target, force=force) as file:
        obs, matrix, row = cells.open_obs(file, compression), SparseWriter(file, DTYPES, shape, compression), 0
        for done, (shard, frame) in enumerate(cells.frames(), 1):
            obs.append(cells.name_rows(frame), frame)
            for block in counts.read(shard, frame):
                matrix.put(matrix.nnz, block.genes, {"X": block.counts.astype(np.float32)})
                lengths[row : row + len(block.lengths)] = block.lengths
                row += len(block.lengths)
                largest = max(largest, int(block.counts.max(initial=0)))
            if on_progress is not None:
                on_progress(Progress("export", done, cells.n_parts))
        matrix.finish(np.concatenate(([0], np.cumsum(lengths))))
        write_var(file, genes)
        facts = describe_origin(opened, "raw", cells.chosen, ("cells",))
        if sample is not None:
            facts |= {"per_group": sample.n, "by": list(sample.by), "seed": sample.seed}
        write_provenance(file, {**facts, "X": MEANING})
    if largest > EXACT_IN_FLOAT32:
        warnings.warn(
            f"{target}: the largest count is {largest:,}; above {EXACT_IN_FLOAT32:,} a float32 may lose the last digit",
            TahoeWarning,
            stacklevel=2,
        )
    short = 0 if cells.picked is None else cells.picked.short
    seconds = time.monotonic() - start
    return ExportReport(target, "raw", shape, matrix.nnz, seconds, cells.chosen.absent, counts.bytes_read, short)
