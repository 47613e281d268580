"""Learning curves: what training and held-out rows say as a model sees more rows, more passes, or another parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tahoe_engine.figures.canvas import draw_sheet, lay_panels, name_legend
from tahoe_engine.figures.names import clean_name
from tahoe_engine.figures.scores import LARGEST, Scores, name_metric
from tahoe_engine.figures.style import BASELINE, OTHER, OURS
from tahoe_engine.schema import MODEL

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS: Final = 12
COLUMNS: Final = 3
WIDE: Final = 50.0  # from such a ratio on, the axis of a parameter is logarithmic
KINDS: Final = {"epoch": "passes over the training rows", "rows": "training rows"}
PARTS: Final = ("train", "validation")
LOOKS: Final = ((OURS, "o", "-"), (OTHER, "s", "--"))


def draw_curves(curves: pl.DataFrame, scores: Scores) -> dict[str, bytes]:
    """Draw the metric on training and held-out rows.

    Parameters
    ----------
    curves : polars.DataFrame
        As `tahoe_engine.schema.models.CURVES` has it.
    scores : Scores
        Whose baseline is drawn, where it has the metric of the curve.

    Returns
    -------
    dict of str to bytes
        ``curves.svg`` and ``curves.png``; empty where there is nothing to draw.
    """
    import polars as pl

    there = curves.filter(pl.col("value").is_finite(), *(pl.col(name).abs() <= LARGEST for name in ("x", "value")))
    ranked = scores.rank(there[MODEL])
    place = {model: i for i, model in enumerate(ranked)}
    keys = sorted(set(there.select(MODEL, "curve", "metric").iter_rows()), key=lambda key: (place[key[0]], key[1:]))
    if not keys:
        return {}
    shown = keys[:PANELS]
    some = f" {len(shown)} of {len(keys)} curves are shown." if len(keys) > len(shown) else ""
    columns, rows = min(COLUMNS, len(shown)), -(-len(shown) // COLUMNS)

    def paint(figure: Figure) -> None:
        panels = lay_panels(figure, len(shown), COLUMNS)
        for panel, (model, curve, metric) in zip(panels, shown, strict=True):
            mine = there.filter(pl.col(MODEL) == model, pl.col("curve") == curve, pl.col("metric") == metric)
            _draw_lines(panel, mine)
            _draw_baseline(panel, scores, model, metric)
            panel.set_title(clean_name(model))
            panel.set_xlabel(KINDS.get(curve, clean_name(curve)))
            panel.set_ylabel(name_metric(metric))
        name_legend(panels[0], ["training rows", "held-out rows", "baseline"], loc="best")

    return draw_sheet(
        "curves",
        paint,
        size=(3.4 * columns + (1.6 if columns == 1 else 0.2), 2.6 * rows + 1.0),
        title="Learning curves",
        caption=(
            "Full line, circles: rows it was trained on. Dashed line, squares: held-out rows. Dotted: the best "
            f"model that looks at no feature, on the split {scores.name_split()}. A gap between the lines is "
            f"overfitting; two bad lines are underfitting.{some} Numbers: curves.parquet."
        ),
    )


def _draw_lines(panel: Axes, mine: pl.DataFrame) -> None:
    import polars as pl

    for number, (part, (colour, marker, line)) in enumerate(zip(PARTS, LOOKS, strict=True)):
        dots = mine.filter(pl.col("part") == part).sort("x")
        if dots.height:
            panel.plot(
                dots["x"].to_numpy(),
                dots["value"].to_numpy(),
                color=colour,
                marker=marker,
                linestyle=line,
                markersize=4,
                label=str(number),
            )
    low, high = float(mine["x"].min()), float(mine["x"].max())  # type: ignore[arg-type]
    if low > 0 and high / low >= WIDE:
        set_log_x(panel)
    else:
        panel.locator_params(axis="x", nbins=5)
    if panel.get_xscale() == "linear" and all(x == int(x) for x in mine["x"]):
        panel.locator_params(axis="x", integer=True)
    if low == high:
        panel.set_xlim(low - 1, high + 1) if low <= 1 else panel.set_xlim(low / 2, high * 2)


def set_log_x(panel: Axes) -> None:
    """Make an axis logarithmic; the library's own labels for it are in its mathematics."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_minor_formatter(NullFormatter())


def _draw_baseline(panel: Axes, scores: Scores, model: str, metric: str) -> None:
    number = scores.find(model, metric)
    if number is not None and number.baseline is not None:
        panel.axhline(number.baseline, color=BASELINE, linestyle=":", label="2")
