"""Every figure that the tables of a task have something for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tahoe_engine.figures.calibration import draw_calibration
from tahoe_engine.figures.candidates import draw_candidates
from tahoe_engine.figures.comparison import draw_comparison
from tahoe_engine.figures.confusion import draw_confusion
from tahoe_engine.figures.curves import draw_curves
from tahoe_engine.figures.importances import draw_importances
from tahoe_engine.figures.overview import draw_overview
from tahoe_engine.figures.points import draw_points

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from tahoe_engine.figures.judged import Judged

# By the name of the table that is drawn, which is the name of the figure, too.
FIGURES: Final = {
    "points": draw_points,
    "confusion": draw_confusion,
    "calibration": draw_calibration,
    "curves": draw_curves,
    "candidates": draw_candidates,
    "importances": draw_importances,
    "comparison": draw_comparison,
}


def draw_figures(tables: Mapping[str, pl.DataFrame], judged: Judged) -> dict[str, bytes]:
    """Draw all there is to draw.

    Parameters
    ----------
    tables : mapping of str to polars.DataFrame
        By name: ``points``, ``confusion``, ``calibration``, ``curves``, ``candidates``, ``importances``,
        ``comparison``, as `tahoe_engine.schema.models` has them; others are not looked at.
    judged : Judged
        The metrics, and on what models are judged.

    Returns
    -------
    dict of str to bytes
        Files by name, each figure as a drawing (svg) and a picture (png): the same bytes for the same input.

    Raises
    ------
    ConfigError
        If matplotlib is not installed.

    Examples
    --------
    >>> import polars as pl
    >>> row = dict(model="ridge", mode="honest", split="test", group=None, metric="r2", value=0.5, low=0.4, high=0.6)
    >>> metrics = pl.DataFrame([row | {"n": 100, "baseline": 0.0}], schema_overrides={"group": pl.String})
    >>> sorted(draw_figures({}, Judged(metrics, "r2")))
    ['overview.png', 'overview.svg']
    """
    drawn = draw_overview(judged)
    for name, draw in FIGURES.items():
        if name in tables:
            drawn |= draw(tables[name], judged)
    return drawn
