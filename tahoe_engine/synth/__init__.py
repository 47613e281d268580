"""Made-up atlases: the real schema, order, names and value distributions, with planted and recorded truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tahoe_engine.synth.options import Options, Written, clean_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

__all__ = ["Options", "Written", "write_atlas", "write_tables"]


def write_atlas(  # noqa: PLR0913 -- the options of `tahoe synth`, by keyword
    out: str | Path,
    *,
    plates: Sequence[int] = (4,),
    wells: int = 96,
    lines: int | Sequence[str] = 50,
    cells: int = 28_224,
    seed: int = 0,
    line_effect: float = 0.8,
    drug_effect: float = 1.0,
    well_effect: float = 0.1,
    drug_genes: float = 0.05,
    median_counts: float = 1_900.0,
    counts_spread: float = 0.6,
    shard_rows: int = 28_224,
    row_group_rows: int = 1_000,
    sublibrary_cells: int = 54_000,
    marker: bool = True,
    vocabulary: str | Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Write a made-up atlas: `data/`, `metadata/` and `truth/`.

    Parameters
    ----------
    out : str or Path
        A folder that is missing or empty, or holds an atlas of the same options, which is then completed.
    plates : sequence of int
        Plates of 1 to 14, in the order of their blocks of rows.
    wells : int
        Wells a plate, 1 to 96: from 2 on with both of DMSO_TF, from 3 on with the positive control, Adagrasib 0.05 uM.
    lines : int or sequence of str
        How many of the 50 assayed lines (those of the central nervous system first, then by number of cells), or their
        ids or names.
    cells : int
        Rows in all; wells and lines have them in the real proportions.
    seed : int
        The same seed gives the same values on every machine.
    line_effect, drug_effect, well_effect : float
        Sizes of the planted effects, as `truth/truth.json` states them; 0 is none, exactly.
    drug_genes : float
        Share of the genes that a drug moves.
    median_counts, counts_spread : float
        Median library size, and standard deviation of its logarithm.
    shard_rows, row_group_rows : int
        Rows of a shard at most, and of a row group.
    sublibrary_cells : int
        Cells of a sublibrary of all 96 wells; with fewer wells it has so much fewer.
    marker : bool
        Whether rows start with the marker entry; the sister data set EmeraldBay has none.
    vocabulary : str or Path, optional
        Another gene table; see `tahoe_engine.vocabulary.load_genes`.
    on_progress : callable, optional
        Called with the cells done and the cells in all.

    Returns
    -------
    Written
        What is there now, and how many files this call wrote.

    Raises
    ------
    ConfigError
        If an option cannot be, or the folder holds something else; the message names it.
    SourceError
        If the vocabulary cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = write_atlas(folder, wells=4, lines=["A-172"], cells=20)
    >>> done.cells, done.wells["plate4"]
    (20, ('smp_1783', 'smp_1876', 'smp_1877', 'smp_1878'))
    """
    from tahoe_engine.synth.atlas import fill_atlas

    options = Options(
        kind="atlas",
        plates=tuple(plates),
        wells=wells,
        lines=clean_lines(lines),
        cells=cells,
        seed=seed,
        line_effect=line_effect,
        drug_effect=drug_effect,
        well_effect=well_effect,
        drug_genes=drug_genes,
        median_counts=median_counts,
        counts_spread=counts_spread,
        shard_rows=shard_rows,
        row_group_rows=row_group_rows,
        sublibrary_cells=sublibrary_cells,
        marker=marker,
        vocabulary=_digest(vocabulary),
    )
    return fill_atlas(out, options, vocabulary, on_progress)


def write_tables(  # noqa: PLR0913 -- the options of `tahoe synth --tables-only`, by keyword
    out: str | Path,
    rows: int,
    *,
    plates: Sequence[int] = (4,),
    wells: int = 96,
    lines: int | Sequence[str] = 50,
    seed: int = 0,
    line_effect: float = 0.8,
    drug_effect: float = 1.0,
    well_effect: float = 0.1,
    drug_genes: float = 0.05,
    median_counts: float = 1_900.0,
    counts_spread: float = 0.6,
    part_rows: int = 1_000_000,
    sublibrary_cells: int = 54_000,
    vocabulary: str | Path | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Write a made-up cells table of any length, without expressions: `cells/`, `metadata/` and `truth/`.

    Rows have the keys, libraries, depths and mitochondrial shares of the same law as those of `write_atlas`; moments
    over genes are read from curves of their line's profile, with a little noise.

    Parameters
    ----------
    out : str or Path
        As for `write_atlas`.
    rows : int
        Cells in all.
    plates, wells, lines, seed, line_effect, drug_effect, well_effect, drug_genes, median_counts, counts_spread
        As for `write_atlas`.
    part_rows : int
        Rows of a part at most.
    sublibrary_cells, vocabulary, on_progress
        As for `write_atlas`.

    Returns
    -------
    Written
        What is there now, and how many files this call wrote.

    Raises
    ------
    ConfigError, SourceError
        As for `write_atlas`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = write_tables(folder, 1_000, wells=2)
    >>> done.cells, done.shards
    (1000, 1)
    """
    from tahoe_engine.synth.summaries import fill_tables

    options = Options(
        kind="tables",
        plates=tuple(plates),
        wells=wells,
        lines=clean_lines(lines),
        cells=rows,
        seed=seed,
        line_effect=line_effect,
        drug_effect=drug_effect,
        well_effect=well_effect,
        drug_genes=drug_genes,
        median_counts=median_counts,
        counts_spread=counts_spread,
        shard_rows=part_rows,
        row_group_rows=50_000,
        sublibrary_cells=sublibrary_cells,
        marker=False,
        vocabulary=_digest(vocabulary),
    )
    return fill_tables(out, options, vocabulary, on_progress)


def _digest(vocabulary: str | Path | None) -> str:
    """Name a vocabulary by its values: paths do not belong into an atlas."""
    if vocabulary is None:
        return "packaged"
    from tahoe_engine.synth.folder import digest_genes
    from tahoe_engine.vocabulary import load_genes

    return digest_genes(load_genes(vocabulary))
