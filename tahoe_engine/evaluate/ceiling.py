"""The ceiling of R²: the share of the variance that lies between strata, the most that knowing these can explain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tahoe_engine.evaluate.cells import find_centre, measure_means
from tahoe_engine.evaluate.judges import NOTHING, divide, score_in_pieces

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.evaluate.cells import Cells
    from tahoe_engine.evaluate.judges import RegressionJudge

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CeilingJudge:
    """η², its unbiased brother, and how much of it R² reaches.

    Parameters
    ----------
    at : ndarray of int64
        Place of the cluster of each cell (stratum and cluster) among all clusters.
    strata : ndarray of int64
        Stratum of each cell.
    n, a, aa : ndarray
        Rows of each cell; sums of y - mean and of its squares.
    model : RegressionJudge
        Whose R² is compared.
    n_rows, n_clusters : int
        Rows, and clusters they come from.

    Notes
    -----
    η² = 1 - SSW / SST; ``eta_squared_adjusted`` is ε² = 1 - (SSW / (n - k)) / (SST / (n - 1)) of k strata: T. L.
    Kelley, An unbiased correlation ratio measure, PNAS 21 (1935) 554-559. Not defined where every stratum has one row.
    """

    at: NDArray[np.int64]
    strata: NDArray[np.int64]
    n: Floats
    a: Floats
    aa: Floats
    model: RegressionJudge
    n_rows: int
    n_clusters: int
    names: tuple[str, ...] = ("eta_squared", "eta_squared_adjusted", "explained_of_ceiling")

    def score(self, weights: Floats) -> dict[str, Floats]:
        """Give each metric for each row of weights."""
        return score_in_pieces(self._score, weights, int(self.strata.max()) + 1)

    def _score(self, weights: Floats) -> dict[str, Floats]:
        import numpy as np

        places, at = np.unique(self.at, return_inverse=True)  # a group has few of all clusters
        mine = np.ascontiguousarray(weights[:, places].T)
        n, a, aa = (self._weigh(values, at, mine) for values in (self.n, self.a, self.aa))  # strata by resamples
        rows, squares = n.sum(axis=0), aa.sum(axis=0)
        within = (aa - np.where(n > 0, a**2 / np.where(n > 0, n, 1.0), 0.0)).sum(axis=0)
        total = squares - divide(a.sum(axis=0) ** 2, rows)
        # A stratum that is drawn twice with its cluster is two strata: else rows drawn twice would look like agreement.
        spare = rows - (n / self._weigh(self.n, at, np.ones((places.size, 1)))).sum(axis=0)
        left = divide(within, total, NOTHING * squares)
        adjusted = 1.0 - left * divide(rows - 1.0, spare)
        return {
            "eta_squared": 1.0 - left,
            "eta_squared_adjusted": adjusted,
            "explained_of_ceiling": divide(self.model.score(weights)["r2"], adjusted, NOTHING),
        }

    def _weigh(self, values: Floats, at: NDArray[np.int64], weights: Floats) -> Floats:
        import numpy as np
        from scipy.sparse import csr_array

        matrix: Any = csr_array((values, (self.strata, at)), shape=(int(self.strata.max()) + 1, len(weights)))
        weighed: Floats = np.asarray(matrix @ weights)
        return weighed


def judge_ceiling(cells: Cells, at: NDArray[np.int64], model: RegressionJudge) -> CeilingJudge:
    """Make the judge of the ceiling of a segment.

    Parameters
    ----------
    cells : Cells
        Of y by stratum and cluster.
    at : ndarray of int64
        Place of the cluster of each cell among all.
    model : RegressionJudge
        Of the same segment.

    Returns
    -------
    CeilingJudge
        For weights of all clusters.
    """
    import numpy as np

    n = cells.n.astype(np.float64)
    origin, centre = find_centre(cells)
    away = (measure_means(cells, origin) - centre)[:, 0]
    strata = np.unique(cells.keys[:, 1], return_inverse=True)[1].astype(np.int64)
    squares = cells.products[:, 0, 0] + n * away**2
    return CeilingJudge(at, strata, n, n * away, squares, model, model.n_rows, model.n_clusters)
