"""The judge of the order of predictions: Spearman's correlation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tahoe_engine.evaluate.bins import bin_values
from tahoe_engine.evaluate.judges import divide, score_in_pieces, weigh_counts

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.evaluate.sample import Sample

    Floats = NDArray[np.float64]
    Whole = NDArray[np.int64]

SQUARE: Final = 32  # bins of either side


@dataclass(frozen=True)
class SpearmanJudge:
    """Spearman's correlation: exact on the sample, resamples from a grid of ranks.

    Parameters
    ----------
    at : ndarray of int64
        Place of each of its clusters among all.
    grid : ndarray, shape (clusters, rows, columns)
        Rows of each bin of y and bin of y_pred.
    exact : float
        The value of the sample; NaN where either side does not vary.
    n_rows : int
        Rows.
    """

    at: Whole
    grid: Floats
    exact: float
    n_rows: int
    names: tuple[str, ...] = ("spearman",)

    @property
    def n_clusters(self) -> int:
        """Clusters."""
        return self.at.size

    def score(self, weights: Floats) -> dict[str, Floats]:
        """Give the metric for each row of weights."""
        return score_in_pieces(self._score, weights, self.grid[0].size)

    def _score(self, weights: Floats) -> dict[str, Floats]:
        import numpy as np

        shape = self.grid.shape[1:]
        flat = weigh_counts(weights[:, self.at], self.grid.reshape(len(self.grid), -1))
        moved = self.exact - float(correlate_ranks(self.grid.sum(axis=0)[None])[0])
        return {"spearman": np.clip(correlate_ranks(flat.reshape(-1, *shape)) + moved, -1.0, 1.0)}


def correlate_ranks(grids: Floats) -> Floats:
    """Correlate the mean ranks of rows and columns of counts.

    Parameters
    ----------
    grids : ndarray, shape (grids, rows, columns)
        Counts.

    Returns
    -------
    ndarray, shape (grids,)
        NaN where either side does not vary.

    Examples
    --------
    >>> import numpy as np
    >>> correlate_ranks(np.array([[[2.0, 0], [0, 2]], [[1, 1], [1, 1]]])).tolist()
    [1.0, 0.0]
    """
    import numpy as np

    of_rows, of_columns = grids.sum(axis=2), grids.sum(axis=1)
    n = of_rows.sum(axis=1, keepdims=True)
    # Mean ranks less the mean of all: half of what lies below less half of what lies above.
    up = np.cumsum(of_rows, axis=1) - of_rows / 2 - n / 2
    across = np.cumsum(of_columns, axis=1) - of_columns / 2 - n / 2
    together = np.einsum("bi,bij,bj->b", up, grids, across)
    under = np.sqrt((of_rows * up**2).sum(axis=1) * (of_columns * across**2).sum(axis=1))
    return divide(together, under)


def judge_spearman(sample: Sample, clusters: Whole, *, bins: int = SQUARE) -> SpearmanJudge | None:
    """Make the judge of the order of the predictions of a segment.

    Parameters
    ----------
    sample : Sample
        Rows of the segment.
    clusters : ndarray of int64
        Codes of all clusters, ascending.
    bins : int
        Of either side.

    Returns
    -------
    SpearmanJudge or None
        None without rows.
    """
    import numpy as np
    from scipy.stats import rankdata

    if not sample.y.size:
        return None
    at, mine = np.unique(np.searchsorted(clusters, sample.clusters), return_inverse=True)
    up, across = (rankdata(values) - (sample.y.size + 1) / 2 for values in (sample.y, sample.y_pred))
    under = float(np.sqrt((up**2).sum() * (across**2).sum()))
    exact = float((up * across).sum()) / under if under > 0 else float("nan")
    (levels, bin_of), (levels_pred, bin_of_pred) = (bin_values(values, bins) for values in (sample.y, sample.y_pred))
    high, wide = int(bin_of.max()) + 1, int(bin_of_pred.max()) + 1
    flat = (mine * high + bin_of[levels]) * wide + bin_of_pred[levels_pred]
    grid = np.bincount(flat, minlength=at.size * high * wide).reshape(at.size, high, wide).astype(np.float64)
    return SpearmanJudge(at, grid, exact, sample.y.size)
