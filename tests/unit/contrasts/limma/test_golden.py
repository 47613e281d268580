"""The mouse mammary study in which limma, edgeR and their users agree: its published numbers, gene by gene."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from tahoe_engine.contrasts.adjust import adjust_bh
from tahoe_engine.contrasts.limma import filter_by_expr, fit_counts, fit_limma, norm_factors
from tahoe_engine.contrasts.limma.moderated import fit_prior
from tahoe_engine.contrasts.limma.robust import fit_prior_robustly

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CONTRAST = {"luminalpregnant": 1.0, "luminallactate": -1.0}


@pytest.fixture(scope="module")
def study(shared: Path) -> Path:
    folder = shared / "reference" / "limma_mammary"
    if not folder.is_dir():
        pytest.skip("the folder `shared/reference/limma_mammary` is not there")
    return folder


@pytest.fixture(scope="module")
def every_gene(study: Path) -> pl.DataFrame:
    return pl.read_csv(study / "countdata.tsv", separator="\t")


@pytest.fixture(scope="module")
def counts(study: Path, every_gene: pl.DataFrame) -> pl.DataFrame:
    """The genes R kept, in its order."""
    kept = pl.read_csv(study / "R_filtered_genes.csv").rename({"GeneID": "EntrezGeneID"})
    return kept.join(every_gene, on="EntrezGeneID", how="left", maintain_order="left")


@pytest.fixture(scope="module")
def design(study: Path, counts: pl.DataFrame) -> pl.DataFrame:
    matrix = pl.read_csv(study / "R_design.csv")[:, 1:]
    return matrix.insert_column(0, pl.Series("sample", counts.columns[1:]))


@pytest.fixture(scope="module")
def expected(study: Path, counts: pl.DataFrame) -> pl.DataFrame:
    """R's table, in the order of the counts."""
    table = pl.read_csv(
        study / "limma-voom_luminalpregnant-luminallactate.tsv", separator="\t", infer_schema_length=None
    )
    genes = counts.select("EntrezGeneID")
    return genes.join(table, left_on="EntrezGeneID", right_on="ENTREZID", how="left", maintain_order="left")


def _numbers(frame: pl.DataFrame) -> NDArray[np.float64]:
    return frame[:, 1:].cast(pl.Float64).to_numpy()


def _error(found: pl.Series, expected: pl.Series) -> NDArray[np.float64]:
    error: NDArray[np.float64] = np.abs(found.to_numpy() / expected.to_numpy() - 1)
    return error


def test_library_sizes_are_sums_of_the_kept_genes_and_factors_are_those_of_r(study: Path, counts: pl.DataFrame) -> None:
    published = pl.read_csv(study / "R_norm_factors.csv")
    assert _numbers(counts).sum(axis=0).tolist() == published["lib.size"].to_list()
    assert norm_factors(_numbers(counts)) == pytest.approx(published["norm.factors"].to_numpy(), rel=1e-12)


def test_fold_changes_and_means_are_those_of_r(
    counts: pl.DataFrame, design: pl.DataFrame, expected: pl.DataFrame
) -> None:
    table = fit_limma(counts, design, CONTRAST)
    assert table["logFC"].to_numpy() == pytest.approx(expected["logFC"].to_numpy(), abs=1e-9)
    assert table["AveExpr"].to_numpy() == pytest.approx(expected["AveExpr"].to_numpy(), abs=1e-9)


