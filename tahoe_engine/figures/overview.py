"""All models of a task in one figure: metric, interval and baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tahoe_engine.figures.canvas import draw_sheet
from tahoe_engine.figures.dots import HEIGHT, Dot, draw_dots
from tahoe_engine.figures.names import clean_name, tell_some
from tahoe_engine.figures.scores import Scores, name_metric
from tahoe_engine.schema import SPLITS, TRAIN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST: Final = 40


def draw_overview(scores: Scores) -> dict[str, bytes]:
    """Draw what each model reached, beside the best model that looks at no feature.

    Parameters
    ----------
    scores : Scores
        With the metrics.

    Returns
    -------
    dict of str to bytes
        ``overview.svg`` and ``overview.png``; empty where there is nothing to draw.
    """
    there = {
        model: number
        for (model, split, metric), number in scores.numbers.items()
        if split == scores.split and metric == scores.metric and number.value is not None
    }
    if not there:
        return {}
    ranked = scores.rank(there)
    shown = ranked[:MOST]
    dots = []
    for model in shown:
        number = there[model]
        train = scores.find(model, split=SPLITS[TRAIN])
        beside = (
            (train.value,) if train is not None and train.value is not None and scores.split != SPLITS[TRAIN] else ()
        )
        dots.append(Dot(clean_name(model), number.value, number.low, number.high, number.baseline, beside))
    some = tell_some(len(shown), len(ranked), "models")

    def paint(figure: Figure) -> None:
        panel = figure.add_subplot()
        draw_dots(panel, dots)
        panel.set_xlabel(f"{name_metric(scores.metric)} of {scores.name_target()}")

    return draw_sheet(
        "overview",
        paint,
        size=(9.0, HEIGHT * len(dots) + 1.8),
        title=f"{name_metric(scores.metric)} on the split {scores.name_split()}",
        caption=(
            f"Filled: {max(number.n for number in there.values()):,} rows of the split {scores.name_split()}, "
            "with a 95 % interval over its groups. Hollow: rows it was trained on. Upright bar: the best model "
            f"that looks at no feature. An arrow: out of the picture.{some} Numbers: metrics.parquet."
        ),
    )
