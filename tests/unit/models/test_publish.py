"""Notes of the manifest: what the tests against the baseline came to."""

from __future__ import annotations

import polars as pl

from made_cards import make_tests
from made_judgements import make_frame
from tahoe_engine.models.judge import Judged
from tahoe_engine.models.publish import list_test_notes
from tahoe_engine.schema import models as schema


def judge(tests: pl.DataFrame, metric: str = "r2", verdict: str = "fits") -> Judged:
    rows = [{"model": model, "verdict": verdict, "evidence": ""} for model in tests["model"]]
    return Judged({"tests": tests, "verdicts": make_frame(schema.VERDICTS, rows)}, metric, "test")


def test_that_nothing_is_better_is_said_where_something_could_have_been() -> None:
    told = list_test_notes(judge(make_tests({"ridge": False, "forest": False})))
    assert told == ["no model is better than the baseline on test (one-sided, Holm)"]
    assert list_test_notes(judge(make_tests({"ridge": True, "forest": False}))) == []


def test_with_few_groups_it_cannot_be_told() -> None:
    tests = make_tests({"ridge": False, "forest": False, "svm": False}, n_groups=4, p_least=3 / 16)
    (told,) = list_test_notes(judge(tests))
    assert told.startswith(
        "it cannot be told whether 3 of 3 models are better than the baseline on test: With 4 groups"
    )
    assert told.endswith(
        "a P value of 0.1875 (Holm, 3 models), and less than 0.05 is asked for: it takes at least 6 groups."
    )


def test_models_that_are_no_better_are_not_said_to_be_unknown() -> None:
    tests = make_tests({"ridge": False}, n_groups=4, p_least=1 / 16).with_columns(difference=pl.lit(-0.1))
    assert list_test_notes(judge(tests)) == ["no model is better than the baseline on test (one-sided, Holm)"]


def test_stand_ins_and_disagreement_are_told() -> None:
    told = list_test_notes(judge(make_tests({"ridge": True}), "spearman", "test and folds disagree"))
    assert told == [
        "judged by spearman, tested against the baseline by r2",
        "better than the baseline on test, and not over the folds: ridge",
    ]
