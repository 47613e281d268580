"""Welch's test from moments is scanpy's test from the cells."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import polars as pl
import pytest

# Not by name: pytest would take `test_welch` itself for a test.
from tahoe_engine.contrasts import welch
from tahoe_engine.contrasts.adjust import adjust_bh
from tahoe_engine.contrasts.moments import Moments, align_moments, pool_moments
from tahoe_engine.contrasts.shrink import shrink_lfc

CELLS = 20_000
GENES = 300
SILENT = 10  # the last genes
# Cells; the largest is the control.
GROUPS = {"DMSO_TF": 12_000, "a": 4_000, "b": 2_900, "c": 1_000, "d": 80, "e": 17, "f": 3}
TREATED = [name for name in GROUPS if name != "DMSO_TF"]


@pytest.fixture(scope="module")
def cells() -> Any:
    """Give log1p of counts per ten thousand, and the group of each cell."""
    random = np.random.default_rng(5)
    groups = random.permutation(np.repeat(list(GROUPS), list(GROUPS.values())))
    rates = np.exp(random.normal(-2.0, 2.0, GENES))
    rates[-SILENT:] = 0
    effects = {name: np.exp2(random.normal(0, 0.5, GENES)) for name in TREATED}
    factors = np.array([effects.get(name, np.ones(GENES)) for name in GROUPS])[
        [list(GROUPS).index(name) for name in groups]
    ]
    counts = random.poisson(rates * factors).astype(np.float64)
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return np.log1p(counts / totals * 1e4), groups


@pytest.fixture(scope="module")
def theirs(cells: Any) -> Any:
    logs, groups = cells
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import anndata
        import scanpy
        from scipy import sparse

        data = anndata.AnnData(sparse.csr_matrix(logs), obs={"group": groups})
        data.obs["group"] = data.obs["group"].astype("category")
        scanpy.tl.rank_genes_groups(data, "group", method="t-test", reference="DMSO_TF", use_raw=False)
        # The published tables are in float32; the same numbers in full:
        ranks = scanpy.tools._rank_genes_groups._RankGenes(data, "all", "group", reference="DMSO_TF", use_raw=False)
        ranks.compute_statistics("t-test")
        return data, ranks.stats


def moments_of(logs: Any) -> Moments:
    return Moments(len(logs), logs.mean(axis=0), logs.var(axis=0, ddof=1))


@pytest.fixture(scope="module")
def ours(cells: Any) -> Any:
    logs, groups = cells
    each = [moments_of(logs[groups == name]) for name in TREATED]
    block = Moments(
        np.array([one.n for one in each]), *(np.array([getattr(one, k) for one in each]) for k in ("mean", "var"))
    )
    return welch.test_welch(block, moments_of(logs[groups == "DMSO_TF"]))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("column", ["scores", "pvals", "logfoldchanges"])
def test_twenty_thousand_cells_give_the_numbers_of_scanpy(theirs: Any, ours: Any, column: str) -> None:
    _, stats = theirs
    expected = np.array([stats[name][column].to_numpy() for name in TREATED])
    np.testing.assert_allclose(getattr(ours, column), expected, rtol=1e-6, atol=1e-6)
    if column == "pvals":  # small ones are equal, too
        assert expected[expected > 0].min() < 1e-100
        np.testing.assert_allclose(ours.pvals, expected, rtol=1e-6, atol=0)


@pytest.mark.filterwarnings("ignore")
def test_the_published_table_of_scanpy_is_the_same(theirs: Any, ours: Any) -> None:
    data, _ = theirs
    table = data.uns["rank_genes_groups"]
    for row, name in enumerate(TREATED):
        order = np.array([int(gene) for gene in table["names"][name]])
        np.testing.assert_allclose(ours.scores[row][order], table["scores"][name], rtol=1e-6, atol=1e-6)
        adjusted = adjust_bh(ours.pvals[row])
        np.testing.assert_allclose(adjusted[order], table["pvals_adj"][name], rtol=1e-6, atol=1e-12)


def test_genes_that_nothing_was_counted_of_are_not_tested(ours: Any) -> None:
    assert not ours.tested[:, -SILENT:].any()
    assert (ours.scores[:, -SILENT:] == 0).all()
    assert (ours.pvals[:, -SILENT:] == 1).all()
    assert ours.tested[0, :-SILENT].all()


def test_three_against_three_by_hand() -> None:
    # Means 2 and 1, variances 1 and 1: t = 1 / sqrt(2 / 3) on 4 degrees of freedom.
    # A t of 4 degrees of freedom: P = 1 - u (3 - u^2) / 2 with u = t / sqrt(4 + t^2).
    result = welch.test_welch(*(Moments(3, np.array([mean]), np.array([1.0])) for mean in (2.0, 1.0)))
    t = np.sqrt(1.5)
    u = t / np.sqrt(4 + t * t)
    assert result.scores[0] == pytest.approx(t, rel=1e-14)
    assert result.pvals[0] == pytest.approx(1 - u * (3 - u * u) / 2, rel=1e-12)
    assert result.logfoldchanges[0] == pytest.approx(np.log2((math.e**2 - 1) / (math.e - 1)), abs=1e-8)


def test_groups_without_variance_are_decided_by_their_means() -> None:
    treated, control = (Moments(4, np.array(mean), np.zeros(3)) for mean in ([1.0, 2.0, 1.0], [1.0, 1.0, 2.0]))
    result = welch.test_welch(treated, control)
    assert result.scores.tolist() == [0, np.inf, -np.inf]
    assert result.pvals.tolist() == [1, 0, 0]


@pytest.mark.parametrize("turned", [False, True])
def test_one_cell_has_no_test_but_a_fold_change(turned: bool) -> None:  # noqa: FBT001 -- a parameter
    one, many = Moments(1, np.array([1.0, 0.0]), np.array([np.nan] * 2)), Moments(9, np.ones(2), np.ones(2))
    result = welch.test_welch(many, one) if turned else welch.test_welch(one, many)
    assert np.isnan(result.scores).all()
    assert np.isnan(result.pvals).all()
    assert not result.tested.any()
    assert result.logfoldchanges[0] == 0
    assert abs(result.logfoldchanges[1]) > 25
    assert np.isnan(shrink_lfc(result.lfc_bounded, result.lfc_se)).tolist() == [False, True]


def test_an_unknown_variance_is_not_taken_for_none() -> None:
    result = welch.test_welch(*(Moments(5, np.array([mean]), np.array([np.nan])) for mean in (1.0, 1.0)))
    assert np.isnan(result.scores[0])
    assert np.isnan(result.pvals[0])


def test_a_block_gives_what_its_rows_give() -> None:
    random = np.random.default_rng(3)
    n = np.array([5, 1, 40])
    treated = Moments(n, random.uniform(size=(3, 7)), random.uniform(size=(3, 7)))
    control = Moments(20, random.uniform(size=7), random.uniform(size=7))
    block = welch.test_welch(treated, control)
    for row in range(3):
        alone = welch.test_welch(Moments(int(n[row]), treated.mean[row], treated.var[row]), control)
        for name in ("logfoldchanges", "scores", "pvals", "tested", "lfc_bounded", "lfc_se"):
            np.testing.assert_array_equal(getattr(block, name)[row], getattr(alone, name))


def test_other_genes_are_refused() -> None:
    with pytest.raises(ValueError, match="3 genes and the control 4"):
        welch.test_welch(Moments(2, np.ones(3), np.ones(3)), Moments(2, np.ones(4), np.ones(4)))


def test_the_error_of_a_fold_change_is_its_spread_over_many_experiments() -> None:
    random = np.random.default_rng(8)
    rates = np.array([0.05, 0.3, 2.0])
    draws = []
    for _ in range(300):
        sides = [moments_of(np.log1p(random.poisson(rates * fold, size=(400, 3)))) for fold in (1.5, 1.0)]
        result = welch.test_welch(*sides)
        draws.append((result.lfc_bounded, result.lfc_se))
    changes, errors = np.array(draws).transpose(1, 0, 2)
    np.testing.assert_allclose(errors.mean(axis=0), changes.std(axis=0, ddof=1), rtol=0.15)


def test_a_side_without_counts_changes_by_no_more_than_half_a_cell_says() -> None:
    # Half of the 100 control cells have one count, of size 1 each: 0.5 / 20 of the 20 treated cells are taken to.
    var = 0.25 * 100 / 99
    treated, control = Moments(20, np.zeros(1), np.zeros(1)), Moments(100, np.array([0.5]), np.array([var]))
    result = welch.test_welch(treated, control)
    assert result.logfoldchanges[0] < -25
    assert result.lfc_bounded[0] == pytest.approx(np.log2(np.expm1(0.025) / np.expm1(0.5)), abs=1e-6)
    # Poisson: the variance of a mean of half a cell is 0.5 / 20^2; the slopes are exp(m) / expm1(m).
    slopes = [np.exp(m) / np.expm1(m) for m in (0.025, 0.5)]
    expected = np.sqrt(slopes[0] ** 2 * 0.5 / 400 + slopes[1] ** 2 * var / 100) / np.log(2)
    assert result.lfc_se[0] == pytest.approx(expected, rel=1e-6)
    # Where one cell in a hundred has a count, half a cell in twenty would be more: nothing is known.
    rare = Moments(100, np.array([0.01]), np.array([0.0099 * 100 / 99]))
    assert welch.test_welch(treated, rare).lfc_bounded[0] == 0


def test_pooled_moments_are_those_of_all_cells(cells: Any) -> None:
    logs, _ = cells
    parts = np.split(logs[:600], [1, 200, 203])  # of 1, 199, 3 and 397 cells
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of one cell numpy has no variance
        each = [moments_of(part) for part in parts]
    none = Moments(0, np.full(GENES, np.nan), np.full(GENES, np.nan))
    pooled = pool_moments([none, *each])
    expected = moments_of(logs[:600])
    assert pooled.n == 600
    np.testing.assert_allclose(pooled.mean, expected.mean, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(pooled.var, expected.var, rtol=1e-12, atol=1e-15)


def test_a_pool_of_one_cell_or_none_has_no_variance() -> None:
    none, one = Moments(0, np.array([np.nan]), np.array([np.nan])), Moments(1, np.array([2.0]), np.array([np.nan]))
    assert np.isnan(pool_moments([none, none]).mean).all()
    pooled = pool_moments([none, one])
    assert (pooled.n, pooled.mean.tolist()) == (1, [2.0])
    assert np.isnan(pooled.var).all()
    with pytest.raises(ValueError, match="no group"):
        pool_moments([])


ROWS = pl.DataFrame(
    {
        "group_id": [4, 4, 2, 9, 6],
        "gene": [10, 30, 20, 10, 50],
        "sum_counts": [7, 1, 2, 3, 8],
        "mean_log1p_cp10k": [0.7, 0.1, 0.2, 0.3, 0.8],
        "var_log1p_cp10k": [0.07, 0.01, 0.02, None, 0.08],
    },
    schema_overrides={"group_id": pl.Int32, "gene": pl.Int32, "sum_counts": pl.UInt64},
)


def test_sparse_moments_become_dense_over_the_genes_of_the_stratum() -> None:
    groups = pl.DataFrame({"group_id": [9, 2, 4], "n_cells": [1, 5, 6]})
    aligned = align_moments([ROWS[:3], ROWS[3:]], groups)  # group 6 was not asked for, nor is its gene
    assert aligned.group_ids.tolist() == [9, 2, 4]
    assert aligned.genes.tolist() == [10, 20, 30]
    assert aligned.moments.mean.tolist() == [[0.3, 0, 0], [0, 0.2, 0], [0.7, 0, 0.1]]
    assert aligned.sum_counts.tolist() == [[3, 0, 0], [0, 2, 0], [7, 0, 1]]
    assert np.isnan(aligned.moments.var[0]).all()
    assert aligned.moments.var[1:].tolist() == [[0, 0.02, 0], [0.07, 0, 0.01]]
    taken = aligned.take([2, 0])
    assert np.asarray(taken.n).tolist() == [6, 1]
    assert taken.mean.tolist() == [[0.7, 0, 0.1], [0.3, 0, 0]]
    # Ten, twenty and thirty of the six cells and the one: (6 * 0.7 + 0.3) / 7, 0, 0.6 / 7.
    np.testing.assert_allclose(aligned.pool([2, 0]).mean, [4.5 / 7, 0, 0.6 / 7])


def test_groups_without_rows_and_no_frames_are_dense_too() -> None:
    aligned = align_moments([], pl.DataFrame({"group_id": [3], "n_cells": [4]}))
    assert aligned.moments.mean.shape == (1, 0)
    with pytest.raises(ValueError, match="named twice"):
        align_moments([], pl.DataFrame({"group_id": [3, 3], "n_cells": [4, 4]}))
