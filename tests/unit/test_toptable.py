"""A top table made elsewhere: its columns under whatever names, its numbers against each other."""

from __future__ import annotations

import gzip
import json
import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

from tahoe_engine.errors import BadDataError, ConfigError, SourceError
from tahoe_engine.toptable import TopTable, read_top_table

if TYPE_CHECKING:
    from pathlib import Path

ORDER = ["gene", "logFC", "AveExpr", "t", "P.Value", "adj.P.Val", "B"]


def make_table(df: float = 12.5, n: int = 400, seed: int = 5) -> pl.DataFrame:
    """A whole table as limma writes it: a tenth of the genes have a change."""
    from scipy import stats

    random = np.random.default_rng(seed)
    t = (random.normal(size=n) if math.isinf(df) else random.standard_t(df, n)) + np.where(
        np.arange(n) < n // 10, random.normal(0, 5, n), 0
    )
    p = 2 * (stats.norm.sf(np.abs(t)) if math.isinf(df) else stats.t.sf(np.abs(t), df))
    table = pl.DataFrame(
        {
            "gene": [f"g{i}" for i in range(n)],
            "logFC": t * random.uniform(0.1, 0.5, n),
            "AveExpr": random.normal(5, 2, n),
            "t": t,
            "P.Value": p,
            "adj.P.Val": stats.false_discovery_control(p),
            "B": np.abs(t) - 4,
        }
    )
    return table.sort("P.Value")


def warned_of(top: TopTable, pattern: str) -> bool:
    return any(re.search(pattern, note) for note in top.warnings)


@pytest.fixture
def table() -> pl.DataFrame:
    return make_table()


# --- the real tables ---------------------------------------------------------------------------------------------
def test_the_published_table_is_understood_and_its_selection_named(shared: Path) -> None:
    top = read_top_table(shared / "reference/dge_top_table/gene_expression_data.csv")
    assert warned_of(top, "300 rows were selected")
    assert top.frame.columns == ORDER
    assert (top.headers["t"], top.headers["gene"]) == ("target", "label")
    assert top.frame.height == 300
    assert (top.frame["logFC"] > 0).sum() == 19
    assert top.frame["gene"].n_unique() == 297
    assert top.df == pytest.approx(65.35, abs=0.01)
    assert top.p_error_max is not None
    assert top.p_error_max < 0.005
    assert top.p_error_median == pytest.approx(0.0002, abs=0.00005)
    (selection,) = [note for note in top.warnings if "selected" in note]
    assert "all |logFC| are 1.0004 or more" in selection
    assert "adj.P.Val 0.0498 or less" in selection
    # The first row alone, whose rank is 1 or more, tells of 4.75E-05 / 1.57E-09 = 30,255 genes.
    assert (top.n_tested or 0) > 30_000


def test_a_whole_table_of_robust_limma_is_not_called_selected(shared: Path) -> None:
    path = shared / "reference/limma_mammary/limma-voom_luminalpregnant-luminallactate.tsv"
    top = read_top_table(path)
    assert warned_of(top, "robust")
    assert top.frame.columns[:7] == ORDER
    assert top.frame.columns[7:] == ["SYMBOL", "GENENAME"]
    assert top.headers["gene"] == "ENTREZID"  # of 163 genes the symbol is missing
    # 6 residual and 6.75182 prior degrees of freedom (R's, in the README beside it): 12 samples, 6 groups.
    assert top.df == pytest.approx(12.75182, abs=1e-5)
    assert top.n_tested == 15_804
    assert len(top.warnings) == 1  # nothing about a selection, nor about adj.P.Val, which is BH's


