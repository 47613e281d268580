"""The matrix of stored rows: as scikit-learn spreads codes, whatever is left out and however it is cut."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.preprocessing import OneHotEncoder

from tahoe_engine.features import matrix
from tahoe_engine.features.matrix import build_matrix, plan_spreads

LEVELS = [f"code={level}" for level in range(5)]


def make_rows(n: int = 40) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    numbers = np.where(rng.random((n, 2)) < 0.3, 0.0, rng.normal(size=(n, 2)))
    return pl.DataFrame({"a": numbers[:, 0], "code": rng.integers(-1, 5, n).astype(np.int32), "b": numbers[:, 1]})


@pytest.mark.parametrize("chunk", [1, 7, 1 << 15])
def test_codes_become_ones_and_numbers_stay(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "CHUNK", chunk)
    rows = make_rows()
    encoder = OneHotEncoder(categories=[np.arange(5)], handle_unknown="ignore")
    ones = encoder.fit_transform(rows.select("code").to_numpy()).toarray()
    expected = np.column_stack([rows["a"].to_numpy(), ones, rows["b"].to_numpy()])
    found = build_matrix(rows, plan_spreads([("a", None, None), ("code", LEVELS, None), ("b", None, None)]), 7)
    np.testing.assert_array_equal(found.toarray(), expected)
    assert found.has_sorted_indices
    assert all((np.diff(row.indices) > 0).all() for row in (found[[at]] for at in range(len(expected))))
    assert found.indices.dtype == np.int32
    assert (found.data != 0).all()


def test_levels_that_are_left_out_have_no_column() -> None:
    rows = make_rows()
    some = frozenset({LEVELS[1], LEVELS[4]})
    found = build_matrix(rows, plan_spreads([("code", LEVELS, some), ("b", None, None)]), 3).toarray()
    codes = rows["code"].to_numpy()
    np.testing.assert_array_equal(found, np.column_stack([codes == 1, codes == 4, rows["b"].to_numpy()]))


def test_missing_numbers_are_nan_and_whole_ones_are_floats() -> None:
    rows = pl.DataFrame({"n": [1, None, 0]})
    found = build_matrix(rows, plan_spreads([("n", None, None)]), 1)
    np.testing.assert_array_equal(found.toarray(), [[1.0], [np.nan], [0.0]])
    assert found.dtype == np.float64


def test_there_may_be_no_rows_no_columns_and_no_levels() -> None:
    rows = make_rows()
    assert build_matrix(rows.head(0), plan_spreads([("a", None, None)]), 1).shape == (0, 1)
    assert build_matrix(rows, [], 0).shape == (40, 0)
    nothing = build_matrix(rows.with_columns(code=pl.lit(-1)), plan_spreads([("code", [], None)]), 0)
    assert (nothing.shape, nothing.nnz) == ((40, 0), 0)
