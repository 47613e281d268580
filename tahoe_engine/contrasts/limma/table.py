"""One contrast of one table of counts, under the column names every reader of limma knows."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tahoe_engine.contrasts.adjust import adjust_bh
from tahoe_engine.contrasts.limma.checks import SHOWN, check_counts, check_lib_sizes
from tahoe_engine.contrasts.limma.fit import fit_counts
from tahoe_engine.errors import ConfigError, escape_controls

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

LEAST_COLUMNS: Final = 2  # the names, and something to go with them


def fit_limma(
    counts: pl.DataFrame, design: pl.DataFrame, contrast: Mapping[str, float], *, robust: bool = True
) -> pl.DataFrame:
    """Test a contrast of all genes of a table of counts: TMM, voom, linear model, moderated t.

    All genes of `counts` are used for everything: library sizes are sums over these genes, and so are the trend and the
    prior. Genes that hardly have counts should be left out first (see `filter_by_expr`), as the numbers of limma's
    users are made that way; given all genes, the many that are near zero bend the trend and the prior, and each test is
    then made among more tests. Nothing is left out silently; a gene without counts in all samples tells nothing, so it
    is no part of trend and prior and has logFC 0 and P 1.

    Parameters
    ----------
    counts : polars.DataFrame
        The first column names the gene, each other column is a sample with raw counts. Other frames that Polars can
        take (pandas, Arrow, lazy ones) will do.
    design : polars.DataFrame
        The first column names the sample, each other column is one of the design matrix. Samples are matched by name,
        in any order.
    contrast : mapping of str to float
        Columns of the design and their weights, e.g. ``{"drug": 1, "control": -1}``.
    robust : bool
        Whether outlying variances are kept out of the prior (Phipson et al. 2016).

    Returns
    -------
    polars.DataFrame
        In the order of `counts`: `gene`, `logFC` (log2), `AveExpr` (mean log2 counts per million), `t`, `P.Value`,
        `adj.P.Val` (Benjamini-Hochberg over all genes of `counts`), `B` (log odds).

    Raises
    ------
    ConfigError
        If counts are negative or not finite, names are missing or there twice, samples do not match, a sample has no
        counts, a column is unknown, or the design leaves no residual degrees of freedom or cannot tell the contrast.

    Notes
    -----
    Robinson & Oshlack 2010 (TMM), Law et al. 2014 (voom), Smyth 2004 (moderated t, B), Phipson et al. 2016 (robust).

    Examples
    --------
    >>> import polars as pl
    >>> counts = pl.DataFrame({"id": ["A", "B", "C", "D"], "c1": [10, 50, 7, 30], "c2": [12, 60, 9, 33],
    ...                        "d1": [40, 52, 8, 31], "d2": [44, 61, 10, 38]})
    >>> design = pl.DataFrame({"sample": ["c1", "c2", "d1", "d2"], "control": [1, 1, 0, 0], "drug": [0, 0, 1, 1]})
    >>> table = fit_limma(counts, design, {"drug": 1, "control": -1})
    >>> table.columns
    ['gene', 'logFC', 'AveExpr', 't', 'P.Value', 'adj.P.Val', 'B']
    >>> table.sort("P.Value")["gene"][0]
    'A'
    """
    table, plan = _take_frame(counts, "counts"), _take_frame(design, "design")
    genes, samples = _take_names(table, "gene"), table.columns[1:]
    values = check_counts(_take_matrix(table, "counts"), genes=genes, samples=samples)
    sizes = check_lib_sizes(None, values, samples=samples)
    rows = _match_samples(samples, _take_names(plan, "sample"))
    columns = plan.columns[1:]
    matrix = _take_matrix(plan, "design")[rows]
    fit = fit_counts(values, matrix, robust=robust, lib_sizes=sizes, names=columns)
    tested = fit.test(_take_contrast(contrast, columns)[:, None])
    p_values = tested.p_value[:, 0]
    return pl.DataFrame(
        {
            "gene": table.to_series(0),
            "logFC": tested.logFC[:, 0],
            "AveExpr": tested.AveExpr,
            "t": tested.t[:, 0],
            "P.Value": p_values,
            "adj.P.Val": adjust_bh(p_values),
            "B": tested.B[:, 0],
        }
    )


def _take_frame(frame: Any, what: str) -> pl.DataFrame:  # noqa: ANN401 - any frame
    """Take a frame of any make."""
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    try:
        taken = frame if isinstance(frame, pl.DataFrame) else pl.DataFrame(frame)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise ConfigError(f"{what} must be a frame, found {type(frame).__name__}") from error
    if taken.width < LEAST_COLUMNS or not taken.height:
        raise ConfigError(
            f"{what} must have rows, a first column of names and at least one more column, found {taken.shape}"
        )
    return taken


def _take_names(frame: pl.DataFrame, what: str) -> list[str]:
    """Take the first column as names, each there once."""
    column = frame.to_series(0)
    if column.null_count():
        raise ConfigError(
            f"the first column ({_show([column.name])}) must name each {what}, but some names are missing"
        )
    names = [str(name) for name in column.to_list()]
    twice = [name for name, n in _count(names).items() if n > 1]
    if twice:
        raise ConfigError(f"{what} {_show(twice)} is there more than once: sum or rename what shares a name")
    return names


def _count(names: Iterable[str]) -> dict[str, int]:
    """Count names, in the order of their first appearance."""
    counted: dict[str, int] = {}
    for name in names:
        counted[name] = counted.get(name, 0) + 1
    return counted


def _take_matrix(frame: pl.DataFrame, what: str) -> NDArray[np.float64]:
    """Take all columns but the first as numbers."""
    for column in frame.iter_columns():
        if column.name == frame.columns[0]:
            continue
        if not (column.dtype.is_numeric() or column.dtype == pl.Boolean):
            raise ConfigError(f"column {_show([column.name])} of the {what} must hold numbers, found {column.dtype}")
        if column.null_count():
            raise ConfigError(
                f"column {_show([column.name])} of the {what} has missing values: fill them or leave it out"
            )
    return frame[:, 1:].cast(pl.Float64).to_numpy()


def _match_samples(samples: list[str], planned: list[str]) -> list[int]:
    """Find the row of the design of each sample of the counts."""
    places = {name: row for row, name in enumerate(planned)}
    if absent := [name for name in samples if name not in places]:
        raise ConfigError(
            f"samples of the counts that the design does not have: {_show(absent)}; add or leave them out"
        )
    known = set(samples)
    if absent := [name for name in planned if name not in known]:
        raise ConfigError(f"samples of the design that the counts do not have: {_show(absent)}; add or leave them out")
    return [places[name] for name in samples]


def _take_contrast(contrast: Mapping[str, float], columns: list[str]) -> NDArray[np.float64]:
    """Turn a contrast into a weight for each column of the design."""
    weights = np.zeros(len(columns))
    for name, weight in contrast.items():
        if name not in columns:
            near = get_close_matches(str(name), columns, n=1)
            hint = f"do you mean {_show(near)}?" if near else f"it has {_show(columns)}"
            raise ConfigError(f"the design has no column {_show([name])}: {hint}")
        try:
            weights[columns.index(name)] = float(weight)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"the weight of {_show([name])} must be a number, found {weight!r}") from error
    return weights


def _show(names: Iterable[Any]) -> str:
    """Write a few names into a message."""
    listed = [escape_controls(str(name)) for name in names]
    return ", ".join(listed[:SHOWN]) + (f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else "")
