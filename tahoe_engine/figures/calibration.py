"""Calibration: whether what is called probable is that frequent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tahoe_engine.figures.canvas import draw_sheet, lay_panels, name_legend
from tahoe_engine.figures.names import clean_name, tell_some
from tahoe_engine.figures.style import BASELINE, COLOURS, LINES, MARKERS
from tahoe_engine.schema import MODEL, SPLIT

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tahoe_engine.figures.scores import Scores

PANELS: Final = 6
COLUMNS: Final = 3
CLASSES: Final = 6  # lines in a panel


def draw_calibration(calibration: pl.DataFrame, scores: Scores) -> dict[str, bytes]:
    """Draw how often a class was there among the rows for which it was given that probability.

    Parameters
    ----------
    calibration : polars.DataFrame
        As `tahoe_engine.schema.models.CALIBRATION` has it.
    scores : Scores
        What is written beside.

    Returns
    -------
    dict of str to bytes
        ``calibration.svg`` and ``calibration.png``; empty where there is nothing to draw.
    """
    import polars as pl

    there = calibration.filter(
        pl.col(SPLIT) == scores.split,
        pl.col("n") > 0,
        pl.col("mean_predicted").is_finite(),
        pl.col("observed").is_finite(),
    )
    ranked = scores.rank(there[MODEL])
    if not ranked:
        return {}
    models = ranked[:PANELS]
    classes, every = _choose_classes(there)
    n = int(there.group_by(MODEL, "class").agg(pl.col("n").sum())["n"].max())  # type: ignore[arg-type]
    notes = tell_some(len(models), len(ranked), "models")
    notes += f" The {len(classes)} most frequent of {every} classes are shown." if every > len(classes) else ""
    columns, rows = min(COLUMNS, len(models)), -(-len(models) // COLUMNS)

    def paint(figure: Figure) -> None:
        panels = lay_panels(figure, len(models), COLUMNS)
        for panel, model in zip(panels, models, strict=True):
            _draw_classes(panel, there.filter(pl.col(MODEL) == model), classes)
            panel.set_title(f"{clean_name(model)}\n{scores.tell(model)}")
        for panel in panels[-columns:]:
            panel.set_xlabel("predicted probability")
        for panel in panels[::columns]:
            panel.set_ylabel("observed share")
        name_legend(panels[0], [clean_name(name, 18) for name in classes], loc="upper left", fontsize=7)

    return draw_sheet(
        "calibration",
        paint,
        size=(3.2 * columns + (1.6 if columns == 1 else 0.2), 3.2 * rows + 1.1),
        title="Calibration",
        caption=(
            f"Rows of the split {scores.name_split()}: {n:,}. On the dashed line probabilities are right; below "
            "it they are too high. Larger marks: more rows. Cross: the baseline that always gives a class its "
            f"share of the rows.{notes} Numbers: calibration.parquet."
        ),
    )


def _choose_classes(there: pl.DataFrame) -> tuple[list[str], int]:
    import polars as pl

    of = there.group_by("class").agg((pl.col("n") * pl.col("observed")).sum().alias("rows"))
    names = [name for name, _ in sorted(of.iter_rows(), key=lambda row: (-row[1], row[0]))]
    return names[:CLASSES], len(names)


def _draw_classes(panel: Axes, mine: pl.DataFrame, classes: list[str]) -> None:
    import numpy as np
    import polars as pl

    panel.plot([0, 1], [0, 1], color=BASELINE, linewidth=1, linestyle="--")
    for number, name in enumerate(classes):
        bins = mine.filter(pl.col("class") == name).sort("bin")
        if not bins.height:
            continue
        x, y, n = (bins[column].to_numpy().astype(np.float64) for column in ("mean_predicted", "observed", "n"))
        colour, marker = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
        panel.plot(x, y, color=colour, linewidth=1, linestyle=LINES[number % len(LINES)])
        panel.scatter(x, y, s=8 + 60 * n / n.max(), color=colour, marker=marker, alpha=0.8, label=str(number))
        share = float((y * n).sum() / n.sum())
        panel.scatter([share], [share], s=50, color=colour, marker="x")
    panel.set_xlim(-0.03, 1.03)
    panel.set_ylim(-0.03, 1.03)
    panel.set_aspect("equal")
