"""Classifiers without probabilities are ranked by their margins, and judged by nothing else of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC, LinearSVC

from tahoe_engine.errors import BadDataError
from tahoe_engine.evaluate.metrics import compute_metrics
from tahoe_engine.evaluate.tables import tabulate_calibration
from tahoe_engine.evaluate.tally import Tally, collect_tally
from tahoe_engine.models.apply import apply_model, measure_margins, spread_margins


def make_rows(n_classes: int, n: int = 200) -> tuple[csr_array, np.ndarray]:
    rng = np.random.default_rng(n_classes)
    y = rng.integers(0, n_classes, n)
    return csr_array(rng.normal(size=(n, 6)) + 0.8 * np.eye(n_classes, 6)[y]), y


def tally(y: np.ndarray, y_pred: np.ndarray, margins: np.ndarray) -> Tally:
    clusters = np.arange(len(y)) % 20
    n_classes = margins.shape[1]
    return collect_tally(y, y_pred, clusters, kind="classification", n_classes=n_classes, margins=margins)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("last", [LinearSVC(random_state=0), SVC()])
def test_areas_under_curves_are_those_of_scikit_learn(last: object, n_classes: int) -> None:
    x, y = make_rows(n_classes)
    model = Pipeline([("model", last)]).fit(x, y)
    margins = measure_margins(model, x, n_classes)
    assert margins is not None
    found = compute_metrics(tally(y, model.predict(x), margins), n_bootstrap=50)
    values = dict(found.filter(found["group"].is_null()).select("metric", "value").rows())
    told = model.decision_function(x)
    areas = (
        [roc_auc_score(y, told)] if n_classes == 2 else [roc_auc_score(y == k, told[:, k]) for k in range(n_classes)]
    )
    curves = (
        [average_precision_score(y, told)]
        if n_classes == 2
        else [average_precision_score(y == k, told[:, k]) for k in range(n_classes)]
    )
    assert values["roc_auc"] == pytest.approx(np.mean(areas), abs=1e-12)
    assert values["average_precision"] == pytest.approx(np.mean(curves), abs=1e-12)
    assert not {name for name in ("ece", "log_loss", "brier") if values.get(name) is not None}


def test_margins_have_intervals_and_no_calibration() -> None:
    x, y = make_rows(2)
    model = LinearSVC(random_state=0).fit(x, y)
    margins = measure_margins(model, x, 2)
    assert margins is not None
    found = compute_metrics(tally(y, model.predict(x), margins), n_bootstrap=50)
    row = found.filter(metric="roc_auc").row(0, named=True)
    assert row["low"] < row["value"] < row["high"]
    assert tabulate_calibration(tally(y, model.predict(x), margins), ["a", "b"]).height == 0


def test_a_row_has_the_margin_it_has_alone() -> None:
    x, y = make_rows(3)
    model = LinearSVC(random_state=0).fit(x, y)
    whole = measure_margins(model, x, 3)
    assert whole is not None
    assert apply_model(model, x, None, 3)[1] is None  # type: ignore[arg-type]
    for row in (0, 7, 199):
        alone = measure_margins(model, x[[row]], 3)
        assert alone is not None
        assert alone[0].tolist() == whole[row].tolist()


def test_a_class_that_was_not_trained_on_comes_last() -> None:
    told = spread_margins(np.array([[0.5, -3.0], [1.0, 2.0]]), np.array([0, 2]), 3)
    assert told.tolist() == [[0.5, -4.0, -3.0], [1.0, -4.0, 2.0]]


def test_models_with_probabilities_have_no_margins() -> None:
    from sklearn.linear_model import LogisticRegression

    x, y = make_rows(2)
    assert measure_margins(LogisticRegression().fit(x, y), x, 2) is None


def test_margins_that_are_not_finite_are_refused() -> None:
    with pytest.raises(BadDataError, match="margins"):
        tally(np.array([0, 1]), np.array([0, 1]), np.array([[0.0, np.nan], [1.0, 0.0]]))