# --- headers -----------------------------------------------------------------------------------------------------
HEADERS = {
    "limma": ORDER,
    "openproblems": ["gene", "logFC", "AveExpr", "t", "P.Value", "adj.P.Value", "B"],
    "rownames": ["", *ORDER[1:]],
    "deseq-like": ["symbol", "log2FoldChange", "aveExpr", "stat", "pvalue", "padj", "lods"],
    "edgeR-like": ["ID", "logFC", "logCPM", "t.stat", "PValue", "FDR", "B"],
    "scanpy": ["names", "logfoldchanges", "AveExpr", "scores", "pvals", "pvals_adj", "B"],
    "shouted": ["GENE_SYMBOL", "LOGFC", "AVEEXPR", "T", "P_VALUE", "ADJ_P_VAL", "B"],
    "q-values": ["Ensembl ID", "log2FC", "Average Expression", "t-statistic", "p", "q-value", "log-odds"],
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
@pytest.mark.parametrize("separator", [",", "\t", ";"], ids=["comma", "tab", "semicolon"])
def test_headers_of_many_makers_mean_the_same(
    table: pl.DataFrame, tmp_path: Path, headers: list[str], separator: str
) -> None:
    path = tmp_path / "top.csv"
    table.rename(dict(zip(ORDER, headers, strict=True))).write_csv(path, separator=separator)
    top = read_top_table(path)
    assert top.frame.equals(table)
    assert top.headers == dict(zip(ORDER, headers, strict=True))
    assert top.df == pytest.approx(12.5, rel=1e-6)
    assert top.warnings == ()


def test_kinds_of_files_are_read_alike(table: pl.DataFrame, tmp_path: Path) -> None:
    table.write_parquet(tmp_path / "a.parquet")
    text = table.write_csv()
    (tmp_path / "b.csv").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    with gzip.open(tmp_path / "c.csv.gz", "wt") as file:
        file.write(text)
    # As R's write.table(..., sep="\t", quote=TRUE): row names without a header.
    header, *lines = table.write_csv(separator="\t", quote_style="non_numeric").splitlines()
    (tmp_path / "d.txt").write_text("\n".join([header.split("\t", 1)[1], *lines, ""]))
    (tmp_path / "e.csv").write_text("\n\r\n" + text)
    for path in sorted(tmp_path.iterdir()):
        assert read_top_table(path).frame.equals(table), path
    assert read_top_table(table).frame.equals(table)


def test_tables_of_pandas_may_have_genes_as_index(table: pl.DataFrame) -> None:
    pytest.importorskip("pandas")
    plain = table.to_pandas()
    assert read_top_table(plain).frame.equals(table)
    assert read_top_table(plain.set_index("gene")).frame.equals(table)
    assert read_top_table(plain.set_index("gene").rename_axis(None)).frame.equals(table)


def test_the_results_of_our_own_contrasts_are_read() -> None:
    table = make_table()
    own = table.select(
        contrast_id=pl.lit(3),
        gene=pl.int_range(pl.len(), dtype=pl.Int32) + 3,
        logfoldchanges="logFC",
        scores="t",
        pvals="P.Value",
        pvals_adj="adj.P.Val",
        mean_treated="AveExpr",
    )
    top = read_top_table(own)
    assert top.frame.columns == ["gene", "logFC", "t", "P.Value", "adj.P.Val", "contrast_id", "mean_treated"]
    assert top.frame["gene"][0] == "3"
    two = pl.concat([own, own.with_columns(contrast_id=pl.lit(4))])
    with pytest.raises(ConfigError, match="2 contrasts"):
        read_top_table(two)


def test_limmas_own_spelling_comes_before_all_others(table: pl.DataFrame) -> None:
    others = [pl.lit(0.5).alias(name) for name in ("P_value", "LOGFC")]
    top = read_top_table(table.select(*others, pl.all(), target=pl.lit(1), FDR=pl.lit(0.5), symbol=pl.lit("x")))
    assert top.headers == {name: name for name in ORDER}
    assert top.frame.columns == [*ORDER, "P_value", "LOGFC", "target", "FDR", "symbol"]


def test_optional_columns_may_be_missing(table: pl.DataFrame) -> None:
    top = read_top_table(table.select("gene", "logFC", "t", "P.Value"))
    assert (top.frame.columns, top.n_tested) == (["gene", "logFC", "t", "P.Value"], None)


# --- t and P -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("df", [1.0, 3.7, 12.75, 65.35, 900.0])
def test_degrees_of_freedom_are_found(df: float) -> None:
    top = read_top_table(make_table(df, n=3_000))
    assert top.df == pytest.approx(df, rel=1e-4)
    assert top.p_error_max == pytest.approx(0, abs=1e-6)


def test_a_z_has_infinitely_many() -> None:
    top = read_top_table(make_table(math.inf))
    assert top.p_error_max == pytest.approx(0, abs=1e-4)
    assert (top.df, top.describe()["df"]) == (math.inf, "inf")


def test_p_with_three_digits_gives_the_same_degrees_of_freedom(table: pl.DataFrame) -> None:
    rounded = table.with_columns(pl.col("P.Value", "adj.P.Val").round_sig_figs(3))
    top = read_top_table(rounded)
    assert top.df == pytest.approx(12.5, rel=0.002)
    assert top.p_error_max == pytest.approx(0.005, rel=0.3)
    assert top.warnings == ()


@pytest.mark.parametrize("first", [0, 100], ids=["the smallest P", "others"])
def test_rows_with_fewer_degrees_of_freedom_are_counted(table: pl.DataFrame, first: int) -> None:
    from scipy import stats

    odd = table.with_row_index().with_columns(outlier=pl.col("index").is_between(first, first + 29))
    p = np.where(odd["outlier"], 2 * stats.t.sf(odd["t"].abs(), 6.0), odd["P.Value"])
    top = read_top_table(odd.select("gene", "logFC", "t", pl.Series("P.Value", p)))
    assert warned_of(top, "P.Value of 30 of 400 rows")
    assert top.df == pytest.approx(12.5, rel=1e-6)


def test_p_of_one_side_is_named() -> None:
    # Half of what it should be: smaller than with any degrees of freedom where it is large.
    top = read_top_table(make_table(math.inf).select("gene", "logFC", "t", pl.col("P.Value") / 2))
    assert top.df == math.inf
    assert top.p_error_median == pytest.approx(1.0, abs=1e-4)
    assert warned_of(top, "P.Value of 400 of 400 rows does not follow from t with df inf")


def test_a_label_is_not_taken_for_t(table: pl.DataFrame) -> None:
    label = (table["logFC"] > 0).cast(pl.Int64).alias("target")
    with pytest.raises(BadDataError, match=r"'target' is 0\.0, but P is not 1"):
        read_top_table(table.drop("t").with_columns(label))
    signs = table["logFC"].sign().alias("target")
    with pytest.raises(BadDataError, match="does not follow from 'target' with any degrees of freedom"):
        read_top_table(table.drop("t").with_columns(signs))


# --- mistakes ----------------------------------------------------------------------------------------------------
def spoil(name: str, value: Any, row: int = 7) -> pl.DataFrame:
    table = make_table()
    values = table[name].to_list()
    values[row] = value
    return table.with_columns(pl.Series(name, values, strict=False))


MISTAKES = {
    "NaN": (spoil("t", math.nan), r"row 8 \(gene g\d+\): 't' is None, and must be a number; so it is in 1 rows"),
    "null": (spoil("logFC", None), r"row 8 .* 'logFC' is None"),
    "infinite": (spoil("logFC", math.inf), "'logFC' is inf, and must be finite"),
    "infinite B": (spoil("B", -math.inf), "'B' is -inf, and must be finite"),
    "negative P": (spoil("P.Value", -0.01), "'P.Value' is -0.01, and must be between 0 and 1"),
    "large P": (spoil("adj.P.Val", 1.01), "'adj.P.Val' is 1.01, and must be between"),
    "signs": (make_table().with_columns(-pl.col("logFC")), "of the opposite sign to logFC; so it is in 400 rows"),
    "text": (spoil("t", "high").with_columns(pl.col("t").cast(pl.String)), "row 8: 't' is 'high', which is no number"),
    "truth": (make_table().with_columns(t=pl.lit(value=True)), "'t' is Boolean, and must be numbers"),
    "no t": (make_table().drop("t"), "no column for t; it has 'gene', 'logFC'"),
    "no genes, no P": (make_table().drop("gene", "P.Value"), "no column for gene, P.Value;"),
    "no rows": (make_table().clear(), "has no rows"),
}


@pytest.mark.parametrize("table", [mistake[0] for mistake in MISTAKES.values()], ids=MISTAKES)
def test_mistakes_are_named(table: pl.DataFrame, request: pytest.FixtureRequest) -> None:
    expected = MISTAKES[request.node.callspec.id][1]
    with pytest.raises(BadDataError, match=expected):
        read_top_table(table)


def test_files_that_are_no_tables_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    (tmp_path / "b.parquet").write_bytes(b"PAR1")
    (tmp_path / "c.csv").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "d.csv.gz").write_bytes(b"no gzip")
    (tmp_path / "e.csv").write_bytes(b"")
    for path in [*sorted(tmp_path.iterdir()), tmp_path / "nothing.csv"]:
        with pytest.raises(SourceError, match=path.name):
            read_top_table(path)


