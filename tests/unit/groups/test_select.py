"""Genes chosen from moments are those that scanpy chooses from the cells."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import polars as pl
import pytest

from tahoe_engine.errors import ConfigError
from tahoe_engine.groups.select import select_genes

GENES = 400
SILENT = 12


@pytest.fixture(scope="module")
def counts() -> Any:
    random = np.random.default_rng(11)
    rates = np.exp(random.normal(-1.5, 2.0, GENES))
    rates[-SILENT:] = 0
    # Some genes vary from cell to cell beyond Poisson, each by another amount.
    spread = random.choice([0.0, 0.0, 0.3, 1.0], GENES)
    return random.poisson(rates * np.exp(spread * random.normal(size=(1_500, GENES)))).astype(np.float64)


def to_log(counts: Any) -> Any:
    return np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)


def moments_of(counts: Any) -> pl.DataFrame:
    logs = to_log(counts)
    raw = np.expm1(logs)
    return pl.DataFrame(
        {
            "gene": np.arange(counts.shape[1]) + 3,
            "mean_cp10k": raw.mean(axis=0),
            "var_cp10k": raw.var(axis=0, ddof=1),
            "mean_log1p_cp10k": logs.mean(axis=0),
            "var_log1p_cp10k": logs.var(axis=0, ddof=1),
        }
    )


def choose_with_scanpy(counts: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import anndata
        import scanpy

        return scanpy.pp.highly_variable_genes(anndata.AnnData(to_log(counts)), inplace=False, **options)


CASES: list[dict[str, Any]] = [
    {"flavor": "seurat"},
    {"flavor": "seurat", "min_mean": 0.5, "max_mean": 2.5, "min_disp": -0.2, "max_disp": 1.5},
    {"flavor": "seurat", "n_top_genes": 60},
    {"flavor": "seurat", "n_bins": 300},
    {"flavor": "seurat", "n_bins": 300, "n_top_genes": 70},
    {"flavor": "seurat", "n_bins": 1, "n_top_genes": 5},
    {"flavor": "seurat", "n_top_genes": 10_000},
    {"flavor": "cell_ranger"},
    {"flavor": "cell_ranger", "n_top_genes": 60},
]


@pytest.mark.parametrize("options", CASES, ids=str)
def test_the_chosen_genes_are_those_of_scanpy(counts: Any, options: dict[str, Any]) -> None:
    # With genes that nothing was counted of scanpy's cell_ranger has bins without width, and fails.
    shown = counts[:, :-SILENT] if options["flavor"] == "cell_ranger" else counts
    theirs = choose_with_scanpy(shown, **options)
    ours = select_genes(moments_of(shown), **options)
    assert ours["highly_variable"].to_list() == theirs["highly_variable"].tolist()
    assert 0 < ours["highly_variable"].sum() < GENES
    for name in ("means", "dispersions", "dispersions_norm"):
        expected = theirs[name].to_numpy()
        assert ours[name].is_null().to_list() == np.isnan(expected).tolist()
        np.testing.assert_allclose(ours[name].to_numpy(), expected, rtol=1e-6, atol=1e-6)


def test_genes_alone_in_their_bins_tie_and_are_all_chosen(counts: Any) -> None:
    table = moments_of(counts)
    everyone = select_genes(table, n_bins=300)
    alone = everyone.filter(pl.col("dispersions_norm") == 1)
    assert alone.height > 10
    above = everyone.filter(pl.col("dispersions_norm") > 1).height
    assert select_genes(table, n_bins=300, n_top_genes=above + 1)["highly_variable"].sum() == above + alone.height


def test_a_hand_counted_bin() -> None:
    # Two bins: means 1, 1, 1 with logarithms of dispersions 0, 0, 3, of mean 1 and deviation sqrt(3); and a lone gene.
    table = pl.DataFrame(
        {"gene": [3, 4, 5, 6], "mean_cp10k": [1.0, 1.0, 1.0, 9.0], "var_cp10k": [1.0, 1.0, np.exp(3.0), 18.0]}
    )
    chosen = select_genes(table, n_bins=2, max_mean=10)
    expected = [-1 / np.sqrt(3), -1 / np.sqrt(3), 2 / np.sqrt(3), 1.0]
    np.testing.assert_allclose(chosen["dispersions_norm"].to_numpy(), expected)
    np.testing.assert_allclose(chosen["means"].to_numpy(), np.log([2, 2, 2, 10]))
    assert chosen["highly_variable"].to_list() == [False, False, True, True]
    assert chosen.columns == [*table.columns, "highly_variable", "means", "dispersions", "dispersions_norm"]


def test_genes_of_one_mean_share_a_bin() -> None:
    table = pl.DataFrame({"mean_cp10k": [2.0] * 3, "var_cp10k": [1.0, 2.0, 3.0]})
    assert select_genes(table)["dispersions_norm"].null_count() == 0


@pytest.mark.parametrize("n", range(2, 30))
def test_genes_of_equal_dispersion_have_no_normalised_one(n: int) -> None:
    # Their mean may differ from each by rounding, and their deviation from 0.
    table = pl.DataFrame({"mean_cp10k": [2.0] * n, "var_cp10k": [0.7] * n})
    chosen = select_genes(table, n_top_genes=2)
    assert chosen["dispersions_norm"].null_count() == n
    assert not chosen["highly_variable"].any()


def test_a_gene_that_alone_differs_from_its_bin_is_chosen() -> None:
    # Twenty bins of ten genes, all with the dispersion 1 but for two of 3: deviations of 0, hence infinitely far out.
    means = np.arange(1.0, 201.0)
    dispersions = np.where(np.isin(np.arange(200), [14, 75]), 3.0, 1.0)
    table = pl.DataFrame({"mean_log1p_cp10k": means, "var_log1p_cp10k": means * dispersions})
    for options in ({"max_mean": 1e3}, {"n_top_genes": 1}):
        chosen = select_genes(table, flavor="cell_ranger", **options)
        assert np.flatnonzero(chosen["highly_variable"]).tolist() == [14, 75]
        assert chosen["dispersions_norm"].drop_nulls().to_list() == [np.inf, np.inf]


def test_a_gene_at_an_edge_belongs_to_the_lower_bin() -> None:
    # Three bins with edges 1 to 4, and a gene at each: the gene at 2 is with the one at 1.
    means = np.expm1([1.0, 2.0, 3.0, 4.0])
    table = pl.DataFrame({"mean_cp10k": means, "var_cp10k": means * [2.0, 3.0, 5.0, 7.0]})
    norm = select_genes(table, n_bins=3)["dispersions_norm"].to_numpy()
    np.testing.assert_allclose(norm, [-np.sqrt(0.5), np.sqrt(0.5), 1.0, 1.0])


REFUSED = [
    ({"mean_cp10k": [1.0], "var_cp10k": [None]}, {}, "var_cp10k is not known for every gene"),
    ({"mean_cp10k": [1.0]}, {}, "no column var_cp10k"),
    ({"mean_cp10k": [-1.0], "var_cp10k": [1.0]}, {}, "mean_cp10k is negative"),
    ({"mean_cp10k": [1.0], "var_cp10k": [1.0], "means": [1.0]}, {}, "a column means already"),
    ({"mean_cp10k": [1.0], "var_cp10k": [1.0]}, {"flavor": "seurat_v3"}, "no flavor 'seurat_v3'"),
    ({"mean_cp10k": [1.0], "var_cp10k": [1.0]}, {"n_bins": 0}, r"n_bins \(0\)"),
    ({"mean_cp10k": [1.0], "var_cp10k": [1.0]}, {"n_top_genes": 0}, r"n_top_genes \(0\)"),
    ({"mean_log1p_cp10k": [0.0] * 30, "var_log1p_cp10k": [0.0] * 30}, {"flavor": "cell_ranger"}, "leave out the genes"),
]


@pytest.mark.parametrize(("columns", "options", "words"), REFUSED, ids=[words for *_, words in REFUSED])
def test_what_chooses_no_genes_is_refused(columns: dict[str, Any], options: dict[str, Any], words: str) -> None:
    table = pl.DataFrame(columns, schema_overrides=dict.fromkeys(columns, pl.Float64))
    with pytest.raises(ConfigError, match=words):
        select_genes(table, **options)


def test_no_gene_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="empty"):
        select_genes(pl.DataFrame(schema={"mean_cp10k": pl.Float64, "var_cp10k": pl.Float64}))
