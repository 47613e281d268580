"""One column and the target: y = a·x + b."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tahoe_engine.leaks.chance import bound_luck, count_values, is_luck
from tahoe_engine.leaks.leak import Leak
from tahoe_engine.leaks.rounding import allow_residual, round_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.leaks.sheet import Column, Sheet

    Floats = NDArray[np.float64]

TELLING: Final = 500  # rows that are enough to see that a column does not fit


def fit_line(x: Floats, y: Floats) -> tuple[float, float, Floats]:
    """Fit y = slope·x + offset by least squares.

    Returns
    -------
    tuple
        Slope, offset, and the residuals.

    Examples
    --------
    >>> import numpy as np
    >>> slope, offset, left = fit_line(np.array([1.0, 2.0, 3.0]), np.array([3.0, 5.0, 7.0]))
    >>> slope, offset, float(abs(left).max())
    (2.0, 1.0, 0.0)
    """
    x_mean, y_mean = float(x.mean()), float(y.mean())
    centred = x - x_mean
    square = float(centred @ centred)
    slope = float(centred @ (y - y_mean)) / square if square > 0 else 0.0
    left = (y - y_mean) - slope * centred
    return slope, y_mean - slope * x_mean, left


def is_exact(left: Floats, spread: float, *steps: float) -> bool:
    """Tell whether residuals are none: 1e-6 of the spread on average, or within the rounding at every row.

    Examples
    --------
    >>> import numpy as np
    >>> is_exact(np.array([0.0, 1e-7]), 1.0), is_exact(np.array([0.0, 1e-5]), 1.0)
    (True, False)
    """
    import numpy as np

    if not left.size or spread <= 0:
        return False
    mean_square = float(np.sqrt(np.mean(left * left)))
    return mean_square <= allow_residual(spread) or float(np.abs(left).max()) <= allow_residual(spread, *steps)


def find_affine(sheet: Sheet) -> list[Leak]:
    """Find columns of which the target is a·x + b.

    Parameters
    ----------
    sheet : Sheet
        With a target that is a number.

    Returns
    -------
    list of Leak
        Of kind affine.
    """
    if sheet.numbers is None:
        return []
    return [leak for column in sheet.columns if (leak := _judge_line(sheet, column, sheet.numbers)) is not None]


def _judge_line(sheet: Sheet, column: Column, target: Column) -> Leak | None:
    import numpy as np

    known = column.known
    some = np.flatnonzero(known)[:TELLING]
    if some.size < known.sum():
        # A quick look that spares the whole column: the line through a part of it misses that part already.
        slope, _, left = fit_line(column.data[some], target.data[some])
        if not is_exact(left, float(target.data.std()), target.step, abs(slope) * column.step):
            return None
    x, y = column.data[known], target.data[known]
    slope, offset, left = fit_line(x, y)
    spread = float(y.std()) if y.size else 0.0
    if slope == 0 or not is_exact(left, spread, target.step, abs(slope) * column.step):
        return None
    luck = bound_luck(count_values(round_values(y)), 2)
    if is_luck(luck, len(sheet.columns)):
        return None
    residual = float(np.sqrt(np.mean(left * left))) / spread
    says = f"{sheet.target} = {write_line(slope, column.name, offset)} in all {y.size:,} rows that have both"
    facts = {"slope": slope, "offset": offset, "residual": residual, "rows": int(y.size), "log10_luck": luck}
    return Leak(column.name, "affine", f"{says} (residual {residual:.1g} of its sd)", (column.name,), facts)


def write_line(slope: float, name: str, offset: float) -> str:
    """Write a·x + b.

    Examples
    --------
    >>> write_line(2, "x", -1)
    '2·x - 1'
    """
    return f"{slope:.7g}·{name} {'-' if offset < 0 else '+'} {abs(offset):.6g}"