# --- what is odd -------------------------------------------------------------------------------------------------
def test_significant_rows_alone_are_called_selected() -> None:
    table = make_table(n=3_000)
    top = read_top_table(table.filter(pl.col("adj.P.Val") < 0.05))
    assert warned_of(top, r"all P.Value are .* or less and all adj.P.Val 0\.0\d+ or less")
    assert 2_900 < (top.n_tested or 0) <= 3_000  # the rows are the first by P: their ranks are those among all


def test_large_changes_alone_are_called_selected() -> None:
    table = make_table(n=3_000).drop("adj.P.Val")
    assert warned_of(read_top_table(table.filter(pl.col("logFC").abs() > 0.3)), r"all \|logFC\| are 0\.\d+ or more")


@pytest.mark.parametrize("seed", range(20))
def test_whole_tables_are_silent(seed: int) -> None:
    # Small ones, too, and their halves by chance: nothing warns.
    assert read_top_table(make_table(seed=seed, n=25)).warnings == ()
    assert read_top_table(make_table(seed=seed, n=1_000)).warnings == ()
    half = make_table(seed=seed, n=1_000).drop("adj.P.Val").sample(fraction=0.5, seed=seed)
    assert read_top_table(half).warnings == ()


def test_few_rows_are_not_called_selected() -> None:
    few = pl.DataFrame({"gene": ["a", "b"], "logFC": [1.0, -1.0], "t": [9.0, -9.0], "P.Value": [1.8e-5, 1.8e-5]})
    assert read_top_table(few).warnings == ()


