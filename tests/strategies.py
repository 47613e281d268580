"""Hypothesis strategies: Tahoe-shaped tables, and the many ways in which one table can be written as Parquet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from oracle import MARKER_TOKEN, MARKER_VALUE, Tables

if TYPE_CHECKING:
    from pathlib import Path

# A small vocabulary: token ids without gaps from 3, as in the real one; every seventh gene is mitochondrial.
TOKENS = range(3, 203)
LINES = {"CVCL_0131": "A-172", "CVCL_1239": "H4", "CVCL_1715": "SW 1088"}
DOSES_UM = {"smp_1783": 0.05, "smp_1784": 0.0, "smp_1785": 5.0}
TABLES = Tables({token: token % 7 == 0 for token in TOKENS}, LINES, DOSES_UM)

TEXTS = {
    "drug": ["DMSO_TF", "Erdafitinib ", "Trametinib (DMSO_TF solvate)", "Å\U0001f9ec"],
    "sample": [*DOSES_UM, "smp_9999"],  # the last one has no known dose
    "cell_line_id": [*LINES, "CVCL_XXXX"],  # the last one has no known name
    "moa-fine": ["", "unclear", "EGFR inhibitor"],
    "canonical_smiles": ["", "CC(=O)O"],
    "pubchem_cid": ["", "1923.0"],
    "plate": ["plate4", "plate12"],
}
COLUMNS = (
    "genes",
    "expressions",
    "drug",
    "sample",
    "BARCODE_SUB_LIB_ID",
    "cell_line_id",
    "moa-fine",
    "canonical_smiles",
    "pubchem_cid",
    "plate",
)
CODECS = ("none", "snappy", "gzip", "zstd", "lz4", "brotli")


@dataclass(frozen=True)
class Layout:
    """How a table is laid out in a file: Arrow types, column order, and the writer's options."""

    large_lists: bool = False
    token_type: pa.DataType = field(default_factory=pa.int64)
    value_type: pa.DataType = field(default_factory=pa.float32)
    text_type: pa.DataType = field(default_factory=pa.string)
    columns: tuple[str, ...] = COLUMNS
    options: dict[str, Any] = field(default_factory=dict)

    def write(self, table: pa.Table, path: Path) -> Path:
        """Write the table in this layout."""
        make_list = pa.large_list if self.large_lists else pa.list_
        types = {"genes": make_list(self.token_type), "expressions": make_list(self.value_type)}
        schema = pa.schema([(name, types.get(name, self.text_type)) for name in self.columns])
        pq.write_table(table.select(self.columns).cast(schema), path, **self.options)
        return path


def counts() -> st.SearchStrategy[int]:
    """Whole counts, most of them 1 as in the atlas; zeros are legal, and so are counts a float32 just holds."""
    return st.one_of(
        st.just(1), st.just(1), st.integers(1, 12), st.integers(0, 400), st.sampled_from([2**24 - 1, 2**25])
    )


@st.composite
def cells(draw: st.DrawFn, max_genes: int = 80) -> tuple[list[int], list[float]]:
    """The raw lists of one row: with or without the marker, in any order of tokens, possibly empty."""
    tokens = draw(st.lists(st.sampled_from(TOKENS), unique=True, max_size=max_genes))
    if draw(st.booleans()):
        tokens.sort()
    values = [float(draw(counts())) for _ in tokens]
    if draw(st.integers(0, 9)) > 0:
        return [MARKER_TOKEN, *tokens], [MARKER_VALUE, *values]
    return tokens, values


def build_table(rows: list[tuple[list[int], list[float]]], texts: dict[str, list[str]]) -> pa.Table:
    """Put raw lists and texts together as a table of the real schema; barcodes are unique."""
    barcodes = [f"{i % 96 + 1:02d}_{i // 96 % 96 + 1:02d}_{i // 9216 + 1:02d}-lib_841" for i in range(len(rows))]
    columns = {
        "genes": pa.array([tokens for tokens, _ in rows], pa.list_(pa.int64())),
        "expressions": pa.array([values for _, values in rows], pa.list_(pa.float32())),
        "BARCODE_SUB_LIB_ID": pa.array(barcodes, pa.string()),
    } | {name: pa.array(values, pa.string()) for name, values in texts.items()}
    return pa.table({name: columns[name] for name in COLUMNS})


@st.composite
def tables(draw: st.DrawFn, min_rows: int = 0, max_rows: int = 12) -> pa.Table:
    """A few rows drawn one by one: small enough to shrink to the entry that matters."""
    rows = draw(st.lists(cells(), min_size=min_rows, max_size=max_rows))
    texts = {name: [draw(st.sampled_from(values)) for _ in rows] for name, values in TEXTS.items()}
    return build_table(rows, texts)


