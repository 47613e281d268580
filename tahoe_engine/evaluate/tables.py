"""Tables behind the figures of a split: confusion, classes, calibration, points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import ConfigError
from tahoe_engine.evaluate.ranking import BINARY, judge_class_ranks

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from tahoe_engine.evaluate.tally import Tally

CALIBRATION_BINS: Final = 10
GRID: Final = 40


def tabulate_confusion(tally: Tally, classes: Sequence[str]) -> pl.DataFrame:
    """Count the rows of each true and predicted class.

    Parameters
    ----------
    tally : Tally
        Of a classification.
    classes : sequence of str
        Names of the classes by their codes, those that the model never saw last.

    Returns
    -------
    polars.DataFrame
        ``y``, ``y_pred`` and ``n``: the pairs that occur, and each class that occurs with itself, in the order of
        `classes`.

    Raises
    ------
    ConfigError
        If the tally is of a regression, or there are fewer classes than codes.

    Examples
    --------
    >>> import numpy as np
    >>> from tahoe_engine.evaluate.tally import collect_tally
    >>> codes = np.array([0, 1, 1])
    >>> tally = collect_tally(codes, np.array([0, 0, 0]), codes, kind="classification", n_classes=2)
    >>> tabulate_confusion(tally, ["a", "b"]).rows()
    [('a', 'a', 1), ('b', 'a', 2), ('b', 'b', 0)]
    """
    import polars as pl

    _check(tally, classes)
    pairs = {
        (int(y), int(said)): int(n) for (y, said), n in zip(tally.pairs.keys, tally.pairs.counts[:, 0], strict=True)
    }
    for one in {code for pair in pairs for code in pair}:
        pairs.setdefault((one, one), 0)
    rows = [(classes[y], classes[said], n) for (y, said), n in sorted(pairs.items())]
    return pl.DataFrame(rows, schema={"y": pl.String(), "y_pred": pl.String(), "n": pl.UInt64()}, orient="row")


def tabulate_classes(tally: Tally, classes: Sequence[str]) -> pl.DataFrame:
    """Report each class.

    Parameters
    ----------
    tally : Tally
        Of a classification.
    classes : sequence of str
        Names of the classes by their codes, those that the model never saw last.

    Returns
    -------
    polars.DataFrame
        ``class``, ``precision`` (null where it is never predicted), ``recall`` (null without rows), ``f1`` (null
        without either), ``roc_auc`` (against the rest, on the sample; null without probabilities, or rows within and
        without) and ``support``.

    Raises
    ------
    ConfigError
        If the tally is of a regression, or there are fewer classes than codes.

    Examples
    --------
    >>> import numpy as np
    >>> from tahoe_engine.evaluate.tally import collect_tally
    >>> codes = np.array([0, 1, 1])
    >>> tally = collect_tally(codes, np.array([0, 0, 1]), codes, kind="classification", n_classes=2)
    >>> tabulate_classes(tally, ["a", "b"]).rows()[1]
    ('b', 1.0, 0.5, 0.6666666666666666, None, 2)
    """
    import numpy as np
    import polars as pl

    _check(tally, classes)
    size = len(classes)
    keys, counts = tally.pairs.keys, tally.pairs.counts[:, 0].astype(np.float64)
    hit = keys[:, 0] == keys[:, 1]
    rows, said = (np.bincount(keys[:, side], weights=counts, minlength=size) for side in (0, 1))
    hits = np.bincount(keys[hit, 0], weights=counts[hit], minlength=size)
    areas = _find_areas(tally, size)
    table = [
        (
            *(name, _share(hits[one], said[one]), _share(hits[one], rows[one])),
            *(_share(2 * hits[one], rows[one] + said[one]), areas[one], int(rows[one])),
        )
        for one, name in enumerate(classes)
    ]
    numbers = dict.fromkeys(("precision", "recall", "f1", "roc_auc"), pl.Float64())
    return pl.DataFrame(table, schema={"class": pl.String(), **numbers, "support": pl.UInt64()}, orient="row")


def tabulate_calibration(tally: Tally, classes: Sequence[str]) -> pl.DataFrame:
    """Compare predicted probabilities with what came.

    Parameters
    ----------
    tally : Tally
        Of a classification.
    classes : sequence of str
        Names of the classes by their codes, those that the model never saw last.

    Returns
    -------
    polars.DataFrame
        ``class``, ``bin`` (of ten of equal width, from 0; those without rows are left out), ``mean_predicted``,
        ``observed`` share and ``n``, on the sample. Of two classes the second alone; empty without probabilities.

    Raises
    ------
    ConfigError
        If the tally is of a regression, or there are fewer classes than codes.

    Examples
    --------
    >>> import numpy as np
    >>> from tahoe_engine.evaluate.tally import collect_tally
    >>> codes, p = np.array([0, 1]), np.array([[0.75, 0.25], [0.75, 0.25]])
    >>> tally = collect_tally(codes, codes, codes, kind="classification", n_classes=2, probabilities=p)
    >>> tabulate_calibration(tally, ["a", "b"]).rows()
    [('b', 2, 0.25, 0.5, 2)]
    """
    import numpy as np
    import polars as pl

    _check(tally, classes)
    p = None if tally.sample.are_margins else tally.sample.probabilities
    rows: list[tuple[Any, ...]] = []
    width = 0 if p is None else p.shape[1]
    for one in (1,) if width == BINARY else range(width):
        values = np.empty(0) if p is None else p[:, one]
        # Bins hold their upper edge, as those of scikit-learn's calibration_curve do; 0 is in the first.
        edges = np.linspace(0.0, 1.0, CALIBRATION_BINS + 1)
        bins = np.searchsorted(edges[1:-1], values, side="left")
        n = np.bincount(bins, minlength=CALIBRATION_BINS)
        summed = np.bincount(bins, weights=values, minlength=CALIBRATION_BINS)
        hits = np.bincount(bins[tally.sample.y == one], minlength=CALIBRATION_BINS)
        rows += [
            (classes[one], int(at), float(summed[at] / n[at]), float(hits[at] / n[at]), int(n[at]))
            for at in np.flatnonzero(n)
        ]
    numbers = dict.fromkeys(("mean_predicted", "observed"), pl.Float64())
    return pl.DataFrame(
        rows, schema={"class": pl.String(), "bin": pl.UInt32(), **numbers, "n": pl.UInt64()}, orient="row"
    )


def tabulate_points(tally: Tally, *, grid: int = GRID) -> pl.DataFrame:
    """Count predicted against true values in a grid.

    Parameters
    ----------
    tally : Tally
        Of a regression.
    grid : int
        Squares a side, over the range of both.

    Returns
    -------
    polars.DataFrame
        ``y_low``, ``y_high``, ``y_pred_low``, ``y_pred_high`` and ``n`` of the squares that have rows, on the sample.

    Raises
    ------
    ConfigError
        If the tally is of classes.

    Examples
    --------
    >>> import numpy as np
    >>> from tahoe_engine.evaluate.tally import collect_tally
    >>> y = np.array([0.0, 2.0])
    >>> tabulate_points(collect_tally(y, y, np.array([0, 1]), kind="regression"), grid=2).rows()
    [(0.0, 1.0, 0.0, 1.0, 1), (1.0, 2.0, 1.0, 2.0, 1)]
    """
    import numpy as np
    import polars as pl

    if tally.kind != "regression":
        raise ConfigError("points are of a regression; of classes there is a confusion matrix")
    y, y_pred = tally.sample.y, tally.sample.y_pred
    schema = {
        **dict.fromkeys(("y_low", "y_high", "y_pred_low", "y_pred_high"), pl.Float64()),
        "n": pl.UInt64(),
    }
    if not y.size:
        return pl.DataFrame(schema=schema)
    low, high = float(min(y.min(), y_pred.min())), float(max(y.max(), y_pred.max()))
    if high == low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, grid + 1)
    up, across = (np.clip(np.searchsorted(edges, values, side="right") - 1, 0, grid - 1) for values in (y, y_pred))
    squares, n = np.unique(up * grid + across, return_counts=True)
    up, across = squares // grid, squares % grid
    columns = (edges[up], edges[up + 1], edges[across], edges[across + 1], n.astype(np.uint64))
    return pl.DataFrame(dict(zip(schema, columns, strict=True)), schema=schema)


def _find_areas(tally: Tally, size: int) -> list[float | None]:
    """Give the area under the curve of each class; of two classes they are the same."""
    judge = judge_class_ranks(tally.sample, tally.clusters)
    areas: list[float | None] = [None] * size
    p = tally.sample.probabilities
    if judge is None or p is None:
        return areas
    known = judge.classes.tolist()
    for one, area in zip(known, judge.areas.tolist(), strict=True):
        areas[one] = area
    if p.shape[1] == BINARY and known:
        areas[0] = areas[1]
    return areas


def _share(part: float, whole: float) -> float | None:
    return float(part / whole) if whole > 0 else None


def _check(tally: Tally, classes: Sequence[str]) -> None:
    if tally.kind != "classification":
        raise ConfigError("this table is of classes, and the target is a number")
    if len(classes) < tally.n_codes:
        raise ConfigError(f"{len(classes)} names for {tally.n_codes} classes: name those the model never saw, too")
