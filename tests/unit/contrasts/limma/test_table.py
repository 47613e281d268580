"""`fit_limma`: names, order, and what is refused with which words."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from tahoe_engine.contrasts.limma import fit_counts, fit_limma
from tahoe_engine.errors import ConfigError

COLUMNS = ["gene", "logFC", "AveExpr", "t", "P.Value", "adj.P.Val", "B"]
SAMPLES = ["c1", "c2", "c3", "d1", "d2", "d3"]
CONTRAST = {"drug": 1, "control": -1}
DESIGN = pl.DataFrame({"sample": SAMPLES, "control": [1, 1, 1, 0, 0, 0], "drug": [0, 0, 0, 1, 1, 1]})


def _make_counts(genes: int = 300, seed: int = 3) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    means = rng.lognormal(4, 1.5, genes)[:, None] * rng.gamma(20, 1 / 20, (genes, 6))
    means[:20, 3:] *= 4
    table = rng.poisson(means)
    return pl.DataFrame({"token": [f"G{i}" for i in range(genes)], **dict(zip(SAMPLES, table.T, strict=True))})


COUNTS = _make_counts()
TABLE = fit_limma(COUNTS, DESIGN, CONTRAST)


def test_the_table_has_limmas_columns_in_the_order_of_the_counts() -> None:
    assert TABLE.columns == COLUMNS
    assert TABLE["gene"].to_list() == COUNTS["token"].to_list()
    assert TABLE.select(pl.exclude("gene").is_finite().all()).row(0) == (True,) * 6
    assert (TABLE["logFC"][:20] > 0.5).all()
    assert (TABLE["adj.P.Val"][:20] < 0.05).sum() > 15


def test_p_values_are_adjusted_by_benjamini_and_hochberg() -> None:
    p = TABLE["P.Value"].to_list()
    order = sorted(range(len(p)), key=lambda i: p[i], reverse=True)
    adjusted, lowest = [0.0] * len(p), 1.0
    for place, i in enumerate(order):
        lowest = min(lowest, p[i] * len(p) / (len(p) - place))
        adjusted[i] = lowest
    assert TABLE["adj.P.Val"].to_list() == pytest.approx(adjusted, rel=1e-12)


@pytest.mark.parametrize("robust", [True, False])
def test_the_order_of_genes_and_samples_does_not_matter(robust: bool) -> None:  # noqa: FBT001 -- a parameter
    shuffled = COUNTS.sample(fraction=1, shuffle=True, seed=1).select("token", *reversed(SAMPLES))
    one = fit_limma(COUNTS, DESIGN, CONTRAST, robust=robust)
    other = fit_limma(shuffled, DESIGN.sample(fraction=1, shuffle=True, seed=2), CONTRAST, robust=robust)
    other = one.select("gene").join(other, on="gene", how="left", maintain_order="left")
    for column in COLUMNS[1:]:
        assert other[column].to_numpy() == pytest.approx(one[column].to_numpy(), rel=1e-9, abs=1e-11), column


def test_the_opposite_contrast_has_opposite_signs_and_the_same_p() -> None:
    other = fit_limma(COUNTS, DESIGN, {"drug": -1, "control": 1})
    assert other["t"].to_numpy() == pytest.approx(-TABLE["t"].to_numpy(), rel=1e-12)
    assert other["P.Value"].to_numpy() == pytest.approx(TABLE["P.Value"].to_numpy(), rel=1e-12)


@pytest.mark.parametrize("take", [pl.DataFrame.lazy, pl.DataFrame.to_arrow])
def test_other_frames_will_do(take: Any) -> None:
    assert fit_limma(take(COUNTS), take(DESIGN), CONTRAST).equals(TABLE)


@pytest.mark.parametrize(
    ("counts", "design", "contrast", "says"),
    [
        (COUNTS.with_columns(d1=-pl.col("d1")), DESIGN, CONTRAST, r"not negative, found -\d+ at gene G0, sample d1"),
        (COUNTS.with_columns(d1=pl.lit(np.nan)), DESIGN, CONTRAST, "found nan at gene G0, sample d1"),
        (COUNTS.with_columns(d1=pl.lit(np.inf)), DESIGN, CONTRAST, "found inf at gene G0, sample d1"),
        (COUNTS.with_columns(d1=pl.lit(1e308)), DESIGN, CONTRAST, "sample d1 has inf counts"),
        (COUNTS.with_columns(d1=pl.lit(0)), DESIGN, CONTRAST, "sample d1 has 0 counts: leave it out"),
        (COUNTS.with_columns(d1=pl.lit(None, pl.Int64)), DESIGN, CONTRAST, "column d1 of the counts has missing"),
        (COUNTS.with_columns(d1=pl.lit("1")), DESIGN, CONTRAST, "column d1 of the counts must hold numbers"),
        (COUNTS.vstack(COUNTS[:1]), DESIGN, CONTRAST, "gene G0 is there more than once"),
        (COUNTS.with_columns(token=pl.lit(None, pl.String)), DESIGN, CONTRAST, r"first column \(token\) must name"),
        (COUNTS.drop("d1"), DESIGN, CONTRAST, "samples of the design that the counts do not have: d1"),
        (COUNTS, DESIGN[1:], CONTRAST, "samples of the counts that the design does not have: c1"),
        (COUNTS, DESIGN.vstack(DESIGN[:1]), CONTRAST, "sample c1 is there more than once"),
        (COUNTS, DESIGN, {"drugs": 1, "control": -1}, "no column drugs: do you mean drug?"),
        (COUNTS, DESIGN, {"x": 1}, "no column x: it has control, drug"),
        (COUNTS, DESIGN, {"drug": "much"}, "weight of drug must be a number"),
        (COUNTS, DESIGN, {"drug": float("nan")}, "finite weights"),
        (COUNTS, DESIGN, {}, "no weight that is not zero"),
        (COUNTS, DESIGN.with_columns(drug=pl.lit(np.inf)), CONTRAST, "finite values only"),
        (COUNTS, DESIGN.with_columns(plate2=pl.col("drug")), {"drug": 1, "control": -1}, "does not tell drug from"),
        (COUNTS.select("token", "c1", "d1"), DESIGN[[0, 3]], CONTRAST, "add replicates"),
        (COUNTS[:0], DESIGN, CONTRAST, "counts must have rows"),
        (COUNTS, 7, CONTRAST, "design must be a frame"),
    ],
)
def test_wrong_input_is_refused_with_words_that_help(
    counts: Any, design: Any, contrast: dict[str, float], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        fit_limma(counts, design, contrast)


def test_fold_changes_need_no_residual_degrees_of_freedom() -> None:
    counts = COUNTS.select("c1", "d1").to_numpy()
    fit = fit_counts(counts, np.eye(2))
    assert fit.df_residual == 0
    sizes = counts.sum(axis=0) * [1.0, 1.0]
    change = fit.estimate([[-1.0], [1.0]])[:, 0]
    raw = np.log2((counts[:, 1] + 0.5) / sizes[1]) - np.log2((counts[:, 0] + 0.5) / sizes[0])
    assert np.ptp(change - raw) < 0.2  # but for one factor of all genes, and 1 in the library sizes
    with pytest.raises(ConfigError, match="no residual degree of freedom"):
        fit.test([[-1.0], [1.0]])


@pytest.mark.parametrize("robust", [True, False])
def test_a_well_a_treatment_gives_sane_numbers(robust: bool) -> None:  # noqa: FBT001 -- a parameter
    rng = np.random.default_rng(8)
    genes, wells = 2_000, 96
    means = rng.lognormal(3, 1.5, genes)[:, None] * rng.gamma(25, 1 / 25, (genes, wells))
    means[:100, 5] *= 6
    counts = rng.poisson(means).astype(float)
    counts[200:230, :2] = 0  # never in a control
    counts[230:235] = 0  # never at all
    counts[235:240] = 3  # the same everywhere
    groups = np.array([0, 0, *range(1, 95)])
    fit = fit_counts(counts, np.eye(95)[groups], robust=robust)
    tested = fit.test(np.vstack([-np.ones(94), np.eye(94)]))
    assert tested.df_residual == 1
    for values in (tested.logFC, tested.t, tested.p_value, tested.B):
        assert np.isfinite(values).all()
    assert fit.weights.max() < 1e5 * fit.weights.min()
    treated = 3  # the well of number 5
    assert (tested.p_value[:100, treated] < 0.01).mean() > 0.3
    others = np.delete(tested.p_value[300:], treated, axis=1)
    assert 0.02 < (others < 0.05).mean() < 0.10  # all share the same two control wells


def test_twins_are_borne() -> None:
    # Two samples of the same counts: half of the residuals are exactly zero.
    counts = COUNTS.with_columns(c2="c1", c3="c1")
    assert fit_limma(counts, DESIGN, CONTRAST).select(pl.exclude("gene").is_finite().all()).row(0) == (True,) * 6
    with pytest.raises(ConfigError, match="no gene varies"):
        fit_limma(counts.with_columns(d2="d1", d3="d1"), DESIGN, CONTRAST)


def test_genes_without_counts_change_no_other_and_are_not_found() -> None:
    zeros = pl.DataFrame({"token": [f"Z{i}" for i in range(2_000)]}).with_columns(pl.lit(0).alias(s) for s in SAMPLES)
    table = fit_limma(pl.concat([COUNTS, zeros], how="vertical_relaxed"), DESIGN, CONTRAST)
    for column in ("logFC", "AveExpr", "t", "P.Value", "B"):
        assert table[column][: COUNTS.height].to_numpy() == pytest.approx(TABLE[column].to_numpy(), rel=1e-9), column
    silent = table[COUNTS.height :]
    assert silent["logFC"].to_numpy() == pytest.approx(np.zeros(2_000), abs=1e-12)
    assert silent.select("t", "P.Value", "adj.P.Val").unique().rows() == [(0.0, 1.0, 1.0)]
    assert silent["B"].to_numpy() == pytest.approx(np.full(2_000, np.log(0.01 / 0.99)))
    assert (silent["AveExpr"] < table["AveExpr"][: COUNTS.height].min()).all()


@pytest.mark.parametrize("seed", range(60))
def test_odd_counts_give_finite_numbers_or_a_word_why_not(seed: int) -> None:
    rng = np.random.default_rng(seed)
    genes, samples = int(rng.choice([1, 3, 12, 100])), int(rng.integers(2, 10))
    counts = rng.poisson(rng.lognormal(rng.choice([-1, 2, 8]), 2, (genes, 1)) * np.ones(samples)).astype(float)
    match seed % 5:
        case 0:
            counts = np.minimum(counts, 1)
        case 1:
            counts[:, 1:] = counts[:, :1]
        case 2:
            counts = np.round(counts * 1e9)
        case 3:
            counts[rng.random(counts.shape) < 0.7] = 0
    counts[0] += 1  # no sample is empty
    groups = int(rng.integers(1, samples + 1))
    design = np.eye(groups)[np.r_[np.arange(groups), rng.integers(0, groups, samples - groups)]]
    contrasts = np.eye(groups)[:, :1] - (np.eye(groups)[:, -1:] if groups > 1 else 0)
    fit = fit_counts(counts, design)
    assert np.isfinite(fit.estimate(contrasts)).all()
    for robust in (True, False):
        try:
            tested = fit.test(contrasts, robust=robust)
        except ConfigError as error:
            assert fit.df_residual == 0 or "no gene varies" in str(error)  # noqa: PT017 -- either or
        else:
            for values in (tested.logFC, tested.t, tested.p_value, tested.B):
                assert np.isfinite(values).all()
            assert (tested.p_value <= 1).all()


@pytest.mark.parametrize("genes", [1, 2, 5])
def test_few_genes_are_borne(genes: int) -> None:
    table = fit_limma(COUNTS[20 : 20 + genes], DESIGN, CONTRAST)
    assert table.select(pl.exclude("gene").is_finite().all()).row(0) == (True,) * 6
