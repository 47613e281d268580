"""Whether the numbers of a top table belong together, and whether its rows were selected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tahoe_engine.errors import BadDataError, escape_controls

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl

BY_CHANCE: Final = 1e-6
ROUNDED: Final = 0.02  # P and adj.P.Val with two digits and more
LEAST_P: Final = 1e-290
FEWEST_ROWS: Final = 20  # of fewer it is not said that they were selected
ROWS_FITTED: Final = 2_000
RANGE_OF_DF: Final = (0.1, 1e7)
INFINITE_DF: Final = 1e5
AGREES: Final = 0.006  # P written with three digits is within 0.005
FAR_OFF: Final = 0.05
LEAST_ORDER: Final = -0.5


def check_values(frame: pl.DataFrame, headers: dict[str, str], what: str) -> list[str]:
    """Check each number, and t against logFC.

    Parameters
    ----------
    frame : polars.DataFrame
        In limma's names.
    headers : dict of str to str
        What the columns were called.
    what : str
        What to call the table in messages.

    Returns
    -------
    list of str
        What is odd but no mistake.

    Raises
    ------
    BadDataError
        At the first mistake: the column, how many rows, and the first gene.
    """
    import polars as pl

    def refuse(wrong: pl.Series, name: str, why: str) -> None:
        if wrong.fill_null(value=False).any():
            row = wrong.fill_null(value=False).arg_max() or 0
            value, gene, n = frame[name][row], frame["gene"][row], int(wrong.sum())
            place = f"{what}, row {row + 1} (gene {gene}): {headers[name]!r} is {value}"
            raise BadDataError(escape_controls(f"{place}, {why}; so it is in {n} rows: mend or remove them"))

    for name in ("logFC", "t", "P.Value"):
        refuse(frame[name].is_null(), name, "and must be a number")
    for name in [name for name in headers if name != "gene"]:
        refuse(frame[name].is_infinite(), name, "and must be finite")
    for name in [name for name in ("P.Value", "adj.P.Val") if name in headers]:
        refuse(~frame[name].is_between(0, 1), name, "and must be between 0 and 1")
    refuse(frame["t"].sign() * frame["logFC"].sign() < 0, "t", "of the opposite sign to logFC")
    refuse((frame["t"] == 0) & (frame["P.Value"] < 1 - ROUNDED), "t", "but P is not 1, so that it is no t")
    notes = []
    for name in [name for name in ("AveExpr", "adj.P.Val", "B") if name in headers]:
        missing = frame[name].null_count()
        if missing:
            notes.append(f"{headers[name]!r} is missing in {missing} of {frame.height} rows")
    zero = int((frame["P.Value"] == 0).sum())
    if zero:
        notes.append(f"P.Value of {zero} rows is 0: smaller than the file can say")
    twice = frame.filter(pl.col("gene").is_not_null() & pl.col("gene").is_duplicated())["gene"].unique().sort()
    if len(twice):
        shown = ", ".join([*twice[:3], "…"] if len(twice) > 3 else twice)  # noqa: PLR2004
        notes.append(f"several rows have the same gene: {shown}")
    return notes


def fit_df(frame: pl.DataFrame) -> tuple[float, npt.NDArray[np.float64]] | None:
    """Find the degrees of freedom with which t gives P.

    Parameters
    ----------
    frame : polars.DataFrame
        In limma's names, checked.

    Returns
    -------
    df : float
        Infinite where P is that of a normal z.
    errors : ndarray, shape (n,), float64
        Relative errors of P, of the rows that can tell; None for both where there is none.

    Notes
    -----
    Each row has its own df, by bisection (P falls as df grows). Of 200 of them that is taken with which most rows agree
    up to rounding, so that outliers with another df do not count; then the median over the rows that agree, weighted by
    how much P depends on df; then, close around it, that with the least median error, so that rows whose P has few
    digits count no more than they can.
    """
    import numpy as np
    from scipy.special import stdtr

    t, p = (np.abs(frame[name].to_numpy()) for name in ("t", "P.Value"))
    tells = (p > LEAST_P) & (p < 1) & (t > 0)
    t, p = t[tells], p[tells]
    if not t.size:
        return None
    # Every k-th in the order of P, so that all sizes are there.
    some = np.argsort(p, kind="stable")[:: -(-t.size // ROWS_FITTED)]
    ts, ps = t[some], p[some]

    def relative_errors(df: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        errors: npt.NDArray[np.float64] = np.abs(2 * stdtr(df[:, None], -ts) / ps - 1)
        return errors

    own = _solve_df(ts, ps)
    tried = np.unique(np.exp(np.quantile(own, np.linspace(0, 1, 200), method="nearest")))
    errors = relative_errors(tried)
    best = np.lexsort((np.median(errors, axis=1), -(errors < AGREES).sum(axis=1)))[0]
    agree = errors[best] < ROUNDED
    if agree.any():
        step = 1e-3
        told = np.maximum(stdtr(np.exp([own - step, own + step]), -ts), LEAST_P)
        weights = np.where(agree, np.abs(np.diff(np.log(told), axis=0))[0] + LEAST_P, 0.0)
        order = np.argsort(own, kind="stable")
        sums = np.cumsum(weights[order])
        middle = float(np.exp(own[order][np.searchsorted(sums, sums[-1] / 2)]))
        around = middle * np.append(1.0, np.exp(np.linspace(-0.005, 0.005, 101)))
        df = float(around[np.argmin(np.median(relative_errors(around)[:, agree], axis=1))])
    else:
        df = float(tried[best])
    return (np.inf if df > INFINITE_DF else df), np.abs(2 * stdtr(df if df <= INFINITE_DF else 1e10, -t) / p - 1)


def is_t(frame: pl.DataFrame, errors: npt.NDArray[np.float64]) -> bool:
    """Tell whether P can be that of t at all: few rows are far off, or P falls as t grows.

    Parameters
    ----------
    frame : polars.DataFrame
        In limma's names, checked.
    errors : ndarray
        As `fit_df` gives them.

    Returns
    -------
    bool
        False where a column was taken for t that is something else.
    """
    import numpy as np
    import polars as pl

    if np.median(errors) <= FAR_OFF:
        return True
    together = frame.select(pl.corr(pl.col("t").abs(), "P.Value", method="spearman")).item()
    return bool(together is not None and together < LEAST_ORDER)  # NaN where all t are one


def _solve_df(t: npt.NDArray[np.float64], p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give the logarithm of each row's own df."""
    import numpy as np
    from scipy.special import stdtr

    low, high = (np.full(t.size, np.log(end)) for end in RANGE_OF_DF)
    for _ in range(60):
        middle = (low + high) / 2
        larger = 2 * stdtr(np.exp(middle), -t) > p
        low, high = np.where(larger, middle, low), np.where(larger, high, middle)
    own: npt.NDArray[np.float64] = (low + high) / 2
    return own


