"""All estimators on all sets of features, over the folds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tahoe_engine.figures.canvas import draw_sheet
from tahoe_engine.figures.dots import HEIGHT, Dot, draw_dots
from tahoe_engine.figures.names import clean_name, tell_some
from tahoe_engine.figures.scores import Scores, finite, is_error, name_metric
from tahoe_engine.figures.style import COLOURS, MARKERS
from tahoe_engine.schema import MODEL

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST: Final = 40


def draw_comparison(comparison: pl.DataFrame, scores: Scores) -> dict[str, bytes]:
    """Draw the mean over the folds of each model on each set of features.

    Parameters
    ----------
    comparison : polars.DataFrame
        As `tahoe_engine.schema.models.COMPARISON` has it.
    scores : Scores
        Whose metric is drawn, or the first there is.

    Returns
    -------
    dict of str to bytes
        ``comparison.svg`` and ``comparison.png``; empty where there is nothing to draw.
    """
    import polars as pl

    there = comparison.filter(pl.col("mean").is_finite())
    if not there.height:
        return {}
    metric = scores.metric if scores.metric in there["metric"] else str(there["metric"][0])
    every = there.filter(pl.col("metric") == metric).sort("mean", descending=not is_error(metric), maintain_order=True)
    shown = every.head(MOST)
    sets = list(dict.fromkeys(shown["set"].sort()))
    dots = []
    for row in shown.iter_rows(named=True):
        mean, sd = finite(row["mean"]), finite(row["sd"])
        low, high = (None, None) if mean is None or sd is None else (mean - sd, mean + sd)
        dots.append(Dot(clean_name(row[MODEL]), mean, low, high, finite(row["baseline"]), look=sets.index(row["set"])))
    some = tell_some(shown.height, every.height, "lines")

    folds, n = (max(shown[name].to_list()) for name in ("folds", "n"))

    def paint(figure: Figure) -> None:
        panel = figure.add_subplot()
        draw_dots(panel, dots)
        panel.set_xlabel(f"{name_metric(metric)} of {scores.name_target()}")
        if len(sets) > 1:
            _name_sets(panel, sets)

    return draw_sheet(
        "comparison",
        paint,
        size=(9.5, HEIGHT * len(dots) + 2.1),
        title="Estimators and sets of features",
        caption=(
            f"Mean over {folds} folds of held-out groups ± one standard deviation, "
            f"{n:,} rows. Upright bar: the best model that looks at no feature, same "
            f"folds. An arrow: out of the picture.{some} Numbers: comparison.parquet."
        ),
    )


def _name_sets(panel: Axes, sets: list[str]) -> None:
    from matplotlib.lines import Line2D

    some = sets[: len(COLOURS)]  # beyond that marks come again; the names of the lines have the sets
    handles = [
        Line2D([], [], color=COLOURS[i], marker=MARKERS[i], linestyle="", label=str(i)) for i in range(len(some))
    ]
    legend = panel.legend(handles=handles, title="set", loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    for text, name in zip(legend.get_texts(), some, strict=True):
        text.set_text(clean_name(name, 20) if name else "none")
