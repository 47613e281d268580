"""Models of made-up rows: numbers of scikit-learn, the same in any way, and honest about what they are worth."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from sklearn import metrics
from sklearn.linear_model import Ridge

import tahoe_engine as te
from made_models import make_rows, make_run, read_metric, read_model_table, train, write_task
from runs import published
from tahoe_engine.errors import ConfigError, StageError

if TYPE_CHECKING:
    from pathlib import Path

NUMBERS = """[[models]]
name = "well-mean"
estimator = "group_mean"
parameters = { by = ["well"] }
[[models]]
name = "ridge"
estimator = "ridge"
search = { alpha = [0.1, 1.0, 100.0] }
[[models]]
name = "forest"
estimator = "random_forest"
parameters = { n_estimators = 10 }
without = ["c"]
"""
WAYS = """[[models]]
name = "logistic"
estimator = "logistic"
[[models]]
name = "forest"
estimator = "random_forest"
parameters = { n_estimators = 10 }
[[models]]
name = "sgd"
estimator = "sgd"
passes = { epochs = 3, window = 2 }
"""
RANDOM = """[[models]]
name = "ridge"
estimator = "ridge"
[[models]]
name = "forest"
estimator = "random_forest"
parameters = { n_estimators = 20 }
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of 600 rows in 20 wells."""
    return make_run(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def numbers(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of a number."""
    into = tmp_path_factory.mktemp("numbers") / "run"
    shutil.copytree(made, into)
    train(into, write_task(into.parent, NUMBERS, name="numbers"))
    return into


