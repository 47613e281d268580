"""Confusion matrices: which class is taken for which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tahoe_engine.figures.canvas import draw_sheet, lay_panels
from tahoe_engine.figures.names import clean_name, tell_some
from tahoe_engine.figures.style import SHARES
from tahoe_engine.schema import MODEL, SPLIT, Y_PRED, Y

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from tahoe_engine.figures.scores import Scores

MANY: Final = 12  # from more classes on, fields have no numbers and one model is wide
NAMED: Final = 60  # from more classes on, names are left out
MOST: Final = 200  # more classes than a figure can show: the most frequent ones are
SHORT: Final = 5  # letters of names that are not turned
DARK: Final = 0.55  # of a row's share: white letters


def draw_confusion(confusion: pl.DataFrame, scores: Scores) -> dict[str, bytes]:
    """Draw the confusion matrix of each model: shares of the true class, with the counts where there is room.

    Parameters
    ----------
    confusion : polars.DataFrame
        As `tahoe_engine.schema.models.CONFUSION` has it.
    scores : Scores
        What is written beside.

    Returns
    -------
    dict of str to bytes
        ``confusion.svg`` and ``confusion.png``; empty where there is nothing to draw.
    """
    import polars as pl

    there = confusion.filter(pl.col(SPLIT) == scores.split, pl.col("n") > 0)
    ranked = scores.rank(there[MODEL])
    if not ranked:
        return {}
    classes = _list_classes(there.filter(pl.col(MODEL) == ranked[0]), there)
    few = len(classes) <= MANY
    models = ranked[: 6 if few else 2]
    columns = 3 if few else 1
    wide, rows = min(columns, len(models)), -(-len(models) // columns)
    edge = max(2.6, 0.5 * len(classes) + 0.8) if few else min(11.0, 0.15 * len(classes) + 4.0)
    n = max(int(there.filter(pl.col(MODEL) == model)["n"].sum()) for model in models)
    notes = tell_some(len(models), len(ranked), "models")
    every = there[Y].append(there[Y_PRED]).n_unique()
    notes += f" The {len(classes)} most frequent of {every} classes are shown." if every > len(classes) else ""

    def paint(figure: Figure) -> None:
        panels = lay_panels(figure, len(models), columns)
        for panel, model in zip(panels, models, strict=True):
            counts = _count(there.filter(pl.col(MODEL) == model), classes)
            _fill(panel, counts, few=few)
            _name_classes(panel, classes, longest=20 if few else 26)
            panel.set_title(f"{clean_name(model)}\n{scores.tell(model)}")
        for panel in panels[-wide:]:
            panel.set_xlabel("predicted class")
        for panel in panels[::columns]:
            panel.set_ylabel("true class")
        figure.colorbar(panels[0].images[0], ax=panels, shrink=0.6, label="share of the true class")

    return draw_sheet(
        "confusion",
        paint,
        size=(edge * wide + 2.2, edge * rows + 1.2),
        title="Confusion matrix",
        caption=(
            f"Rows of the split {scores.name_split()}: {n:,}. Colour: share of the rows of the true class, so "
            f"that each line adds up to one; numbers: rows. A baseline fills one column.{notes} Numbers: "
            "confusion.parquet."
        ),
    )


def _list_classes(first: pl.DataFrame, there: pl.DataFrame) -> list[str]:
    import polars as pl

    names = sorted(set(there[Y]) | set(there[Y_PRED]))
    if len(names) <= MOST:
        return names
    support = dict(first.group_by(Y).agg(pl.col("n").sum()).iter_rows())
    return sorted(sorted(names, key=lambda name: -support.get(name, 0))[:MOST])


def _count(mine: pl.DataFrame, classes: list[str]) -> NDArray[np.int64]:
    import numpy as np

    code = {name: i for i, name in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    for y, y_pred, n in mine.select(Y, Y_PRED, "n").iter_rows():
        if y in code and y_pred in code:
            counts[code[y], code[y_pred]] += n
    return counts


def _fill(panel: Axes, counts: NDArray[np.int64], *, few: bool) -> None:
    import numpy as np

    of = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, of, out=np.full(counts.shape, np.nan), where=of > 0)  # no rows: no colour
    panel.imshow(shares, cmap=SHARES, vmin=0, vmax=1, interpolation="nearest")
    if few:
        for i, j in np.argwhere(counts > 0).tolist():
            colour = "white" if shares[i, j] > DARK else "black"
            panel.text(j, i, f"{counts[i, j]:,}", ha="center", va="center", fontsize=7, color=colour)


def _name_classes(panel: Axes, classes: list[str], *, longest: int) -> None:
    if len(classes) > NAMED:
        panel.set_xticks([])
        panel.set_yticks([])
        return
    names = [clean_name(name, longest) for name in classes]
    size = 8 if len(classes) <= MANY else 6
    upright = max(map(len, names)) > SHORT or len(names) > MANY
    panel.set_xticks(range(len(names)), names, rotation=90 if upright else 0, fontsize=size)
    panel.set_yticks(range(len(names)), names, fontsize=size)
