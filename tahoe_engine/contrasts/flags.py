"""What makes a contrast doubtful, in words: few cells, few wells, no control, and the traps of the tests themselves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

FLAGS: Final = (
    "cell_count_artefact",
    "few_cells",
    "few_replicates",
    "no_control",
    "no_residual_df",
    "zero_count_genes",
)
FALSE_DISCOVERIES: Final = 0.05
REPLICATES: Final = 2  # wells that tell what differs between wells
# When the mean score of a contrast is said to follow from its number of cells.
CORRELATION: Final = 0.6
CONTRASTS: Final = 8
CHANCE: Final = 0.01
NORMAL_MAD: Final = 1.4826  # standard deviations of a normal in its median absolute deviation


@dataclass(frozen=True)
class Evidence:
    """What the flags of the contrasts of a stratum (a fit and its controls) are read from.

    Parameters
    ----------
    n_cells_treated, n_cells_control : sequence of int, one a contrast
        Cells.
    n_wells_treated, n_wells_control : sequence of int, one a contrast
        Wells.
    mean_scores : sequence of float, one a contrast
        Mean t over the genes that were tested; NaN where none was.
    n_zero_significant : sequence of int, one a contrast
        From `count_zero_significant`.
    n_significant : sequence of int, one a contrast
        Genes below a false discovery rate of 0.05, those among them.
    untestable : sequence of bool, one a contrast
        Whether nothing is left to estimate a variance from: no residual degree of freedom, or (Welch) one cell.

    Examples
    --------
    See `flag_contrasts`.
    """

    n_cells_treated: Sequence[int] | NDArray[np.int64]
    n_cells_control: Sequence[int] | NDArray[np.int64]
    n_wells_treated: Sequence[int] | NDArray[np.int64]
    n_wells_control: Sequence[int] | NDArray[np.int64]
    mean_scores: Sequence[float] | NDArray[np.float64] = field(default=())
    n_zero_significant: Sequence[int] | NDArray[np.int64] = field(default=())
    n_significant: Sequence[int] | NDArray[np.int64] = field(default=())
    untestable: Sequence[bool] | NDArray[np.bool_] = field(default=())


def flag_contrasts(evidence: Evidence, *, method: str, min_cells: int) -> list[str]:
    """Flag the contrasts of a stratum.

    Parameters
    ----------
    evidence : Evidence
        Of all contrasts of the stratum (a plate and a cell line, where nothing else was asked for): the artefact of
        cell counts shows only among them all. Of the last four fields one that is empty flags nothing.
    method : {"limma", "welch"}
        How the contrasts were computed.
    min_cells : int
        Fewer cells on either side are few.

    Returns
    -------
    list of str
        Of each contrast its flags, sorted and with commas between; ``""`` for none.

        ``few_cells``
            Fewer than `min_cells` treated or control cells.
        ``few_replicates``
            Limma with a single well on either side: what differs between wells is then known from other wells alone.
        ``no_control``
            No control cell; the other flags tell of the treated side.
        ``no_residual_df``
            No test was possible.
        ``zero_count_genes``
            Of the genes below a false discovery rate of 0.05 more than 5 % have no count on one side: more than that
            rate allows to be false, and such genes are called on a variance that nobody saw.
        ``cell_count_artefact``
            See `find_cell_count_artefacts`.

    Raises
    ------
    ValueError
        If a field has another length than the number of contrasts.

    Examples
    --------
    >>> evidence = Evidence([120, 4, 80], [500, 500, 0], [1, 1, 1], [6, 6, 0])
    >>> flag_contrasts(evidence, method="welch", min_cells=10)
    ['', 'few_cells', 'no_control']
    """
    treated, control = _column(evidence.n_cells_treated), _column(evidence.n_cells_control)
    wells_treated, wells_control = _column(evidence.n_wells_treated), _column(evidence.n_wells_control)
    nothing = np.zeros(treated.size)
    scores, zeros, significant, untestable = (
        _column(given) if len(given) else empty
        for given, empty in (
            (evidence.mean_scores, np.full(treated.size, np.nan)),
            (evidence.n_zero_significant, nothing),
            (evidence.n_significant, nothing),
            (evidence.untestable, nothing),
        )
    )
    columns = (control, wells_treated, wells_control, scores, zeros, significant, untestable)
    if any(column.size != treated.size for column in columns):
        raise ValueError(f"the columns of {treated.size} contrasts have lengths {[c.size for c in columns]}")
    has_control = control > 0
    raised = {
        "cell_count_artefact": find_cell_count_artefacts(scores, treated),
        "few_cells": (treated < min_cells) | (has_control & (control < min_cells)),
        "few_replicates": (method == "limma")
        & ((wells_treated < REPLICATES) | (has_control & (wells_control < REPLICATES))),
        "no_control": ~has_control,
        "no_residual_df": untestable > 0,
        "zero_count_genes": zeros > FALSE_DISCOVERIES * significant,
    }
    return [",".join(name for name in FLAGS if raised[name][place]) for place in range(treated.size)]


def count_zero_significant(
    counts_treated: NDArray[np.generic], counts_control: NDArray[np.generic], pvals_adj: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Count the genes that are called changed although one side has no count of them.

    Such a side has no variance to be seen: Welch's t takes it for known, and voom and limma for as variable as a low
    count. In the data of Open Problems 2023 genes without a count in a whole cell type had a t of -3.8 and of 6.4.

    Parameters
    ----------
    counts_treated, counts_control : ndarray, shape (contrasts, genes) or (genes,)
        Sums of counts. One that is the same for all contrasts may have a single row.
    pvals_adj : ndarray of float64, shape (contrasts, genes)
        Adjusted P; NaN where a gene was not tested.

    Returns
    -------
    ndarray of int64, shape (contrasts,)
        Genes with an adjusted P below 0.05.

    Examples
    --------
    >>> count_zero_significant(np.array([[0, 5, 0]]), np.array([9, 0, 7]), np.array([[0.01, 0.2, 0.04]])).tolist()
    [2]
    """
    missing = (counts_treated == 0) | (counts_control == 0)
    found: NDArray[np.int64] = (missing & (pvals_adj < FALSE_DISCOVERIES)).sum(axis=-1)
    return found


