"""Columns that tell classes apart without a mistake, alone or tied to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.leaks.chance import count_deals, is_luck
from tahoe_engine.leaks.leak import Leak

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.leaks.sheet import Sheet

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

BINARY: Final = 2
FEW: Final = 8  # a class, or its rest, of fewer rows may well stand at the end of an honest column
PAIRS: Final = 200  # of a row of either: among fewer a strong effect may well have none in disorder
MOST_CLASSES: Final = 1000


def find_separating(sheet: Sheet) -> list[Leak]:
    """Find columns on one side of which a class lies alone: AUC 1, or 0.

    Parameters
    ----------
    sheet : Sheet
        With a target of classes; of more than two, each is looked at against all others.

    Returns
    -------
    list of Leak
        Of kind auc; of a column with missing values, whether a value is missing is looked at, too.
    """
    import numpy as np

    classes = sheet.classes
    n_classes = len(sheet.class_names)
    if classes is None or not BINARY <= n_classes <= MOST_CLASSES:
        return []
    n_tried = 2 * len(sheet.columns) * (1 if n_classes == BINARY else n_classes)
    found = []
    for column in sheet.columns:
        known = column.known
        leak = _judge(sheet, column.name, column.data[known], classes[known], n_tried)
        if leak is None and not known.all():
            leak = _judge(sheet, column.name, np.isnan(column.data).astype(float), classes, n_tried, missing=True)
        if leak is not None:
            found.append(leak)
    return found


def _judge(  # noqa: PLR0913 -- a column, of values or of gaps
    sheet: Sheet, name: str, x: Floats, classes: Codes, n_tried: int, *, missing: bool = False
) -> Leak | None:
    import numpy as np

    n_classes = len(sheet.class_names)
    counts = np.bincount(classes, minlength=n_classes)
    there = np.flatnonzero(counts)
    if there.size < BINARY:
        return None
    lows, highs = np.full(n_classes, np.inf), np.full(n_classes, -np.inf)
    np.minimum.at(lows, classes, x)
    np.maximum.at(highs, classes, x)
    apart = []
    top, second = np.sort(highs[there])[-1:-3:-1]
    bottom, next_one = np.sort(lows[there])[:2]
    for one in there:
        above = lows[one] > (second if highs[one] == top else top)
        below = highs[one] < (next_one if lows[one] == bottom else bottom)
        if not above and not below:
            continue
        n_one, n_rest = int(counts[one]), int(x.size - counts[one])
        luck = -count_deals([n_one, n_rest])
        if min(n_one, n_rest) >= FEW and n_one * n_rest >= PAIRS and not is_luck(luck, n_tried):
            apart.append((int(one), 1.0 if above else 0.0, n_one, n_rest, luck))
    if not apart:
        return None
    last, auc, n_one, n_rest, luck = apart[-1]
    label = sheet.class_names[last]
    what = f"whether {name} is missing" if missing else name
    says = f"{what} separates {sheet.target} = {label} ({n_one:,} rows) from the rest ({n_rest:,}): AUC 1.0"
    if not missing:
        edge = lows[last] if auc == 1 else highs[last]
        says += f", all {'from' if auc == 1 else 'up to'} {edge:.6g}"
    facts: dict[str, Any] = {
        "auc": 1.0,
        "sign": 1 if auc == 1 else -1,
        "classes": [sheet.class_names[entry[0]] for entry in apart],
        "missing": missing,
        "log10_luck": luck,
    }
    return Leak(name, "auc", says, (name,), facts)
