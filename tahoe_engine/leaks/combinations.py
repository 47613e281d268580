"""The target as an exact linear combination of columns: a difference, a sum, or by logarithms a ratio or a product."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tahoe_engine.leaks.chance import bound_luck, count_values, is_luck
from tahoe_engine.leaks.identities import is_exact
from tahoe_engine.leaks.leak import Leak
from tahoe_engine.leaks.rounding import round_values

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.leaks.sheet import Column, Sheet

    Floats = NDArray[np.float64]

MOST_MISSING: Final = 0.5
SPARE_ROWS: Final = 200  # rows beyond four a column
MOST_NAMED: Final = 12
LIKELIEST: Final = 60  # pairs that are looked at in full
ALMOST: Final = 1e-2  # share of the variance a first look may leave
SINGULAR: Final = 1e-11


@dataclass(frozen=True)
class Combination:
    """target = offset + sum of weight · column."""

    columns: tuple[Column, ...]
    weights: tuple[float, ...]
    offset: float
    n_rows: int
    residual: float
    log10_luck: float

    @property
    def formula(self) -> str:
        """The right side."""
        terms = [f"{weight:+.6g}·{column.name}" for weight, column in zip(self.weights, self.columns, strict=True)]
        return " ".join([*terms[:5], *([f"… {len(terms) - 5} more"] if len(terms) > 5 else []), f"{self.offset:+.6g}"])  # noqa: PLR2004


def find_combined(sheet: Sheet, skip: set[str]) -> list[Leak]:
    """Find an exact linear combination of columns that is the target, or of their logarithms.

    Parameters
    ----------
    sheet : Sheet
        With a target that is a number.
    skip : set of str
        Columns that give the target on their own.

    Returns
    -------
    list of Leak
        Of kind affine_combination: none, or one for each column that takes part.
    """
    target = sheet.numbers
    columns = [column for column in sheet.columns if column.name not in skip]
    if target is None:
        return []
    found = find_combination(columns, target)
    name = target.name
    if found is None:
        logs = [_take_log(column) for column in columns if column.n_distinct > 2 and not (column.data == 0).any()]  # noqa: PLR2004
        found = find_combination(logs, target)
        if found is None and not (target.data == 0).any():
            log = _take_log(target)
            name, found = log.name, find_combination(logs, log)
    if found is None:
        return []
    names = tuple(column.name.removeprefix("log|").removesuffix("|") for column in found.columns)
    says = f"{name} = {found.formula} in {found.n_rows:,} rows (residual {found.residual:.1g} of its sd)"
    facts = {"weights": list(found.weights), "offset": found.offset, "rows": found.n_rows, "residual": found.residual}
    facts["log10_luck"] = found.log10_luck
    return [Leak(one, "affine_combination", says, (one, *(n for n in names if n != one)), facts) for one in names]


def _take_log(column: Column) -> Column:
    import numpy as np

    return replace(column, name=f"log|{column.name}|", data=np.log(np.abs(column.data)), step=0.0)


def find_combination(columns: Sequence[Column], target: Column) -> Combination | None:
    """Find columns of which the target is an exact linear combination.

    Parameters
    ----------
    columns : sequence of Column
        Among which to look.
    target : Column
        Without missing values.

    Returns
    -------
    Combination or None
        Of few columns where a greedy search finds few.

    Notes
    -----
    With missing values in so many columns that few rows are complete, only combinations of two columns are looked for,
    and of those that are complete enough together.
    """
    columns = [column for column in columns if column.known.mean() >= MOST_MISSING]
    if len(columns) < 2 or target.data.size < 2:  # noqa: PLR2004
        return None
    return _search_all(columns, target) or _search_pairs(columns, target)


def _search_all(columns: Sequence[Column], target: Column) -> Combination | None:
    import numpy as np

    known = np.stack([column.known for column in columns])
    shares = known.mean(axis=1)
    order = np.argsort(-shares, kind="stable")
    complete = np.logical_and.accumulate(known[order], axis=0).sum(axis=1)
    enough = np.flatnonzero(
        complete >= np.minimum(4 * np.arange(1, order.size + 1) + SPARE_ROWS, 0.5 * target.data.size)
    )
    if not enough.size:
        return None
    used = [columns[place] for place in np.sort(order[: enough[-1] + 1])]
    rows = np.flatnonzero(np.logical_and.reduce([column.known for column in used]))
    rows = np.random.default_rng(0).permutation(rows)[: 4 * len(used) + SPARE_ROWS]
    matrix, y = _standardize(np.stack([column.data[rows] for column in used], axis=1)), target.data[rows]
    centred = y - y.mean()
    if rows.size < 2 or not (centred @ centred) > 0 or rows.size < len(used) // 2:  # noqa: PLR2004
        return None
    gram = matrix.T @ matrix
    first = np.linalg.solve(gram + SINGULAR * rows.size * np.eye(len(used)), matrix.T @ centred)
    left = centred - matrix @ first
    if left @ left > ALMOST * (centred @ centred):
        return None
    few = _choose_few(matrix, centred)
    return judge_combination([used[place] for place in few], target, len(columns)) if few else None


def _standardize(matrix: Floats) -> Floats:
    import numpy as np

    centred = matrix - matrix.mean(axis=0)
    norms = np.sqrt((centred**2).mean(axis=0))
    standardized: Floats = centred / np.where(norms > 0, norms, 1.0)
    return standardized


def _solve(matrix: Floats, y: Floats) -> Floats:
    import numpy as np

    return np.asarray(np.linalg.lstsq(matrix, y, rcond=SINGULAR)[0], dtype=np.float64)


def _choose_few(matrix: Floats, y: Floats) -> list[int]:
    """Choose columns that explain y: greedily while that works, otherwise all that have a weight."""
    import numpy as np

    spread = float(np.sqrt(np.mean(y * y)))
    chosen: list[int] = []
    left: Floats = y
    weights: Floats = np.zeros(0)
    while len(chosen) < min(MOST_NAMED, matrix.shape[1]):
        likeness = np.abs(matrix.T @ left)
        likeness[chosen] = -1.0
        chosen.append(int(np.argmax(likeness)))
        weights = _solve(matrix[:, chosen], y)
        left = y - matrix[:, chosen] @ weights
        if float(np.sqrt(np.mean(left * left))) <= ALMOST**2 * spread:
            break
    else:
        weights = _solve(matrix, y)
        chosen = np.flatnonzero(np.abs(weights) > ALMOST**2 * spread).tolist()
        if not chosen:
            return []
        weights = weights[chosen]
    return [place for place, weight in zip(chosen, weights, strict=True) if abs(weight) > 1e-6 * spread]


def _search_pairs(columns: Sequence[Column], target: Column) -> Combination | None:
    import numpy as np

    some = np.random.default_rng(0).permutation(target.data.size)[:4000]
    y = target.data[some] - target.data[some].mean()
    values = np.stack([column.data[some] for column in columns])
    known = ~np.isnan(values)
    if known.all() or not (y @ y) > 0:
        return None  # looked at already
    means = np.where(known, values, 0).sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    centred = np.where(known, values - means, 0.0)
    norms = np.sqrt((centred**2) @ known.T.astype(float))
    with np.errstate(invalid="ignore", divide="ignore"):
        between = np.nan_to_num((centred @ centred.T) / (norms * norms.T))
        own = np.nan_to_num((centred @ y) / np.sqrt((centred**2).sum(axis=1) * (known @ (y * y))))
        explained = (own[:, None] ** 2 + own**2 - 2 * np.outer(own, own) * between) / (
            1 - np.clip(between**2, 0, 1 - 1e-9)
        )
    explained = np.triu(np.nan_to_num(explained), 1)
    likeliest = np.argsort(-explained, axis=None, kind="stable")[:LIKELIEST]
    for place in likeliest:
        pair = [columns[one] for one in np.unravel_index(place, explained.shape)]
        if explained.flat[place] > 1 - 10 * ALMOST and (found := judge_combination(pair, target, len(columns))):
            return found
    return None


def judge_combination(columns: Sequence[Column], target: Column, n_columns: int) -> Combination | None:
    """Judge in all rows whether the target is a linear combination of these columns.

    Parameters
    ----------
    columns : sequence of Column
        All of them.
    target : Column
        Without missing values.
    n_columns : int
        Among how many they were chosen.

    Returns
    -------
    Combination or None
    """
    import numpy as np
    from scipy.special import comb

    rows = np.flatnonzero(np.logical_and.reduce([column.known for column in columns]))
    if rows.size < 2:  # noqa: PLR2004
        return None
    raw, y = np.stack([column.data[rows] for column in columns], axis=1), target.data[rows]
    matrix, centred = _standardize(raw), y - y.mean()
    weights = _solve(matrix, centred)
    left = centred - matrix @ weights
    scales = raw.std(axis=0)
    weights = weights / np.where(scales > 0, scales, 1.0)
    steps = [abs(weight) * column.step for weight, column in zip(weights, columns, strict=True)]
    spread = float(y.std())
    if not is_exact(left, spread, target.step, *steps):
        return None
    luck = bound_luck(count_values(round_values(y)), len(columns) + 1)
    if is_luck(luck, float(comb(n_columns, len(columns)))):
        return None
    offset = float(y.mean() - raw.mean(axis=0) @ weights)
    residual = float(np.sqrt(np.mean(left * left))) / spread
    return Combination(tuple(columns), tuple(float(w) for w in weights), offset, int(rows.size), residual, luck)
