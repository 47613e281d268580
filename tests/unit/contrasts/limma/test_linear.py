"""Weighted least squares of all genes at once against one gene after the other, for designs of every kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tahoe_engine.contrasts.limma import linear
from tahoe_engine.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

RNG = np.random.default_rng(5)


def _group(labels: list[int]) -> NDArray[np.float64]:
    return np.eye(max(labels) + 1)[labels]


DESIGNS = {
    "a well a treatment": (_group([0, 0, 1, 2, 3, 4]), [[-1, 1, 0, 0, 0], [-1, 0, 0, 0, 1]]),
    "groups of one, two and three": (_group([0, 1, 1, 2, 2, 2]), [[1, -1, 0], [-0.5, -0.5, 1]]),
    "two large groups": (_group([0] * 8 + [1] * 9), [[-1, 1]]),
    "an intercept": (np.column_stack([np.ones(7), [0, 0, 0, 1, 1, 1, 1]]), [[0, 1], [1, 0.5]]),
    "blocks": (
        np.column_stack([[0, 1, 0, 1, 0, 1, 0, 1], _group([0, 0, 1, 1, 2, 2, 3, 3])]),
        [[1, 0, 0, 0, 0], [0, 1, -1, 0, 0]],
    ),
    "unbalanced blocks": (
        np.column_stack([_group([0, 1, 0, 2, 0, 1, 2, 2, 1]), _group([0, 0, 0, 0, 1, 1, 1, 1, 1])[:, 1:]]),
        [[-1, 1, 0, 0], [0, -1, 1, 0]],
    ),
    "many covariates": (np.column_stack([np.ones(30), RNG.normal(size=(30, 4))]), [[0, 1, 0, 0, 0], [0, 0, 1, -1, 0]]),
    "columns that say the same": (
        np.column_stack([_group([0, 0, 1, 1, 2, 2]), np.ones(6), np.zeros(6)]),
        [[-1, 1, 0, 0, 0], [0, 1, -1, 0, 0]],
    ),
    "scales apart": (np.column_stack([1e6 * np.ones(6), 1e-6 * RNG.normal(size=6)]), [[0, 1]]),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_every_gene_is_fitted_as_if_it_were_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix, weights_of_contrasts = DESIGNS[name]
    contrasts = np.array(weights_of_contrasts, dtype=float).T
    values, weights = RNG.normal(5, 2, (11, len(matrix))), RNG.gamma(2, 2, (11, len(matrix))) + 0.05
    monkeypatch.setattr(linear, "CHUNK_VALUES", 200)  # several chunks
    design = linear.read_design(matrix, list(map(str, range(matrix.shape[1]))))
    readers = linear.read_contrasts(design, contrasts)
    fitted, variances = linear.fit_variances(design, values, weights)
    scales = linear.scale_contrasts(design, weights, readers)
    lengths = np.linalg.norm(matrix, axis=0)
    lengths[lengths == 0] = 1
    rank = np.linalg.matrix_rank(matrix / lengths)
    assert design.df_residual == len(matrix) - rank
    for gene, (y, w) in enumerate(zip(values, weights, strict=True)):
        root = np.sqrt(w)
        x = root[:, None] * matrix / lengths
        coefficients = np.linalg.pinv(x) @ (root * y)
        expected = (matrix / lengths) @ coefficients
        assert fitted[gene] == pytest.approx(expected, abs=1e-9)
        assert variances[gene] == pytest.approx((w * (y - expected) ** 2).sum() / design.df_residual, rel=1e-9)
        assert fitted[gene] @ readers == pytest.approx(contrasts.T @ (coefficients / lengths), rel=1e-7, abs=1e-9)
        covariance = np.linalg.pinv(x.T @ x, rcond=1e-12) / np.outer(lengths, lengths)
        assert scales[gene] == pytest.approx(np.diag(contrasts.T @ covariance @ contrasts), rel=1e-7)


def test_no_weights_are_equal_weights() -> None:
    design = linear.read_design(DESIGNS["blocks"][0], list("abcde"))
    values = RNG.normal(size=(4, 8))
    plain, weighted = linear.fit_variances(design, values, None), linear.fit_variances(design, values, np.ones((4, 8)))
    assert plain[0] == pytest.approx(weighted[0], abs=1e-12)
    assert plain[1] == pytest.approx(weighted[1], rel=1e-12)


def test_a_sample_alone_in_its_group_is_fitted_exactly() -> None:
    design = linear.read_design(_group([0, 0, 1, 2]), list("abc"))
    values = RNG.normal(size=(3, 4))
    fitted, _ = linear.fit_variances(design, values, RNG.gamma(2, 2, (3, 4)) + 0.1)
    assert (fitted[:, 2:] == values[:, 2:]).all()


def test_a_coefficient_that_cannot_be_told_is_named() -> None:
    # drug and plate2 are the same samples
    design = linear.read_design(np.array([[1, 0, 0], [1, 0, 0], [1, 1, 1], [1, 1, 1.0]]), ["base", "drug", "plate2"])
    with pytest.raises(ConfigError, match=r"does not tell drug from"):
        linear.read_contrasts(design, np.array([[0, 1, 0.0]]).T)
    linear.read_contrasts(design, np.array([[0, 1, 1.0]]).T)  # their sum can be told


@pytest.mark.parametrize("contrasts", [[[0.0], [0.0]], [[1.0]], [1.0, 2.0], [[np.nan], [1.0]]], ids=str)
def test_what_is_no_contrast_is_refused(contrasts: list[list[float]]) -> None:
    design = linear.read_design(_group([0, 0, 1, 1]), list("ab"))
    with pytest.raises(ConfigError):
        linear.read_contrasts(design, np.array(contrasts))


def test_a_design_of_zeros_is_refused() -> None:
    with pytest.raises(ConfigError, match="zero everywhere"):
        linear.read_design(np.zeros((3, 2)), list("ab"))
