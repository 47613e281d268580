"""Columns that are tied to each other within each class, by constants that give the class away."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.leaks.chance import bound_luck, count_values, is_luck
from tahoe_engine.leaks.combinations import find_combination
from tahoe_engine.leaks.identities import is_exact
from tahoe_engine.leaks.leak import Leak
from tahoe_engine.leaks.pairs import LIKELY, list_likely_pairs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.leaks.sheet import Column, Sheet

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

APART: Final = 1e-3  # of the column's own spread: constants that differ by less are one
NOTHING: Final = 1e-12  # share of the variance within classes that counts as none
ROWS_A_COLUMN: Final = 4
SPARE_ROWS: Final = 2000
TOLD: Final = 4
BINARY: Final = 2


def find_tied(sheet: Sheet, skip: set[str]) -> list[Leak]:
    """Find columns that are constant, or tied to each other, within each class, but not across classes.

    Parameters
    ----------
    sheet : Sheet
        With a target of classes.
    skip : set of str
        Columns that give the class on their own.

    Returns
    -------
    list of Leak
        Of kind affine_within_classes: pairs x2 = a·x1 + b(class); a column that is b(class); or, where neither is
        there, one combination of more columns: a direction that does not vary within any class.
    """
    if sheet.classes is None or len(sheet.class_names) < BINARY:
        return []
    columns = [column for column in sheet.columns if column.name not in skip]
    centred = [_center(sheet.classes, len(sheet.class_names), column) for column in columns]
    found: list[Leak] = []
    told: set[str] = set()
    for column, rest in zip(columns, centred, strict=True):
        if (leak := _judge_constant(sheet, column, rest)) is not None:
            found.append(leak)
            told.add(column.name)
    for one, other in list_likely_pairs(centred, LIKELY):
        first, second = columns[one], columns[other]
        if second.name in told or first.name in told:
            continue
        if (leak := _judge_pair(sheet, first, second, len(columns))) is not None:
            found.append(leak)
            told.add(second.name)
    return found or _find_direction(sheet, columns)


def _center(classes: Codes, n_classes: int, column: Column) -> Floats:
    import numpy as np

    known = column.known
    number = np.maximum(np.bincount(classes, known, n_classes), 1)
    means = np.bincount(classes, np.where(known, column.data, 0.0), n_classes) / number
    centred: Floats = column.data - means[classes]
    return centred


def _judge_constant(sheet: Sheet, column: Column, centred: Floats) -> Leak | None:
    import numpy as np

    known = column.known
    spread = float(column.data[known].std())
    left = centred[known]
    if not is_exact(left, spread, 0.0):
        return None
    luck = bound_luck(count_values(np.unique(column.data[known], return_inverse=True)[1]), len(sheet.class_names))
    if is_luck(luck, len(sheet.columns)):
        return None
    says = (
        f"{column.name} has one value within each {sheet.target}, {column.n_distinct:,} in all, over {left.size:,} rows"
    )
    return Leak(
        column.name, "affine_within_classes", says, (column.name,), {"rows": int(left.size), "log10_luck": luck}
    )


def _judge_pair(  # noqa: PLR0911 -- a reason to be silent each
    sheet: Sheet, first: Column, second: Column, n_columns: int
) -> Leak | None:
    import numpy as np

    if sheet.classes is None:
        return None
    both = first.known & second.known
    classes = sheet.classes[both]
    x, y = first.data[both], second.data[both]
    n_classes = len(sheet.class_names)
    sizes = np.bincount(classes, minlength=n_classes)
    there = sizes > 0
    if there.sum() < BINARY:
        return None
    number = np.maximum(sizes, 1)
    x_means, y_means = np.bincount(classes, x, n_classes) / number, np.bincount(classes, y, n_classes) / number
    dx, dy = x - x_means[classes], y - y_means[classes]
    square = float(dx @ dx)
    if not square > 0:
        return None
    slope = float(dx @ dy) / square
    spread = float(np.sqrt(np.mean(dy * dy)))
    left = dy - slope * dx
    if not is_exact(left, spread, second.step, abs(slope) * first.step):
        return None
    offsets = (y_means - slope * x_means)[there]
    if float(offsets.max() - offsets.min()) <= max(APART * spread, 4 * second.step * (second.step < APART * spread)):
        return None  # one line for all: a duplicate, which tells nothing of the class
    luck = _bound_tie(offsets / (APART * spread), sizes[there], 1)
    if is_luck(luck, n_columns * n_columns / 2):
        return None
    names = [name for name, seen in zip(sheet.class_names, there, strict=True) if seen]
    constants = {name: float(value) for name, value in zip(names, offsets, strict=True)}
    residual = float(np.sqrt(np.mean(left * left))) / spread
    told = ", ".join(f"{name}: {value:+.6g}" for name, value in list(constants.items())[:TOLD])
    says = (
        f"{second.name} = {slope:.7g}·{first.name} + b({sheet.target}) in all {x.size:,} rows that have both "
        f"(residual {residual:.1g} of its sd), and b tells the class: {told}{', …' if len(constants) > TOLD else ''}"
    )
    facts: dict[str, Any] = {"slope": slope, "offsets": constants, "residual": residual, "rows": int(x.size)}
    facts["log10_luck"] = luck
    return Leak(second.name, "affine_within_classes", says, (second.name, first.name), facts)


def _bound_tie(constants: Floats, sizes: Codes, free: int) -> float:
    """Bound the luck of a tie: its constants, dealt out to the rows anew, must again be one in each class.

    Each free number of the tie is fixed by a pair of rows, so that n² ties a number are tried.
    """
    import numpy as np

    values = np.unique(np.round(constants), return_inverse=True)[1]
    return bound_luck(np.bincount(values, sizes).astype(np.int64), sizes.size) + 2 * free * float(np.log10(sizes.sum()))


def _find_direction(sheet: Sheet, columns: list[Column]) -> list[Leak]:
    """Find a combination of columns that does not vary within classes, and does between them."""
    import numpy as np

    columns = [column for column in columns if column.known.all()]
    classes = sheet.classes
    if len(columns) < BINARY or classes is None or classes.size < ROWS_A_COLUMN * len(columns):
        return []
    rows = np.random.default_rng(0).permutation(classes.size)[: ROWS_A_COLUMN * len(columns) + SPARE_ROWS]
    values = np.stack([column.data[rows] for column in columns], axis=1)
    scales = values.std(axis=0)
    kept = np.flatnonzero(scales > 0)
    values = (values[:, kept] - values[:, kept].mean(axis=0)) / scales[kept]
    labels, counts = np.unique(classes[rows], return_inverse=True, return_counts=True)[1:]
    means = np.zeros((counts.size, kept.size))
    np.add.at(means, labels, values)
    means /= counts[:, None]
    within = values - means[labels]
    powers, vectors = np.linalg.eigh(within.T @ within / rows.size)
    null = vectors[:, powers <= NOTHING * kept.size]
    if not null.shape[1]:
        return []
    between = (means @ null) * np.sqrt(counts / rows.size)[:, None]
    sizes, turn = np.linalg.svd(between, full_matrices=False)[1:]
    if not sizes.size or sizes[0] <= APART:
        return []
    constants = means @ (null @ turn[0])
    luck = _bound_tie(constants / APART, counts, int(kept.size - null.shape[1]))
    if is_luck(luck, 1):
        return []
    direction = np.zeros(len(columns))
    direction[kept] = (null @ turn[0]) / scales[kept]
    score = np.stack([column.data for column in columns], axis=1) @ direction
    number = np.bincount(classes)
    level = (np.bincount(classes, score) / np.maximum(number, 1))[classes]
    target = replace(columns[0], name=f"b({sheet.target})", data=level, step=0.0)
    told = find_combination(columns, target)
    if told is None:
        return []
    names = tuple(column.name for column in told.columns)
    says = (
        f"{told.formula} is constant within each {sheet.target} and differs between them, in {told.n_rows:,} rows "
        f"(residual {told.residual:.1g})"
    )
    facts = {"weights": list(told.weights), "rows": told.n_rows, "residual": told.residual, "log10_luck": luck}
    last = max(names, key=sheet.names.index)
    return [Leak(last, "affine_within_classes", says, names, facts)]
