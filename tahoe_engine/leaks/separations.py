"""A class on one side of a plane: a threshold on a sum or difference of columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tahoe_engine.leaks.chance import count_deals, is_luck
from tahoe_engine.leaks.leak import Leak
from tahoe_engine.leaks.orders import EVEN, NEAR

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.leaks.sheet import Column, Sheet

    Floats = NDArray[np.float64]

MOST: Final = 30  # columns among which a plane is looked for: those that tell most
MOST_NAMED: Final = 12  # columns of a plane
MOST_CLASSES: Final = 20
TELLING: Final = 4000  # rows, beyond four a column, by which they are chosen
RIDGE: Final = 1e-6
SPARE_ROWS: Final = 100  # of the first look, beyond four a column
ROUNDS: Final = 25  # of adding rows that are on the wrong side
ADDED: Final = 100
LEAST: Final = 1e-6  # distance from the plane, in standard deviations, that is not an error of the solver
HALF: Final = 0.5
SHARE: Final = 10  # times the rows next to the plane must either class have
SPARSE: Final = 2.0  # times the usual distance of neighbours: beyond, the plane is in a tail or a gap


@dataclass(frozen=True)
class Plane:
    """weights · x + offset is above zero for one class, and below for the rest."""

    places: tuple[int, ...]
    weights: Floats
    offset: float


def find_separations(sheet: Sheet, skip: set[str]) -> list[Leak]:
    """Find a class that lies alone on one side of a plane through the space of few columns.

    Parameters
    ----------
    sheet : Sheet
        With a target of classes; of more than two, each is looked at against all others.
    skip : set of str
        Columns of which more is known already.

    Returns
    -------
    list of Leak
        Of kind separation: one for each column that takes part.

    Notes
    -----
    Of n rows in general position in p dimensions, 2·(C(n-1, 0) + ... + C(n-1, p)) ways to make two classes of them are
    separated by a plane (T. M. Cover, IEEE Trans. Electron. Comput. EC-14 (1965) 326-334); of few columns that is a
    vanishing share of all ways. Clouds that lie apart, as cells of two lines may, are separated, too, and honest:
    only a plane that runs through where rows are dense, with no gap and no mistake, is told. As a plane through p
    dimensions can go around about p mistakes, 2·p rows on either side of it must be so.
    """
    import numpy as np

    n_classes = len(sheet.class_names)
    columns = [column for column in sheet.columns if column.name not in skip and column.n_distinct > 2]  # noqa: PLR2004
    columns = [column for column in columns if column.known.mean() >= HALF]
    if sheet.classes is None or not 2 <= n_classes <= MOST_CLASSES or len(columns) < 2:  # noqa: PLR2004
        return []
    rows = np.flatnonzero(np.logical_and.reduce([column.known for column in columns]))
    if rows.size < HALF * sheet.height:
        columns = [column for column in columns if column.known.all()]
        rows = np.arange(sheet.height)
    if len(columns) < 2:  # noqa: PLR2004
        return []
    found: dict[str, Leak] = {}
    ones = range(n_classes if n_classes > 2 else 1)  # noqa: PLR2004
    sides = [np.where(sheet.classes[rows] == one, 1.0, -1.0) for one in ones]
    for one, side, places in zip(ones, sides, _choose_columns(columns, rows, sides), strict=True):
        chosen = [columns[place] for place in places]
        raw = np.stack([column.data[rows] for column in chosen], axis=1)
        means, scales = raw.mean(axis=0), raw.std(axis=0)
        plane = _find_plane((raw - means) / np.where(scales > 0, scales, 1.0), side)
        if plane is None or _is_lucky(plane, side, len(columns), n_classes):
            continue
        used = list(plane.places)
        weights = plane.weights / scales[used]
        offset = float(plane.offset - means[used] @ weights)
        for leak in _tell(sheet, one, [chosen[place] for place in used], weights, offset, side):
            found.setdefault(leak.column, leak)
    return list(found.values())


def _choose_columns(
    columns: Sequence[Column], rows: NDArray[np.int64], sides: Sequence[Floats]
) -> list[NDArray[np.int64]]:
    """Choose the columns of the largest weights of least squares, for each class, where there are many."""
    import numpy as np

    if len(columns) <= MOST:
        return [np.arange(len(columns))] * len(sides)
    some = np.random.default_rng(0).permutation(rows.size)[: 4 * len(columns) + TELLING]
    matrix = np.stack([column.data[rows[some]] for column in columns], axis=1)
    matrix -= matrix.mean(axis=0)
    scales = matrix.std(axis=0)
    matrix /= np.where(scales > 0, scales, 1.0)
    gram = matrix.T @ matrix + RIDGE * some.size * np.eye(len(columns))
    weights = np.linalg.solve(gram, matrix.T @ np.stack([side[some] - side[some].mean() for side in sides], axis=1))
    return [np.sort(np.argsort(-np.abs(one), kind="stable")[:MOST]) for one in weights.T]


def _find_plane(matrix: Floats, sides: Floats) -> Plane | None:
    """Find a plane of few columns that has no row on the wrong side, and runs where rows are dense."""
    import numpy as np

    near = max(NEAR, 2 * matrix.shape[1])
    if min((sides > 0).sum(), (sides < 0).sum()) < SHARE * near:
        return None
    places = tuple(range(matrix.shape[1]))
    look = np.random.default_rng(0).permutation(sides.size)[: 4 * len(places) + SPARE_ROWS]
    plane = _separate(matrix, sides, places, look)
    if plane is None:
        return None
    # Those that decide, without the columns that are not needed; the smallest weights go first.
    for place in [places[at] for at in np.argsort(np.abs(plane.weights), kind="stable").tolist()]:
        fewer = tuple(one for one in plane.places if one != place)
        scores = matrix[:, list(plane.places)] @ plane.weights + plane.offset
        nearest = np.argsort(np.abs(scores), kind="stable")[: look.size]
        plane = (_separate(matrix, sides, fewer, nearest) if len(fewer) > 1 else None) or plane
    if len(plane.places) > MOST_NAMED:
        return None
    scores = matrix[:, list(plane.places)] @ plane.weights + plane.offset
    return plane if _runs_through(scores, sides, near) else None


def _runs_through(scores: Floats, sides: Floats, near: int) -> bool:
    """Whether rows are as dense at the plane as they usually are, on both sides of it and right up to it."""
    import numpy as np

    ups, downs = np.sort(scores[sides > 0])[:near], -np.sort(-scores[sides < 0])[:near]
    usual = float(np.quantile(scores, 0.9) - np.quantile(scores, 0.1)) / (0.8 * scores.size)
    few = near // 4
    narrow = float(ups[few - 1] - downs[few - 1])
    widths = (float(ups[-1] - downs[0]), float(ups[0] - downs[-1]))  # of either side, with the gap
    distinct = min(np.unique(ups).size, np.unique(downs).size) > near // 2
    return distinct and max(widths) <= SPARSE * usual * near and narrow <= EVEN * float(ups[-1] - downs[-1])


def _separate(matrix: Floats, sides: Floats, places: Sequence[int], look: NDArray[np.int64]) -> Plane | None:
    """Separate a few rows, then add those on the wrong side, until there are none or it cannot be."""
    import numpy as np

    used, rows = matrix[:, list(places)], look
    for _ in range(ROUNDS):
        solved = _solve(used[rows], sides[rows])
        if solved is None:
            return None
        distances = sides * (used @ solved[0] + solved[1])
        wrong = np.flatnonzero(distances <= 0)
        if not wrong.size:
            return Plane(tuple(places), *solved)
        rows = np.union1d(rows, wrong[np.argsort(distances[wrong], kind="stable")[:ADDED]])
    return None


def _solve(matrix: Floats, sides: Floats) -> tuple[Floats, float] | None:
    """Give the plane that is farthest from all rows (of weights up to 1 each: a linear program), if there is one."""
    import numpy as np
    from scipy.optimize import linprog

    n, p = matrix.shape
    rules = np.column_stack([-sides[:, None] * matrix, -sides, np.ones(n)])
    bounds = [*[(-1.0, 1.0)] * p, (None, None), (None, 1.0)]
    told = linprog(np.append(np.zeros(p + 1), -1.0), A_ub=rules, b_ub=np.zeros(n), bounds=bounds, method="highs")
    if not told.success or not told.x[-1] > LEAST:
        return None
    return np.asarray(told.x[:p], dtype=np.float64), float(told.x[p])


def _is_lucky(plane: Plane, sides: Floats, n_columns: int, n_classes: int) -> bool:
    import numpy as np
    from scipy.special import comb, gammaln, logsumexp

    n, terms = sides.size, np.arange(len(plane.places) + 1)
    ways = (np.log(2) + logsumexp(gammaln(n) - gammaln(terms + 1) - gammaln(n - terms))) / np.log(10)
    n_up = int((sides > 0).sum())
    return is_luck(float(ways) - count_deals([n_up, n - n_up]), n_classes * float(comb(n_columns, len(plane.places))))


def _tell(  # noqa: PLR0913, PLR0917 -- a plane, in the units of the table
    sheet: Sheet, one: int, used: Sequence[Column], weights: Floats, offset: float, sides: Floats
) -> list[Leak]:
    import numpy as np

    label = sheet.class_names[one]
    scale = float(np.abs(weights).max())
    sign = 1.0
    if len(sheet.class_names) == 2:  # noqa: PLR2004 -- the second of two is the one that is spoken of
        label, sign = sheet.class_names[1], -1.0
    weights, offset = sign * weights / scale, sign * offset / scale
    terms = " ".join(f"{weight:+.6g}·{column.name}" for weight, column in zip(weights, used, strict=True))
    n_up = int((sign * sides > 0).sum())
    says = (
        f"{sheet.target} = {label} where {terms} > {-offset:.6g}: {n_up:,} rows on that side and "
        f"{sides.size - n_up:,} on the other, with no mistake and no gap"
    )
    names = tuple(column.name for column in used)
    facts = {"class": label, "weights": weights.tolist(), "threshold": -offset, "rows": int(sides.size)}
    return [Leak(name, "separation", says, (name, *(n for n in names if n != name)), dict(facts)) for name in names]
