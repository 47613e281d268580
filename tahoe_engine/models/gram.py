"""Ridge regression in closed form: one pass over the rows, then every penalty from the same sums.

With G the sums of products of the centred columns and b those with the centred target, the weights are
(G + alpha I)^-1 b (A. E. Hoerl and R. W. Kennard, Ridge regression, Technometrics 1970). With G = Q L Q^T they are
Q (L + alpha)^-1 Q^T b for all alphas at once, and the sums of a fold that is held out give its error without its rows.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import ConfigError
from tahoe_engine.models.fitted import Fitted
from tahoe_engine.models.products import Products, SumPieces, choose_shifts, merge_products
from tahoe_engine.models.scores import choose_metric, is_better_small, rank_scores

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from tahoe_engine.models.kept import Kept
    from tahoe_engine.models.material import Material
    from tahoe_engine.models.products import Shifts
    from tahoe_engine.models.task import Model, Task
    from tahoe_engine.workers import Computing

    Floats = NDArray[np.float64]

MOST_COLUMNS: Final = 5_000
BUDGET: Final = 1 << 30  # bytes of sums that a worker holds at once
HELD: Final = 9  # partial results that are in memory where eight of them are put together
GROUPS: Final = 32  # tasks, at most, that the pieces are shared out to
METRICS: Final = ("mse", "rmse", "r2")  # what sums tell


def fit_ridge(
    material: Material,
    model: Model,
    task: Task,
    computing: Computing,
    kept: Kept,  # noqa: ARG001
) -> Fitted:
    """Fit ridge regression to any number of rows.

    Parameters
    ----------
    material : Material
        With numbers for a target.
    model : Model
        Of the task; `alpha` is its only parameter.
    task : Task
        With the metric, for the choice among several alphas.
    computing : Computing
        Who sums.
    kept : Kept
        Not needed: the pass is short.

    Returns
    -------
    Fitted
        A `sklearn.linear_model.Ridge`, as its own solvers would have it; where alphas were tried, the best by the mean
        over the folds, the largest among equals.

    Raises
    ------
    ConfigError
        If there are more than 5,000 columns, no folds to choose by, or a parameter or metric it has not.
    """
    alphas, folds, metric = plan_ridge(material, model, task)
    tuned = len(alphas) > 1
    shifts, sums = _sum_all(material, folds, model.rows, task.seed, computing)
    candidates = _try_alphas(sums, folds, alphas, metric) if tuned else None
    alpha = alphas[0] if candidates is None else _chosen(candidates)
    total = _add_all(list(sums.values()))
    weights, offset = solve_ridge(total, [alpha])[0]
    notes = (
        (f"fitted to {total.n:,} of {material.count_rows():,} training rows",)
        if total.n < material.count_rows()
        else ()
    )
    estimator = _make_ridge(alpha, weights, offset, shifts)
    return Fitted(estimator, {"alpha": alpha}, total.n, candidates=candidates, notes=notes)


def plan_ridge(material: Material, model: Model, task: Task) -> tuple[list[float], tuple[int, ...], str]:
    """Say what is to be solved, before anything is read.

    Parameters
    ----------
    material, model, task
        As in `fit_ridge`.

    Returns
    -------
    alphas : list of float
        The largest first.
    folds : tuple of int
        By which one is chosen; none where there is one.
    metric : str
        Likewise.

    Raises
    ------
    ConfigError
        As `fit_ridge`.
    """
    alphas = _read_alphas(model)
    n_columns = len(material.columns)
    if n_columns > MOST_COLUMNS:
        raise ConfigError(
            f"model {model.name!r}: ridge in closed form takes at most {MOST_COLUMNS:,} columns, not {n_columns:,}; "
            "take fewer, their singular vectors (svd), or the estimator sgd"
        )
    tuned = len(alphas) > 1
    metric = choose_metric(task.primary, "regression") if tuned else METRICS[0]
    if metric not in METRICS:
        raise ConfigError(f"primary = {metric!r}: ridge is tuned from sums, which give {', '.join(METRICS)}")
    folds = tuple(fold for fold, n in enumerate(material.fold_rows) if n) if tuned else ()
    if tuned and len(folds) < 2:  # noqa: PLR2004 - one fold has nothing to train on
        raise ConfigError(
            f"model {model.name!r} tries several alphas, and features {material.features!r} have no folds to choose "
            "by; give their split folds, or the model one alpha"
        )
    return alphas, folds, metric


def solve_ridge(products: Products, alphas: Sequence[float]) -> list[tuple[Floats, Floats]]:
    """Solve for every alpha.

    Parameters
    ----------
    products : Products
        Of the rows that train.
    alphas : sequence of float
        Penalties on the squares of the weights; the intercept has none. 0 is least squares, with the smallest weights
        where there are many solutions.

    Returns
    -------
    list of (ndarray p by k, ndarray k)
        Weights, and the intercept, both for what was shifted.
    """
    import numpy as np
    from scipy.linalg import eigh
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        x, y = products.x / products.n, products.y / products.n
        values, vectors = eigh(products.square() - products.n * np.outer(x, x))
        right = vectors.T @ (products.xy - products.n * np.outer(x, y))
        largest = max(float(values[-1]), 0.0) if len(values) else 0.0
        # Below that an eigenvalue is rounding, and its direction is one of no spread.
        nothing = values <= largest * len(values) * np.finfo(np.float64).eps
        found = []
        for alpha in alphas:
            below = np.where(nothing, 0.0, values) + alpha
            inverse = np.divide(1.0, below, out=np.zeros_like(below), where=~nothing if alpha == 0 else below > 0)
            weights = vectors @ (inverse[:, None] * right)
            found.append((weights, y - x @ weights))
    return found


def _read_alphas(model: Model) -> list[float]:
    """Give the alphas, the largest first."""
    unknown = sorted({*model.parameters, *model.search} - {"alpha"})
    if unknown:
        raise ConfigError(f"model {model.name!r}: ridge is solved in closed form and has no {unknown[0]!r}, only alpha")
    given = model.search.get("alpha", (model.parameters.get("alpha", 1.0),))
    for value in given:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise ConfigError(f"model {model.name!r}: alpha = {value!r}; it is a number from 0 on")
    return sorted({float(value) for value in given}, reverse=True)  # type: ignore[arg-type]


def _sum_all(
    material: Material, folds: tuple[int, ...], n_rows: int, seed: int, computing: Computing
) -> tuple[Shifts, dict[int, Products]]:
    """Sum over all training rows, as many folds in one pass as fit into memory."""
    pieces = material.pieces["train"]
    first = material.load(pieces[0], bare=True)
    shifts = choose_shifts(first.x, first.y.reshape(-1, 1))
    step = -(-len(pieces) // GROUPS)
    groups = [pieces[at : at + step] for at in range(0, len(pieces), step)]
    size = 4 * (len(material.columns) + 1) ** 2  # bytes of a triangle
    at_once = max(1, BUDGET // (size * HELD))
    wanted = (-1, *folds) if folds else ()
    sums: dict[int, Products] = {}
    for start in range(0, len(wanted) or 1, at_once):
        task = SumPieces(material, shifts, wanted[start : start + at_once], n_rows, seed)
        found: dict[int, Products] = computing.reduce(task, merge_products, groups)
        sums |= found
    return shifts, dict(sorted(sums.items()))


def _add_all(parts: Sequence[Products]) -> Products:
    total = parts[0].copy()
    for part in parts[1:]:
        total.add(part)
    return total


def _try_alphas(
    sums: Mapping[int, Products], folds: Sequence[int], alphas: Sequence[float], metric: str
) -> pl.DataFrame:
    """Give what each alpha reaches on the folds; the best and largest is chosen."""
    import numpy as np
    import polars as pl

    held: list[list[float]] = [[] for _ in alphas]
    trained: list[list[float]] = [[] for _ in alphas]
    for fold in folds:
        if fold not in sums:
            continue
        rest = _add_all([part for other, part in sums.items() if other != fold])
        for at, (weights, offset) in enumerate(solve_ridge(rest, alphas)):
            held[at].append(_score(sums[fold], weights, offset, metric))
            trained[at].append(_score(rest, weights, offset, metric))
    means = [float(np.mean(scores)) for scores in held]
    ranks, tied = rank_scores(means, small=is_better_small(metric))
    rows = [
        {
            "parameters": json.dumps({"alpha": alpha}, sort_keys=True),
            "metric": metric,
            "mean": means[at],
            "sd": float(np.std(held[at], ddof=1)),
            "train_mean": float(np.mean(trained[at])),
            "folds": len(held[at]),
            "rank": ranks[at],
            "tied": tied[at],
            "chosen": at == ranks.index(1),
        }
        for at, alpha in enumerate(alphas)
    ]
    types = {"folds": pl.UInt32, "rank": pl.UInt32}
    return pl.DataFrame(rows, schema_overrides=types).with_columns(pl.col("mean", "sd", "train_mean").fill_nan(None))


def _chosen(candidates: pl.DataFrame) -> float:
    alpha: float = json.loads(candidates.filter(candidates["chosen"])["parameters"][0])["alpha"]
    return alpha


def _score(sums: Products, weights: Floats, offset: Floats, metric: str) -> float:
    """Give the error over rows of which the sums are known."""
    import numpy as np

    square, cross = sums.square() @ weights, sums.xy
    total = (sums.yy + (weights * square).sum(axis=0) + sums.n * offset**2) - 2 * (weights * cross).sum(axis=0)
    error = float(np.maximum(total + 2 * offset * (sums.x @ weights - sums.y), 0.0)[0])
    if metric == "r2":
        spread = float((sums.yy - sums.y**2 / sums.n)[0])
        return 1 - error / spread if spread > 0 else float("nan")
    return error / sums.n if metric == "mse" else math.sqrt(error / sums.n)


def _make_ridge(alpha: float, weights: Floats, offset: Floats, shifts: Shifts) -> Any:  # noqa: ANN401 - no types there
    """Make the estimator that scikit-learn's solver would have made."""
    import numpy as np
    from sklearn.linear_model import Ridge

    ridge = Ridge(alpha=alpha, solver="cholesky")
    ridge.coef_ = np.ascontiguousarray(weights[:, 0])
    ridge.intercept_ = float((offset + shifts.y - shifts.x @ weights)[0])
    ridge.n_features_in_ = len(weights)
    ridge.n_iter_ = None
    return ridge
