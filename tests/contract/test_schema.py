"""The tables are those of the contract, and no column is spelt elsewhere."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tahoe_engine import schema

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = ROOT.parent / "shared/design/CONTRACT.md"
PACKAGE = ROOT / "tahoe_engine"

# As CONTRACT.md lists them; held equal to it below where the document is at hand.
CELLS = [
    "shard",
    "row",
    "BARCODE_SUB_LIB_ID",
    "sample",
    "drug",
    "dose_um",
    "cell_line_id",
    "cell_name",
    "plate",
    "moa-fine",
    "n_genes_by_counts",
    "total_counts",
    "log1p_total_counts",
    "total_counts_mt",
    "pct_counts_mt",
    "pct_counts_in_top_50_genes",
    "expr_len",
    "expr_mean",
    "expr_std",
    "expr_skew",
    "expr_max",
    "mean_log1p_cp10k",
]
GENES = [
    "gene",
    "ensembl_id",
    "gene_symbol",
    "n_cells_by_counts",
    "total_counts",
    "mean_counts",
    "pct_dropout_by_counts",
    "mean_cp10k",
    "var_cp10k",
    "mean_log1p_cp10k",
    "var_log1p_cp10k",
]

# Names that are a column of Tahoe's and nothing else.
FOREIGN = {
    schema.BARCODE,
    schema.MOA_FINE,
    schema.MOA_BROAD,
    schema.SMILES,
    schema.PUBCHEM_CID,
    schema.DRUG_AND_DOSE,
    schema.CELLOSAURUS_ID,
    schema.DEPMAP_ID,
    schema.CONTROL_DRUG,
}


def test_the_tables_have_the_columns_of_the_contract_in_its_order() -> None:
    assert list(schema.CELLS.names) == CELLS
    assert list(schema.GENES.names) == GENES


def test_the_summary_is_a_part_of_the_table() -> None:
    import oracle

    assert schema.CELLS_SUMMARY.names == oracle.SUMMARY_COLUMNS


def test_the_lists_here_are_those_of_the_document() -> None:
    if not CONTRACT.is_file():
        pytest.skip("the folder `shared` beside the repository is not there")
    text = CONTRACT.read_text()
    block = text[text.index("## Tables") : text.index("`groups/index.parquet`")]
    cells, genes = block.split("`genes/genes.parquet`")
    for listed, columns in ((cells.split("as dictionary:")[1], CELLS), (genes, GENES)):
        named = [name for name in re.findall(r"`([^`]+)`", listed) if name in columns]
        assert list(dict.fromkeys(named)) == columns


MODULES = [path.relative_to(PACKAGE) for path in sorted(PACKAGE.rglob("*.py")) if path.parent.name != "schema"]


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_foreign_names_are_spelt_in_one_place(path: Path) -> None:
    tree = ast.parse((PACKAGE / path).read_text())
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    spelt = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents
    }
    assert not spelt & FOREIGN
