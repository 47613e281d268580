"""What is used of dask-ml, and its repairs: the only module that knows it.

dask-ml 2025.1.0 is not maintained any more; what is used here is compared with scikit-learn in the tests, and what it
cannot do (medians of arrays, decompositions in bounded memory, sparse ones at all) is done elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import ConfigError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

MAX_TURNS: Final = 3  # over the same blocks, where workers die


def require_daskml() -> None:
    """Make sure that dask-ml is there: it is not part of a plain installation.

    Raises
    ------
    ConfigError
        If it is not.
    """
    from importlib.util import find_spec

    if find_spec("dask_ml") is None or find_spec("sklearn") is None:
        raise ConfigError("features are fitted through dask-ml, which is not installed: pip install 'tahoe-engine[ml]'")


def fit_means(array: Any) -> FloatArray:  # noqa: ANN401 - dask has no types
    """Fit dask-ml's SimpleImputer(strategy="mean").

    Parameters
    ----------
    array : dask.array.Array
        NaN is missing.

    Returns
    -------
    numpy.ndarray
        The mean of what is not missing, a column each; NaN where all is.

    Examples
    --------
    >>> import dask.array as da
    >>> fit_means(da.array([[1.0], [float("nan")], [5.0]])).tolist()
    [3.0]
    """
    import numpy as np
    from dask_ml.impute import SimpleImputer

    with np.errstate(invalid="ignore", over="ignore"):
        statistics: FloatArray = SimpleImputer(strategy="mean").fit(array).statistics_
    return statistics


def fit_scales(array: Any) -> tuple[FloatArray, FloatArray]:  # noqa: ANN401 - dask has no types
    """Fit dask-ml's StandardScaler.

    Parameters
    ----------
    array : dask.array.Array
        NaN is missing.

    Returns
    -------
    mean, variance : numpy.ndarray
        Of what is not missing, ddof 0. Its ``scale_`` is not given: see `choose_scales`.

    Examples
    --------
    >>> import dask.array as da
    >>> [found.tolist() for found in fit_scales(da.array([[1.0], [3.0]]))]
    [[2.0], [1.0]]
    """
    import numpy as np
    from dask_ml.preprocessing import StandardScaler

    # A column without any value, or too large for a variance, is refused by its name later.
    with np.errstate(invalid="ignore", over="ignore"):
        fitted = StandardScaler().fit(array)
    return fitted.mean_, fitted.var_


def choose_scales(means: FloatArray, variances: FloatArray, counts: FloatArray) -> FloatArray:
    """Give what to divide by: the standard deviation, or 1 for a column that is constant.

    dask-ml takes a column for constant only if its variance is exactly 0, which rounding can spoil: ten times 0.1 would
    be divided by 1e-17. The rule is scikit-learn's: Chan, Golub and LeVeque, Algorithms for computing the sample
    variance (1983), equation 1.8b.

    Parameters
    ----------
    means, variances, counts : numpy.ndarray
        Of what is not missing.

    Returns
    -------
    numpy.ndarray
        Never 0.

    Examples
    --------
    >>> import numpy as np
    >>> choose_scales(np.array([0.1, 0.1]), np.array([1e-34, 4.0]), np.array([10.0, 10.0])).tolist()
    [1.0, 2.0]
    """
    import numpy as np

    eps = np.finfo(np.float64).eps
    with np.errstate(over="ignore"):
        constant = variances <= counts * eps * variances + (counts * means * eps) ** 2
    # A variance that overflowed is not constant: it is refused by its name later.
    return np.where(constant & np.isfinite(variances), 1.0, np.sqrt(variances))


def list_powers(n_columns: int, degree: int) -> NDArray[np.int64]:
    """Give the powers of dask-ml's PolynomialFeatures(degree, include_bias=False).

    Parameters
    ----------
    n_columns : int
        That go in.
    degree : int
        Highest sum of powers.

    Returns
    -------
    numpy.ndarray
        A row for each column that comes out, a column for each that goes in.

    Examples
    --------
    >>> list_powers(2, 2).tolist()
    [[1, 0], [0, 1], [2, 0], [1, 1], [0, 2]]
    """
    import numpy as np
    from dask_ml.preprocessing import PolynomialFeatures

    fitted = PolynomialFeatures(degree=degree, include_bias=False).fit(np.ones((1, n_columns)))
    powers: NDArray[np.int64] = fitted.powers_.astype(np.int64)
    return powers


def search_grid(  # noqa: PLR0913, PLR0917 - what GridSearchCV is told
    estimator: Any,  # noqa: ANN401 - scikit-learn has no types
    grid: dict[str, list[Any]],
    x: Any,  # noqa: ANN401 - dask has no types
    y: Any,  # noqa: ANN401 - likewise
    splits: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]],
    scorers: Sequence[Callable[[Any, Any, Any], float]],
) -> tuple[FloatArray, FloatArray]:
    """Try each candidate on each fold, through dask-ml's GridSearchCV on whatever dask computes with.

    Parameters
    ----------
    estimator : object
        Of scikit-learn's manner.
    grid : dict
        Values by parameter.
    x, y : dask.delayed.Delayed
        Loaded where they are needed; or arrays.
    splits : sequence of (ndarray, ndarray)
        Rows to train on and rows to score, of each fold.
    scorers : sequence of callable
        Each takes the fitted estimator, x and y; more is better.

    Returns
    -------
    held_out, trained_on : numpy.ndarray
        Scores: candidates, in the order of scikit-learn's ``ParameterGrid``, by folds by scorers.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import Ridge
    >>> x, y = np.arange(6.0).reshape(-1, 1), np.arange(6.0)
    >>> halves = [(np.arange(3), np.arange(3, 6)), (np.arange(3, 6), np.arange(3))]
    >>> found, _ = search_grid(Ridge(), {"alpha": [0.0, 100.0]}, x, y, halves, [lambda *one: one[0].score(*one[1:])])
    >>> found.round(6).tolist()[0], found.shape
    ([[1.0], [1.0]], (2, 2, 1))
    """
    import numpy as np
    from dask_ml.model_selection import GridSearchCV

    # It refits nothing, and its own choice is not used: see `tahoe_engine.models.search`.
    named = {str(number): scorer for number, scorer in enumerate(scorers)}
    search = GridSearchCV(
        estimator, grid, scoring=named, cv=list(splits), refit=False, return_train_score=True, error_score="raise"
    )
    results = search.fit(x, y).cv_results_
    held_out, trained_on = (
        np.stack([[results[f"split{at}_{part}_{name}"] for name in named] for at in range(len(splits))]).transpose(
            2, 0, 1
        )
        for part in ("test", "train")
    )
    return held_out, trained_on


class Counted:
    """An estimator that counts the blocks it was trained on.

    dask-ml trains in place. Where a worker dies, dask computes again what died with it, perhaps from an estimator that
    was trained further in the meantime: the count tells, and whoever trains begins again from a copy.

    Parameters
    ----------
    estimator : object
        With ``partial_fit``.
    """

    def __init__(self, estimator: Any) -> None:  # noqa: ANN401 - scikit-learn has no types
        self.estimator, self.n_blocks = estimator, 0

    def partial_fit(self, x: Any, y: Any, **options: Any) -> Counted:  # noqa: ANN401 - likewise
        """Train on a block, or on what it gives when it is called; one without rows teaches nothing."""
        x, y = x() if callable(x) else (x, y)
        if len(y):
            self.estimator.partial_fit(x, y, **options)
        self.n_blocks += 1
        return self

    def fit(self, x: Any, y: Any) -> Counted:  # noqa: ANN401 - likewise
        """Train on a block; here because dask-ml asks for it."""
        return self.partial_fit(x, y)

    def score(self, x: Any, y: Any) -> float:  # noqa: ANN401 - likewise
        """Score; here because dask-ml asks for it."""
        return float(self.estimator.score(x, y))


def train_blocks(estimator: Any, x: Any, y: Any, **options: Any) -> Any:  # noqa: ANN401 - nobody has types there
    """Train on the blocks of arrays, in their order, through dask-ml's Incremental.

    Its own ``fit`` begins anew each time and, as dask schedules it, may load all blocks before the first is used: give
    it few at a time.

    Parameters
    ----------
    estimator : object
        With ``partial_fit``; not changed.
    x, y : dask.array.Array
        With the same blocks of rows; a block of `x` may be a callable that gives the rows of both.
    **options
        Of ``partial_fit``.

    Returns
    -------
    object
        A copy of the estimator, trained further: the same bits as from a loop over the blocks in one process.

    Raises
    ------
    StoppedError
        If workers died over it again and again.

    Examples
    --------
    >>> import dask, dask.array as da
    >>> from sklearn.linear_model import SGDRegressor
    >>> with dask.config.set(scheduler="synchronous"):
    ...     trained = train_blocks(SGDRegressor(), da.ones((6, 2), chunks=(3, 2)), da.ones(6, chunks=3))
    >>> trained.t_
    7.0
    """
    from copy import deepcopy

    from dask_ml.wrappers import Incremental

    n_blocks = len(x.chunks[0])
    for _ in range(MAX_TURNS):
        incremental = Incremental(Counted(None), shuffle_blocks=False)
        incremental.estimator_ = Counted(deepcopy(estimator))
        trained = incremental.partial_fit(x, y, **options).estimator_
        if trained.n_blocks == n_blocks:
            return trained.estimator
    raise StoppedError("workers died again and again while a model was trained; run the same command again to resume")
