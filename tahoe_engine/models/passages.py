"""The passages of a card with the details: what was tried, how it was learnt, by what it goes, where it errs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.models.findings import show_figure
from tahoe_engine.models.markdown import escape_text, format_spread, format_value, quote_name, write_table
from tahoe_engine.schema import MODEL, SPLIT, Y_PRED, Y

if TYPE_CHECKING:
    import polars as pl

    from tahoe_engine.models.findings import Findings

MODELS: Final = 12  # of which is told
MOST: Final = 60  # lines of a table
FEATURES: Final = 5  # of a model and kind of importance
KINDS: Final = ("permutation", "coefficient", "impurity")  # in order of how far they can be trusted
CLASSES: Final = 20
MISTAKES: Final = 10
PARAMETERS: Final = 120  # letters


def tell_details(found: Findings) -> list[str]:
    """Tell all that there is a table for.

    Parameters
    ----------
    found : Findings
        All tables.

    Returns
    -------
    list of str
        Lines.
    """
    lines: list[str] = []
    for tell in (
        tell_comparison,
        tell_search,
        tell_curves,
        tell_points,
        tell_mistakes,
        tell_calibration,
        tell_importances,
    ):
        lines += tell(found)
    return lines


def tell_comparison(found: Findings) -> list[str]:
    """Tell of all estimators and sets, over the folds."""
    metric = found.scores.metric
    table = found.rows("comparison", metric=metric)
    if table is None:
        return []
    smaller = found.scores.smaller_is_better()
    ranked = table.sort("mean", descending=not smaller, nulls_last=True, maintain_order=True)
    rows = [
        (
            quote_name(row[MODEL]),
            quote_name(row["set"]) if row["set"] else "none" if row[MODEL] in found.baselines else "all",
            format_spread(row["mean"], row["sd"]),
            format_value(row["baseline"]),
            str(row["folds"]),
            f"{row['n']:,}",
        )
        for row in ranked.head(MOST).iter_rows(named=True)
    ]
    header = ("model", "features", f" {quote_name(metric)}, mean ± sd", " baseline", " folds", " n")
    best = ranked.row(0, named=True)
    alt = f"{metric} over folds, {table.height} lines; best: {best[MODEL]} {format_value(best['mean'])}"
    rest = [f"{table.height - MOST} more are in the table.", ""] if table.height > MOST else []
    figure = show_figure(found, "comparison", f"{alt}, baseline {format_value(best['baseline'])}")
    return ["## Estimators and sets of features, over the folds", "", *write_table(header, rows), *rest, *figure]


def tell_search(found: Findings) -> list[str]:
    """Tell what was tried, and ties as ties."""
    table = found.rows("candidates")
    if table is None:
        return []
    rows, ties = [], []
    for model, mine in found.sort(table):
        best = mine.filter(mine["rank"] == 1)
        for row in mine.filter(mine["chosen"]).iter_rows(named=True):
            told = (format_spread(row["mean"], row["sd"]), format_value(row["train_mean"]))
            place = (
                f"{row['rank']} (one of {best.height})" if best.height > 1 and row["rank"] == 1 else str(row["rank"])
            )
            parameters = quote_name(row["parameters"], PARAMETERS)
            number = found.scores.find(model, row["metric"])
            baseline = format_value(None if number is None else number.baseline)
            rows.append(
                (quote_name(model), str(mine.height), place, *told, baseline, quote_name(row["metric"]), parameters)
            )
        if best.height > 1:
            ties.append(
                f"- {quote_name(model)}: **{best.height} of {mine.height} candidates are equally good**; the first "
                "of them was taken, so its parameters were not found by the data."
            )
    header = (
        "model",
        " tried",
        " place",
        " mean ± sd over folds",
        " on training rows",
        " baseline",
        "metric",
        "chosen",
    )
    told_ties = "; ".join(f"{model}: {mine.height} candidates" for model, mine in found.sort(table)[:MODELS])
    lines = ["## What was tried", "", *write_table(header, rows[:MOST]), *ties[:MOST], *([""] if ties else [])]
    return lines + show_figure(found, "candidates", f"Candidates by their mean over the folds. {told_ties}")


def tell_curves(found: Findings) -> list[str]:
    """Tell where the learning curves begin and end."""
    table = found.rows("curves")
    if table is None:
        return []
    rows = []
    for model, mine in found.sort(table)[:MODELS]:
        for (curve, metric), dots in mine.sort("x", maintain_order=True).group_by(
            ["curve", "metric"], maintain_order=True
        ):
            xs = [dots["x"].min(), dots["x"].max()]
            cells = [_find_end(dots, part, x) for x in xs for part in ("train", "validation")]
            told = [f"{x:,.6g}" for x in xs if isinstance(x, float)]
            rows.append((quote_name(model), quote_name(str(curve)), quote_name(str(metric)), " … ".join(told), *cells))
    ends = (" training, first", " held out, first", " training, last", " held out, last")
    header = ("model", "curve", "metric", " from … to", *ends)
    alt = "Learning curves: training rows against held-out rows, with the baseline"
    return ["## How it is learnt", "", *write_table(header, rows[:MOST]), *show_figure(found, "curves", alt)]


def tell_points(found: Findings) -> list[str]:
    """Show predicted against true."""
    scores = found.scores
    table = found.rows("points", **{SPLIT: scores.split})
    if table is None:
        return []
    told = found.tell(model for model, _ in found.sort(table)[:MODELS])
    figure = show_figure(found, "points", f"Predicted against true values on {scores.split}. {told}")
    return ["## Predicted against true", "", *figure] if figure else []


def tell_mistakes(found: Findings) -> list[str]:
    """Tell which classes are told, and which are taken for which."""
    import polars as pl

    best, split = found.best(), found.scores.split
    table = found.rows("confusion", **{SPLIT: split})
    if table is None:
        return []
    lines = ["## Where it errs", ""]
    mine = None if best is None else found.rows("confusion", **{MODEL: best, SPLIT: split})
    if mine is not None and best is not None:
        of = dict(mine.group_by(Y).agg(pl.col("n").sum()).iter_rows())
        wrong = mine.filter((mine[Y] != mine[Y_PRED]) & (mine["n"] > 0)).sort("n", descending=True, maintain_order=True)
        rows = [
            (quote_name(row[Y]), quote_name(row[Y_PRED]), f"{row['n']:,}", format_value(row["n"] / of[row[Y]]))
            for row in wrong.head(MISTAKES).iter_rows(named=True)
        ]
        lines += [
            f"The most frequent mistakes of the best model, {quote_name(best)}:" if rows else "It made no mistake.",
            "",
        ]
        lines += write_table(("true", "predicted", " rows", " share of the true class"), rows)
        lines += _tell_classes(found, best)
    n = table[Y].n_unique()
    return lines + show_figure(
        found, "confusion", f"Confusion matrices on {split}, {n} classes, shares of the true class"
    )


def tell_calibration(found: Findings) -> list[str]:
    """Tell where probabilities are farthest from the truth."""
    import polars as pl

    split = found.scores.split
    table = found.rows("calibration", **{SPLIT: split})
    if table is None:
        return []
    gap = (pl.col("mean_predicted") - pl.col("observed")).abs()
    rows = []
    for model, mine in found.sort(table)[:MODELS]:
        there = mine.filter(pl.col("n") > 0, gap.is_finite())
        for row in there.sort(gap, descending=True, maintain_order=True).head(1).iter_rows(named=True):
            error = found.scores.find(model, "ece")
            told = (format_value(row["mean_predicted"]), format_value(row["observed"]), f"{row['n']:,}")
            ece = (None, None) if error is None else (error.value, error.baseline)
            rows.append((quote_name(model), *map(format_value, ece), quote_name(row["class"]), *told))
    header = ("model", " calibration error", " of the baseline", "farthest off: class", " said", " was", " n")
    figure = show_figure(found, "calibration", f"Predicted probability against observed share on {split}")
    return ["## Calibration", "", *write_table(header, rows), *figure]


def tell_importances(found: Findings) -> list[str]:
    """Tell by what the best models go."""
    table = found.rows("importances")
    if table is None:
        return []
    rows = []
    for model, mine in found.sort(table)[:MODELS]:
        for kind in sorted(set(mine["kind"]), key=_trust):
            these = mine.filter(mine["kind"] == kind).sort("rank", maintain_order=True)
            rows += [_tell_feature(model, row, these) for row in these.head(FEATURES).iter_rows(named=True)]
    header = ("model", "kind", " rank", "feature", "class", " value ± sd")
    told = "At most five a model and kind. Equal ones share a rank. Importance is not cause."
    figure = show_figure(found, "importances", "The most important features of each model")
    return ["## What it goes by", "", told, "", *write_table(header, rows[:MOST]), *figure]


def _trust(kind: str) -> tuple[int, str]:
    return KINDS.index(kind) if kind in KINDS else len(KINDS), kind


def _tell_feature(model: str, row: dict[str, Any], these: pl.DataFrame) -> tuple[str, ...]:
    equal = these.filter((these["rank"] == row["rank"]) & these["class"].eq_missing(row["class"])).height
    tied = f"{row['rank']} (of {equal})" if equal > 1 else str(row["rank"])
    of = "" if row["class"] is None else quote_name(row["class"])
    spread = format_spread(row["value"], row["sd"])
    return quote_name(model), escape_text(row["kind"]), tied, quote_name(row["feature"]), of, spread


def _tell_classes(found: Findings, best: str) -> list[str]:
    table = found.rows("classes", **{MODEL: best, SPLIT: found.scores.split})
    if table is None:
        return []
    worst = table.sort("f1", nulls_last=True, maintain_order=True)
    names = ("precision", "recall", "f1", "roc_auc")
    rows = [
        (quote_name(row["class"]), *(format_value(row[name]) for name in names), f"{row['support']:,}")
        for row in worst.head(CLASSES).iter_rows(named=True)
    ]
    some = f"The worst {CLASSES} of {table.height} classes:" if table.height > CLASSES else "By class, the worst first:"
    return [some, "", *write_table(("class", *(f" {name}" for name in names), " rows"), rows)]


def _find_end(dots: pl.DataFrame, part: str, x: object) -> str:
    there = dots.filter((dots["part"] == part) & (dots["x"] == x))
    return format_value(there["value"][-1] if there.height else None)
