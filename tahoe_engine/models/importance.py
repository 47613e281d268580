"""What a model looks at: by shuffling columns of held-out rows, and by what it says itself.

Permutation importance is Breiman's (Random Forests, 2001): the loss of the metric when a column no longer belongs to
its row. All levels of a one-hot column move together, since half of a level means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from tahoe_engine.models.scores import (
    choose_metric,
    is_better_small,
    rank_scores,
    score_trained,
)
from tahoe_engine.models.training import Trained

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from tahoe_engine.models.material import Material
    from tahoe_engine.models.task import Model, Task
    from tahoe_engine.workers import Computing

AT_ONCE: Final = 8  # columns that a worker shuffles with one reading of the rows
MOST_COLUMNS: Final = 256  # that are shuffled: those of the largest coefficients or impurities, else the first
Row = dict[str, Any]


def measure_importance(
    material: Material,
    estimator: Any,  # noqa: ANN401 - of scikit-learn's manner
    task: Task,
    model: Model,
    computing: Computing,
) -> pl.DataFrame:
    """Tell what a fitted model looks at.

    Parameters
    ----------
    material : Material
        Whose rows and columns; the test rows are used, else the validation rows.
    estimator : object
        As it is stored; classes are codes.
    task : Task
        Of its file.
    model : Model
        Of the task.
    computing : Computing
        Who computes.

    Returns
    -------
    polars.DataFrame
        As `tahoe_engine.schema.IMPORTANCES` has it, without ``model``. ``permutation``: what the primary metric loses,
        positive where the column helps, mean and deviation over the permutations, one row a stored column.
        ``coefficient``: of the columns as the estimator sees them (scaled where it scales). ``impurity``: of trees.
    """
    import polars as pl

    from tahoe_engine.schema.models import IMPORTANCES

    own = _read_coefficients(material, estimator) + _read_impurities(material, estimator)
    del model  # the task alone says how
    rows = [*_shuffle_columns(material, estimator, task, computing, own), *own]
    columns = {column.name: getattr(pl, column.dtype) for column in IMPORTANCES.columns[1:]}
    return pl.DataFrame(_rank(rows), schema=columns, orient="row")


@dataclass(frozen=True)
class Shuffler:
    """What shuffles some columns; sent to each worker once.

    Parameters
    ----------
    material : Material
        Whose rows.
    estimator : object
        Fitted.
    split : str
        Of the rows.
    n_rows : int
        At most so many.
    repeats : int
        Permutations of each column.
    metric : str
        That is told.
    seed : int
        Of the permutations.
    """

    material: Material = field(repr=False)
    estimator: Any = field(repr=False)
    split: str
    n_rows: int
    repeats: int
    metric: str
    seed: int

    def __call__(self, names: tuple[str, ...]) -> list[Row]:
        """Shuffle columns, one after the other.

        Parameters
        ----------
        names : tuple of str
            Stored columns.

        Returns
        -------
        list of dict
            A row each.
        """
        import numpy as np
        from threadpoolctl import threadpool_limits

        block = self.material.gather((self.split,), n_rows=self.n_rows, seed=self.seed, bare=True)
        sources = np.array(self.material.sources)
        sign = 1.0 if is_better_small(self.metric) else -1.0
        rows = []
        with threadpool_limits(limits=1):
            before = self._score(block.x, block.y)
            for name in names:
                moving = np.flatnonzero(sources == name)
                losses = []
                for repeat in range(self.repeats):
                    order = np.random.default_rng([self.seed, crc32(name.encode()), repeat]).permutation(len(block.y))
                    losses.append(sign * (self._score(shuffle_columns(block.x, moving, order), block.y) - before))
                sd = float(np.std(losses, ddof=1)) if self.repeats > 1 else None
                rows.append(_say("permutation", name, None, float(np.mean(losses)), sd))
        return rows

    def _score(self, x: csr_array, y: NDArray[Any]) -> float:
        n_classes = len(self.material.classes)
        trained = Trained(self.estimator, tuple(range(n_classes)), n_classes)
        return score_trained(self.metric, trained, x, y, n_classes)


def shuffle_columns(x: csr_array, moving: NDArray[np.int64], order: NDArray[np.int64]) -> csr_array:
    """Give a matrix with some columns of other rows.

    Parameters
    ----------
    x : csr_array
        Rows by columns.
    moving : ndarray of int64
        Columns that move together.
    order : ndarray of int64
        Row of each row's new values.

    Returns
    -------
    csr_array
        Of the same shape; what is not stored stays so.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.sparse import csr_array
    >>> x = csr_array(np.array([[1.0, 2.0, 0.0], [3.0, 0.0, 4.0]]))
    >>> shuffle_columns(x, np.array([1, 2]), np.array([1, 0])).toarray().tolist()
    [[1.0, 0.0, 4.0], [3.0, 2.0, 0.0]]
    """
    import numpy as np
    from scipy.sparse import csr_array, hstack

    staying = np.setdiff1d(np.arange(x.shape[1]), moving)
    joined = hstack([x[:, staying], x[order][:, moving]], format="csc")
    shuffled = csr_array(joined[:, np.argsort(np.concatenate([staying, moving]))])
    shuffled.sort_indices()
    return shuffled


def _shuffle_columns(
    material: Material,
    estimator: Any,  # noqa: ANN401 - of scikit-learn's manner
    task: Task,
    computing: Computing,
    own: list[Row],
) -> list[Row]:
    split = next((split for split in ("test", "validation") if material.count_rows((split,))), "")
    if not task.importance.rows or not split:
        return []
    metric = choose_metric(task.primary, material.kind)
    names = _choose_columns(material, own)
    shuffler = Shuffler(material, estimator, split, task.importance.rows, task.importance.repeats, metric, task.seed)
    chunks = [tuple(names[first : first + AT_ONCE]) for first in range(0, len(names), AT_ONCE)]
    return computing.reduce(shuffler, _join, chunks)


def _choose_columns(material: Material, own: list[Row]) -> list[str]:
    names = list(dict.fromkeys(material.sources))
    if len(names) <= MOST_COLUMNS:
        return names
    said: dict[str, float] = dict.fromkeys(names, 0.0)
    source_of = dict(zip(material.columns, material.sources, strict=True))
    for row in own:
        name = source_of[row["feature"]]
        said[name] = max(said[name], abs(row["value"]))
    chosen = set(sorted(names, key=lambda name: -said[name])[:MOST_COLUMNS])
    return [name for name in names if name in chosen]


def _read_coefficients(material: Material, estimator: Any) -> list[Row]:  # noqa: ANN401 - an estimator
    import numpy as np

    steps = dict(getattr(estimator, "steps", ()))
    last = steps.get("model", estimator)
    # `coef_` of a support vector machine with a kernel raises, of one on a Nyström map it is not about our columns.
    found = None if "kernel" in steps else getattr(last, "coef_", None)
    if found is None:
        return []
    weights = np.atleast_2d(found.toarray() if hasattr(found, "toarray") else found)
    if weights.shape[1] != len(material.columns):
        return []
    names = list(material.classes) if len(weights) > 1 else [None] * len(weights)
    return [
        _say("coefficient", column, name, float(weight), None)
        for name, row in zip(names, weights, strict=True)
        for column, weight in zip(material.columns, row, strict=True)
    ]


def _read_impurities(material: Material, estimator: Any) -> list[Row]:  # noqa: ANN401 - an estimator
    last = dict(getattr(estimator, "steps", ())).get("model", estimator)
    found = getattr(last, "feature_importances_", None)
    if found is None:
        return []
    pairs = zip(material.columns, found, strict=True)
    return [_say("impurity", column, None, float(value), None) for column, value in pairs]


def _say(kind: str, feature: str, name: str | None, value: float, sd: float | None) -> Row:
    known = value == value  # noqa: PLR0124 - NaN is not
    return {
        "kind": kind,
        "feature": feature,
        "class": name,
        "value": value if known else None,
        "sd": sd if known else None,
    }


def _join(parts: list[list[Row]]) -> list[Row]:
    return [row for part in parts for row in part]


def _rank(rows: list[Row]) -> list[Row]:
    """Rank by size, within kind and class."""
    ranks: dict[int, int] = {}
    for key in dict.fromkeys((row["kind"], row["class"]) for row in rows):
        places = [place for place, row in enumerate(rows) if (row["kind"], row["class"]) == key]
        sizes = [float("nan") if rows[place]["value"] is None else abs(rows[place]["value"]) for place in places]
        ranks |= dict(zip(places, rank_scores(sizes, small=False)[0], strict=True))
    return [{**row, "rank": ranks[place]} for place, row in enumerate(rows)]
