"""What was tried in a search, with ties shown as ties."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.figures.canvas import draw_sheet
from tahoe_engine.figures.dots import HEIGHT, Dot, draw_dots
from tahoe_engine.figures.names import clean_name, tell_some
from tahoe_engine.figures.scores import Scores, finite, name_metric
from tahoe_engine.schema import MODEL

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.figure import Figure

MODELS: Final = 4
LETTERS: Final = 90  # of what tells a candidate from others
MOST: Final = 20  # candidates of a model
TIED, UNTIED = 1, 0  # looks of a dot


def draw_candidates(candidates: pl.DataFrame, scores: Scores) -> dict[str, bytes]:
    """Draw the best of the candidates of each model.

    Parameters
    ----------
    candidates : polars.DataFrame
        As `tahoe_engine.schema.models.CANDIDATES` has it.
    scores : Scores
        Whose baseline is drawn, where it has the metric of the search.

    Returns
    -------
    dict of str to bytes
        ``candidates.svg`` and ``candidates.png``; empty where there is nothing to draw.
    """
    import polars as pl

    there = candidates.filter(pl.col("mean").is_finite())
    ranked = scores.rank(there[MODEL])
    if not ranked:
        return {}
    models = ranked[:MODELS]
    told = []
    for model in models:
        rows = list(there.filter(pl.col(MODEL) == model).sort("rank", maintain_order=True).iter_rows(named=True))
        told.append((model, rows))
    notes = f" {len(models)} of {len(ranked)} models are shown." if len(ranked) > len(models) else ""
    notes += tell_some(MOST, max(len(rows) for _, rows in told), "candidates of a model")
    heights = [HEIGHT * min(MOST, len(rows)) + 0.9 for _, rows in told]

    def paint(figure: Figure) -> None:
        grid = figure.add_gridspec(len(told), height_ratios=heights)
        for i, (model, rows) in enumerate(told):
            panel = figure.add_subplot(grid[i])
            draw_dots(panel, _make_dots(model, rows, scores), baselines=False, size=7)
            best = sum(row["rank"] == 1 for row in rows)
            ties = f"; {best} are equally good" if best > 1 else ""
            panel.set_title(f"{clean_name(model)}: {len(rows)} candidates{ties}")
            panel.set_xlabel(f"{name_metric(rows[0]['metric'])}, mean over {rows[0]['folds']} folds")

    return draw_sheet(
        "candidates",
        paint,
        size=(13.0, sum(heights) + 1.0),
        title="What was tried",
        caption=(
            "Mean over the folds ± one standard deviation; hollow: rows it was trained on. Star: chosen. "
            "Orange squares share their rank with another candidate: among them the choice was not made by the "
            "data. Upright bar: the best model that looks at no feature, on the split "
            f"{scores.name_split()}.{notes} Numbers: candidates.parquet."
        ),
    )


def _make_dots(model: str, rows: list[dict[str, Any]], scores: Scores) -> list[Dot]:
    names = name_candidates([row["parameters"] for row in rows])
    number = scores.find(model, rows[0]["metric"])
    baseline = None if number is None else number.baseline
    dots = []
    for name, row in list(zip(names, rows, strict=True))[:MOST]:
        mean, sd, train = (finite(row[key]) for key in ("mean", "sd", "train_mean"))
        low, high = (None, None) if mean is None or sd is None else (mean - sd, mean + sd)
        look = TIED if row["tied"] else UNTIED
        beside = () if train is None else (train,)
        dots.append(Dot(clean_name(name, LETTERS), mean, low, high, baseline, beside, look, starred=row["chosen"]))
    return dots


def name_candidates(parameters: list[str]) -> list[str]:
    """Name candidates by what tells them apart.

    Parameters
    ----------
    parameters : list of str
        JSON objects.

    Returns
    -------
    list of str
        Without the parameters that all share; as they are where they are no objects.

    Examples
    --------
    >>> name_candidates(['{"alpha": 1, "seed": 0}', '{"alpha": null, "seed": 0}'])
    ['alpha=1', 'alpha=null']
    """
    try:
        read = [json.loads(text) for text in parameters]
    except ValueError:
        return parameters
    if not all(isinstance(one, dict) for one in read):
        return parameters
    names = sorted({name for one in read for name in one})
    told = [{name: json.dumps(one[name], ensure_ascii=False) for name in names if name in one} for one in read]
    differing = [name for name in names if len({one.get(name) for one in told}) > 1] or names
    return [", ".join(f"{name}={one[name].strip(chr(34))}" for name in differing if name in one) for one in told]
