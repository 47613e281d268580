"""Predicted against true values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tahoe_engine.figures.canvas import draw_sheet, lay_panels
from tahoe_engine.figures.names import clean_name, tell_some
from tahoe_engine.figures.scores import LARGEST, Scores
from tahoe_engine.figures.style import BASELINE, SEQUENTIAL
from tahoe_engine.schema import MODEL, SPLIT

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

PANELS: Final = 9
COLUMNS: Final = 3
EDGES: Final = ("y_low", "y_high", "y_pred_low", "y_pred_high")


def draw_points(points: pl.DataFrame, scores: Scores) -> dict[str, bytes]:
    """Draw how often which value was predicted for which.

    Parameters
    ----------
    points : polars.DataFrame
        As `tahoe_engine.schema.models.POINTS` has it.
    scores : Scores
        What is written beside.

    Returns
    -------
    dict of str to bytes
        ``points.svg`` and ``points.png``; empty where there is nothing to draw.
    """
    import polars as pl

    there = points.filter(
        pl.col(SPLIT) == scores.split, pl.col("n") > 0, *(pl.col(name).abs() <= LARGEST for name in EDGES)
    )
    ranked = scores.rank(there[MODEL])
    if not ranked:
        return {}
    models = ranked[:PANELS]
    n = max(int(there.filter(pl.col(MODEL) == model)["n"].sum()) for model in models)
    some = tell_some(len(models), len(ranked), "models")
    columns, rows = min(COLUMNS, len(models)), -(-len(models) // COLUMNS)

    def paint(figure: Figure) -> None:
        from matplotlib.colors import LogNorm

        shade = LogNorm(1, max(2, int(there["n"].max() or 1)))  # type: ignore[arg-type]
        panels = lay_panels(figure, len(models), COLUMNS)
        for panel, model in zip(panels, models, strict=True):
            cells = there.filter(pl.col(MODEL) == model)
            low = min(float(cells[name].min()) for name in EDGES)  # type: ignore[arg-type]
            high = max(float(cells[name].max()) for name in EDGES)  # type: ignore[arg-type]
            _fill(panel, cells, shade)
            panel.plot([low, high], [low, high], color=BASELINE, linewidth=1, linestyle="--")
            room = (high - low) * 0.03 or abs(high) * 0.03 or 1.0
            panel.set_xlim(low - room, high + room)
            panel.set_ylim(low - room, high + room)
            panel.set_title(f"{clean_name(model)}\n{scores.tell(model)}")
            panel.locator_params(nbins=5)
        for panel in panels[-columns:]:
            panel.set_xlabel(f"true {scores.name_target()}")
        for panel in panels[::columns]:
            panel.set_ylabel("predicted")
        _add_scale(figure, panels, shade)

    return draw_sheet(
        "points",
        paint,
        size=(3.1 * columns + 1.4, 3.1 * rows + 1.1),
        title="Predicted against true",
        caption=(
            f"Rows of the split {scores.name_split()}: {n:,} for each model at most. Darker: more rows. On the "
            f"dashed line the prediction is the truth.{some} Numbers: points.parquet, metrics.parquet."
        ),
    )


def _fill(panel: Axes, cells: pl.DataFrame, shade: LogNorm) -> None:
    import numpy as np
    from matplotlib.collections import PolyCollection

    x0, x1, y0, y1 = (cells[name].to_numpy() for name in EDGES)
    corners = np.stack([np.stack(pair, axis=1) for pair in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))], axis=1)
    # A baseline predicts one value: its cells have no height, and only their outline can be seen.
    panel.add_collection(
        PolyCollection(
            list(corners),
            array=cells["n"].to_numpy().astype(np.float64),
            norm=shade,
            cmap=SEQUENTIAL,
            edgecolors="face",
            linewidths=0.8,
            rasterized=True,
        ),
        autolim=False,
    )


def _add_scale(figure: Figure, panels: list[Axes], shade: LogNorm) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import FuncFormatter, NullLocator

    bar = figure.colorbar(ScalarMappable(shade, SEQUENTIAL), ax=panels, shrink=0.6, label="rows")
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    bar.ax.yaxis.set_minor_locator(NullLocator())
