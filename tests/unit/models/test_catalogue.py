"""The catalogue: every estimator can be made, fitted and saved by skops; wrong names and values are refused."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array

from tahoe_engine.errors import ConfigError
from tahoe_engine.models.catalogue import Entry, find_entry, list_entries, make_estimator, name_parameters
from tahoe_engine.models.task import BASELINES

FITTED = [(entry, kind) for entry in list_entries() if entry.way != "baseline" for kind in sorted(entry.kinds)]


def made_rows(kind: str, n_columns: int = 4) -> tuple[csr_array, Any]:
    generator = np.random.default_rng(3)
    x = generator.normal(size=(120, n_columns)) * np.arange(1, n_columns + 1)
    y = x[:, 0] + 0.1 * generator.normal(size=120)
    return csr_array(x), (y > 0).astype(np.int64) if kind == "classification" else y


@pytest.mark.parametrize(("entry", "kind"), FITTED, ids=[f"{entry.name}-{kind[0]}" for entry, kind in FITTED])
def test_each_entry_learns_and_holds_no_type_that_it_does_not_name(entry: Entry, kind: str) -> None:
    from skops.io import dumps, get_untrusted_types

    x, y = made_rows(kind)
    few = {"n_components": 20} if entry.before else {}
    estimator = make_estimator(entry, kind, few, seed=1, n_features=4).fit(x, y)
    assert estimator.score(x, y) > 0.8
    assert set(get_untrusted_types(data=dumps(estimator))) <= set(entry.trusted)
    assert pickle.loads(pickle.dumps(entry)) == entry  # noqa: S301 - our own bytes


def test_the_names_are_those_that_a_task_may_say() -> None:
    names = {entry.name for entry in list_entries()}
    assert {entry.name for entry in list_entries() if entry.way == "baseline"} == set(BASELINES)
    linear = {"ridge", "lasso", "elastic_net", "logistic", "linear_svm", "sgd"}
    others = {"kernel_svm", "svc", "random_forest", "extra_trees", "gradient_boosting"}
    assert names - set(BASELINES) == linear | others
    assert find_entry("ridge", "regression").way == "closed"
    assert find_entry("ridge", "classification").way == "memory"
    assert find_entry("svc", "classification").max_rows == 20_000


def test_what_is_not_there_is_refused_with_what_is_near() -> None:
    with pytest.raises(ConfigError, match="no estimator 'random_forst'; the nearest are random_forest"):
        find_entry("random_forst", "regression")
    with pytest.raises(ConfigError, match=r"lasso is not for classification; there is .*logistic"):
        find_entry("lasso", "classification")
    forest = find_entry("random_forest", "regression")
    with pytest.raises(ConfigError, match="no parameter 'max_dept'; the nearest are max_depth"):
        make_estimator(forest, "regression", {"max_dept": 3}, seed=0, n_features=3)
    for name in ("random_state", "n_jobs", "verbose"):
        with pytest.raises(ConfigError, match="not a task's to set"):
            make_estimator(forest, "regression", {name: 3}, seed=0, n_features=3)
    with pytest.raises(ConfigError, match=r"random_forest: The 'max_depth' parameter .* Got -1 instead"):
        make_estimator(forest, "regression", {"max_depth": -1}, seed=0, n_features=3)
    with pytest.raises(ConfigError, match="no parameter 'class_weight'"):
        make_estimator(forest, "regression", {"class_weight": "balanced"}, seed=0, n_features=3)
    with pytest.raises(ConfigError, match="it is l1 or l2"):
        make_estimator(
            find_entry("logistic", "classification"), "classification", {"penalty": "l3"}, seed=0, n_features=3
        )
    with pytest.raises(ConfigError, match="looks at no feature"):
        make_estimator(find_entry("mean", "regression"), "regression", {}, seed=0, n_features=3)


def test_parameters_go_to_the_step_they_are_of() -> None:
    entry = find_entry("kernel_svm", "classification")
    made = make_estimator(entry, "classification", {"n_components": 7, "gamma": 0.5, "C": 3}, seed=5, n_features=450)
    kernel, last = made.named_steps["kernel"], made.named_steps["model"]
    assert (kernel.n_components, kernel.gamma, kernel.random_state) == (7, 0.5, 5)
    assert (last.C, last.max_iter, last.random_state) == (3, 10_000, 5)
    assert {"gamma", "C", "n_components"} <= set(name_parameters(entry, "classification"))
    forest = find_entry("extra_trees", "classification")
    assert make_estimator(forest, "classification", {"max_depth": "none"}, seed=1, n_features=4)[-1].max_depth is None


def test_logistic_takes_the_solver_that_can_do_its_penalty() -> None:
    def solver_of(parameters: dict[str, Any], n_classes: int = 2) -> tuple[str, float]:
        entry = find_entry("logistic", "classification")
        last = make_estimator(entry, "classification", parameters, seed=0, n_features=4, n_classes=n_classes)[-1]
        return last.solver, last.l1_ratio

    assert solver_of({}) == ("lbfgs", 0.0)
    assert solver_of({"penalty": "l2", "C": 2}) == ("lbfgs", 0.0)
    assert solver_of({"penalty": "l1"}) == ("liblinear", 1.0)
    assert solver_of({"penalty": "l1"}, n_classes=3) == ("saga", 1.0)
    assert solver_of({"l1_ratio": 0.5}) == ("saga", 0.5)


def test_a_small_matrix_is_centred_and_a_large_one_stays_sparse() -> None:
    entry = find_entry("logistic", "classification")
    x, y = made_rows("classification")
    small = make_estimator(entry, "classification", {}, seed=0, n_features=4).fit(x, y)
    inside = small[:-1].transform(x)
    np.testing.assert_allclose(inside.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(inside.std(axis=0), 1, atol=1e-12)
    wide, y = made_rows("classification", 65)
    large = make_estimator(entry, "classification", {}, seed=0, n_features=65).fit(wide, y)
    assert list(large.named_steps) == ["scale", "model"]
    assert large[:-1].transform(wide).format == "csr"
    trees = find_entry("random_forest", "classification")
    assert list(make_estimator(trees, "classification", {}, seed=0, n_features=65).named_steps) == ["model"]


def test_ridge_classifies_by_many_sparse_columns_as_it_does_by_few_dense_ones() -> None:
    from sklearn.linear_model import RidgeClassifier
    from sklearn.preprocessing import StandardScaler

    generator = np.random.default_rng(5)
    dense = np.where(generator.random((200, 70)) < 0.2, generator.normal(size=(200, 70)) + 1, 0.0)
    y = (dense[:, 0] + dense[:, 1] - dense[:, 2] > 0.3).astype(np.int64) + (dense[:, 3] > 0)
    entry = find_entry("ridge", "classification")
    found = [
        make_estimator(entry, "classification", {"alpha": 2.0}, seed=1, n_features=70, n_classes=3)
        .fit(csr_array(dense), y)
        .named_steps["model"]
        for _ in range(2)
    ]
    oracle = RidgeClassifier(alpha=2.0, solver="cholesky")
    oracle.fit(StandardScaler(with_mean=False).fit_transform(dense), y)
    np.testing.assert_allclose(found[0].coef_, oracle.coef_, rtol=0, atol=1e-8)
    np.testing.assert_allclose(found[0].intercept_, oracle.intercept_, rtol=0, atol=1e-8)
    assert np.array_equal(found[0].coef_, found[1].coef_)