@st.composite
def long_tables(draw: st.DrawFn, max_rows: int = 600) -> pa.Table:
    """Hundreds of rows from a drawn seed: enough for many pages, and for dictionaries that outgrow their limit."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_rows = draw(st.integers(1, max_rows))
    share_of_ones = draw(st.sampled_from([0.0, 0.8, 1.0]))
    rows = []
    for length in rng.integers(0, len(TOKENS), n_rows):
        tokens = np.sort(rng.choice(np.asarray(TOKENS), length, replace=False))
        values = np.where(rng.random(length) < share_of_ones, 1, rng.integers(1, 3000, length))
        marker = rng.random() < 0.97
        rows.append(
            (
                [MARKER_TOKEN] * marker + tokens.tolist(),
                [MARKER_VALUE] * marker + values.astype(float).tolist(),
            )
        )
    texts = {name: rng.choice(np.asarray(values, object), n_rows).tolist() for name, values in TEXTS.items()}
    return build_table(rows, texts)


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Any legal way to write a table: all must give the same rows."""
    large_lists = draw(st.booleans())
    dictionary = draw(st.sampled_from(["all", "none", "texts"]))
    options: dict[str, Any] = {
        "row_group_size": draw(st.sampled_from([1, 2, 7, 100, 1000])),
        # With tiny pages pyarrow 26 ends a chunk of empty lists with a page of no values: legal, read by Polars
        # and DuckDB, and not by pyarrow itself. Tables are compared with what was written, never read back.
        "data_page_size": draw(st.sampled_from([1, 16, 64, 1000, 2**20])),
        "write_batch_size": draw(st.sampled_from([1, 3, 50, 1024])),
        "data_page_version": draw(st.sampled_from(["1.0", "2.0"])),
        "compression": draw(st.sampled_from(CODECS)),
        "write_page_checksum": draw(st.booleans()),
        "write_page_index": draw(st.booleans()),
        "store_schema": draw(st.booleans()),
        "use_compliant_nested_type": draw(st.booleans()),
        "write_statistics": draw(st.booleans()),
    }
    element = "element" if options["use_compliant_nested_type"] else "item"
    genes, expressions = f"genes.list.{element}", f"expressions.list.{element}"
    texts = [name for name in COLUMNS if name not in {"genes", "expressions"}]
    if dictionary == "all":
        options["use_dictionary"] = True
        # A few bytes: the chunk starts with dictionary pages and falls back to plain ones.
        options["dictionary_pagesize_limit"] = draw(st.sampled_from([16, 200, 2**20]))
    else:
        options["use_dictionary"] = texts if dictionary == "texts" else False
        options["column_encoding"] = {
            genes: draw(st.sampled_from(["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"])),
            expressions: draw(st.sampled_from(["PLAIN", "BYTE_STREAM_SPLIT"])),
        }
        if dictionary == "none":
            text_encodings = st.sampled_from(["PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"])
            options["column_encoding"] |= {name: draw(text_encodings) for name in texts}
    return Layout(
        large_lists=large_lists,
        token_type=draw(st.sampled_from([pa.int64(), pa.int32()])),
        value_type=draw(st.sampled_from([pa.float32(), pa.float64()])),
        text_type=draw(st.sampled_from([pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])),
        columns=tuple(draw(st.permutations(COLUMNS))),
        options=options,
    )


# One damaged entry, and the code that its shard is set aside with. A row is (tokens, values), at least three entries.
DEFECTS: dict[str, tuple[int, float | None, str]] = {
    # name: (what happens to the entry at index 2: its token, its value or None to keep it, code)
    "negative value": (0, -2.0, "E_NEGATIVE_VALUE"),
    "infinite value": (0, float("inf"), "E_NONFINITE"),
    "no number": (0, float("nan"), "E_NONFINITE"),
    "half a count": (0, 0.5, "E_NONINTEGER"),
    "huge value": (0, 3e38, "E_VALUE_RANGE"),
    "negative token": (-5, None, "E_TOKEN_RANGE"),
    "token of the far end": (2**63 - 1, None, "E_TOKEN_RANGE"),
    "token after the last": (TOKENS.stop, None, "E_TOKEN_RANGE"),
}


@st.composite
def defects(draw: st.DrawFn) -> tuple[pa.Table, int, str]:
    """A table with one defective row: the table, the row, the code."""
    table = draw(tables(min_rows=1, max_rows=6))
    row = draw(st.integers(0, table.num_rows - 1))
    token, value, code = DEFECTS[draw(st.sampled_from(sorted(DEFECTS)))]
    tokens, values = [MARKER_TOKEN, 10, 20, 30], [MARKER_VALUE, 1.0, 2.0, 3.0]
    tokens[2], values[2] = token or tokens[2], values[2] if value is None else value
    raw = table.to_pydict()
    raw["genes"][row], raw["expressions"][row] = tokens, values
    return pa.table(raw, schema=table.schema), row, code
