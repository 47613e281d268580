"""What is kept of predictions: enough for every metric, its interval and its test, and small."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import ConfigError
from tahoe_engine.evaluate.cells import (
    Cells,
    Counts,
    collect_cells,
    count_classes,
    count_pairs,
    join_cells,
    join_counts,
)
from tahoe_engine.evaluate.directions import KINDS
from tahoe_engine.evaluate.rows import check_grades, check_rows, code_groups, fit_rows, measure_losses
from tahoe_engine.evaluate.sample import Sample, choose_rows, hash_numbers, join_samples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Tally:
    """What is kept of some rows and their predictions.

    Parameters
    ----------
    kind : {"regression", "classification"}
        Of the target.
    n_classes : int
        That the model knows; codes beyond are classes it never saw.
    columns : tuple of str
        Columns of groups.
    segments : tuple of str
        ``COLUMN=VALUE`` of every slice; the first is "", all rows.
    cells : Cells
        By segment and cluster: of regression the moments of y and y_pred, and the sums of absolute and squared errors;
        of classes those of log loss and Brier score, where there are probabilities.
    classes : Counts
        By segment, cluster and class: hits, rows, predictions; empty for regression.
    pairs : Counts
        By true and predicted class; empty for regression.
    strata : Cells
        By segment, stratum and cluster: moments of y; empty without strata.
    sample : Sample
        Rows for rank metrics.
    rank_rows : int
        At most so many of them.
    seed : int
        By which they were chosen.
    """

    kind: str
    n_classes: int
    columns: tuple[str, ...]
    segments: tuple[str, ...]
    cells: Cells
    classes: Counts
    pairs: Counts
    strata: Cells
    sample: Sample
    rank_rows: int
    seed: int

    @property
    def n_rows(self) -> int:
        """Rows that were tallied."""
        return int(self.cells.select(0).n.sum())

    @property
    def clusters(self) -> NDArray[np.int64]:
        """Codes of the clusters, ascending."""
        return self.cells.select(0).keys[:, 1]

    @property
    def n_codes(self) -> int:
        """Number of classes, with those beyond what the model knows."""
        return max(self.n_classes, int(self.pairs.keys.max(initial=-1)) + 1)


def collect_tally(  # noqa: PLR0913 -- rows have that many sides
    y: NDArray[Any],
    y_pred: NDArray[Any],
    clusters: NDArray[np.int64],
    *,
    kind: str,
    n_classes: int = 0,
    probabilities: NDArray[np.float64] | None = None,
    margins: NDArray[np.float64] | None = None,
    groups: Mapping[str, Any] | None = None,
    strata: NDArray[np.int64] | None = None,
    numbers: NDArray[Any] | None = None,
    rank_rows: int = 100_000,
    seed: int = 0,
    total_rows: int = 0,
) -> Tally:
    """Tally the rows of a part.

    Parameters
    ----------
    y : ndarray
        True values, or codes of the true classes.
    y_pred : ndarray
        Predicted ones.
    clusters : ndarray of int64
        Group of each row that is resampled as a whole: wells, drugs, plates. The same codes in all parts.
    kind : {"regression", "classification"}
        Of the target.
    n_classes : int
        Classes that the model knows; codes beyond are of classes it never saw.
    probabilities : ndarray of float64, shape (rows, n_classes), optional
        Predicted.
    margins : ndarray of float64, shape (rows, n_classes), optional
        Where there are no probabilities: how much each class is preferred, of which the order alone is looked at.
    groups : mapping of str to array_like, optional
        Values (texts) of columns for each of whose values metrics are wanted. Rows without a value are in no group.
    strata : ndarray of int64, optional
        Code of what a model could at best know of each row (drug, dose, line and plate): for the ceiling of R².
    numbers : ndarray of int, optional
        Number of each row in its split; by default 0, 1, ...: give it where there are several parts.
    rank_rows : int
        Rank metrics are computed on at most so many rows of a split.
    seed : int
        By which these are chosen.
    total_rows : int
        Rows of the whole split, where known: so that each part keeps little more than its share of the sample.

    Returns
    -------
    Tally
        Of these rows.

    Raises
    ------
    ConfigError
        If the kind is none.
    BadDataError
        If lengths differ, a value or probability is not finite, or a code is negative.

    Examples
    --------
    >>> import numpy as np
    >>> tally = collect_tally(np.array([1.0, 2.0]), np.array([1.0, 4.0]), np.array([0, 1]), kind="regression")
    >>> tally.n_rows, tally.cells.totals.sum(axis=0).tolist()
    (2, [2.0, 4.0])
    """
    import numpy as np

    if kind not in KINDS:
        raise ConfigError(f"there is no kind of target {kind!r}: it is regression or classification")
    dtype = np.float64 if kind == "regression" else np.int64
    y, y_pred = np.asarray(y).astype(dtype), np.asarray(y_pred).astype(dtype)
    clusters = np.asarray(clusters).astype(np.int64)
    p = None if probabilities is None or kind == "regression" else np.asarray(probabilities, dtype=np.float64)
    check_rows(kind, y, y_pred, clusters, p, n_classes)
    grades = p
    if p is None and margins is not None and kind == "classification":
        grades = check_grades(np.asarray(margins, dtype=np.float64), y.size, n_classes, "margins")
    segments, codes = code_groups(groups or {}, y.size)
    totals = [np.abs(y - y_pred), (y - y_pred) ** 2] if kind == "regression" else measure_losses(y, p)
    variables = [y, y_pred] if kind == "regression" else []
    strata = None if strata is None or kind != "regression" else fit_rows(np.asarray(strata), y.size, "strata")
    cells, classes, layers = [], [], []
    for column in (np.zeros(y.size, np.int32), *codes.T):
        there = column >= 0
        keys = np.column_stack([column, clusters])[there].astype(np.int64)
        cells.append(collect_cells(keys, [one[there] for one in variables], [one[there] for one in totals]))
        if kind == "classification":
            classes.append(count_classes(keys, y[there], y_pred[there]))
        if strata is not None:
            fine = np.column_stack([column, strata, clusters])[there].astype(np.int64)
            layers.append(collect_cells(fine, [y[there]], []))
    hashes = hash_numbers(
        np.arange(y.size) if numbers is None else fit_rows(np.asarray(numbers), y.size, "numbers"), seed
    )
    sample = Sample(hashes, y, y_pred, grades, clusters, codes, are_margins=grades is not p)
    return Tally(
        kind,
        n_classes,
        tuple(groups or {}),
        segments,
        join_cells(cells),
        join_counts(classes or [_count_nothing(3, 3)]),
        count_pairs(y, y_pred) if kind == "classification" else _count_nothing(2, 1),
        join_cells(layers or [_sum_nothing(3)]),
        sample.take(choose_rows(hashes, rank_rows, total_rows)),
        rank_rows,
        seed,
    )


def merge_tallies(tallies: Sequence[Tally]) -> Tally:
    """Merge the tallies of parts.

    Any partition of the rows gives the same counts and the same sample, and sums equal to rounding; the same order of
    the same parts gives the same bits.

    Parameters
    ----------
    tallies : sequence of Tally
        Of the same model, split and settings, in the order of the parts.

    Returns
    -------
    Tally
        Of all rows.

    Raises
    ------
    ConfigError
        If there is none, or they are of different kinds or settings.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([1.0, 2.0]), np.array([1.0, 4.0]), np.array([0, 1])
    >>> one, two = (collect_tally(*rows, kind="regression", numbers=np.arange(at, at + 2)) for at in (0, 2))
    >>> merge_tallies([one, two]).n_rows
    4
    """
    import numpy as np

    if not tallies:
        raise ConfigError("there is no tally to merge: a split needs at least one part")
    first = tallies[0]
    if len({(one.kind, one.n_classes, one.columns, one.rank_rows, one.seed) for one in tallies}) > 1:
        raise ConfigError("tallies of different kinds, classes, groups or seeds: merge those of one model and split")
    if len(tallies) == 1:
        return first
    segments = ("", *sorted({name for one in tallies for name in one.segments[1:]}))
    place = {name: number for number, name in enumerate(segments)}
    numbers = [np.array([place[name] for name in one.segments], np.int64) for one in tallies]
    moved = [_number_anew(one, number) for one, number in zip(tallies, numbers, strict=True)]
    return replace(
        first,
        segments=segments,
        cells=join_cells([one.cells for one in moved]),
        classes=join_counts([one.classes for one in moved]),
        pairs=join_counts([one.pairs for one in tallies]),
        strata=join_cells([one.strata for one in moved]),
        sample=join_samples([one.sample for one in moved], first.rank_rows),
    )


def _number_anew(tally: Tally, numbers: NDArray[np.int64]) -> Tally:
    import numpy as np

    def move(keys: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.column_stack([numbers[keys[:, 0]], keys[:, 1:]])

    segments = tally.sample.segments
    known = np.where(segments >= 0, numbers[segments], -1).astype(np.int32)
    return replace(
        tally,
        cells=replace(tally.cells, keys=move(tally.cells.keys)),
        classes=replace(tally.classes, keys=move(tally.classes.keys)),
        strata=replace(tally.strata, keys=move(tally.strata.keys)),
        sample=replace(tally.sample, segments=known),
    )


def _count_nothing(keys: int, counts: int) -> Counts:
    import numpy as np

    return Counts(np.empty((0, keys), np.int64), np.empty((0, counts), np.int64))


def _sum_nothing(keys: int) -> Cells:
    import numpy as np

    empty = np.empty((0, 1))
    return Cells(
        np.empty((0, keys), np.int64), np.empty(0, np.int64), empty, empty, np.empty((0, 1, 1)), np.empty((0, 0))
    )
