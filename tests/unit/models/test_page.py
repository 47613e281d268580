"""The card of a task: what it says, and that nothing in a name is markup."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import polars as pl
import pytest

from made_cards import FACTS, make_everything, make_groups, make_tests
from made_judgements import (
    make_candidates,
    make_comparison,
    make_curves,
    make_frame,
    make_importances,
    make_metrics,
)
from tahoe_engine.models.page import write_page
from tahoe_engine.schema import models as schema


def find_row(page: str, first: str, *, under: str = "") -> list[str]:
    """Cells of the line of a table that begins so, below a heading."""
    below = page[page.index(under) :]
    line = next(line for line in below.splitlines() if line.startswith(f"| {first} "))
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_a_number_stands_beside_its_interval_baseline_n_folds_and_training() -> None:
    tables = {
        "metrics": make_metrics({"ridge": 0.5, "mean": 0.0}),
        "tests": make_tests({"ridge": True}),
        "comparison": make_comparison(["ridge"], ["a"]).with_columns(
            pl.lit("ridge").alias("model"), pl.lit(0.48).alias("mean")
        ),
    }
    page = write_page(FACTS, tables, [])
    told = ["0.5 [0.45, 0.55]", "0", "yes", "4,137", "0.48 ± 0.03", "0.7"]
    assert find_row(page, "`ridge`", under="## Results")[1:] == told
    assert find_row(page, "`mean`", under="## Results")[3] == "is a baseline"


def test_the_card_says_when_nothing_beats_the_baseline() -> None:
    tables = {"metrics": make_metrics({"ridge": 0.5}), "tests": make_tests({"ridge": False, "forest": False})}
    page = write_page(FACTS, tables, [])
    assert page.count("**No model is better than the best baseline**") == 2  # in short, and where it is tested
    assert "paired over 24 groups, Holm over 2 models" in page
    won = write_page(FACTS, tables | {"tests": make_tests({"ridge": True, "forest": False})}, [])
    assert "1 of 2 models are better than the best baseline" in won
    assert "No model is better" not in won


def test_the_card_says_when_it_cannot_be_told() -> None:
    tests = make_tests({"ridge": False, "forest": False}, n_groups=4, p_least=0.125)
    page = write_page(FACTS, {"metrics": make_metrics({"ridge": 0.5, "forest": 0.4}), "tests": tests}, [])
    assert "No model is better" not in page
    assert page.count("**It cannot be told whether 2 of 2 models are better than the best baseline**") == 2
    assert "a P value of 0.125 (Holm, 2 models), and less than 0.05 is asked for: it takes at least 6 groups." in page
    assert find_row(page, "`ridge`", under="## Results")[3] == "cannot be told"
    assert find_row(page, "`ridge`", under="## Does anything")[-1] == "cannot be told"
    worse = tests.with_columns(difference=pl.when(pl.col("model") == "ridge").then(-0.1).otherwise(0.1))
    page = write_page(FACTS, {"metrics": make_metrics({"ridge": 0.5, "forest": 0.4}), "tests": worse}, [])
    assert "**It cannot be told whether 1 of 2 models is better" in page
    assert "The other one did no better there." in page
    assert find_row(page, "`ridge`", under="## Does anything")[-1] == "no"


def test_many_groups_that_are_worth_few_are_told_apart_from_few() -> None:
    tests = make_tests({"ridge": False}, n_groups=60, p_least=0.4)
    assert "most rows, or all rows of a class, are in too few of them" in write_page(FACTS, {"tests": tests}, [])
    alone = make_tests({"ridge": False}, n_groups=1, p_least=None)
    assert "With 1 group nothing can be tested; it takes at least 5 for 1 model." in write_page(
        FACTS, {"tests": alone}, []
    )


def test_that_another_metric_is_tested_is_told() -> None:
    tests = make_tests({"ridge": True})
    told = "Models are judged by `f1_macro` and tested by `balanced_accuracy`"
    instead = tests.with_columns(metric=pl.lit("balanced_accuracy"))
    tables = {"metrics": make_metrics({"ridge": 0.5}, metric="f1_macro")}
    page = write_page(FACTS | {"metric": "f1_macro"}, tables | {"tests": instead}, [])
    assert told in page
    assert "better by (`balanced_accuracy`) [95 % interval]" in page
    assert "tested by" not in write_page(FACTS, {"metrics": make_metrics({"ridge": 0.5}), "tests": tests}, [])


def test_what_the_ceiling_is_of_is_told_where_there_is_one() -> None:
    ceiling = make_metrics({"ridge": 0.5}, metric="eta_squared")
    with_one = pl.concat([make_metrics({"ridge": 0.5, "mean": 0.1}), ceiling])
    told = "a function of drug, dose, line and plate alone could reach"
    assert told in write_page(FACTS, {"metrics": with_one}, [])
    assert told not in write_page(FACTS, {"metrics": make_metrics({"ridge": 0.5, "mean": 0.1})}, [])


def test_who_was_tested_is_said_in_words() -> None:
    grouped = write_page(FACTS, {"tests": make_tests({"ridge": True}, n_groups=4)}, [])
    assert "The split is by `drug`: rows that share it are all on one side" in grouped
    assert find_row(grouped, "`train`") == ["`train`", "17,371"]
    assert "Only 4 groups were tested" in grouped
    rows = write_page(FACTS | {"split_by": "rows", "rows": {"in": 10, "kept": 8, "filtered": 2}}, {}, [])
    assert "**not about anything new**" in rows
    assert "Of 10 rows 2 have no target and were left out." in rows


def test_a_tie_is_told_as_a_tie() -> None:
    page = write_page(FACTS, {"candidates": make_candidates("ridge", tied=3)}, [])
    assert "**3 of 54 candidates are equally good**" in page
    assert find_row(page, "`ridge`", under="## What was tried")[1:4] == ["54", "1 (one of 3)", "0.6 ± 0.05"]
    assert "equally good" not in write_page(FACTS, {"candidates": make_candidates("ridge", tied=1)}, [])


def test_equal_importances_share_a_rank_and_held_out_ones_come_first() -> None:
    page = write_page(FACTS, {"importances": make_importances(["ridge"], ["a", "b", "c"])}, [])
    lines = [line for line in page[page.index("## What it goes by") :].splitlines() if line.startswith("| `ridge`")]
    told = [[cell.strip() for cell in line.split("|")[2:5]] for line in lines]
    assert told[:3] == [
        ["permutation", "1 (of 2)", "`a`"],
        ["permutation", "1 (of 2)", "`b`"],
        ["permutation", "3", "`c`"],
    ]
    assert told[3] == ["coefficient", "1", "`a`"]


def test_leaks_are_told_with_what_they_are_worth() -> None:
    """The pair is the one of the same set and estimator."""
    same = {"estimator": "random_forest", "parameters": {}, "search": {}, "rows": 0}
    models = [{"name": "forest", **same, "without": []}, {"name": "clean", **same, "without": ["delta"]}]
    models.append({"name": "ridge", **same, "estimator": "ridge", "without": []})
    leak = {"column": "delta", "kind": "affine", "evidence": "y = 2·x in all 50 rows", "target": "delta_mean"}
    facts = FACTS | {"leaks": [leak], "mode": "bug-compat", "name": "first-bug-compat", "into": "my run"}
    facts["task"] = FACTS["task"] | {"models": models}
    values: dict[str, float | None] = {"a.forest": 1.0, "a.clean": 0.25, "b.forest": 0.9, "a.ridge": 0.8}
    page = write_page(facts, {"metrics": make_metrics(values)}, [])
    pairs = page[page.index("What the columns are worth") :].split("\n\n")[1].splitlines()[2:]
    assert len(pairs) == 1
    assert find_row(page, "`a.forest`", under="What the columns are worth")[1:5] == [
        "1 [0.95, 1.05]",
        "0.25 [0.2, 0.3]",
        "0",
        "`a.clean`",
    ]
    assert find_row(page, "`delta`") == ["`delta`", "`affine`", "y = 2·x in all 50 rows"]
    assert "**The features leak** (1 finding)" in page
    assert "tahoe train --into 'my run' --task first --mode bug-compat --allow-leaks\n" in page
    assert "The guard found nothing" in write_page(FACTS, {}, [])


def test_no_pair_no_worth() -> None:
    facts = FACTS | {"task": FACTS["task"] | {"allow": ["delta"]}}
    assert "so what they are worth is not known" in write_page(facts, {"metrics": make_metrics({"ridge": 1.0})}, [])


@pytest.mark.parametrize(("metric", "first", "last"), [("r2", "h", "a"), ("rmse", "a", "h")])
def test_the_best_and_worst_groups_are_those_of_the_metrics_direction(metric: str, first: str, last: str) -> None:
    groups = make_groups(
        "ridge", metric, {f"line={name}": i / 10 for i, name in enumerate("abcdefgh")} | {"line=x": None}
    )
    tables = {"metrics": pl.concat([make_metrics({"ridge": 0.5, "mean": 0.6}, metric=metric), groups])}
    page = write_page(FACTS | {"metric": metric}, tables, [])
    lines = page[page.index("## Where it is worst and best") :].split("\n\n")[2].splitlines()[2:]
    told = [[cell.strip() for cell in line.split("|")[2:4]] for line in lines]
    assert (told[0], told[-1]) == ([f"`{first}`", "1 of 8"], [f"`{last}`", "8 of 8"])
    assert len(told) == 6


def test_the_most_frequent_mistakes_and_the_worst_classes_are_told() -> None:
    counts = (("a", "a", 90), ("a", "b", 10), ("b", "a", 30), ("b", "b", 10))
    rows = [{"model": "ridge", "split": "test", "y": y, "y_pred": y_pred, "n": n} for y, y_pred, n in counts]
    classes = [
        {"model": "ridge", "split": "test", "class": name, "f1": f1, "support": 9}
        for name, f1 in (("a", 0.8), ("b", 0.3))
    ]
    tables = {
        "metrics": make_metrics({"ridge": 0.5}),
        "confusion": make_frame(schema.CONFUSION, rows),
        "classes": make_frame(schema.CLASSES, classes),
    }
    page = write_page(FACTS, tables, [])
    below = page[page.index("## Where it errs") :]
    assert find_row(below, "`b`") == ["`b`", "`a`", "30", "0.75"]
    assert find_row(below, "`a`") == ["`a`", "`b`", "10", "0.1"]
    assert find_row(below, "`b`", under="By class") == ["`b`", "n/a", "n/a", "0.3", "n/a", "9"]


def test_the_ends_of_a_learning_curve_are_told() -> None:
    page = write_page(FACTS, {"curves": make_curves(["ridge"])}, [])
    lines = [line for line in page.splitlines() if line.startswith("| `ridge` | `rows`")]
    told = [cell.strip() for cell in lines[0].split("|")[4:-1]]
    assert told == ["4,000 … 16,000", "0.9", "0.3", "0.8", "0.5"]


def test_a_comparison_goes_by_the_mean_over_the_folds() -> None:
    metrics = make_metrics({"ridge": 0.9, "forest": 0.5}).filter(pl.col("split") == "cv-0")
    rows = [
        {"model": model, "set": "", "metric": "r2", "mean": mean, "sd": 0.1, "folds": 5, "n": 50, "baseline": 0.0}
        for model, mean in (("ridge", 0.25), ("forest", 0.5), ("mean", 0.75))
    ]
    tables = {"metrics": metrics, "comparison": make_frame(schema.COMPARISON, rows)}
    page = write_page(FACTS | {"judged_on": "cv-0", "task": {"compare": True}}, tables, [])
    assert "- Best over 5 folds: `forest`, `r2` 0.5 ± 0.1; the best that looks at no feature: 0." in page
    assert "**It is one fold of several**" in page
    assert "tahoe predict" not in page


@pytest.mark.parametrize(
    ("metric", "folds", "told"), [("r2", -0.1, 1), ("r2", 0.3, 0), ("rmse", 0.3, 0), ("rmse", -0.1, 0)]
)
def test_folds_that_disagree_with_the_test_are_told(metric: str, folds: float, told: int) -> None:
    """The model has 0.5 on the test, the baseline 0 everywhere: as an error that is no win, and nothing to doubt."""
    row = {
        "model": "ridge",
        "set": "",
        "metric": metric,
        "mean": folds,
        "sd": 0.1,
        "folds": 5,
        "n": 50,
        "baseline": 0.0,
    }
    tables = {
        "metrics": make_metrics({"ridge": 0.5}, metric=metric),
        "comparison": make_frame(schema.COMPARISON, [row]),
    }
    page = write_page(FACTS | {"metric": metric}, tables, [])
    assert page.count("**Over the folds it is not better than the baseline**") == told


def test_every_figure_is_shown_once_with_words_and_with_its_table() -> None:
    tables = make_everything(["ridge", "mean"], ["a", "b"])
    names = (
        "overview",
        "points",
        "confusion",
        "calibration",
        "curves",
        "candidates",
        "importances",
        "comparison",
        "strange",
    )
    page = write_page(FACTS, tables, [f"{name}.{kind}" for name in names for kind in ("png", "svg")])
    for name in names:
        (alt,) = re.findall(rf"!\[([^\]]+)\]\(figures/{name}\.svg\)", page)
        assert alt
        table = "metrics" if name == "overview" else name
        assert f"Numbers: [{table}.parquet]({table}.parquet); [as PNG](figures/{name}.png)." in page
    assert "![" not in write_page(FACTS, tables, [])


def test_a_card_of_nothing_is_written_all_the_same() -> None:
    assert write_page({}, {}, []).startswith("# Models: \n")
    empty = {table.name.removeprefix("models/"): make_frame(table, []) for table in schema.MODEL_TABLES}
    assert "Nothing was tested against a baseline." in write_page(FACTS, empty, [])
    nulls = make_metrics({"ridge": None, "mean": None}, baseline=None)
    assert find_row(write_page(FACTS, {"metrics": nulls}, []), "`ridge`", under="## Results")[1:3] == ["n/a", "n/a"]


def test_a_card_of_a_hundred_models_is_cut_and_counted() -> None:
    values: dict[str, float | None] = {f"m{i}": i / 100 for i in range(100)}
    page = write_page(FACTS, {"metrics": make_metrics(values)}, [])
    assert "40 more are in [metrics.parquet](metrics.parquet)." in page
    assert "| `m99` " in page
    assert "| `m39` " not in page


def test_writing_a_card_needs_no_figures_library() -> None:
    code = (
        "import sys; from tahoe_engine.models.page import write_page\n"
        "from made_judgements import make_metrics, make_points\n"
        "tables = {'metrics': make_metrics({'a': 0.5}), 'points': make_points(['a'])}\n"
        "write_page({'metric': 'r2'}, tables, ['points.svg'])\n"
        "assert 'matplotlib' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": ":".join(filter(None, sys.path))}
    )


def test_the_card_is_the_same_each_time() -> None:
    tables = make_everything(["ridge", "mean"], ["a", "b"])
    assert write_page(FACTS, tables, ["points.svg"]) == write_page(FACTS, tables, ["points.svg"])
