"""Ridge from sums of products: as scikit-learn solves it, for all alphas, with the folds from sums alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import mean_squared_error, r2_score, root_mean_squared_error

from made_material import make_kept, make_material, make_task
from tahoe_engine.config import WorkersSettings
from tahoe_engine.errors import ConfigError
from tahoe_engine.models import gram
from tahoe_engine.models.gram import fit_ridge, solve_ridge
from tahoe_engine.models.products import choose_shifts, sum_products
from tahoe_engine.workers import open_computing

if TYPE_CHECKING:
    from pathlib import Path

    from tahoe_engine.models.fitted import Fitted
    from tahoe_engine.models.material import Material

ALPHAS = (0.01, 1.0, 100.0)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return make_material(tmp_path_factory.mktemp("gram") / "run")


def fit(material: Material, into: Path, *, workers: int = 0, primary: str = "rmse", **model: Any) -> Fitted:
    task = make_task({"name": "ridge", "estimator": "ridge", **model}, primary=primary)
    with open_computing(WorkersSettings(count=workers), 4) as computing:
        return fit_ridge(material, task.models[0], task, computing, make_kept(into))


@pytest.mark.parametrize("alpha", [1e-3, 1.0, 1e4])
def test_weights_are_those_of_scikit_learn(alpha: float, material: Material, tmp_path: Path) -> None:
    block = material.gather()
    expected = Ridge(alpha=alpha, solver="svd").fit(block.x.toarray(), block.y)
    found = fit(material, tmp_path, parameters={"alpha": alpha})
    np.testing.assert_allclose(found.estimator.coef_, expected.coef_, rtol=0, atol=1e-10)
    assert found.estimator.intercept_ == pytest.approx(expected.intercept_, abs=1e-10)
    test = material.gather(["test"])
    np.testing.assert_allclose(found.estimator.predict(test.x), expected.predict(test.x.toarray()), rtol=0, atol=1e-10)
    assert (found.n_rows, found.candidates) == (len(block.y), None)


def test_large_means_and_large_targets_cost_no_digits() -> None:
    rng = np.random.default_rng(0)
    dense = rng.normal(1e6, 1.0, (500, 3))
    sparse = random_array((500, 40), density=0.1, rng=rng, format="csr")
    x = csr_array(np.hstack([dense, sparse.toarray()]))
    y = 1e8 + x.toarray() @ rng.normal(size=43) + rng.normal(size=500)
    shifts = choose_shifts(x[:50], y[:50, None])
    weights = solve_ridge(sum_products(x, y[:, None], shifts), [0.5])[0][0]
    means = np.concatenate([np.full(3, 1e6), np.zeros(40)])
    expected = Ridge(alpha=0.5, solver="svd").fit(x.toarray() - means, y - 1e8)
    np.testing.assert_allclose(weights[:, 0], expected.coef_, rtol=0, atol=1e-8)


def test_sums_are_the_same_for_any_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    x = csr_array(np.where(rng.random((200, 12)) < 0.3, rng.normal(size=(200, 12)), 0.0) + np.eye(12)[[0] * 200])
    y = rng.normal(size=(200, 2))
    shifts = choose_shifts(x, y)
    assert shifts.dense.tolist() == [True] + [False] * 11
    whole = sum_products(x, y, shifts)
    full = x.toarray() - shifts.x
    np.testing.assert_allclose(whole.square(), full.T @ full, atol=1e-12)
    np.testing.assert_allclose(whole.xy, full.T @ (y - shifts.y), atol=1e-12)
    monkeypatch.setattr("tahoe_engine.models.products.CHUNK", 7)
    chunked = sum_products(x, y, shifts)
    np.testing.assert_allclose(chunked.square(), whole.square(), atol=1e-12)
    np.testing.assert_allclose(chunked.yy, ((y - y.mean(axis=0)) ** 2).sum(axis=0))


def test_several_targets_are_solved_at_once() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(60, 5)), rng.normal(size=(60, 3))
    sums = sum_products(csr_array(x), y, choose_shifts(csr_array(x), y))
    for alpha, (weights, _) in zip(ALPHAS, solve_ridge(sums, ALPHAS), strict=True):
        np.testing.assert_allclose(weights.T, Ridge(alpha=alpha).fit(x, y).coef_, atol=1e-12)


def test_without_penalty_it_is_least_squares_also_where_columns_repeat() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 3))
    twice = np.hstack([x, x])
    y = rng.normal(size=(60, 1))
    shifts = choose_shifts(csr_array(twice), y)
    weights, offset = solve_ridge(sum_products(csr_array(twice), y, shifts), [0.0])[0]
    found = (twice - shifts.x) @ weights + offset + shifts.y
    np.testing.assert_allclose(found, LinearRegression().fit(twice, y).predict(twice), atol=1e-10)


@pytest.mark.parametrize(
    ("primary", "metric"), [("rmse", root_mean_squared_error), ("mse", mean_squared_error), ("r2", r2_score)]
)
def test_alphas_are_compared_over_the_folds(primary: str, metric: Any, material: Material, tmp_path: Path) -> None:
    block = material.gather()
    x, scores = block.x.toarray(), {}
    for alpha in ALPHAS:
        held = []
        for fold in range(5):
            rest, out = block.fold != fold, block.fold == fold
            if out.any():
                held.append(metric(block.y[out], Ridge(alpha=alpha).fit(x[rest], block.y[rest]).predict(x[out])))
        scores[alpha] = held
    found = fit(material, tmp_path, primary=primary, search={"alpha": ALPHAS})
    assert found.candidates is not None
    for row in found.candidates.iter_rows(named=True):
        held = scores[json.loads(row["parameters"])["alpha"]]
        assert row["mean"] == pytest.approx(np.mean(held), abs=1e-10)
        assert row["sd"] == pytest.approx(np.std(held, ddof=1), abs=1e-10)
        assert (row["folds"], row["metric"]) == (len(held), primary)
    best = min if primary != "r2" else max
    alpha = best(ALPHAS, key=lambda one: np.mean(scores[one]))
    assert found.parameters == {"alpha": alpha}
    expected = Ridge(alpha=alpha, solver="svd").fit(x, block.y)
    np.testing.assert_allclose(found.estimator.coef_, expected.coef_, atol=1e-10)


def test_of_equal_alphas_the_largest_is_taken(material: Material, tmp_path: Path) -> None:
    found = fit(material, tmp_path, search={"alpha": [1e-14, 2e-14]})
    assert found.candidates is not None
    assert found.parameters == {"alpha": 2e-14}
    assert found.candidates["tied"].to_list() == [True, True]
    assert found.candidates["rank"].to_list() == [1, 1]
    assert found.candidates["chosen"].to_list() == [True, False]


def test_few_bytes_take_more_passes_to_the_same_bits(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = fit(material, tmp_path, search={"alpha": ALPHAS})
    monkeypatch.setattr(gram, "BUDGET", 1)
    many = fit(material, tmp_path, search={"alpha": ALPHAS})
    assert one.estimator.coef_.tobytes() == many.estimator.coef_.tobytes()
    assert one.candidates is not None
    assert many.candidates is not None
    assert one.candidates.equals(many.candidates)


def test_a_sample_of_rows_is_fitted_as_if_there_were_no_others(material: Material, tmp_path: Path) -> None:
    block = material.gather(n_rows=100, seed=0)
    found = fit(material, tmp_path, rows=100)
    expected = Ridge(alpha=1.0, solver="svd").fit(block.x.toarray(), block.y)
    np.testing.assert_allclose(found.estimator.coef_, expected.coef_, atol=1e-10)
    assert found.n_rows == 100
    assert found.notes == (f"fitted to 100 of {material.count_rows():,} training rows",)


@pytest.mark.slow  # two workers start
def test_workers_give_the_same_bits(material: Material, tmp_path: Path) -> None:
    here = fit(material, tmp_path, search={"alpha": ALPHAS})
    there = fit(material, tmp_path, workers=2, search={"alpha": ALPHAS})
    assert here.estimator.coef_.tobytes() == there.estimator.coef_.tobytes()
    assert here.estimator.intercept_ == there.estimator.intercept_


@pytest.mark.parametrize(
    ("model", "primary", "message"),
    [
        ({"parameters": {"solver": "svd"}}, "", "has no 'solver', only alpha"),
        ({"parameters": {"alpha": -1.0}}, "", "alpha = -1.0; it is a number from 0 on"),
        ({"search": {"alpha": [1.0, True]}}, "", "alpha = True"),
        ({"search": {"alpha": [1.0, 2.0]}}, "mae", "which give mse, rmse, r2"),
    ],
)
def test_what_it_cannot_do_is_refused(
    model: dict[str, Any], primary: str, message: str, material: Material, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(material, tmp_path, primary=primary, **model)


def test_several_alphas_need_folds(tmp_path: Path) -> None:
    material = make_material(tmp_path / "run", folds=0)
    with pytest.raises(ConfigError, match="have no folds to choose by"):
        fit(material, tmp_path, search={"alpha": ALPHAS})
    assert fit(material, tmp_path).n_rows == material.count_rows()


def test_too_many_columns_are_refused(material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gram, "MOST_COLUMNS", 3)
    with pytest.raises(ConfigError, match="takes at most 3 columns"):
        fit(material, tmp_path)