@pytest.fixture(scope="module")
def ways(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of three classes."""
    into = tmp_path_factory.mktemp("ways") / "run"
    shutil.copytree(made, into)
    train(into, write_task(into.parent, WAYS, name="ways", target="way"))
    return into


def predictions(into: Path, models: str, model: str, split: str = "test") -> pl.DataFrame:
    return read_model_table(into, models, f"predictions/{split}").filter(model=model).sort("id")


def test_metrics_of_numbers_are_those_of_scikit_learn_on_the_stored_predictions(numbers: Path) -> None:
    for model in ("mean", "ridge", "forest"):
        for split in ("train", "test"):
            rows = predictions(numbers, "numbers", model, split)
            y, p = rows["y"].to_numpy(), rows["y_pred"].to_numpy()
            expected = {
                "mse": metrics.mean_squared_error(y, p),
                "rmse": metrics.root_mean_squared_error(y, p),
                "mae": metrics.mean_absolute_error(y, p),
                "r2": metrics.r2_score(y, p),
            }
            for name, value in expected.items():
                told = read_metric(numbers, "numbers", model, name, split)
                assert told["value"] == pytest.approx(value, rel=1e-10, abs=1e-10), (model, split, name)
                assert told["n"] == rows.height
                assert told["mode"] == "honest"


def test_metrics_of_classes_are_those_of_scikit_learn_on_the_stored_predictions(ways: Path) -> None:
    for model in ("majority", "logistic", "forest", "sgd"):
        rows = predictions(ways, "ways", model)
        y, p = rows["y"].to_numpy(), rows["y_pred"].to_numpy()
        expected = {
            "accuracy": metrics.accuracy_score(y, p),
            "balanced_accuracy": metrics.balanced_accuracy_score(y, p),
            "f1_macro": metrics.f1_score(y, p, average="macro"),
            "mcc": metrics.matthews_corrcoef(y, p),
        }
        for name, value in expected.items():
            assert read_metric(ways, "ways", model, name)["value"] == pytest.approx(value, abs=1e-10), (model, name)
    rows = predictions(ways, "ways", "logistic")
    shares = rows.select("p_down", "p_same", "p_up").to_numpy()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    auc = metrics.roc_auc_score(rows["y"].to_numpy(), shares, multi_class="ovr")
    assert read_metric(ways, "ways", "logistic", "roc_auc")["value"] == pytest.approx(auc, abs=1e-10)


def test_every_number_stands_beside_its_baseline_with_n_and_an_interval(numbers: Path) -> None:
    table = read_model_table(numbers, "numbers", "metrics").filter(pl.col("group").is_null(), metric="rmse")
    assert table["n"].min() > 0  # type: ignore[operator]
    assert table["baseline"].null_count() == 0
    test = table.filter(split="test")
    assert (test["low"] <= test["value"]).all()
    assert (test["value"] <= test["high"]).all()
    best = test.filter(pl.col("model").is_in(["mean", "well-mean"]))["value"].min()
    assert test["baseline"].to_list() == [best] * test.height
    assert {"train", "test", "cv-0", "cv-1", "cv-2"} == set(table["split"])


def test_no_row_is_lost_and_none_is_predicted_twice(numbers: Path) -> None:
    features = te.load_features(numbers, "mine")
    for split in ("train", "test"):
        ids = features.table(split).select("id").collect()["id"].sort()
        for model in ("mean", "well-mean", "ridge", "forest"):
            assert predictions(numbers, "numbers", model, split)["id"].equals(ids)


def test_ridge_is_scikit_learns_with_the_alpha_that_was_best_over_the_folds(numbers: Path) -> None:
    candidates = read_model_table(numbers, "numbers", "candidates").filter(model="ridge")
    assert candidates.height == 3
    (chosen,) = candidates.filter("chosen")["parameters"]
    features = te.load_features(numbers, "mine")
    rows = pl.concat(
        rows.with_columns(split=pl.lit(split)) for split in ("train", "test") for rows, _ in features.blocks(split)
    )
    matrix = np.vstack([x.toarray() for split in ("train", "test") for _, x in features.blocks(split)])
    trains = (rows["split"] == "train").to_numpy()
    y, fold = rows["height"].to_numpy(), rows["fold"].fill_null(9).to_numpy()
    errors = {}
    for alpha in (0.1, 1.0, 100.0):
        found = []
        for at in range(3):
            rest = trains & (fold != at)
            own = Ridge(alpha=alpha).fit(matrix[rest], y[rest])
            found.append(metrics.root_mean_squared_error(y[fold == at], own.predict(matrix[fold == at])))
        errors[alpha] = np.mean(found)
    best = min(errors, key=lambda alpha: errors[alpha])
    assert f'"alpha": {best}' in chosen
    expected = Ridge(alpha=best).fit(matrix[trains], y[trains]).predict(matrix[~trains])
    own = rows.filter(split="test").with_columns(expected=pl.Series(expected)).sort("id")
    np.testing.assert_allclose(predictions(numbers, "numbers", "ridge")["y_pred"], own["expected"], rtol=1e-8)


def test_what_tells_is_better_than_the_baseline_and_the_table_says_so(numbers: Path, ways: Path) -> None:
    for into, models, labels in ((numbers, "numbers", {"ridge", "forest"}), (ways, "ways", {"logistic", "forest"})):
        tests = read_model_table(into, models, "tests").filter(pl.col("model").is_in(list(labels)))
        assert tests.height == len(labels)
        assert tests["beats_baseline"].all()
        assert (tests["p_holm"] >= tests["p_value"]).all()
    verdicts = read_model_table(numbers, "numbers", "verdicts")
    assert set(verdicts["model"]) == {"ridge", "forest"}
    assert verdicts.filter(model="ridge")["verdict"].to_list() == ["fits"]


def test_importances_name_the_columns_that_tell(numbers: Path) -> None:
    table = read_model_table(numbers, "numbers", "importances")
    permuted = table.filter(model="ridge", kind="permutation").sort("rank")
    assert permuted["feature"][0] == "a"
    # All levels of a one-hot move together, and a column that was left out has no importance.
    assert set(permuted["feature"]) == {"a", "b", "c", "line_code"}
    assert "c" not in set(table.filter(model="forest")["feature"])


def test_the_page_is_for_people_and_names_each_model(numbers: Path) -> None:
    folder = numbers / "models/numbers"
    page = (folder / "card.md").read_text()
    assert all(name in page for name in ("ridge", "forest", "rmse", "well"))
    assert {path.suffix for path in (folder / "figures").iterdir()} == {".svg", ".png"}
    for model in ("ridge", "forest"):
        assert (folder / model / "model.skops").is_file()
        assert (folder / model / "card.json").is_file()
    assert not list(numbers.rglob("*.pkl"))


def test_the_same_call_again_does_nothing(numbers: Path) -> None:
    before = published(numbers)
    report = train(numbers, numbers.parent / "numbers.toml")
    assert report.fits_done == 0
    assert published(numbers) == before


@pytest.mark.slow
def test_two_workers_give_the_bytes_of_none(made: Path, ways: Path, numbers: Path, tmp_path: Path) -> None:
    for undisturbed, text, name, target in ((numbers, NUMBERS, "numbers", "height"), (ways, WAYS, "ways", "way")):
        into = tmp_path / name / "run"
        shutil.copytree(made, into)
        train(into, write_task(into.parent, text, name=name, target=target), workers=2)
        assert published(into) == published(undisturbed)


@pytest.mark.slow
def test_rows_in_other_parts_have_the_same_folds_and_nearly_the_same_ridge(tmp_path: Path, numbers: Path) -> None:
    into = make_run(tmp_path / "other", make_rows(), n_parts=5)
    train(into, write_task(tmp_path, NUMBERS, name="numbers"))
    for model in ("ridge", "mean"):
        one, other = (predictions(at, "numbers", model)["y_pred"] for at in (numbers, into))
        np.testing.assert_allclose(one, other, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_of_random_targets_no_model_is_better_than_the_baseline(tmp_path: Path, seed: int) -> None:
    into = make_run(tmp_path, make_rows(400, seed=10 + seed, told=0.0))
    for target in ("height", "way"):
        text = RANDOM.replace('"ridge"\n[', '"logistic"\n[') if target == "way" else RANDOM
        report = train(into, write_task(tmp_path, text, name=target, target=target))
        assert not read_model_table(into, target, "tests")["beats_baseline"].any()
        assert any("no model is better than the baseline" in note for note in report.manifest["notes"])


def test_predictions_come_again_in_another_call_and_a_lost_part_is_restored(ways: Path, tmp_path: Path) -> None:
    into = tmp_path / "run"
    shutil.copytree(ways, into)
    before = published(into)
    told = te.predict_rows(into, ways.parent / "ways.toml", workers=0).describe()
    n_rows = te.load_features(into, "mine").manifest["rows"]["kept"]
    assert told["rows"] == 4 * n_rows
    assert published(into) == before
    lost = next(iter(sorted((into / "models/ways/predictions/test").iterdir())))
    lost.unlink()
    te.predict_rows(into, ways.parent / "ways.toml", workers=0)
    assert published(into) == before


def test_rows_of_another_table_are_predicted_as_those_of_the_run(numbers: Path, tmp_path: Path) -> None:
    make_rows().write_parquet(tmp_path / "new rows.parquet")
    into = tmp_path / "run"
    shutil.copytree(numbers, into)
    told = te.predict_rows(
        into, numbers.parent / "numbers.toml", on=tmp_path / "new rows.parquet", workers=0
    ).describe()
    assert told["rows"] == 4 * 600
    made = pl.read_parquet(into / told["tables"], glob=False, hive_partitioning=False).filter(model="forest").sort("id")
    both = pl.concat([predictions(into, "numbers", "forest", split) for split in ("train", "test")]).sort("id")
    assert made["id"].equals(both["id"])
    assert made["y_pred"].equals(both["y_pred"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[models]]\nname = "a"\nestimator = "rigde"\n', "rigde"),
        ('[[models]]\nname = "a"\nestimator = "logistic"\n', "logistic is not for regression"),
        ('[[models]]\nname = "a"\nestimator = "ridge"\nparameters = { alfa = 1 }\n', "alfa"),
        ('[[models]]\nname = "a"\nestimator = "ridge"\nwithout = ["numbrs"]\n', "numbrs"),
        ('[[models]]\nname = "a"\nestimator = "group_mean"\nparameters = { by = ["colour"] }\n', "colour"),
        ('[[models]]\nname = "mean"\nestimator = "ridge"\n', "'mean' is the name of the baseline"),
    ],
)
def test_what_does_not_go_with_the_features_is_told_before_anything_is_fitted(
    made: Path, tmp_path: Path, text: str, told: str
) -> None:
    into = tmp_path / "run"
    shutil.copytree(made, into)
    before = published(into)
    with pytest.raises(ConfigError, match=told):
        train(into, write_task(tmp_path, text))
    assert published(into) == before


def test_a_task_about_a_target_that_is_not_there_is_refused(made: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="the features 'mine' have no target 'hight'"):
        train(made, write_task(tmp_path, RANDOM, target="hight"))


@pytest.mark.slow
def test_a_changed_task_is_refused_until_it_is_begun_anew(made: Path, tmp_path: Path) -> None:
    into = tmp_path / "run"
    shutil.copytree(made, into)
    train(into, write_task(tmp_path, RANDOM))
    with pytest.raises(StageError, match="--new"):
        train(into, write_task(tmp_path, RANDOM, more="rank_rows = 500"))
    train(into, write_task(tmp_path, RANDOM, more="rank_rows = 500"), new=True)
