"""Tables behind figures: those of scikit-learn, and of counting by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve

from tahoe_engine.errors import ConfigError
from tahoe_engine.evaluate.tables import (
    tabulate_calibration,
    tabulate_classes,
    tabulate_confusion,
    tabulate_points,
)
from tahoe_engine.evaluate.tally import Tally, collect_tally
from tahoe_engine.schema.models import CALIBRATION, CLASSES, CONFUSION, POINTS

NAMES = ["a", "b", "c"]


def tally_classes(n_classes: int = 3) -> tuple[Tally, Any, Any, Any]:
    random = np.random.default_rng(n_classes)
    y = random.integers(0, n_classes, 300)
    p = random.dirichlet(np.ones(n_classes), 300)
    y_pred = p.argmax(axis=1)
    tally = collect_tally(y, y_pred, np.arange(300) % 10, kind="classification", n_classes=n_classes, probabilities=p)
    return tally, y, y_pred, p


def has_columns(found: pl.DataFrame, table: Any) -> bool:
    expected = [(one.name, one.dtype) for one in table.columns if one.name not in ("model", "split")]
    return expected == [(name, str(dtype)) for name, dtype in found.schema.items()]


def test_the_confusion_matrix_is_that_of_scikit_learn() -> None:
    tally, y, y_pred, _ = tally_classes()
    found = tabulate_confusion(tally, NAMES)
    matrix = oracle.confusion_matrix(y, y_pred)
    assert found.rows() == [(NAMES[i], NAMES[j], matrix[i, j]) for i in range(3) for j in range(3)]
    assert has_columns(found, CONFUSION)


def test_the_report_of_classes_is_that_of_scikit_learn() -> None:
    tally, y, y_pred, p = tally_classes()
    found = tabulate_classes(tally, NAMES)
    precision, recall, f1, support = oracle.precision_recall_fscore_support(y, y_pred)
    np.testing.assert_allclose(found.select("precision", "recall", "f1", "support"), np.transpose(
        [precision, recall, f1, support]), rtol=1e-12)  # fmt: skip
    areas = [oracle.roc_auc_score(y == one, p[:, one]) for one in range(3)]
    np.testing.assert_allclose(found["roc_auc"], areas, rtol=1e-12)
    assert has_columns(found, CLASSES)


def test_the_two_of_two_classes_have_the_same_area() -> None:
    tally, y, _, p = tally_classes(2)
    area = oracle.roc_auc_score(y, p[:, 1])
    assert tabulate_classes(tally, ["a", "b"])["roc_auc"].to_list() == pytest.approx([area, area])


def test_what_a_class_does_not_have_is_null() -> None:
    tally = collect_tally(np.array([0, 3]), np.array([0, 1]), np.arange(2), kind="classification", n_classes=2)
    found = tabulate_classes(tally, ["a", "b", "c", "new"])
    assert found.rows() == [
        ("a", 1.0, 1.0, 1.0, None, 1),
        ("b", 0.0, None, 0.0, None, 0),
        ("c", None, None, None, None, 0),
        ("new", None, 0.0, 0.0, None, 1),
    ]
    with pytest.raises(ConfigError, match="3 names for 4 classes"):
        tabulate_classes(tally, NAMES)


def test_calibration_is_that_of_scikit_learn() -> None:
    tally, y, _, p = tally_classes()
    found = tabulate_calibration(tally, NAMES)
    for one, name in enumerate(NAMES):
        observed, predicted = calibration_curve(y == one, p[:, one], n_bins=10)
        mine = found.filter(pl.col("class") == name)
        np.testing.assert_allclose(mine["observed"], observed, rtol=1e-12)
        np.testing.assert_allclose(mine["mean_predicted"], predicted, rtol=1e-12)
        assert mine["n"].sum() == 300
    assert has_columns(found, CALIBRATION)
    two, *_ = tally_classes(2)
    assert set(tabulate_calibration(two, ["a", "b"])["class"]) == {"b"}


def test_points_are_counted_in_squares() -> None:
    random = np.random.default_rng(0)
    y, y_pred = random.normal(size=500), random.normal(size=500)
    found = tabulate_points(collect_tally(y, y_pred, np.arange(500) % 5, kind="regression"), grid=8)
    edges = np.linspace(min(y.min(), y_pred.min()), max(y.max(), y_pred.max()), 9)
    counts = np.histogram2d(y, y_pred, bins=(edges, edges))[0]
    for row in found.iter_rows(named=True):
        i, j = np.searchsorted(edges, [row["y_low"], row["y_pred_low"]])
        assert row["n"] == counts[i, j]
        assert (row["y_high"], row["y_pred_high"]) == (edges[i + 1], edges[j + 1])
    assert found["n"].sum() == 500
    assert has_columns(found, POINTS)


def test_points_of_one_value_have_a_square_around_them() -> None:
    same = np.full(4, 2.0)
    row = tabulate_points(collect_tally(same, same, np.arange(4), kind="regression")).row(0, named=True)
    assert row["y_low"] <= 2.0 < row["y_high"]
    assert row["n"] == 4


def test_tables_are_of_their_kind() -> None:
    tally, *_ = tally_classes()
    numbers = collect_tally(np.zeros(2), np.zeros(2), np.arange(2), kind="regression")
    with pytest.raises(ConfigError, match="of a regression"):
        tabulate_points(tally)
    for tabulate in (tabulate_confusion, tabulate_classes, tabulate_calibration):
        with pytest.raises(ConfigError, match="target is a number"):
            tabulate(numbers, NAMES)