def test_robust_tests_are_those_of_r(counts: pl.DataFrame, design: pl.DataFrame, expected: pl.DataFrame) -> None:
    fit = fit_counts(_numbers(counts), _numbers(design))
    prior = fit_prior_robustly(fit.variances, 6)
    assert prior.main_df == pytest.approx(6.75182, abs=1e-5)
    assert prior.variance == pytest.approx(0.9068166, abs=2e-6)
    regular = prior.df == prior.main_df
    assert (~regular).sum() == pytest.approx(2_442, rel=0.05)
    table = fit_limma(counts, design, CONTRAST)
    assert _error(table["t"], expected["t"])[regular].max() < 1e-6
    assert _error(table["P.Value"], expected["P.Value"])[regular].max() < 1e-6
    # Outliers, of whose prior R has 0.2520 degrees of freedom and we 0.2298
    assert _error(table["t"], expected["t"]).max() < 1e-3
    assert _error(table["P.Value"], expected["P.Value"]).max() < 2e-2
    assert table["B"].to_numpy() == pytest.approx(expected["B"].to_numpy(), abs=0.02)
    assert (table["adj.P.Val"] < 0.05).sum() == pytest.approx(7_328, abs=3)


def test_the_plain_prior_is_that_of_r(counts: pl.DataFrame, design: pl.DataFrame, expected: pl.DataFrame) -> None:
    prior = fit_prior(fit_counts(_numbers(counts), _numbers(design)).variances, 6)
    assert prior.main_df == pytest.approx(6.157, abs=5e-4)
    assert prior.variance == pytest.approx(0.89914, abs=5e-6)
    plain = fit_limma(counts, design, CONTRAST, robust=False)["t"]
    assert np.corrcoef(plain, expected["t"])[0, 1] == pytest.approx(0.99987, abs=1e-5)


def test_adjusted_p_values_are_those_of_r(expected: pl.DataFrame) -> None:
    adjusted = adjust_bh(expected["P.Value"].to_numpy())
    assert adjusted == pytest.approx(expected["adj.P.Val"].to_numpy(), rel=1e-12)


def test_all_contrasts_of_the_study_behave(counts: pl.DataFrame, design: pl.DataFrame) -> None:
    fit = fit_counts(_numbers(counts), _numbers(design))
    pairs = list(permutations(range(6), 2))
    contrasts = np.zeros((6, len(pairs)))
    for column, (one, other) in enumerate(pairs):
        contrasts[[one, other], column] = 1, -1
    tested = fit.test(contrasts)
    for values in (tested.logFC, tested.t, tested.p_value, tested.B):
        assert np.isfinite(values).all()
    found = {pair: (adjust_bh(tested.p_value[:, j]) < 0.05).sum() for j, pair in enumerate(pairs)}
    assert all(found[one, other] == found[other, one] for one, other in pairs)
    assert found[1, 0] == pytest.approx(5_311, rel=5e-3)  # basal cells, pregnant and lactating
    one_by_one = fit.test(contrasts[:, 3:4])
    assert one_by_one.t == pytest.approx(tested.t[:, 3:4], rel=1e-10)
    assert pytest.approx(tested.B[:, 3:4], rel=1e-10, abs=1e-10) == one_by_one.B


def test_another_parametrisation_gives_the_same_tests(counts: pl.DataFrame, design: pl.DataFrame) -> None:
    groups = _numbers(design)
    second = np.eye(6)[:, 1:2]
    treatments = np.column_stack([np.ones(12), groups[:, 1:]])  # against the first group
    one = fit_counts(_numbers(counts), groups).test(second - np.eye(6)[:, :1])
    other = fit_counts(_numbers(counts), treatments).test(second)
    assert other.t == pytest.approx(one.t, rel=1e-8, abs=1e-10)


def test_the_filter_keeps_nearly_what_was_published(
    every_gene: pl.DataFrame, counts: pl.DataFrame, design: pl.DataFrame
) -> None:
    # The study kept genes of CPM > .5 in two samples; this filter asks for 10 counts in a median library: CPM > .46.
    kept = every_gene.filter(pl.Series(filter_by_expr(_numbers(every_gene), _numbers(design))))
    both = kept.join(counts, on="EntrezGeneID", how="semi").height
    assert both > 0.99 * counts.height
    assert kept.height < 1.03 * counts.height
    by_itself = fit_limma(kept, design, CONTRAST)
    assert (by_itself["adj.P.Val"] < 0.05).sum() == pytest.approx(7_328, rel=0.02)
