"""What models go by: permutation importances, coefficients, impurity importances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.figures.canvas import draw_sheet, lay_panels
from tahoe_engine.figures.names import LONGEST, clean_name
from tahoe_engine.figures.scores import Scores, finite, name_metric
from tahoe_engine.figures.style import BASELINE, OTHER, OURS
from tahoe_engine.schema import MODEL

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS: Final = 8
COLUMNS: Final = 2
BARS: Final = 15
METRIC: Final = "<metric>"
KINDS: Final = {  # in order of how far they can be trusted; and their axes
    "permutation": f"loss of {METRIC} when shuffled",
    "coefficient": "coefficient (scaled features)",
    "impurity": "share of impurity",
}


def draw_importances(importances: pl.DataFrame, scores: Scores) -> dict[str, bytes]:
    """Draw the most important features of each model, by each kind of importance.

    Parameters
    ----------
    importances : polars.DataFrame
        As `tahoe_engine.schema.models.IMPORTANCES` has it.
    scores : Scores
        Gives the order of the models and names the metric.

    Returns
    -------
    dict of str to bytes
        ``importances.svg`` and ``importances.png``; empty where there is nothing to draw.
    """
    import polars as pl

    ranked = scores.rank(importances[MODEL])
    order = {kind: i for i, kind in enumerate(KINDS)}
    found = []
    for model in ranked:
        mine = importances.filter(pl.col(MODEL) == model)
        for kind in sorted(set(mine["kind"]), key=lambda kind: (order.get(kind, len(order)), kind)):
            bars = _choose_bars(mine.filter(pl.col("kind") == kind))
            if bars:
                found.append((model, kind, bars))
    if not found:
        return {}
    shown = found[:PANELS]
    some = f" {len(shown)} of {len(found)} panels are shown." if len(found) > len(shown) else ""
    longest = max(len(bars) for *_, bars in shown)
    columns, rows = min(COLUMNS, len(shown)), -(-len(shown) // COLUMNS)

    def paint(figure: Figure) -> None:
        for panel, (model, kind, bars) in zip(lay_panels(figure, len(shown), COLUMNS), shown, strict=True):
            _draw_bars(panel, bars)
            panel.set_title(clean_name(model))
            axis = KINDS.get(kind) or clean_name(kind)
            panel.set_xlabel(axis.replace(METRIC, name_metric(scores.metric) if scores.metric else "the metric"))

    return draw_sheet(
        "importances",
        paint,
        size=(5.6 * columns + 0.4, (0.19 * longest + 1.0) * rows + 1.0),
        title="Importances",
        caption=(
            f"At most {BARS} features a panel, the largest first; equal ones share a number. Lines: one "
            "standard deviation over the permutations. Zero is a feature the model does not need (a baseline "
            f"needs none). Orange, hatched: negative.{some} Importance is not cause; of features that say the "
            "same, each looks unimportant. Numbers: importances.parquet."
        ),
    )


def _choose_bars(mine: pl.DataFrame) -> list[dict[str, Any]]:
    rows = [{**row, "value": finite(row["value"]), "sd": finite(row["sd"])} for row in mine.iter_rows(named=True)]
    there = [row for row in rows if row["value"] is not None]
    # By size, not by rank: where there is one coefficient a class, each class has its own ranks.
    return sorted(there, key=lambda row: (-abs(row["value"]), row["rank"]))[:BARS]


def _draw_bars(panel: Axes, bars: list[dict[str, Any]]) -> None:
    places = range(len(bars))
    values = [bar["value"] for bar in bars]
    drawn = panel.barh(places, values, color=[OTHER if value < 0 else OURS for value in values], height=0.7)
    for patch, value in zip(drawn, values, strict=True):
        if value < 0:
            patch.set_hatch("////")
            patch.set_edgecolor("white")
    spread = [(i, bar["value"], bar["sd"]) for i, bar in enumerate(bars) if bar["sd"] is not None]
    if spread:
        at, middle, sd = zip(*spread, strict=True)
        panel.errorbar(middle, at, xerr=sd, fmt="none", ecolor="black", elinewidth=1, capsize=2)
    panel.axvline(0, color=BASELINE, linewidth=1)
    panel.set_yticks(places, [_name_bar(bar) for bar in bars], fontsize=8)
    panel.set_ylim(len(bars) - 0.4, -0.6)
    panel.locator_params(axis="x", nbins=5)


def _name_bar(bar: dict[str, Any]) -> str:
    of = f" [{clean_name(bar['class'], 14)}]" if bar["class"] is not None else ""
    return f"{bar['rank']}. {clean_name(bar['feature'], 24 if of else LONGEST)}{of}"
