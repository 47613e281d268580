"""Genes, wells, drugs and cell lines: what is packaged, what a file may be, what names mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from tahoe_engine.errors import SourceError
from tahoe_engine.vocabulary import (
    cell_names,
    doses_um,
    load_cell_counts,
    load_cell_lines,
    load_drugs,
    load_genes,
    load_samples,
    mitochondrial,
    nearest,
    parse_dose,
    resolve_cell_lines,
    resolve_drugs,
    resolve_plates,
    resolve_samples,
    to_micromolar,
)
from tahoe_engine.vocabulary.tables import PACKAGED

if TYPE_CHECKING:
    from pathlib import Path

GENES = pl.DataFrame(
    {"gene_symbol": ["A", "MT-B", "C"], "ensembl_id": ["E1", "E2", "E3"], "token_id": [3, 4, 7]},
)


def test_the_packaged_tables_are_tahoes_and_small() -> None:
    genes = load_genes()
    assert genes.height == 62_710
    assert genes["token_id"].to_list() == list(range(3, 62_713))
    assert sum(mitochondrial(genes)) == 37
    assert load_samples().height == 1_344
    assert load_drugs().height == 379
    assert load_cell_counts()["n_cells"].sum() == 100_648_790
    assert sum(path.stat().st_size for path in PACKAGED.glob("*.parquet")) < 1_200_000


def test_fifty_of_the_listed_lines_are_assayed() -> None:
    lines = load_cell_lines().unique("Cell_ID_Cellosaur")
    assert lines.height == 102
    assert lines["assayed"].sum() == 50
    assert cell_names()["CVCL_1239"] == "H4"


def test_names_lose_the_blanks_at_their_ends() -> None:
    drugs = set(load_samples()["drug"])
    assert {"Erdafitinib", "Selinexor"} <= drugs
    assert drugs - set(load_drugs()["drug"]) == {"DMSO_TF"}


def test_every_well_has_its_dose() -> None:
    doses = doses_um()
    assert len(doses) == 1_344
    assert set(doses.values()) == {0.0, 0.05, 0.5, 5.0}
    assert doses["smp_1877"] == 0.0  # DMSO_TF of plate 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[('Infigratinib', 0.05, 'uM')]", [("Infigratinib", 0.05, "uM")]),
        ("[('Erdafitinib ', 5.0, 'uM')]", [("Erdafitinib", 5.0, "uM")]),
        ("[('(R)-Verapamil (hydrochloride)', 0.5, 'uM')]", [("(R)-Verapamil (hydrochloride)", 0.5, "uM")]),
        ("""[("5'-X", 1e-3, 'nM'), ('B', 2, 'uM')]""", [("5'-X", 1e-3, "nM"), ("B", 2.0, "uM")]),
    ],
)
def test_doses_are_parsed(text: str, expected: list[tuple[str, float, str]]) -> None:
    assert parse_dose(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[('A', 0.05)]",
        "[('A', -1.0, 'uM')]",
        "[('A', nan, 'uM')]",
        "[('A', 1.0, 'uM')('B', 1.0, 'uM')]",
        "[('A', 1.0, 'uM')] + [1]",
        "[(__import__('os').getcwd(), 1.0, 'uM')]",
        "[('" + "A" * 5_000 + "', 1.0, 'uM')]",
        "[" * 3_000 + "]" * 3_000,
    ],
)
def test_other_text_is_refused_and_not_evaluated(text: str) -> None:
    with pytest.raises(SourceError, match="a dose must read like"):
        parse_dose(text)


def test_doses_come_in_micromole_a_litre() -> None:
    assert to_micromolar("[('A', 50.0, 'nM')]") == pytest.approx(0.05)
    assert to_micromolar("[('A', 1.0, 'furlong')]") is None
    assert to_micromolar("[('A', 1.0, 'uM'), ('B', 1.0, 'uM')]") is None


@pytest.mark.parametrize("kind", ["parquet", "csv", "tsv"])
def test_a_vocabulary_file_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"genes.{kind}"
    if kind == "parquet":
        GENES.with_columns(pl.col("token_id").cast(pl.Int32), extra=1).write_parquet(path)
    else:
        GENES.write_csv(path, separator="," if kind == "csv" else "\t")
    assert load_genes(path).equals(GENES)
    assert mitochondrial(load_genes(path)) == [False, True, False]


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (GENES.drop("token_id"), "lacks the column token_id"),
        (GENES.head(0), "has no genes"),
        (GENES.with_columns(token_id=pl.Series([3, 9, 7])), "row 2 has 7 after 9"),
        (GENES.with_columns(token_id=pl.Series([3, 3, 7])), "row 1 has 3 after 3"),
        (GENES.with_columns(token_id=pl.Series([1, 3, 7])), "row 0 has token_id 1"),
        (GENES.with_columns(token_id=pl.Series([3, 4, 2**31])), "row 2 has token_id 2147483648"),
        (GENES.with_columns(token_id=pl.Series([3, 4, 2**64 - 1], dtype=pl.UInt64)), "row 2 has token_id 1844674"),
        (GENES.with_columns(token_id=pl.Series([3.0, 4.0, 7.0])), "must be whole numbers, found Float64"),
        (GENES.with_columns(token_id=pl.Series([3, None, 7])), "row 1 has no token_id"),
        (GENES.with_columns(gene_symbol=pl.Series(["A", "B", None])), "row 2 has no gene_symbol"),
        (GENES.with_columns(gene_symbol=pl.Series([1, 2, 3])), "gene_symbol must be text"),
        (GENES.with_columns(ensembl_id=pl.Series(["E1", "E2", "E2"])), "ensembl_id E2 stands there twice"),
    ],
)
def test_a_file_that_is_no_vocabulary_is_refused_with_the_reason(
    tmp_path: Path, table: pl.DataFrame, reason: str
) -> None:
    path = tmp_path / "genes.parquet"
    table.write_parquet(path)
    with pytest.raises(SourceError, match=reason):
        load_genes(path)


def test_a_missing_or_foreign_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.parquet cannot be read"):
        load_genes(tmp_path / "none.parquet")
    (tmp_path / "page.parquet").write_text("<html>")
    with pytest.raises(SourceError, match=r"page\.parquet cannot be read"):
        load_genes(tmp_path / "page.parquet")
    with pytest.raises(SourceError, match=r"must be a \.parquet, \.csv or \.tsv"):
        load_genes(tmp_path / "genes.txt")


def test_a_sources_own_tables_are_read(tmp_path: Path) -> None:
    load_samples().drop("dose_um").head(5).write_parquet(tmp_path / "sample_metadata.parquet")
    lines = load_cell_lines().drop("assayed")
    lines.write_parquet(tmp_path / "cell_line_metadata.parquet")
    assert list(doses_um(tmp_path)) == ["smp_1495", "smp_1496", "smp_1497", "smp_1498", "smp_1499"]
    assert load_cell_lines(tmp_path).equals(load_cell_lines())
    with pytest.raises(SourceError, match=r"drug_metadata\.parquet cannot be read"):
        load_drugs(tmp_path)


def test_cell_lines_are_found_by_id_or_name() -> None:
    found, absent = resolve_cell_lines(["A-172", "cvcl_1239", "CVCL_1715", "H4", " hepg2/c3a "])
    assert found == ["CVCL_0131", "CVCL_1239", "CVCL_1715", "CVCL_1098"]
    assert absent == {}


def test_an_absent_line_is_told_with_the_nearest_real_ones() -> None:
    found, absent = resolve_cell_lines(["CVCL_0021", "A172", "CCF-STTG1"])  # the last is listed, not assayed
    assert found == []
    assert absent["CVCL_0021"][0].startswith("CVCL_00")
    assert absent["A172"][0] == "A-172 (CVCL_0131)"
    assert list(absent) == ["CVCL_0021", "A172", "CCF-STTG1"]


def test_drugs_plates_and_samples_are_found() -> None:
    assert resolve_drugs(["erdafitinib ", "DMSO_TF", "Trametinb"]) == (
        ["Erdafitinib", "DMSO_TF"],
        {"Trametinb": nearest("Trametinb", set(load_drugs()["drug"]))},
    )
    assert resolve_plates([4, "6", "plate14"]) == (["plate4", "plate6", "plate14"], {})
    assert list(resolve_plates(["15", "plate0"])[1]) == ["15", "plate0"]
    assert resolve_samples(["smp_1783", "smp_1783"]) == (["smp_1783"], {})
    assert resolve_samples(["smp_9783"])[1]["smp_9783"]


def test_the_nearest_name_is_the_likest() -> None:
    assert nearest("Trametinb", ["Talc", "Trametinib", "Trifluridine"])[0] == "Trametinib"
    assert nearest("trametinib", ["Tram", "Trametinib (DMSO_TF solvate)"], n=1) == ["Trametinib (DMSO_TF solvate)"]
    assert nearest("x", []) == []
