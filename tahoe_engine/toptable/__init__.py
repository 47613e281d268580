"""Top tables of limma and its kind, made elsewhere: read under many headers, and checked before they are trusted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import BadDataError, escape_controls
from tahoe_engine.toptable.headers import map_headers, read_table
from tahoe_engine.toptable.values import (
    check_values,
    compare_adjusted,
    count_tested,
    describe_selection,
    fit_df,
    is_t,
)

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from tahoe_engine.toptable.headers import PandasFrame

__all__ = ["TopTable", "read_top_table"]

OTHER_DF = 0.01  # P written with three digits is within 0.005


@dataclass(frozen=True)
class TopTable:
    """A table of genes with their change, t and P.

    Parameters
    ----------
    frame : polars.DataFrame
        ``gene`` (String), ``logFC``, ``AveExpr``, ``t``, ``P.Value``, ``adj.P.Val``, ``B`` (Float64) as far as they are
        there, then the file's other columns under their own names.
    df : float or None
        Degrees of freedom with which t gives P; infinite for a z. None where no row tells.
    p_error_max, p_error_median : float or None
        Relative error of P recomputed from t with `df`, over the rows that can tell.
    n_tested : int or None
        At least so many genes were tested, by ``adj.P.Val``, if that is Benjamini-Hochberg's.
    headers : dict of str to str
        What the columns were called.
    warnings : tuple of str
        What a user should know before a model is trusted.
    """

    frame: pl.DataFrame
    df: float | None
    p_error_max: float | None
    p_error_median: float | None
    n_tested: int | None
    headers: dict[str, str]
    warnings: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """Give everything but the table, for a report.

        Returns
        -------
        dict
            ``rows`` and the other fields; an infinite `df` is ``"inf"``, which JSON has no number for.
        """
        return {
            "rows": self.frame.height,
            "df": "inf" if self.df == math.inf else self.df,
            "p_error_max": self.p_error_max,
            "p_error_median": self.p_error_median,
            "n_tested": self.n_tested,
            "headers": dict(self.headers),
            "warnings": list(self.warnings),
        }


def read_top_table(source: str | Path | pl.DataFrame | PandasFrame) -> TopTable:
    r"""Read a top table and check that its numbers belong together.

    Parameters
    ----------
    source : str, Path or DataFrame
        A ``.csv``, ``.tsv``, ``.txt`` or ``.parquet`` file, text also as ``.gz``, or a table. Headers as limma writes
        them or alike: ``t``, ``target``, ``stat``; ``P.Value``, ``pvalue``; ``adj.P.Val``, ``FDR``, ``padj``; ...; also
        the results of `tahoe contrasts`.

    Returns
    -------
    TopTable
        The table in limma's names.

    Raises
    ------
    SourceError
        If there is no such file, or it cannot be read.
    BadDataError
        If a column is missing; a number is missing, or infinite; P is not between 0 and 1; t and logFC have opposite
        signs; or P does not follow from t.

    Notes
    -----
    P = 2·F(-\|t\|) of Student's distribution with the residual and prior degrees of freedom together (Smyth 2004,
    doi:10.2202/1544-6115.1027). With ``eBayes(robust=TRUE)`` some genes have fewer: they are counted in a warning.

    Examples
    --------
    >>> import polars as pl
    >>> table = read_top_table(
    ...     pl.DataFrame(
    ...         {
    ...             "symbol": ["A", "B", "C"],
    ...             "log2FoldChange": [2.0, -1.0, 0.1],
    ...             "stat": [6.0, -3.0, 0.5],
    ...             "pvalue": [0.00032334, 0.01707168, 0.6305721],
    ...         }
    ...     )
    ... )
    >>> table.frame.columns, round(table.df, 3)
    (['gene', 'logFC', 't', 'P.Value'], 8.0)
    """
    what, raw = read_table(source)
    frame, headers = map_headers(raw, what)
    notes = check_values(frame, headers, what)
    df, error_max, error_median = _fit(frame, headers, what, notes)
    n_tested = count_tested(frame)
    selection = describe_selection(frame, n_tested)
    notes += [selection] if selection else compare_adjusted(frame)
    return TopTable(frame, df, error_max, error_median, n_tested, headers, tuple(map(escape_controls, notes)))


def _fit(
    frame: pl.DataFrame, headers: dict[str, str], what: str, notes: list[str]
) -> tuple[float | None, float | None, float | None]:
    import numpy as np

    fitted = fit_df(frame)
    if fitted is None:
        notes.append("no row tells the degrees of freedom: t and P were not compared")
        return None, None, None
    df, errors = fitted
    median = float(np.median(errors))
    if not is_t(frame, errors):
        place = f"{what}: {headers['P.Value']!r} does not follow from {headers['t']!r}"
        why = f"with any degrees of freedom, nor falls as it grows (half of the rows are off by {median:.0%})"
        raise BadDataError(escape_controls(f"{place} {why}: call the column of t 't', that of P 'P.Value'"))
    others = int((errors > OTHER_DF).sum())
    if others:
        notes.append(
            f"P.Value of {others:,} of {len(errors):,} rows does not follow from t with df {df:.2f}, which fits "
            f"best (off by up to {errors.max():.1%}); eBayes(robust=TRUE) gives outliers fewer"
        )
    return df, float(errors.max()), median