def count_tested(frame: pl.DataFrame) -> int | None:
    """Tell how many genes were tested at least.

    Parameters
    ----------
    frame : polars.DataFrame
        In limma's names, checked.

    Returns
    -------
    int or None
        None without ``adj.P.Val``.

    Notes
    -----
    adj.P.Val ≤ P·m/rank (Benjamini and Hochberg 1995), and the rank among all m genes is no less than that among the
    rows that are here: m ≥ adj.P.Val·rank/P. Less 2 % for rounding. Where adj.P.Val/P is the same for all P
    (Bonferroni), it is m.
    """
    import polars as pl

    if "adj.P.Val" not in frame.columns:
        return None
    told = frame.drop_nulls("adj.P.Val").with_columns(rank=pl.col("P.Value").rank("max"))
    told = told.filter(pl.col("P.Value") > LEAST_P).with_columns(ratio=pl.col("adj.P.Val") / pl.col("P.Value"))
    if told.is_empty():
        return frame.height
    below = told.filter(pl.col("adj.P.Val") < 1).select(
        spread=pl.col("ratio").max() / pl.col("ratio").min(),
        range=pl.col("P.Value").max() / pl.col("P.Value").min(),
        ratio=pl.col("ratio").median(),
    )
    spread, reach, ratio = below.row(0)
    bonferroni = spread is not None and spread < 1 + ROUNDED and reach > 1 + 10 * ROUNDED
    largest: float = ratio if bonferroni else told.select((pl.col("ratio") * pl.col("rank")).max()).item()
    return max(frame.height, int(largest * (1 - ROUNDED)))


def describe_selection(frame: pl.DataFrame, n_tested: int | None) -> str | None:
    """Tell whether the rows are those that someone found worth keeping.

    Parameters
    ----------
    frame : polars.DataFrame
        In limma's names, checked.
    n_tested : int, optional
        As `count_tested` gives it.

    Returns
    -------
    str or None
        The evidence.

    Notes
    -----
    In a whole table changes come near 0 and P near 1. If the smaller half of the changes lay evenly between 0 and
    their median, none would be below x with probability (1 - x/median)^(n/2); if half of the genes had no change, all
    P would be below p with probability p^(n/2). Below one in a million is a selection, of 20 rows or more.
    """
    n = frame.height
    changes, p = frame["logFC"].abs(), frame["P.Value"]
    least, median, largest = (float(value) for value in (changes.min(), changes.median(), p.max()))  # type: ignore[arg-type]
    evidence = []
    if n >= FEWEST_ROWS and median > 0 and (1 - least / median) ** (n / 2) < BY_CHANCE:
        evidence.append(f"all |logFC| are {least:.5g} or more")
    if n >= FEWEST_ROWS and largest ** (n / 2) < BY_CHANCE:
        adjusted = frame["adj.P.Val"].max() if "adj.P.Val" in frame.columns else None
        also = "" if adjusted is None else f" and all adj.P.Val {float(adjusted):.3g} or less"  # type: ignore[arg-type]
        evidence.append(f"all P.Value are {largest:.3g} or less{also}")
    if n_tested is not None and n_tested > n:
        evidence.append(f"adj.P.Val, if Benjamini-Hochberg's, tells of at least {n_tested:,} genes that were tested")
    if not evidence:
        return None
    return (
        f"its {n:,} rows were selected: {'; '.join(evidence)}. Genes in doubt are not among them: a model that tells "
        "these apart is not tried on the others"
    )


def compare_adjusted(frame: pl.DataFrame) -> list[str]:
    """Compare adj.P.Val of a whole table with P adjusted as Benjamini and Hochberg (1995) do.

    Parameters
    ----------
    frame : polars.DataFrame
        In limma's names, checked.

    Returns
    -------
    list of str
        One sentence where they differ.
    """
    import numpy as np

    if "adj.P.Val" not in frame.columns:
        return []
    told = frame.drop_nulls("adj.P.Val").sort("P.Value")
    p, adjusted = told["P.Value"].to_numpy(), told["adj.P.Val"].to_numpy()
    if not p.size:
        return []
    expected = np.minimum.accumulate((p * p.size / np.arange(1, p.size + 1))[::-1])[::-1]
    off = np.abs(adjusted - expected) > ROUNDED * expected
    if not off.any():
        return []
    return [f"adj.P.Val of {int(off.sum())} of {p.size} rows is not that of Benjamini and Hochberg over these rows"]
