"""A prediction depends on its row alone, to the last bit, and is what scikit-learn says."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_array

from tahoe_engine.models import apply
from tahoe_engine.models.apply import apply_model
from tahoe_engine.models.catalogue import list_entries, make_estimator

N_ROWS, N_CLASSES = 211, 3
CASES = [
    (entry.name, kind, n_columns)
    for entry in list_entries()
    for kind in sorted(entry.kinds)
    for n_columns in (7, 90)
    if entry.way != "baseline"
]
SMALL = {
    "random_forest": {"n_estimators": 5},
    "extra_trees": {"n_estimators": 5},
    "gradient_boosting": {"n_estimators": 5},
    "kernel_svm": {"n_components": 40},
}


def make_rows(n_columns: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(N_ROWS, n_columns))
    numbers = x[:, :5] @ np.arange(5.0) + rng.normal(size=N_ROWS)
    return csr_array(x * (x > 0)), numbers, np.digitize(numbers, [-2, 2]).astype(np.int64)


def fit(name: str, kind: str, n_columns: int) -> tuple[Any, Any, int]:
    x, numbers, codes = make_rows(n_columns)
    (entry,) = [one for one in list_entries() if one.name == name and kind in one.kinds]
    parameters: dict[str, Any] = dict(SMALL.get(name, {}))
    if name == "ridge" and kind == "classification" and n_columns > 64:
        parameters["solver"] = "sparse_cg"
    n_classes = N_CLASSES if kind == "classification" else 0
    made = make_estimator(entry, kind, parameters, seed=1, n_features=n_columns, n_classes=N_CLASSES)
    return made.fit(x, codes if n_classes else numbers), x, n_classes


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("name", "kind", "n_columns"), CASES)
def test_a_prediction_does_not_depend_on_the_rows_beside_it(
    name: str, kind: str, n_columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x, n_classes = fit(name, kind, n_columns)
    y_pred, shares = apply_model(model, x, pl.DataFrame(), n_classes)
    order = np.random.default_rng(2).permutation(N_ROWS)
    for chunk in (1, 3, 64, 10_000):
        monkeypatch.setattr(apply, "CHUNK", chunk)
        other, other_shares = apply_model(model, x[order], pl.DataFrame(), n_classes)
        assert other.tobytes() == y_pred[order].tobytes()
        if shares is not None and other_shares is not None:
            assert other_shares.tobytes() == shares[order].tobytes()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(("name", "kind", "n_columns"), CASES)
def test_it_is_what_the_estimator_itself_predicts(name: str, kind: str, n_columns: int) -> None:
    model, x, n_classes = fit(name, kind, n_columns)
    y_pred, shares = apply_model(model, x, pl.DataFrame(), n_classes)
    np.testing.assert_allclose(y_pred, model.predict(x), rtol=1e-8)
    assert (shares is not None) == (n_classes > 0 and hasattr(model, "predict_proba"))
    if shares is not None:
        np.testing.assert_allclose(shares, model.predict_proba(x), rtol=1e-10, atol=1e-12)


def test_a_class_that_the_model_never_saw_has_no_share() -> None:
    x, _, codes = make_rows(7)
    (entry,) = [one for one in list_entries() if one.name == "random_forest"]
    made = make_estimator(entry, "classification", {"n_estimators": 3}, seed=1, n_features=7, n_classes=3)
    seen = codes != 1
    y_pred, shares = apply_model(made.fit(x[seen], codes[seen]), x, pl.DataFrame(), 3)
    assert set(y_pred) == {0, 2}
    assert shares is not None
    assert shares[:, 1].tolist() == [0.0] * N_ROWS
    np.testing.assert_allclose(shares.sum(axis=1), 1)


def test_no_rows_have_no_predictions() -> None:
    model, x, _ = fit("random_forest", "classification", 7)
    y_pred, shares = apply_model(model, x[:0], pl.DataFrame(), 3)
    assert y_pred.shape == (0,)
    assert shares is not None
    assert shares.shape == (0, 3)


def test_a_forest_that_was_fitted_in_parallel_predicts_in_one_thread() -> None:
    """Threads would add up its trees in the order in which they are done."""
    model, x, _ = fit("random_forest", "regression", 7)
    expected, _ = apply_model(model, x, pl.DataFrame(), 0)
    model.set_params(model__n_jobs=-1)
    found, _ = apply_model(model, x, pl.DataFrame(), 0)
    assert model.get_params()["model__n_jobs"] == 1
    assert found.tobytes() == expected.tobytes()
