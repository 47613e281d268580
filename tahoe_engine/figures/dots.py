"""Numbers as dots on lines, one below the other, each with its interval and its baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tahoe_engine.figures.names import format_number
from tahoe_engine.figures.style import BASELINE, COLOURS, FAINT, MARKERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

FAR: Final = 3.0  # times the spread of the middle half: farther out a dot becomes an arrow at the edge
HEIGHT: Final = 0.24  # inches a line


@dataclass(frozen=True)
class Dot:
    """One line.

    Parameters
    ----------
    name : str
        Clean.
    value : float, optional
        None: only the name is there.
    low, high : float, optional
        Of its interval.
    baseline : float, optional
        A bar across the line.
    beside : tuple of float
        Other numbers on the line: small and hollow.
    look : int
        Number of colour and mark.
    starred : bool
        A star in place of the mark.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    baseline: float | None = None
    beside: tuple[float, ...] = ()
    look: int = 0
    starred: bool = False


def draw_dots(panel: Axes, dots: Sequence[Dot], *, told: bool = True) -> None:
    """Draw lines, the first on top.

    Parameters
    ----------
    panel : Axes
        Empty.
    dots : sequence of Dot
        At least one with a value.
    told : bool
        Numbers are written at the right.
    """
    left, right = find_limits(dots)
    for i, dot in enumerate(dots):
        colour = COLOURS[dot.look % len(COLOURS)]
        if dot.baseline is not None:
            panel.plot([dot.baseline] * 2, [i - 0.4, i + 0.4], color=BASELINE, linewidth=2)
        if dot.low is not None and dot.high is not None:
            panel.plot([dot.low, dot.high], [i, i], color=colour, linewidth=1.5)
        beside = [x for x in dot.beside if left <= x <= right]
        panel.plot(beside, [i] * len(beside), "o", markersize=4, markerfacecolor="none", markeredgecolor=BASELINE)
        if dot.value is None:
            continue
        at = min(max(dot.value, left), right)
        mark = "<" if dot.value < left else ">" if dot.value > right else MARKERS[dot.look % len(MARKERS)]
        large = dot.starred and mark not in "<>"
        panel.plot([at], [i], "*" if large else mark, markersize=11 if large else 6, color=colour, clip_on=False)
    panel.set_xlim(left, right)
    panel.set_ylim(len(dots) - 0.4, -0.6)
    panel.set_yticks(range(len(dots)), [dot.name for dot in dots])
    panel.grid(axis="y", color=FAINT, linewidth=0.4)
    if told:
        other = panel.secondary_yaxis("right")
        other.set_yticks(range(len(dots)), [tell_dot(dot) for dot in dots], fontsize=8)
        other.tick_params(length=0)
        other.spines["right"].set_visible(False)


def tell_dot(dot: Dot) -> str:
    """Write a line's numbers.

    Parameters
    ----------
    dot : Dot
        The line.

    Returns
    -------
    str
        Value, interval and baseline.

    Examples
    --------
    >>> tell_dot(Dot("forest", 0.5, 0.4, 0.625, 0.25))
    '0.5 [0.4, 0.625], baseline 0.25'
    """
    interval = "" if dot.low is None or dot.high is None else f" [{format_number(dot.low)}, {format_number(dot.high)}]"
    return (
        format_number(dot.value)
        + interval
        + ("" if dot.baseline is None else f", baseline {format_number(dot.baseline)}")
    )


def find_limits(dots: Sequence[Dot]) -> tuple[float, float]:
    """Find the ends of the axis: those of all numbers, but for the few that lie far from all others.

    Parameters
    ----------
    dots : sequence of Dot
        The lines.

    Returns
    -------
    left, right : float
        With some room on either side.

    Examples
    --------
    >>> left, right = find_limits([Dot("", x) for x in (0.1, 0.2, 0.3, 0.4, -1000.0)])
    >>> -2 < left < 0.1, 0.4 < right < 0.5
    (True, True)
    """
    import numpy as np

    core = np.array([x for dot in dots for x in (dot.value, dot.baseline) if x is not None])
    every = np.array(
        [x for dot in dots for x in (dot.value, dot.baseline, dot.low, dot.high, *dot.beside) if x is not None]
    )
    low, high = float(every.min()), float(every.max())
    first, third = np.quantile(core, (0.25, 0.75)).tolist()
    if third > first:
        low, high = max(low, first - FAR * (third - first)), min(high, third + FAR * (third - first))
    room = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return low - room, high + room
