"""Candidates that are fitted together have the bits of those that are fitted one by one."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier, RandomForestRegressor

from tahoe_engine.errors import ConfigError
from tahoe_engine.models import sharing
from tahoe_engine.models.catalogue import find_entry
from tahoe_engine.models.sharing import group_candidates, train_together
from tahoe_engine.models.training import train_rows

OPTIONS: dict[str, Any] = {"seed": 7}


def made_rows(n_rows: int = 150) -> tuple[csr_array, Any, Any]:
    generator = np.random.default_rng(11)
    x = generator.normal(size=(n_rows, 5)).round(1)
    y = x[:, 0] * x[:, 1] + 0.3 * generator.normal(size=n_rows)
    return csr_array(x), y, (x[:, 0] > 0).astype(np.int64) + (x[:, 1] > 1)


def spread(**values: tuple[Any, ...]) -> list[dict[str, Any]]:
    return [dict(zip(values, chosen, strict=True)) for chosen in product(*values.values())]


GRID = spread(max_depth=(None, 2, 5, 30), min_samples_leaf=(1, 4), min_samples_split=(2, 7, 8), n_estimators=(3, 12, 7))


@pytest.mark.parametrize(
    ("name", "kind", "maker"),
    [
        ("random_forest", "regression", RandomForestRegressor),
        ("random_forest", "classification", RandomForestClassifier),
        ("extra_trees", "classification", ExtraTreesClassifier),
    ],
)
def test_forests_that_are_grown_together_are_those_that_scikit_learn_grows_one_by_one(
    name: str, kind: str, maker: Any
) -> None:
    x, numbers, classes = made_rows()
    y, n_classes = (numbers, 0) if kind == "regression" else (classes, 3)
    entry = find_entry(name, kind)
    groups = group_candidates(entry, GRID, x.shape[0])
    assert sorted(place for group in groups for place in group) == list(range(len(GRID)))
    # Leaves of four are never split below eight rows, so that 2, 7 and 8 are one; depths and numbers are, too.
    assert sorted(map(len, groups)) == [12, 12, 12, 36]
    for group in groups:
        found = train_together(entry, kind, [GRID[place] for place in group], x, y, n_classes=n_classes, **OPTIONS)
        for place, one in zip(group, found, strict=True):
            oracle = maker(random_state=7, **GRID[place]).fit(x.toarray(), y)
            assert np.array_equal(one.predict(x), oracle.predict(x.toarray())), GRID[place]
            if kind == "classification":
                chances: Any = one.predict_probabilities(x)
                assert np.array_equal(chances, oracle.predict_proba(x.toarray())), GRID[place]


def test_trees_that_end_by_themselves_are_grown_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x = csr_array(np.repeat([[0.0], [1.0]], 20, axis=0))
    y = np.repeat([0.0, 1.0], 20)
    fits: list[dict[str, Any]] = []

    def count(entry: Any, kind: str, parameters: dict[str, Any], *rest: Any, **options: Any) -> Any:
        fits.append(parameters)
        return train_rows(entry, kind, parameters, *rest, **options)

    monkeypatch.setattr(sharing, "train_rows", count)
    candidates = spread(max_depth=(1, 2, 9, None), n_estimators=(2, 4))
    train_together(find_entry("random_forest", "regression"), "regression", candidates, x, y, n_classes=0, **OPTIONS)
    # One split: nothing is deeper than 1, but with a limit of 1 nodes there would not have looked for a split.
    assert [(one["max_depth"], one["n_estimators"]) for one in fits] == [(None, 4), (1, 4)]


def test_penalties_of_ridge_have_one_decomposition_and_the_same_bits() -> None:
    x, y, _ = made_rows()
    entry = find_entry("ridge", "regression")
    candidates = spread(alpha=(0.0, 1.0, 50.0))
    assert group_candidates(entry, candidates, 150) == [[0, 1, 2]]
    found = train_together(entry, "regression", candidates, x, y, n_classes=0, **OPTIONS)
    for one, candidate in zip(found, candidates, strict=True):
        alone = train_rows(entry, "regression", candidate, x, y, n_classes=0, **OPTIONS)
        assert one.estimator.alpha == candidate["alpha"]
        assert np.array_equal(one.predict(x), alone.predict(x))
        assert one.estimator.intercept_ == alone.estimator.intercept_


def test_what_has_nothing_in_common_is_fitted_by_itself() -> None:
    candidates = spread(C=(1.0, 2.0))
    logistic = find_entry("logistic", "classification")
    assert group_candidates(logistic, candidates, 10) == [[0], [1]]
    x, _, y = made_rows()
    found = train_together(logistic, "classification", candidates, x, y, n_classes=3, **OPTIONS)
    assert [one.estimator.named_steps["model"].C for one in found] == [1.0, 2.0]
    forest = find_entry("random_forest", "regression")
    # Of many rows depths are tried side by side; what is no number of trees is left for scikit-learn to refuse.
    assert group_candidates(forest, spread(max_depth=(2, 3), n_estimators=(5, 6)), 50_000) == [[0, 1], [2, 3]]
    wrong = spread(n_estimators=(0, 3))
    assert group_candidates(forest, wrong, 10) == [[0], [1]]
    with pytest.raises(ConfigError, match="n_estimators"):
        train_together(forest, "regression", wrong[:1], x, y, n_classes=0, **OPTIONS)
    # A split of one row is refused also where leaves of two would have hidden it.
    assert group_candidates(forest, spread(min_samples_leaf=(2,), min_samples_split=(4, 1)), 10) == [[0], [1]]


def test_rows_of_one_class_need_no_trees() -> None:
    x, _, _ = made_rows()
    entry = find_entry("random_forest", "classification")
    candidates = spread(n_estimators=(2, 3), max_depth=(None, 2))
    found = train_together(entry, "classification", candidates, x, np.ones(150, int), n_classes=2, **OPTIONS)
    assert [one.predict(x).tolist() for one in found] == [[1] * 150] * 4
