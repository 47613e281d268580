"""What fitted steps do to rows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import PolynomialFeatures

from tahoe_engine.daskml import list_powers
from tahoe_engine.errors import BadDataError
from tahoe_engine.features.chains import Chain, Fitted, FittedChain
from tahoe_engine.features.steps import multiply_columns, name_powers, pick_codes, project

RANDOM = np.random.default_rng(11)
NAMES = ("a", "b", "c")


def polynomial(degree: int) -> Fitted:
    powers = list_powers(3, degree)
    return Fitted("polynomial", NAMES, name_powers(NAMES, powers), {"powers": powers})


def long_chain() -> FittedChain:
    """Every kind of step, with made-up numbers."""
    powers = polynomial(2)
    steps = (
        Fitted("impute", NAMES, NAMES, {"fill": np.array([0.1, 0.2, 0.3])}),
        Fitted("log1p", NAMES, NAMES),
        Fitted("standardize", NAMES, NAMES, {"mean": np.array([0.3, 0.7, 0.1]), "scale": np.array([3.0, 0.7, 1 / 3])}),
        powers,
        Fitted("svd", powers.columns_out, ("svd1", "svd2"), {"components": RANDOM.normal(size=(2, 9))}),
    )
    return FittedChain(Chain("n", NAMES, ()), steps)


@pytest.mark.parametrize("degree", [2, 3])
def test_products_and_their_names_are_those_of_scikit_learn(degree: int) -> None:
    matrix = RANDOM.normal(size=(20, 3))
    oracle = PolynomialFeatures(degree, include_bias=False)
    expected = oracle.fit_transform(matrix)
    powers = list_powers(3, degree)
    np.testing.assert_allclose(multiply_columns(matrix, powers), expected, rtol=1e-14)
    assert name_powers(NAMES, powers) == tuple(oracle.get_feature_names_out(NAMES))


def test_the_summaries_of_a_cell_become_fourteen_columns_none_twice() -> None:
    names = ("mean", "std", "skew", "n_genes")
    found = name_powers(names, list_powers(4, 2))
    assert len(set(found)) == len(found) == 14


def test_a_row_does_not_see_its_neighbours() -> None:
    fitted = long_chain()
    matrix = RANDOM.random((2500, 3))
    matrix[RANDOM.random((2500, 3)) < 0.1] = np.nan
    whole = fitted.apply(matrix)
    order = RANDOM.permutation(2500)
    np.testing.assert_array_equal(fitted.apply(matrix[order]), whole[order])
    for row in (0, 1023, 1024, 2499):
        np.testing.assert_array_equal(fitted.apply(matrix[row : row + 1])[0], whole[row])
    np.testing.assert_array_equal(fitted.apply(np.asfortranarray(matrix)), whole)
    assert fitted.apply(matrix[:0]).shape == (0, 2)


def test_a_projection_is_the_product_of_matrices() -> None:
    matrix, components = RANDOM.normal(size=(1500, 30)), RANDOM.normal(size=(7, 30))
    np.testing.assert_allclose(project(matrix, components), matrix @ components.T, atol=1e-12)


def test_picked_codes_are_the_product_with_ones_and_zeros() -> None:
    codes = np.array([[0, 1], [2, -1], [-1, 0], [1, np.nan]])
    ones = np.array([[1, 0, 0, 0, 1], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 1, 0, 0, 0]])
    components = RANDOM.normal(size=(2, 5))
    np.testing.assert_allclose(pick_codes(codes, np.array([3, 2]), components), ones @ components.T)


def test_what_is_applied_leaves_its_input_alone() -> None:
    matrix = np.array([[1.0, np.nan, 2.0]])
    long_chain().apply(matrix)
    np.testing.assert_array_equal(matrix, [[1.0, np.nan, 2.0]])


def test_infinities_are_named_also_when_they_come_up_on_the_way() -> None:
    with pytest.raises(BadDataError, match=r"block 'n': column 'b' has an infinite value"):
        long_chain().apply(np.array([[1.0, np.inf, 1.0]]))
    chain = FittedChain(Chain("n", NAMES, ()), (polynomial(2),))
    with pytest.raises(BadDataError, match=r"column 'b c' has an infinite value"):
        chain.apply(np.array([[1.0, 1e150, 1e200]]))


def test_missing_values_that_are_not_imputed_stay_missing() -> None:
    chain = FittedChain(Chain("n", NAMES, ()), (polynomial(2),))
    found = chain.apply(np.array([[2.0, np.nan, 3.0]]))[0]
    np.testing.assert_array_equal(found, [2, np.nan, 3, 4, np.nan, 6, np.nan, np.nan, 9])


def test_each_column_tells_where_it_comes_from() -> None:
    chain = FittedChain(Chain("n", NAMES, ()), (polynomial(2),))
    assert dict(zip(chain.columns, chain.sources(), strict=True)) == {
        "a": ("a",), "b": ("b",), "c": ("c",), "a^2": ("a",), "a b": ("a", "b"), "a c": ("a", "c"), "b^2": ("b",),
        "b c": ("b", "c"), "c^2": ("c",),
    }  # fmt: skip
    assert long_chain().sources() == (NAMES, NAMES)
