"""Decompositions of one-hot columns from their codes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import sparse
from sklearn.decomposition import TruncatedSVD

from tahoe_engine.config import WorkersSettings
from tahoe_engine.errors import ConfigError
from tahoe_engine.features.blocks import Svd
from tahoe_engine.features.chains import Chain, FittedChain
from tahoe_engine.features.fit import fit_codes_svd
from tahoe_engine.features.fitted import decode_chains, encode_chains
from tahoe_engine.workers import open_computing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def made_codes(sizes: Sequence[int]) -> NDArray[np.float64]:
    random = np.random.default_rng(9)
    return np.column_stack([np.floor(size * random.random(600) ** 2) for size in sizes])


def fit(codes: NDArray[np.float64], sizes: tuple[int, ...], n_components: int, *cuts: int) -> FittedChain:
    chain = Chain("drug", tuple(map(str, range(len(sizes)))), (Svd(do="svd", components=n_components),))
    slices = [((a, b), b - a) for a, b in itertools.pairwise((0, *cuts, len(codes)))]
    with open_computing(WorkersSettings(count=0), 1) as computing:
        return fit_codes_svd(chain, sizes, slices, lambda piece, _: codes[slice(*piece)], computing)


def one_hot(codes: NDArray[np.float64], sizes: tuple[int, ...]) -> sparse.csr_matrix:
    blocks = [codes[:, [place]] == np.arange(size) for place, size in enumerate(sizes)]
    return sparse.csr_matrix(np.hstack(blocks).astype(float))


@pytest.mark.parametrize("cuts", [(), (0, 1, 300)])
@pytest.mark.parametrize("sizes", [(12,), (12, 5), (4, 3, 6)])
def test_components_are_those_of_scikit_learn_on_the_ones_and_zeros(
    sizes: tuple[int, ...], cuts: tuple[int, ...]
) -> None:
    codes = made_codes(sizes)
    matrix = one_hot(codes, sizes)
    oracle = TruncatedSVD(3, algorithm="arpack", tol=1e-14).fit(matrix)
    fitted = fit(codes, sizes, 3, *cuts)
    found, facts = fitted.apply(codes), fitted.steps[0].facts
    np.testing.assert_allclose(facts["singular_values"], oracle.singular_values_, rtol=1e-10)
    np.testing.assert_allclose(facts["explained_variance_ratio"], oracle.explained_variance_ratio_, atol=1e-10)
    np.testing.assert_allclose(np.abs(found), np.abs(oracle.transform(matrix)), atol=1e-9)
    assert fitted.columns == ("drug_svd1", "drug_svd2", "drug_svd3")


def test_an_unknown_level_gives_zeros_and_a_level_nobody_has_no_direction() -> None:
    codes = np.array([[0.0], [0.0], [2.0], [-1.0], [np.nan]])
    fitted = fit(codes, (4,), 3)
    expected = [[1.0, 0, 0], [1.0, 0, 0], [0, 1.0, 0], [0, 0, 0], [0, 0, 0]]
    assert fitted.apply(codes).tolist() == expected
    assert fitted.steps[0].facts["rank"] == 2
    (again,) = decode_chains(encode_chains([fitted]))
    assert again.apply(codes).tolist() == expected


def test_more_components_than_levels_or_memory_are_refused() -> None:
    with pytest.raises(ConfigError, match="svd of 3 levels has no 4 components"):
        fit(np.zeros((5, 1)), (3,), 4)
    with pytest.raises(ConfigError, match="does not fit into memory"):
        fit(np.zeros((5, 2)), (3000, 3000), 2)
    with pytest.raises(ConfigError, match="no training row"):
        fit(np.zeros((0, 1)), (3,), 1)
