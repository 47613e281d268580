"""All models of a task in one figure: metric, interval and baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tahoe_engine.figures.canvas import draw_sheet
from tahoe_engine.figures.dots import HEIGHT, Dot, draw_dots
from tahoe_engine.figures.judged import Judged, name_metric
from tahoe_engine.figures.names import clean_name, tell_some
from tahoe_engine.schema import SPLITS, TRAIN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST: Final = 40


def draw_overview(judged: Judged) -> dict[str, bytes]:
    """Draw what each model reached, beside the best model that looks at no feature.

    Parameters
    ----------
    judged : Judged
        With the metrics.

    Returns
    -------
    dict of str to bytes
        ``overview.svg`` and ``overview.png``; empty where there is nothing to draw.
    """
    there = {
        model: number
        for (model, split, metric), number in judged.numbers.items()
        if split == judged.split and metric == judged.metric and number.value is not None
    }
    if not there:
        return {}
    ranked = judged.rank(there)
    shown = ranked[:MOST]
    dots = []
    for model in shown:
        number = there[model]
        train = judged.find(model, split=SPLITS[TRAIN])
        beside = (
            (train.value,) if train is not None and train.value is not None and judged.split != SPLITS[TRAIN] else ()
        )
        dots.append(Dot(clean_name(model), number.value, number.low, number.high, number.baseline, beside))
    some = tell_some(len(shown), len(ranked), "models")

    def paint(figure: Figure) -> None:
        panel = figure.add_subplot()
        draw_dots(panel, dots)
        panel.set_xlabel(f"{name_metric(judged.metric)} of {judged.name_target()}")

    return draw_sheet(
        "overview",
        paint,
        size=(9.0, HEIGHT * len(dots) + 1.8),
        title=f"{name_metric(judged.metric)} on the split {judged.name_split()}",
        caption=(
            f"Filled: {max(number.n for number in there.values()):,} rows of the split {judged.name_split()}, "
            "with a 95 % interval over its groups. Hollow: rows it was trained on. Upright bar: the best model "
            f"that looks at no feature. An arrow: out of the picture.{some} Numbers: metrics.parquet."
        ),
    )
