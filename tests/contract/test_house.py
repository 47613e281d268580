"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import oracle
from tahoe_engine import schema

THIS = Path(__file__)
ROOT = THIS.parents[2]
PACKAGE = sorted((ROOT / "tahoe_engine").rglob("*.py"))
RUST = sorted((ROOT / "rust_ext" / "src").rglob("*.rs"))
OURS = [*PACKAGE, *RUST, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / "jobs").glob("*.py"))]

ABOUT_300_LINES = 320
DRAWERS = re.compile(r"^(utils?|helpers?|common|misc|managers?)$")
PROMISES = re.compile(r"\b(?:TODO|FIXME|NotImplementedError|todo!|unimplemented!)")
# Who may import what; everybody else goes through them.
ONE_IMPORTER = {
    "distributed": {"workers"},
    "dask_ml": {"daskml"},
    "_rust": {"source", "vocabulary", "cells", "groups", "export", "synth", "run"},  # who scans, probes, verifies
}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_file_is_longer_than_one_purpose() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in OURS}
    assert {name: length for name, length in lengths.items() if length > ABOUT_300_LINES} == {}


def test_there_are_no_drawers() -> None:
    parts = {part for path in OURS for part in path.relative_to(ROOT).with_suffix("").parts}
    assert [part for part in parts if DRAWERS.match(part)] == []


def test_nothing_is_promised_in_place_of_being_done() -> None:
    found = {name_of(path): PROMISES.findall(path.read_text(encoding="utf-8")) for path in OURS if path != THIS}
    assert {name: promises for name, promises in found.items() if promises} == {}


@pytest.mark.parametrize("module", ONE_IMPORTER)
def test_some_modules_have_one_importer(module: str) -> None:
    importers = {
        path.relative_to(ROOT / "tahoe_engine").parts[0].removesuffix(".py")
        for path in PACKAGE
        if module in list_imports(path)
    }
    assert importers <= ONE_IMPORTER[module]


def list_imports(path: Path) -> set[str]:
    """First names of what a module imports; `from tahoe_engine import _rust` and `tahoe_engine._rust` are `_rust`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name.removeprefix("tahoe_engine.").split(".")[0] for name in found}


def test_only_the_border_knows_python() -> None:
    knowing = {name_of(path) for path in RUST if re.search(r"\bpyo3::", path.read_text(encoding="utf-8"))}
    assert knowing <= {name for name in map(name_of, RUST) if name.startswith("rust_ext/src/python")}


def test_every_column_has_its_oracle() -> None:
    tables = oracle.Tables({3: True})
    cell = oracle.Cell([3], [1])
    keys = {"shard", "row", "dose_um", "cell_name", "BARCODE_SUB_LIB_ID", "sample", "drug", "cell_line_id", "plate"}
    assert keys | {"moa-fine"} | set(oracle.summarize_cell(cell, tables)) == set(schema.CELLS.names)
    assert schema.CELLS_SUMMARY.names == oracle.SUMMARY_COLUMNS
    (gene,) = oracle.summarize_genes([cell], tables)
    assert set(gene) | {"ensembl_id", "gene_symbol"} == set(schema.GENES.names)


@pytest.mark.parametrize("statement", ["import tahoe_engine", "import tahoe_engine.cli", "import tahoe_engine.config"])
def test_importing_starts_nothing_and_loads_nothing_heavy(statement: str) -> None:
    heavy = "{'polars', 'pyarrow', 'dask', 'distributed', 'numpy', 'pandas', 'sklearn'}"
    code = f"{statement}, sys, threading; print(sorted({heavy} & set(sys.modules)), threading.active_count())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[] 1"
