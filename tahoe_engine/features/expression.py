"""Expression of chosen genes: of cells from the shards, of groups from their moments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from tahoe_engine.cells.counts import Counts, locate_shards
from tahoe_engine.config import Settings
from tahoe_engine.errors import ConfigError, StageError, escape_controls
from tahoe_engine.features.genes import FittedGenes, choose_genes, name_genes
from tahoe_engine.groups.gather import GROUP, find_genes, list_moments, read_index
from tahoe_engine.run import Layout, Run, read_published
from tahoe_engine.schema import GROUP_KEYS, GROUPABLE, SPLIT, TRAIN
from tahoe_engine.vocabulary.joined import load_run_genes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from tahoe_engine.features.blocks import Expression
    from tahoe_engine.features.design import Design
    from tahoe_engine.source import Recorded

TARGET: Final = 1e4  # counts per ten thousand
MEAN: Final = "mean_log1p_cp10k"
PLACE: Final = ("shard", "row")
OF_CELLS: Final = ("row", "expr_len", "total_counts")  # what the reader of counts must know of a cell


def list_groups(root: str | Path, by: Sequence[str]) -> pl.DataFrame:
    """List the groups of a run with the values of what a split is by.

    Parameters
    ----------
    root : str or Path
        A run with the stages `cells` and `groups`.
    by : sequence of str
        Columns of the cells table of which a cell's side of the split follows.

    Returns
    -------
    polars.DataFrame
        ``group_id``, ascending, and these columns.

    Raises
    ------
    ConfigError
        If `by` is empty, or the cells of a group differ in one of the columns: a group could have cells on both sides.
    StageError
        If a stage is not finished.

    Notes
    -----
    Keys of the groups are taken from their index; other columns from the cells themselves, all of which are looked at.

    Examples
    --------
    >>> list_groups("demo/run", ["drug"])  # doctest: +SKIP
    """
    import polars as pl

    layout = Layout(Path(root))
    keys = read_published(layout, "groups").get("settings", {}).get("groups", {}).get("by", GROUP_KEYS)
    told = f"the groups of this run are by {', '.join(keys)}"
    if not by:
        raise ConfigError(
            "genes are chosen from whole groups of training cells: let split.by name what the cells of a group have in "
            f"common; {told}"
        )
    strange = [name for name in by if name not in GROUPABLE]
    if strange:
        raise ConfigError(
            f"genes are chosen from whole groups, which a split by {escape_controls(strange[0])!r} may cut in two; "
            f"{told}, and split.by may name {', '.join(GROUPABLE)}"
        )
    index = read_index(layout).sort(GROUP)
    others = [name for name in by if name not in keys]
    if others:
        cells = Run(layout.root).table("cells").select(*keys, *others).unique().collect(engine="streaming")
        twice = cells.filter(pl.struct(keys).is_duplicated())
        if twice.height:
            named = next(
                name for name in others if twice.select(*keys, name).unique().height > twice.select(keys).n_unique()
            )
            raise ConfigError(
                f"a group has cells of more than one {named}, so that a split by it may cut groups in two; {told}: "
                f"run `tahoe groups --new` with --by that names {named}, too, or split by {', '.join(keys)}"
            )
        index = index.select(GROUP, *keys).join(
            cells, on=list(keys), how="left", nulls_equal=True, validate="1:1", maintain_order="left"
        )
    return index.select(GROUP, *by)


def choose_training_genes(design: Design, block: Expression) -> FittedGenes:
    """Choose the genes of a block from the groups of the run that train.

    Parameters
    ----------
    design : Design
        With its split and the run folder.
    block : Expression
        Of its recipe.

    Returns
    -------
    FittedGenes
        As `choose_genes` gives it.

    Raises
    ------
    ConfigError
        If the split may cut groups in two: `split.by` must name columns in which the cells of a group agree.
    StageError
        If the stage `groups` is not finished.

    Notes
    -----
    A group counts with all its cells: ``rows.keep`` leaves out groups by what their index tells, while other filters
    of rows do not show. Control cells that train are among them also where they are no rows of the features. With
    ``fitted_on = "all"``, the references' way, groups that are tested count too.
    """
    import polars as pl

    recipe, root = design.recipe, Path(design.root)
    kept = read_index(Layout(root))
    for column, values in recipe.rows.keep.items():
        if kept.schema.get(column) == pl.String:
            # Null where the cells of a group have several.
            kept = kept.filter(pl.col(column).is_in(values) | pl.col(column).is_null())
    by = list(recipe.split.by)
    sides = design.split.groups
    if recipe.fitted_on == "all" and sides is None:
        return choose_genes(root, block, kept)
    groups = list_groups(root, by).join(kept.select(GROUP), on=GROUP, how="semi")
    assert sides is not None  # noqa: S101 - a split by columns has groups
    if recipe.fitted_on == "train":
        sides = sides.filter(pl.col(SPLIT) == TRAIN)
    train = groups.select(GROUP, pl.col(by).cast(pl.String)).join(sides, on=by, how="semi", nulls_equal=True)
    return choose_genes(root, block, train)


def read_expression(
    root: str | Path,
    genes: FittedGenes,
    frame: pl.DataFrame,
    *,
    shards: Mapping[str, Recorded] | None = None,
    settings: Settings | None = None,
) -> NDArray[np.float32]:
    """Read log1p(CP10k) of chosen genes.

    Parameters
    ----------
    root : str or Path
        A run with the stage `cells`, and for groups the stage `groups`.
    genes : FittedGenes
        Which.
    frame : polars.DataFrame
        Rows of the cells table (``shard``, ``row``) or of the index of groups (``group_id``), in any order.
    shards : mapping of str to Recorded, optional
        Where the shards are, as `tahoe_engine.cells.counts.locate_shards` gives it; those of `frame` are enough.
        Default: where they were when they were scanned.
    settings : Settings, optional
        ``[limits]`` and ``[source]`` of it.

    Returns
    -------
    ndarray of float32, shape (rows, genes)
        Of a cell ln(1 + 10,000 count / counts of all its genes); of a group the mean of that over its cells. A gene
        without counts is 0.

    Raises
    ------
    ConfigError
        If `frame` has neither.
    StageError
        If a row is not one of the run's, or the tables are not what their manifest says.
    ShardError
        If a shard is not the one that was scanned: E_INPUT_CHANGED where its footer differs, E_COUNTS_DIFFER where the
        counts do.
    FetchError
        If a remote shard cannot be had for now.

    Notes
    -----
    Computed in float64 and rounded once; NumPy's log1p may differ in the last bit of a float64 between processors,
    which shows after rounding in one value of some hundred million. What is held besides the matrix is bounded: counts
    of four million entries, or the moments of one part. A row's values do not depend on the other rows.

    Examples
    --------
    >>> cells = te.Run("demo/run").table("cells").head(100).collect()  # doctest: +SKIP
    >>> read_expression("demo/run", genes, cells).shape  # doctest: +SKIP
    (100, 500)
    """
    import numpy as np

    layout = Layout(Path(root))
    matrix = np.zeros((frame.height, len(genes)), np.float32)
    if not frame.height:
        return matrix
    vocabulary = load_run_genes(layout.metadata)
    # Of each gene of the vocabulary its column, or none.
    column_of = np.full(vocabulary.height, -1, np.int32)
    column_of[_find_places(vocabulary, genes)] = np.arange(len(genes))
    if set(PLACE) <= set(frame.columns):
        settings = settings or Settings()
        found = locate_shards(layout.root, settings) if shards is None else shards
        strange = sorted(set(frame["shard"].unique().to_list()) - found.keys())
        if strange:
            raise StageError(f"the run has no shard {escape_controls(strange[0])}; its cells were computed anew since")
        counts = Counts(layout.root, vocabulary, found, settings)
        for asked in frame.select(*PLACE).with_row_index("place").partition_by("shard", maintain_order=True):
            _read_cells(layout, counts, column_of, asked, matrix)
    elif GROUP in frame.columns:
        _read_groups(layout, vocabulary["gene"].to_numpy(), column_of, frame[GROUP], matrix)
    else:
        raise ConfigError(
            f"expression is of cells (columns {' and '.join(PLACE)}) or of groups ({GROUP}) of a run; this table has "
            f"{', '.join(map(escape_controls, frame.columns))}"
        )
    return matrix


def _find_places(vocabulary: pl.DataFrame, genes: FittedGenes) -> NDArray[np.int64]:
    """Give the place of each chosen gene in the run's vocabulary, which must be the one they were chosen from."""
    import numpy as np

    places = find_genes(vocabulary["gene"].to_numpy(), np.asarray(genes.genes))
    if name_genes(vocabulary[places]) != genes.columns:
        raise StageError("the genes were chosen from another vocabulary than the run has; fit the features anew")
    return places