def test_equal_p_have_the_rank_of_the_last() -> None:
    # The first ten of a thousand: 0.001 * 1,000 / 10 = 0.1 for each; less 2 % for rounding.
    ties = pl.DataFrame(
        {"gene": [*"abcdefghij"], "logFC": 1.0, "t": 4.0, "P.Value": 0.001, "adj.P.Val": 0.1},
    )
    assert read_top_table(ties).n_tested == 980


def test_another_adjustment_is_named(table: pl.DataFrame) -> None:
    bonferroni = table.with_columns((pl.col("P.Value") * table.height).clip(0, 1).alias("adj.P.Val"))
    top = read_top_table(bonferroni)
    assert warned_of(top, "is not that of Benjamini and Hochberg")
    assert top.n_tested == table.height


def test_genes_that_are_there_twice_and_missing_values_are_told(table: pl.DataFrame) -> None:
    odd = table.with_columns(
        gene=pl.when(pl.col("gene").is_in(["g3", "g4"])).then(pl.lit("twin")).otherwise("gene"),
        B=pl.when(pl.col("gene") == "g5").then(None).otherwise("B"),
    )
    top = read_top_table(odd)
    assert warned_of(top, "twin")
    assert top.warnings == ("'B' is missing in 1 of 400 rows", "several rows have the same gene: twin")


def test_all_that_was_found_goes_into_a_report(table: pl.DataFrame) -> None:
    told = read_top_table(table).describe()
    assert (told["rows"], told["n_tested"]) == (400, 400)
    assert told["headers"] == {name: name for name in ORDER}
    assert told["df"] == pytest.approx(12.5, rel=1e-6)
    assert json.loads(json.dumps(told, allow_nan=False)) == told
