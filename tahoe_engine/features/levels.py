"""Levels of columns of text: what there can be, and the code of what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tahoe_engine.errors import ConfigError
from tahoe_engine.features.joins import load_cell_line_columns, load_drug_columns
from tahoe_engine.features.metadata import DRUG_MOA_FINE, read_cell_lines, read_drugs, read_samples
from tahoe_engine.schema import (
    CELL_LINE_ID,
    CELL_NAME,
    CELLOSAURUS_ID,
    CONTROL_DRUG,
    DRUG,
    MOA_FINE,
    PLATE,
    SAMPLE,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import polars as pl

OTHER: Final = "Other"
UNKNOWN: Final = -1


def list_levels(column: str, run_metadata: Path | None) -> tuple[str, ...] | None:
    """List all levels a column can have, by the run's own tables.

    Parameters
    ----------
    column : str
        Of the cells, of the groups, or joined.
    run_metadata : Path, optional
        ``RUN/metadata`` or a source's own ``metadata/``; without it Tahoe's tables.

    Returns
    -------
    tuple of str or None
        Sorted by code point, as scikit-learn sorts its categories. ``''`` is among them where the column may be empty:
        the mechanism of a control, the name of a line that is not listed, whatever is joined. None for a column without
        such a list.

    Raises
    ------
    StageError
        If a table of the run cannot be read.

    Examples
    --------
    >>> [len(list_levels(column, None)) for column in ("drug", "cell_line_id", "moa-fine", "plate")]
    [380, 50, 27, 14]
    >>> list_levels("expr_mean", None) is None
    True
    """
    import polars as pl

    found: set[str | None]
    if column == DRUG:
        found = {*read_drugs(run_metadata)[DRUG], *read_samples(run_metadata)[DRUG], CONTROL_DRUG}
    elif column in {CELL_LINE_ID, CELL_NAME}:
        lines = read_cell_lines(run_metadata).filter(pl.col("assayed"))
        found = {*lines[CELLOSAURUS_ID]} if column == CELL_LINE_ID else {*lines[CELL_NAME], ""}
    elif column in {PLATE, SAMPLE}:
        found = {*read_samples(run_metadata)[column]}
    else:
        # A mechanism has the same levels in the cells as in the table of drugs.
        name = DRUG_MOA_FINE if column == MOA_FINE else column
        tables = (load_drug_columns(run_metadata), load_cell_line_columns(run_metadata))
        texts = [table[name] for table in tables if table.schema.get(name) == pl.String]
        if not texts:
            return None
        found = {*texts[0], ""}
    return tuple(sorted(level for level in found if level is not None))


def keep_frequent(counts: Mapping[str, int], top: int, other: str = OTHER) -> tuple[str, ...]:
    """Keep the most frequent levels and make one of the rest.

    Parameters
    ----------
    counts : mapping of str to int
        Rows of each level.
    top : int
        How many to keep; 0 = all. Of equally frequent ones the first by name.
    other : str
        Name of the rest.

    Returns
    -------
    tuple of str
        Sorted, and `other` last, whether or not there is a rest; without `other` where all are kept.

    Raises
    ------
    ConfigError
        If a level is called like the rest.

    Examples
    --------
    >>> keep_frequent({"a": 3, "b": 5, "c": 3, "": 9}, top=3)
    ('', 'a', 'b', 'Other')
    """
    if not top:
        return tuple(sorted(counts))
    if other in counts:
        raise ConfigError(f"{other!r} is a level of its own: the rest cannot have that name; leave out `top`")
    ranked = sorted(counts, key=lambda level: (-counts[level], level))
    return (*sorted(ranked[:top]), other)


def encode_levels(series: pl.Series, levels: Sequence[str], other: str | None) -> pl.Series:
    """Give the code of each value: its place among the levels.

    Parameters
    ----------
    series : polars.Series
        Of text; null is ``''``.
    levels : sequence of str
        Without repeats.
    other : str, optional
        The level that values have which are not among them; without it such a value has the code -1, and a row of
        zeros where codes become columns.

    Returns
    -------
    polars.Series
        Int32, without nulls.

    Raises
    ------
    ConfigError
        If a level is there twice, `other` is none of them, or the column is not of text.

    Examples
    --------
    >>> import polars as pl
    >>> encode_levels(pl.Series("drug", ["b", None, "x", "a"]), ("", "a", "b"), None).to_list()
    [2, 0, -1, 1]
    """
    import polars as pl

    if len(set(levels)) < len(levels):
        twice = next(level for at, level in enumerate(levels) if level in levels[:at])
        raise ConfigError(f"the level {twice!r} of {series.name!r} is there twice")
    if other is not None and other not in levels:
        raise ConfigError(f"{other!r}, which stands for the rest of {series.name!r}, is none of its levels")
    if series.dtype not in (pl.String, pl.Categorical, pl.Enum, pl.Null):
        raise ConfigError(f"levels are text, and {series.name!r} is {series.dtype}: use a column of text")
    rest = UNKNOWN if other is None else levels.index(other)
    texts = series.cast(pl.String).fill_null("")
    # What is not among the categories becomes null.
    return texts.cast(pl.Enum(list(levels)), strict=False).to_physical().cast(pl.Int32).fill_null(rest)
