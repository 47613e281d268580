"""The passages of a card with the results: each number beside its baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.evaluate.baselines import tell_better
from tahoe_engine.models.findings import show_figure
from tahoe_engine.models.markdown import (
    escape_text,
    format_interval,
    format_spread,
    format_value,
    quote_name,
    quote_names,
    write_table,
)
from tahoe_engine.schema import MODEL, SPLIT, SPLITS, TRAIN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tahoe_engine.models.findings import Findings

MODELS: Final = 60  # lines of a table; the rest is in its file
TOLD: Final = 12  # models in the words for a figure
OTHERS: Final = 8  # models whose other metrics are told
ENDS: Final = 3  # best and worst groups
CEILING: Final = (
    "The ceiling (`eta_squared`, and `eta_squared_adjusted` without its bias) is the most of R² that a function of "
    "drug, dose, line and plate alone could reach on these rows. Features measured on the cell itself know more, and "
    "may pass it: `explained_of_ceiling` is above 1 then. It is not given where the interval of the ceiling reaches 0."
)


def tell_results(found: Findings) -> list[str]:
    """Tell what the models reached.

    Parameters
    ----------
    found : Findings
        All tables.

    Returns
    -------
    list of str
        Lines.
    """
    scores = found.scores
    if not found.order:
        return []
    heading = f"{quote_name(scores.metric)} on the split {quote_name(scores.split)}, the best first:"
    if scores.split not in SPLITS:
        heading = f"{heading[:-1]}. **It is one fold of several**: go by the mean over all of them."
    lines = ["## Results", "", heading, ""]
    tests = {} if found.tests is None else {row[MODEL]: row for row in found.tests.iter_rows(named=True)}
    folds = found.rows("comparison", metric=scores.metric)
    spread = {} if folds is None else {row[MODEL]: row for row in folds.iter_rows(named=True)}
    rows = []
    for model in found.order[:MODELS]:
        number = scores.find(model)
        if number is None:
            continue
        over, train = spread.get(model, {}), scores.find(model, split=SPLITS[TRAIN])
        rows.append(
            (
                quote_name(model),
                format_interval(number.value, number.low, number.high),
                format_value(number.baseline),
                _tell_test(model, tests, found),
                f"{number.n:,}",
                format_spread(over.get("mean"), over.get("sd")),
                format_value(None if train is None else train.value),
            )
        )
    header = (
        "model",
        " value [95 % interval]",
        " baseline",
        "better?",
        " n",
        " mean ± sd over folds",
        " on training rows",
    )
    lines += write_table(header, rows)
    lines += _tell_rest(len(found.order), MODELS, "metrics")
    alt = f"{scores.metric} with interval and baseline on {scores.split}. {found.tell(found.order[:TOLD])}"
    lines += show_figure(found, "overview", alt, "metrics")
    return lines + tell_others(found) + tell_tests(found) + tell_verdicts(found) + tell_groups(found)


def tell_others(found: Findings) -> list[str]:
    """Tell the other metrics of the best models."""
    models = [model for model in found.order if model not in found.baselines][:OTHERS]
    rows = [
        (
            quote_name(model),
            quote_name(metric),
            format_interval(*number[:3]),
            format_value(number.baseline),
            f"{number.n:,}",
        )
        for wanted in models
        for (model, split, metric), number in found.scores.numbers.items()
        if model == wanted and split == found.scores.split and metric != found.scores.metric
    ]
    if not rows:
        return []
    table = write_table(("model", "metric", " value [95 % interval]", " baseline", " n"), rows)
    told = {metric for _, _, metric in found.scores.numbers}
    notes = [CEILING, ""] if "eta_squared" in told else []
    return [
        "### Other metrics",
        "",
        *table,
        *notes,
        *_tell_rest(len(found.order) - len(found.baselines), OTHERS, "metrics"),
    ]


def tell_tests(found: Findings) -> list[str]:
    """Tell whether anything beats the baseline."""
    lines = ["## Does anything beat the baseline?", "", found.tell_winners(), ""]
    if found.tests is None:
        return lines
    stand_in = found.tell_stand_in()
    lines += [stand_in, ""] if stand_in else []
    rows = [
        (
            quote_name(row[MODEL]),
            quote_name(row["baseline"]),
            format_interval(row["difference"], row["low"], row["high"]),
            format_value(row["p_value"]),
            format_value(row["p_holm"]),
            tell_better(row),
        )
        for _, mine in found.sort(found.tests)[:MODELS]
        for row in mine.iter_rows(named=True)
    ]
    by = f" better by ({quote_name(found.tests['metric'][0])}) [95 % interval]"
    header = ("model", "baseline", by, " p", " p, Holm", "better?")
    return lines + write_table(header, rows) + _tell_rest(found.tests.height, MODELS, "tests")


def tell_verdicts(found: Findings) -> list[str]:
    """Tell which model is over- or underfitted, with the evidence."""
    verdicts = found.rows("verdicts")
    if verdicts is None:
        return []
    rows = [
        (quote_name(row[MODEL]), escape_text(row["verdict"]), escape_text(row["evidence"]))
        for _, mine in found.sort(verdicts)[:MODELS]
        for row in mine.iter_rows(named=True)
    ]
    table = write_table(("model", "verdict", "evidence"), rows)
    return ["## Overfitted, underfitted?", "", *table, *_tell_rest(verdicts.height, MODELS, "verdicts")]


def tell_groups(found: Findings) -> list[str]:
    """Tell where the best model is worst and best."""
    import polars as pl

    best, scores = found.best(), found.scores
    there = (
        None if best is None else found.rows("metrics", **{MODEL: best, SPLIT: scores.split, "metric": scores.metric})
    )
    there = None if there is None else there.filter(pl.col("group").is_not_null(), pl.col("value").is_finite())
    if there is None or not there.height or best is None:
        return []
    lines = ["## Where it is worst and best", "", f"The best model, {quote_name(best)}, by group:", ""]
    rows: list[tuple[str, ...]] = []
    there = there.with_columns(pl.col("group").str.split("=").list.first().alias("column"))
    for column in there["column"].unique().sort():
        values = {row["group"]: row for row in there.filter(pl.col("column") == column).iter_rows(named=True)}
        ranked = sorted(values, key=lambda group: values[group]["value"], reverse=not scores.smaller_is_better())
        ends = ranked if len(ranked) <= 2 * ENDS else [*ranked[:ENDS], *ranked[-ENDS:]]
        for group in ends:
            row = values[group]
            value = format_interval(row["value"], row["low"], row["high"])
            place = f"{ranked.index(group) + 1} of {len(ranked)}"
            told = quote_name(group.partition("=")[2])
            rows.append((quote_name(column), told, place, value, format_value(row["baseline"]), f"{row['n']:,}"))
    return lines + write_table(("by", "group", " place, 1 is best", " value [95 % interval]", " baseline", " n"), rows)


def find_pairs(facts: Mapping[str, Any], found: Findings) -> list[tuple[str, ...]]:
    """Find models that differ only in the columns they leave out.

    Parameters
    ----------
    facts : mapping
        As `write_page` takes them; the task says what is left out.
    found : Findings
        All tables.

    Returns
    -------
    list of tuple of str
        Rows of a table: estimator, with, without, baseline, label of the one without, what is left out.
    """
    models = {model["name"]: model for model in facts.get("task", {}).get("models", ())}
    there = set(found.order)
    rows = []
    for label in found.order:
        place, dot, name = label.rpartition(".")
        model = models.get(name)
        if model is None or not model.get("without"):
            continue
        for other in models.values():
            twin = f"{place}{dot}{other['name']}"
            if twin in there and not other.get("without") and _is_alike(model, other):
                full, less = found.scores.find(twin), found.scores.find(label)
                if full is not None and less is not None:
                    told = [format_interval(*number[:3]) for number in (full, less)]
                    names = quote_names(model["without"])
                    rows.append((quote_name(twin), *told, format_value(less.baseline), quote_name(label), names))
    return rows


def _is_alike(model: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(model.get(key) == other.get(key) for key in ("estimator", "parameters", "search", "rows"))


def _tell_test(model: str, tests: Mapping[str, Mapping[str, Any]], found: Findings) -> str:
    if model in found.baselines:
        return "is a baseline"
    row = tests.get(model)
    return "not tested" if row is None else tell_better(row)


def _tell_rest(n: int, most: int, table: str) -> list[str]:
    return [f"{n - most} more are in [{table}.parquet]({table}.parquet).", ""] if n > most else []
