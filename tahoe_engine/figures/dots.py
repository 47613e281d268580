"""Numbers as dots on lines, one below the other, each with its interval and its baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tahoe_engine.figures.names import format_number
from tahoe_engine.figures.style import BASELINE, COLOURS, FAINT, MARKERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

FAR: Final = 8.0  # a dot without which the axis is so many times shorter becomes an arrow at its edge
FEW: Final = 3  # one in so many dots, at most
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


def draw_dots(panel: Axes, dots: Sequence[Dot], *, baselines: bool = True, size: float = 9.0) -> None:
    """Draw lines, the first on top.

    Parameters
    ----------
    panel : Axes
        Empty.
    dots : sequence of Dot
        At least one with a value.
    baselines : bool
        They must be in the picture; else only where they are near.
    size : float
        Of the letters of the names.
    """
    left, right = find_limits(dots, baselines=baselines)
    for i, dot in enumerate(dots):
        colour = COLOURS[dot.look % len(COLOURS)]
        if dot.baseline is not None and left <= dot.baseline <= right:
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
    panel.locator_params(axis="x", nbins=6)
    panel.set_ylim(len(dots) - 0.4, -0.6)
    panel.set_yticks(range(len(dots)), [dot.name for dot in dots], fontsize=size)
    panel.grid(axis="y", color=FAINT, linewidth=0.4)
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


def find_limits(dots: Sequence[Dot], *, baselines: bool = True) -> tuple[float, float]:
    """Find the ends of the axis: those of all numbers, but for the few that lie far from all others.

    Parameters
    ----------
    dots : sequence of Dot
        The lines.
    baselines : bool
        The baselines must be in the picture; else only where they are near.

    Returns
    -------
    left, right : float
        With some room on either side.

    Examples
    --------
    >>> left, right = find_limits([Dot("", x) for x in (0.1, 0.2, 0.3, 0.4, -1000.0)])
    >>> round(left, 3), round(right, 3)
    (0.085, 0.415)
    >>> left, right = find_limits([Dot("", x, baseline=9.0) for x in (1.0, 1.5, 2.0)])
    >>> left < 1.0, right > 9.0
    (True, True)
    """
    core = sorted({dot.value for dot in dots if dot.value is not None})
    spare = len(core) // FEW
    while spare and len(core) > FEW:
        without = core[1:] if core[1] - core[0] > core[-1] - core[-2] else core[:-1]
        if core[-1] - core[0] < FAR * (without[-1] - without[0]):
            break
        core, spare = without, spare - 1
    near = core or [0.0]
    span = near[-1] - near[0] or abs(near[0]) or 1.0
    kept = [dot.baseline for dot in dots if dot.baseline is not None]
    if not baselines:
        kept = [x for x in kept if near[0] - FAR * span <= x <= near[-1] + FAR * span]
    low, high = min(near + kept), max(near + kept)
    # Ends of intervals and other numbers of a line widen the picture, but only so far.
    others = [x for dot in dots for x in (dot.low, dot.high, *dot.beside) if x is not None]
    span = high - low or abs(high) or 1.0
    low = min([low, *(max(x, low - span) for x in others if x < low)])
    high = max([high, *(min(x, high + span) for x in others if x > high)])
    room = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return low - room, high + room