def _read_cells(
    layout: Layout, counts: Counts, column_of: NDArray[np.int32], asked: pl.DataFrame, matrix: NDArray[np.float32]
) -> None:
    """Fill the rows of the cells of a shard."""
    import numpy as np

    shard: str = asked["shard"][0]
    places = asked["place"].to_numpy()
    # Where a cell is asked for twice its second row is a copy of its first.
    rows, firsts, cell_of = np.unique(asked["row"].to_numpy(), return_index=True, return_inverse=True)
    cells, target, done = _find_cells(layout, shard, rows), places[firsts], 0
    totals = cells["total_counts"].to_numpy()
    for block in counts.read(shard, cells):
        column = column_of[block.genes]
        # Few of the entries are of chosen genes: of those alone the cell is looked up.
        kept = np.flatnonzero(column >= 0)
        cell = done + np.searchsorted(np.cumsum(block.lengths), kept, side="right")
        matrix[target[cell], column[kept]] = np.log1p(block.counts[kept] * TARGET / totals[cell])
        done += len(block.lengths)
    if len(rows) < len(places):
        matrix[places] = matrix[target[cell_of]]


def _find_cells(layout: Layout, shard: str, rows: NDArray[np.int64]) -> pl.DataFrame:
    """Give what the cells table says of rows of a shard; the counts that are read are compared with it."""
    import polars as pl

    path = layout.part("cells", shard)
    if not path.is_file():
        raise StageError(f"{path}: there is no such part of the cells; the frame is of another run, or it is gone")
    try:
        table = pl.scan_parquet(path, glob=False, hive_partitioning=False).select(*OF_CELLS)
        found = table.filter(pl.col("row").is_in(pl.Series(rows).implode())).collect().sort("row")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StageError(f"{path}: cannot be read ({error}); run `tahoe cells` again to restore it") from error
    if found.height < len(rows):
        lacking = len(rows) - found.height
        raise StageError(f"{path}: {lacking} of {len(rows)} rows are not there; they are no kept cells of the run")
    return found


def _read_groups(
    layout: Layout, tokens: NDArray[np.int32], column_of: NDArray[np.int32], ids: pl.Series, matrix: NDArray[np.float32]
) -> None:
    """Fill the rows of groups, part by part."""
    import numpy as np

    groups, firsts, group_of = np.unique(ids.to_numpy(), return_index=True, return_inverse=True)
    known = read_index(layout)[GROUP]
    strange = np.setdiff1d(groups, known.to_numpy())
    if len(strange):
        raise StageError(f"the run has no group {strange[0]}; the groups were computed anew since")
    for frame in list_moments(layout).read_each(groups.tolist(), [MEAN]):
        column = column_of[find_genes(tokens, frame["gene"].to_numpy())]
        kept = column >= 0
        rows = np.searchsorted(groups, frame[GROUP].to_numpy()[kept])
        matrix[firsts[rows], column[kept]] = frame[MEAN].to_numpy()[kept]
    if len(groups) < len(ids):
        matrix[:] = matrix[firsts[group_of]]
