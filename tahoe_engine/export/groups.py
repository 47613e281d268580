"""Pseudobulk groups as AnnData, in the shape of ``scanpy.get.aggregate``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tahoe_engine.export.choose import COLUMNS, as_filters, choose
from tahoe_engine.export.frames import FrameWriter, escape_nul
from tahoe_engine.export.h5ad import SparseWriter, name_uniquely, require_target, write_h5ad, write_provenance
from tahoe_engine.export.moments import Moments
from tahoe_engine.export.report import ExportReport, describe_origin, read_manifest_of, tell_absent
from tahoe_engine.export.room import require_room
from tahoe_engine.export.var import load_var, write_var
from tahoe_engine.run import Run, require_whole
from tahoe_engine.schema import GROUP_KEYS

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    import polars as pl

    from tahoe_engine.cells import Progress
    from tahoe_engine.export.h5ad import Target
    from tahoe_engine.export.var import Flavor

# Of which column of the moments each layer is made, and its type. The names are those of scanpy's aggregate.
LAYERS = {
    "sum": ("sum_counts", "<i8"),
    "mean": ("mean_log1p_cp10k", "<f8"),
    "var": ("var_log1p_cp10k", "<f8"),
    "count_nonzero": ("n_cells_by_counts", "<i4"),
}
MEANING = {
    "sum": "raw counts, summed over the cells of the group; exact",
    "mean": "mean over the cells of ln(1 + counts per 10,000 of the cell), zeros counted",
    "var": "variance of the same (ddof 1), zeros counted; NaN at the stored genes of a group of one cell",
    "count_nonzero": "cells of the group with at least one count of the gene",
}


def export_groups(  # noqa: PLR0913 - the keywords are the options of the command
    run: str | os.PathLike[str],
    into: str | os.PathLike[str],
    *,
    plates: Sequence[str | int] | None = None,
    drugs: Sequence[str] | None = None,
    cell_lines: Sequence[str] | None = None,
    samples: Sequence[str] | None = None,
    flavor: Flavor | None = None,
    n_top_genes: int | None = None,
    compression: str = "gzip",
    force: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_unknown: Callable[[dict[str, dict[str, list[str]]]], None] | None = None,
) -> ExportReport:
    """Write the pseudobulk groups of a run as an AnnData file.

    Parameters
    ----------
    run : str or path-like
        A run with the stage `groups`.
    into : str or path-like
        The file, ``*.h5ad``.
    plates, drugs, cell_lines, samples : sequence, optional
        Keep the groups with these values only; ids or names.
    flavor : {"seurat", "cell_ranger"}, optional
        Add the selection of genes to ``var``, from the run's table of genes: over all its cells, whatever is filtered,
        and among the genes with counts, as after ``scanpy.pp.filter_genes(min_cells=1)``.
    n_top_genes : int, optional
        How many genes are selected; with `flavor`.
    compression : {"gzip", "lzf", "none"}
        Of the values.
    force : bool
        Replace an older file.
    on_progress : callable, optional
        Called with a `Progress` after each part.
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
        If the stage is missing, or its tables do not fit together.
    StoppedError
        If the disk fails.

    Notes
    -----
    Rows of ``obs`` ascend by ``group_id``; their names are the keys joined by ``_``, as scanpy's aggregate names them.
    ``obs`` has the keys, drug, dose (uM) and plate, ``n_obs_aggregated`` (scanpy), ``psbulk_cells`` and
    ``psbulk_counts`` (decoupler). ``var`` has all genes of the vocabulary. The layers ``sum``, ``mean``, ``var`` and
    ``count_nonzero`` are sparse; ``X`` is empty, as scanpy leaves it: ``adata.X = adata.layers["sum"]``.

    Examples
    --------
    >>> from tahoe_engine.export import export_groups
    >>> export_groups("demo/run", "demo/groups.h5ad", plates=[4])  # doctest: +SKIP
    """
    from pathlib import Path

    start, target = time.monotonic(), Path(into)
    require_target(target, compression, force=force)
    opened = Run(run)
    for part in read_manifest_of(opened, "groups")["parts"]:
        if "/" not in part["name"]:
            require_whole(opened.path / "groups" / part["name"], part, "groups")
    index = opened.table("groups").collect().sort("group_id")
    known = {
        column: index[column].drop_nulls().unique().to_list() for column in COLUMNS.values() if column in index.columns
    }
    filters = as_filters(plates=plates, drugs=drugs, cell_lines=cell_lines, samples=samples)
    chosen = choose(opened, filters, known)
    tell_absent(chosen, on_unknown)
    kept = index.filter(chosen.predicate)
    chosen.require_some(kept.height, "groups")
    genes = load_var(opened, flavor, n_top_genes)
    moments = Moments(opened, kept["group_id"].to_numpy(), index["group_id"].to_numpy(), genes["gene"].to_numpy())
    bytes_a_value = 4 + sum(int(dtype[-1]) for _, dtype in LAYERS.values())
    require_room(
        target,
        moments.nnz,
        bytes_a_value,
        held=bytes_a_value + 4 * (len(LAYERS) - 1),
        compression=compression,
        otherwise='anndata.io.sparse_dataset(h5py.File(file)["layers/sum"])[:100]',
    )
    with write_h5ad(target, force=force) as file:
        _write_obs(file, kept, _keys(opened), compression)
        write_var(file, genes)
        shape = (kept.height, genes.height)
        dtypes = {f"layers/{name}": dtype for name, (_, dtype) in LAYERS.items()}
        layers = SparseWriter(file, dtypes, shape, compression, moments.nnz)
        for place, columns, values in moments.read([column for column, _ in LAYERS.values()], on_progress):
            layers.put(place, columns, {f"layers/{name}": values[column] for name, (column, _) in LAYERS.items()})
        layers.finish(moments.indptr)
        facts = describe_origin(opened, "groups", chosen, ("cells", "groups"))
        write_provenance(file, {**facts, "layers": MEANING, "by": list(_keys(opened))})
    return ExportReport(target, "groups", shape, moments.nnz, time.monotonic() - start, chosen.absent)


def _keys(run: Run) -> tuple[str, ...]:
    settings: Any = read_manifest_of(run, "groups").get("settings", {})
    return tuple(settings.get("groups", {}).get("by", GROUP_KEYS))


def _write_obs(file: Target, kept: pl.DataFrame, keys: Sequence[str], compression: str) -> None:
    import polars as pl

    n_cells = pl.col("n_cells").cast(pl.Int64)
    obs = kept.select(
        "group_id",
        *(column for column in kept.columns if column not in ("group_id", "n_cells", "total_counts")),
        n_cells.alias("n_obs_aggregated"),
        n_cells.alias("psbulk_cells"),
        pl.col("total_counts").cast(pl.Int64).alias("psbulk_counts"),
    )
    texts = [name for name, dtype in obs.schema.items() if dtype == pl.String]
    categories = {name: obs[name].drop_nulls().unique().sort().to_list() for name in texts}
    names = [pl.col(key).cast(pl.String).fill_null("") for key in keys]
    joined = obs.select(escape_nul(pl.concat_str(names, separator="_")))[:, 0].to_list()
    unique = name_uniquely(joined, obs["group_id"].to_list())
    FrameWriter(file, "obs", dict(obs.schema), categories, n_rows=obs.height, compression=compression).append(
        unique, obs
    )
