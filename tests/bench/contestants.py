"""The peers: each does one task on some shards with one thread, in a process of its own, and writes Parquet.

`python -m bench.contestants NAME GENE_METADATA OUT SHARD...` runs one. Each formulation is the fastest of those tried
(docs/benchmarks.md names them). Cell tables have `total_counts`, `expr_len`, `expr_mean`, `expr_std`, `expr_skew` under
the names of CONTRACT.md, so that results can be compared.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl

KEYS = ["BARCODE_SUB_LIB_ID", "sample", "drug", "cell_line_id", "plate", "moa-fine"]
LISTS = ["genes", "expressions"]
N_GENES = 62_710
TARGET_SUM = 1e4
ROWS_OF_THE_LOOP = 1000  # a shard at 1,500 cells/s would take 20 s: the loop does the first rows, and is scaled

# One thread each, as the engine's worker has one.
ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def polars_summary(shards: list[str], out: Path, mitochondrial: list[int]) -> None:
    """Streaming; the moments of each list after slice(1)."""
    import polars as pl

    del mitochondrial
    pl.scan_parquet(shards).select(*KEYS, e=pl.col("expressions").list.slice(1)).select(
        *KEYS, *polars_moments()
    ).sink_parquet(out / "cells.parquet")


def polars_moments() -> list[pl.Expr]:
    import polars as pl

    counts = pl.col("e").list
    return [
        counts.len().alias("expr_len"),
        counts.mean().alias("expr_mean"),
        counts.std(ddof=0).alias("expr_std"),
        counts.agg(pl.element().skew()).alias("expr_skew"),
        counts.sum().alias("total_counts"),
    ]


def polars_all(shards: list[str], out: Path, mitochondrial: list[int]) -> None:
    """Streaming; per cell without exploding, per gene by explode and group_by, in float32 as stored."""
    import polars as pl

    lists = pl.scan_parquet(shards).with_columns(g=pl.col("genes").list.slice(1), e=pl.col("expressions").list.slice(1))
    counts, entry = pl.col("e").list, pl.element()
    is_mitochondrial = pl.col("g").list.eval(entry.is_in(mitochondrial).cast(pl.Float32))
    lists.select(
        *KEYS,
        *polars_moments(),
        n_genes_by_counts=counts.agg((entry > 0).sum()),
        expr_max=counts.max(),
        total_counts_mt=(pl.col("e") * is_mitochondrial).list.sum(),
        top_50=counts.agg(entry.top_k(50).sum()),
        mean_log1p_cp10k=counts.agg((entry * (TARGET_SUM / entry.sum())).log1p().sum()) / N_GENES,
    ).with_columns(
        log1p_total_counts=pl.col("total_counts").log1p(),
        pct_counts_mt=pl.col("total_counts_mt") / pl.col("total_counts") * 100,
        pct_counts_in_top_50_genes=pl.col("top_50") / pl.col("total_counts") * 100,
    ).sink_parquet(out / "cells.parquet")
    cp10k, log = pl.col("cp10k"), pl.col("log")
    lists.select("g", "e", cp10k=counts.eval(entry * (TARGET_SUM / entry.sum()))).explode(
        "g", "e", "cp10k"
    ).with_columns(log=cp10k.log1p()).group_by("g").agg(
        pl.len().alias("n_cells_by_counts"),
        pl.col("e").sum().alias("total_counts"),
        cp10k.sum().alias("sum_cp10k"),
        (cp10k * cp10k).sum().alias("sum_sq_cp10k"),
        log.sum().alias("sum_log1p_cp10k"),
        (log * log).sum().alias("sum_sq_log1p_cp10k"),
    ).sink_parquet(out / "genes.parquet")


def duckdb_summary(shards: list[str], out: Path, mitochondrial: list[int]) -> None:
    """List functions on a slice."""
    del mitochondrial
    keys = ", ".join(f'"{key}"' for key in KEYS)
    query_duckdb(
        f"""select {keys}, len(e) expr_len, list_sum(e) total_counts, list_avg(e) expr_mean,
                   list_stddev_pop(e) expr_std, list_skewness(e) expr_skew
            from (select {keys}, expressions[2:] e from read_parquet({shards}))""",
        out / "cells.parquet",
    )


def duckdb_all(shards: list[str], out: Path, mitochondrial: list[int]) -> None:
    """Unnest and group by, once a cell and once a gene."""
    keys = ", ".join(f'any_value("{key}") "{key}"' for key in KEYS)
    entries = f"""(select *, unnest(genes[2:]) g, unnest(expressions[2:]) e from
                   (select row_number() over () i, {TARGET_SUM} / list_sum(expressions[2:]) scale, *
                    from read_parquet({shards})))"""
    query_duckdb(
        f"""select {keys}, count(*) expr_len, count(*) filter (e > 0) n_genes_by_counts, sum(e) total_counts,
                   ln(1 + sum(e)) log1p_total_counts, avg(e) expr_mean, stddev_pop(e) expr_std,
                   skewness(e) expr_skew, max(e) expr_max, list_sum(max(e, 50)) / sum(e) * 100 top_50,
                   sum(e) filter (g in {tuple(mitochondrial)}) total_counts_mt,
                   sum(ln(1 + e * scale)) / {N_GENES} mean_log1p_cp10k
            from {entries} group by i""",
        out / "cells.parquet",
    )
    query_duckdb(
        f"""select g, count(*) n_cells_by_counts, sum(e) total_counts, sum(c) sum_cp10k, sum(c * c) sum_sq_cp10k,
                   sum(l) sum_log1p_cp10k, sum(l * l) sum_sq_log1p_cp10k
            from (select g, e, e * scale c, ln(1 + e * scale) l from {entries}) group by g""",
        out / "genes.parquet",
    )


def query_duckdb(query: str, out: Path) -> None:
    """Run one query on one thread and write its result."""
    import duckdb

    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"copy ({query}) to '{out}' (format parquet)")


def pyarrow_decode(shards: list[str], out: Path, mitochondrial: list[int]) -> None:
    """Decode the two list columns and do nothing with them: the floor of every reader that decodes first."""
    import pyarrow.parquet as pq

    del out, mitochondrial
    for shard in shards:
        pq.read_table(shard, columns=LISTS, use_threads=False)


def numpy_all(shards: list[str], out: Path, mitochondrial: list[int]) -> None:
    """Decode with pyarrow, reduce with NumPy."""
    from bench.reduce import reduce_shards

    reduce_shards(shards, out, mitochondrial)


def row_loop(shards: list[str], out: Path, mitochondrial: list[int]) -> None:
    """One row after another with NumPy and SciPy, as notebooks do; the first rows of each shard."""
    import numpy as np
    import polars as pl
    import pyarrow.parquet as pq
    from scipy import stats

    del mitochondrial
    found = []
    for shard in shards:
        file = pq.ParquetFile(shard)
        for batch in file.iter_batches(ROWS_OF_THE_LOOP, columns=[*KEYS, *LISTS]):
            for row in batch.to_pylist():
                counts = np.array(row["expressions"][1:])
                found.append(
                    {key: row[key] for key in KEYS}
                    | {"expr_len": len(counts), "expr_mean": counts.mean(), "expr_std": counts.std()}
                    | {"expr_skew": stats.skew(counts), "total_counts": counts.sum()}
                )
            break
    pl.DataFrame(found).write_parquet(out / "cells.parquet")


CONTESTANTS: dict[str, Callable[[list[str], Path, list[int]], None]] = {
    "polars-summary": polars_summary,
    "polars-all": polars_all,
    "duckdb-summary": duckdb_summary,
    "duckdb-all": duckdb_all,
    "pyarrow-decode": pyarrow_decode,
    "numpy-all": numpy_all,
    "row-loop": row_loop,
}


def main() -> None:
    """Run one contestant."""
    name, gene_metadata, out, *shards = sys.argv[1:]
    import pyarrow as pa
    import pyarrow.parquet as pq

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    genes = pq.read_table(gene_metadata, columns=["gene_symbol", "token_id"]).to_pydict()
    mitochondrial = [
        token for symbol, token in zip(genes["gene_symbol"], genes["token_id"], strict=True) if symbol.startswith("MT-")
    ]
    Path(out).mkdir(parents=True, exist_ok=True)
    CONTESTANTS[name](shards, Path(out), mitochondrial)


if __name__ == "__main__":
    main()
