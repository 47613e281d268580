"""`tahoe train` and `tahoe predict` as their user has them, and tasks that are wrong or odd."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import polars as pl
import pytest

import made_models
import tahoe_engine as te
from made_models import make_rows, make_run, read_metric, read_model_table, train, write_task
from runs import published
from tahoe_engine.errors import BadDataError, ConfigError, StageError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    Tahoe = Callable[..., subprocess.CompletedProcess[str]]

RIDGE = '[[models]]\nname = "ridge"\nestimator = "ridge"\n'
FOREST = '[[models]]\nname = "forest"\nestimator = "random_forest"\nparameters = { n_estimators = 5 }\n'
SEARCH = "search = { max_depth = [2, 3] }\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("made"), make_rows(300))


@pytest.fixture
def into(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "my place/run")
    return tmp_path / "my place/run"


def change(task: Path, old: str, new: str) -> Path:
    """Replace words of a task."""
    text = task.read_text()
    assert old in text
    task.write_text(text.replace(old, new))
    return task


@pytest.mark.slow
def test_models_are_planned_trained_told_inspected_verified_and_predicted(into: Path, tahoe: Tahoe) -> None:
    asked = ("--into", into, "--task", write_task(into.parent, RIDGE + FOREST, name="first"))
    before = published(into)
    planned = tahoe("plan", "train", *asked, "--json")
    assert planned.returncode == 0, planned.stderr
    facts = json.loads(planned.stdout)
    assert (facts["models"], facts["rows"]["validation"]) == (["mean", "ridge", "forest"], 0)
    assert published(into) == before

    told = tahoe("train", *asked, "--workers", 0, "--json")
    assert told.returncode == 0, told.stderr
    report = json.loads(told.stdout)
    assert (report["fits_done"], report["judged_on"], report["n"]) == (3, "test", facts["rows"]["test"])
    predicted = json.loads(tahoe("predict", *asked, "--workers", 0, "--json").stdout)
    assert (predicted["rows"], predicted["restored"]) == (3 * sum(facts["rows"].values()), 0)
    inspected = tahoe("inspect", into).stdout
    assert "models/first\n" in inspected
    assert "mode=honest, features=mine, targets=height, models=ridge,forest" in inspected
    assert tahoe("verify", into, "--deep").returncode == 0
    assert "0 files" in tahoe("gc", into).stdout
    (into / "models/first/forest/model.skops").write_bytes(b"PK")
    refused = tahoe("predict", *asked, "--workers", 0)
    assert (refused.returncode, refused.stdout) == (64, "")
    assert "forest/model.skops is gone or has other bytes" in refused.stderr
    assert tahoe("verify", into, "--deep").returncode == 3


@pytest.mark.parametrize(
    ("verb", "options", "told"),
    [
        ("train", [], "no task is named; say --task NAME (`tahoe train --list` shows them)"),
        ("train", ["--task", "biospark-m33"], "no task 'biospark-m33'; did you mean 'biospark-m3'?"),
        ("predict", ["--task", "biospark-m3"], "the stage 'models/biospark-m3' is not finished; run `tahoe train`"),
    ],
)
def test_what_is_asked_wrongly_is_told(into: Path, tahoe: Tahoe, verb: str, options: list[str], told: str) -> None:
    done = tahoe(verb, "--into", into, *options)
    assert (done.returncode, done.stdout) == (64, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (into / "models").exists()


@pytest.mark.parametrize(
    ("text", "more", "told"),
    [
        (FOREST, 'groups = ["wel"]', "groups: the features have no id column 'wel'; the nearest are well"),
        (FOREST, 'primary = "rsme"', "did you mean 'rmse'"),
        (FOREST, 'primary = "f1_macro"', "not for regression"),
        (FOREST + SEARCH + 'how = "halving"\n', "", "random_forest is not trained part by part"),
        (RIDGE.replace('"ridge"', '"sgd"') + "search = { alpha = [0.1, 1.0] }\n", "", 'how = "halving"'),
        (FOREST + "search = { max_depth = [2, -2] }\n", "", "Got -2 instead"),
        (FOREST.replace('"forest"', '"figures"'), "", "'figures' is a folder"),
        ('[[models]]\nname = "m"\nestimator = "group_mean"\nparameters = { by = "lime" }\n', "", "no id column 'lime'"),
    ],
)
def test_what_would_break_off_halfway_is_told_before_anything_is_begun(
    made: Path, tmp_path: Path, text: str, more: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        # The first model is right: it would have been fitted.
        train(made, write_task(tmp_path, RIDGE.replace('"ridge"', '"good"', 1) + text, more=more))
    assert not (made / ".tahoe/plan-models+task.json").exists()


@pytest.mark.parametrize(
    ("number", "more", "told"),
    [("1", "", "a single fold leaves no rows to train on"), ("0", "compare = true", "there are none")],
)
def test_folds_that_make_no_sense_are_refused(made: Path, tmp_path: Path, number: str, more: str, told: str) -> None:
    task = change(write_task(tmp_path, RIDGE, more=more), "number = 3", f"number = {number}")
    with pytest.raises(ConfigError, match=told):
        train(made, task)


def test_numbers_and_classes_are_not_for_one_task(made: Path, tmp_path: Path) -> None:
    task = change(write_task(tmp_path, FOREST), '"height"', '["height", "way"]')
    with pytest.raises(ConfigError, match="some targets are numbers, others are classes"):
        train(made, task)


def test_a_comparison_has_folds_alone_and_neither_models_nor_verdicts(into: Path, tmp_path: Path) -> None:
    task = write_task(tmp_path, RIDGE, more="compare = true")
    report = train(into, task)
    assert report.describe()["judged_on"] == "cv-0"
    assert set(read_model_table(into, "task", "comparison")["model"]) == {"mean", "ridge"}
    assert not list((into / "models/task").glob("*/model.*"))
    assert not (into / "models/task/verdicts.parquet").exists()
    assert train(into, task).fits_done == 0
    with pytest.raises(ConfigError, match="keeps none to predict with"):
        te.predict_rows(into, task, workers=0)


def test_rows_that_were_trained_on_are_no_test(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(made_models, "RECIPE", made_models.RECIPE.replace("test = 0.3", "test = 0.0"))
    into = make_run(tmp_path, make_rows(300))
    report = train(into, change(write_task(tmp_path, FOREST), "number = 3", "number = 0"))
    told = report.describe()
    assert (told["judged_on"], [row["beats_baseline"] for row in told["models"]]) == ("train", [None, None])
    assert any("nothing was held out" in note for note in told["notes"])
    assert not (into / "models/task/tests.parquet").exists()


def test_without_resamples_nothing_is_said_of_who_is_better(into: Path, tmp_path: Path) -> None:
    told = train(into, change(write_task(tmp_path, RIDGE), "bootstrap = 200", "bootstrap = 0")).describe()
    assert [row["beats_baseline"] for row in told["models"]] == [None, None]
    assert not any("no model is better" in note for note in told["notes"])
    assert any("nothing was tested" in note for note in told["notes"])


@pytest.mark.slow
def test_each_target_has_a_baseline_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tall = '[[targets]]\nkind = "column"\nname = "tall"\ncolumn = "tall"\n[[features]]'
    monkeypatch.setattr(made_models, "RECIPE", made_models.RECIPE.replace("[[features]]", tall, 1))
    into = make_run(tmp_path, make_rows(300).with_columns(tall=pl.col("y") * 100))
    train(into, change(write_task(tmp_path, RIDGE), '"height"', '["height", "tall"]'))
    for target in ("height", "tall"):
        mean = read_metric(into, "task", f"{target}.mean", "rmse")["value"]
        assert read_metric(into, "task", f"{target}.ridge", "rmse")["baseline"] == mean


@pytest.mark.parametrize(
    ("column", "told"), [("y", "the target 'height' is above 1e\\+100"), ("a", "'a' is infinite, or too large")]
)
def test_numbers_that_overflow_when_squared_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, column: str, told: str
) -> None:
    monkeypatch.setattr(made_models, "RECIPE", made_models.RECIPE.replace('steps = ["standardize"]', "steps = []"))
    into = make_run(tmp_path, make_rows(300).with_columns(pl.col(column) * 1e150))
    with pytest.raises(BadDataError, match=told):
        train(into, write_task(tmp_path, RIDGE))


@pytest.mark.slow
def test_the_page_has_the_same_bytes_wherever_the_run_is(made: Path, tmp_path: Path) -> None:
    task = write_task(tmp_path, RIDGE)
    for name in ("one", "other name"):
        shutil.copytree(made, tmp_path / name)
        train(tmp_path / name, task)
    assert published(tmp_path / "one") == published(tmp_path / "other name")


def test_a_model_file_of_other_bytes_is_never_opened(into: Path, tmp_path: Path) -> None:
    task = write_task(tmp_path, RIDGE)
    train(into, task)
    (into / "models/task/ridge/model.skops").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    make_rows(5).write_parquet(tmp_path / "new.parquet")
    for on in (None, tmp_path / "new.parquet"):
        with pytest.raises(StageError, match="has other bytes"):
            te.predict_rows(into, task, on=on, workers=0)
    assert not list(tmp_path.rglob("pwned"))
    train(into, task)
    assert te.predict_rows(into, task, workers=0).restored == 0