def find_cell_count_artefacts(mean_scores: ArrayLike, n_cells: ArrayLike) -> NDArray[np.bool_]:
    """Find contrasts whose mean score comes from their number of cells.

    A drug moves some genes up and others down, so that the mean t of all genes should be near that of the other
    drugs. In the data of Open Problems 2023 it went in a line with the number of cells of the treated: a bias of the
    normalisation, and no effect of a drug.

    Parameters
    ----------
    mean_scores : array_like of float64, one a contrast
        Mean t over the genes that were tested; contrasts with NaN take no part.
    n_cells : array_like of int64, one a contrast
        Treated cells.

    Returns
    -------
    ndarray of bool
        All False unless at least 8 contrasts take part and Spearman's correlation is at least 0.6 in size, with
        P < 0.01. Then the contrasts more than one robust standard deviation (1.4826 median absolute deviations) from
        the median score, on the side where their number of cells would put them. One and not three, for it is the
        artefact itself that widens the deviation.

    Notes
    -----
    That trap is described in notes on 18th place of the Open Problems 2023 competition. The thresholds are of this
    project: fewer than one stratum in 100 without an artefact meets them.

    Examples
    --------
    >>> cells = np.arange(10, 110, 10)
    >>> find_cell_count_artefacts(cells / 50, cells).nonzero()[0].tolist()
    [0, 9]
    """
    from scipy.stats import spearmanr

    scores, cells = _column(mean_scores), _column(n_cells)
    found = np.zeros(scores.size, dtype=np.bool_)
    known = np.isfinite(scores)
    x, n = scores[known], cells[known]
    if x.size < CONTRASTS or np.ptp(x) == 0 or np.ptp(n) == 0:
        return found
    told = spearmanr(x, n)
    if abs(told.statistic) < CORRELATION or told.pvalue >= CHANCE:
        return found
    away = x - np.median(x)
    expected = np.sign(told.statistic) * (n - np.median(n))
    found[known] = (np.abs(away) > NORMAL_MAD * np.median(np.abs(away))) & (away * expected > 0)
    return found


def count_flags(flags: Iterable[str]) -> dict[str, int]:
    """Count each flag.

    Parameters
    ----------
    flags : iterable of str
        One text a contrast, as `flag_contrasts` gives them.

    Returns
    -------
    dict of str to int
        Contrasts with that flag; every flag is named, in order.

    Examples
    --------
    >>> {name: n for name, n in count_flags(["few_cells", "", "few_cells,no_control"]).items() if n}
    {'few_cells': 2, 'no_control': 1}
    """
    counted = Counter(name for text in flags for name in text.split(",") if name)
    return {name: counted[name] for name in FLAGS}


def _column(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)
