"""pyarrow and NumPy: decode both list columns, then reduce the flat arrays, as a careful user would."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KEYS = ("BARCODE_SUB_LIB_ID", "sample", "drug", "cell_line_id", "plate", "moa-fine")
N_TOKENS = 62_713
TARGET_SUM = 1e4
TOP_N = 50

Array = np.ndarray[Any, np.dtype[Any]]


def reduce_shards(shards: Sequence[str], out: Path, mitochondrial: Sequence[int]) -> None:
    """Write one cells table of all the shards, and one genes table of sums."""
    genes = np.zeros((6, N_TOKENS))
    is_mitochondrial = np.zeros(N_TOKENS, bool)
    is_mitochondrial[list(mitochondrial)] = True
    # A row group at a time: a whole shard as float64 is 300 MB an array, and page faults take the time.
    cells = []
    for shard in shards:
        file = pq.ParquetFile(shard)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["genes", "expressions", *KEYS], use_threads=False)
            cells.append(reduce_rows(table, genes, is_mitochondrial))
    pq.write_table(pa.concat_tables(cells), out / "cells.parquet", compression="zstd")
    names = ("n_cells_by_counts", "total_counts", "sum_cp10k", "sum_sq_cp10k", "sum_log1p_cp10k", "sum_sq_log1p_cp10k")
    pq.write_table(pa.table(dict(zip(names, genes, strict=True))), out / "genes.parquet")


def reduce_rows(table: pa.Table, genes: Array, is_mitochondrial: Array) -> pa.Table:
    """Cells of some rows; `genes` is added to in place."""
    lists = {name: table[name].combine_chunks() for name in ("genes", "expressions")}
    offsets = lists["genes"].offsets.to_numpy()
    tokens = lists["genes"].values.to_numpy()
    counts = lists["expressions"].values.to_numpy().astype(np.float64)
    # The marker stands first in each row: give it the count 0 and the token 0, and count one entry less.
    counts[offsets[:-1]] = 0
    lengths = np.diff(offsets) - 1
    total = np.add.reduceat(counts, offsets[:-1])
    mean = total / lengths
    m2 = np.add.reduceat(counts * counts, offsets[:-1]) / lengths - mean**2
    m3 = np.add.reduceat(counts**3, offsets[:-1]) / lengths - 3 * mean * m2 - mean**3
    cp10k = counts * np.repeat(TARGET_SUM / total, lengths + 1)
    logs = np.log1p(cp10k)
    for row, weights in enumerate((counts > 0, counts, cp10k, cp10k**2, logs, logs**2)):
        genes[row] += np.bincount(tokens, weights, N_TOKENS)
    mitochondrial = np.add.reduceat(counts * is_mitochondrial[tokens], offsets[:-1])
    top = [sum_largest(counts[low:high]) for low, high in pairwise(offsets)]
    return pa.table(
        {key: table[key] for key in KEYS}
        | {
            "n_genes_by_counts": np.add.reduceat(counts > 0, offsets[:-1], dtype=np.int64),
            "total_counts": total,
            "log1p_total_counts": np.log1p(total),
            "total_counts_mt": mitochondrial,
            "pct_counts_mt": 100 * mitochondrial / total,
            "pct_counts_in_top_50_genes": 100 * np.array(top) / total,
            "expr_len": lengths,
            "expr_mean": mean,
            "expr_std": np.sqrt(m2),
            "expr_skew": m3 / m2**1.5,
            "expr_max": np.maximum.reduceat(counts, offsets[:-1]),
            "mean_log1p_cp10k": np.add.reduceat(logs, offsets[:-1]) / (N_TOKENS - 3),
        }
    )


def sum_largest(counts: Array) -> float:
    """The sum of the largest entries of one cell."""
    largest = counts if len(counts) <= TOP_N else np.partition(counts, len(counts) - TOP_N)[-TOP_N:]
    return float(largest.sum())
