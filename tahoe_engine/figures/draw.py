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
from tahoe_engine.figures.scores import Scores
from tahoe_engine.schema import SPLIT, SPLITS, TEST, VALIDATION

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl


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


def draw_figures(tables: Mapping[str, pl.DataFrame], scores: Scores | None = None) -> dict[str, bytes]:
    """Draw all there is to draw.

    Parameters
    ----------
    tables : mapping of str to polars.DataFrame
        By name: ``metrics``, ``tests``, ``points``, ``confusion``, ``calibration``, ``curves``, ``candidates``,
        ``importances``, ``comparison``, as `tahoe_engine.schema.models` has them; others are not looked at.
    scores : Scores, optional
        The metrics, and on what models are judged; by default what the tables say.

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
    >>> sorted(draw_figures({"metrics": metrics}))
    ['overview.png', 'overview.svg']
    """
    scores = find_scores(tables) if scores is None else scores
    # One fold says little; where that is all there is, the comparison shows the mean over all of them.
    single = scores.split not in SPLITS and "comparison" in tables
    drawn = {} if single else draw_overview(scores)
    for name, draw in FIGURES.items():
        if name in tables:
            drawn |= draw(tables[name], scores)
    return drawn


def find_scores(tables: Mapping[str, pl.DataFrame]) -> Scores:
    """Find by which metric, and on which split, models are judged.

    Parameters
    ----------
    tables : mapping of str to polars.DataFrame
        As `draw_figures` takes them.

    Returns
    -------
    Scores
        By the tests, else by the metrics: the held-out split that is there, and the first metric.

    Examples
    --------
    >>> find_scores({}).split
    'test'
    """
    import polars as pl

    metrics = tables.get("metrics")
    if metrics is None or not metrics.height:
        return Scores()
    tests = tables.get("tests")
    if tests is not None and tests.height:
        return Scores(metrics, tests["metric"][0], tests[SPLIT][0])
    there = set(metrics[SPLIT])
    split = next(name for name in (SPLITS[TEST], SPLITS[VALIDATION], *sorted(there)) if name in there)
    return Scores(metrics, metrics.filter(pl.col(SPLIT) == split)["metric"][0], split)
