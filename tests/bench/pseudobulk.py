"""Sums of counts by group and gene, as peers make them: each in a process of its own, one thread, writing Parquet.

`python -m bench.pseudobulk NAME CELL_KEYS OUT SHARD...` runs one. CELL_KEYS numbers the groups: `sample`,
`cell_line_id`, `group`. The table has `group`, `gene`, `n_cells_by_counts`, `sum_counts`, `sum_sq_counts`: less than
the engine writes, which adds the moments of CP10k and log1p(CP10k), and checks every entry.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

N_TOKENS = 62_713
CELLS = 40  # the bit where the number of cells begins, above the counts, in the packed sums
COLUMNS = ("group", "gene", "n_cells_by_counts", "sum_counts", "sum_sq_counts")


def read_rows(shards: Sequence[str], keys: Path) -> Iterator[tuple[Array, Array, Array, Array]]:
    """Decode with pyarrow, a row group at a time: offsets, tokens, counts, group of each row.

    The marker, which stands first, gets the count 0: its token is no gene, and its sums are left out.
    """
    import polars as pl
    import pyarrow.parquet as pq

    groups = {(sample, line): group for sample, line, group in pl.read_parquet(keys).iter_rows()}
    import numpy as np

    for shard in shards:
        file = pq.ParquetFile(shard)
        for index in range(file.num_row_groups):
            table = file.read_row_group(
                index, columns=["genes", "expressions", "sample", "cell_line_id"], use_threads=False
            )
            genes, counts = (table[name].combine_chunks() for name in ("genes", "expressions"))
            offsets = genes.offsets.to_numpy()
            values = counts.values.to_numpy().astype(np.int64)
            values[offsets[:-1]] = 0
            pairs = zip(table["sample"].to_pylist(), table["cell_line_id"].to_pylist(), strict=True)
            yield offsets, genes.values.to_numpy(), values, np.array([groups[pair] for pair in pairs])


def add_packed(shards: Sequence[str], keys: Path, out: Path) -> None:
    """Add to dense sums with `np.add.at`: cells and counts in one word, squares in another."""
    import numpy as np

    sums = np.zeros((2, count_groups(keys) * N_TOKENS), np.int64)
    for offsets, tokens, counts, groups in read_rows(shards, keys):
        at = np.repeat(groups * N_TOKENS, np.diff(offsets)) + tokens
        np.add.at(sums[0], at, counts + (np.int64(1) << CELLS))
        np.add.at(sums[1], at, counts * counts)
    with Writer(out) as writer:
        for group, (packed, squares) in enumerate(sums.reshape(2, -1, N_TOKENS).swapaxes(0, 1)):
            writer.add(group, packed >> CELLS, packed & ((1 << CELLS) - 1), squares)


def count_bins(shards: Sequence[str], keys: Path, out: Path) -> None:
    """Add to dense sums with `np.bincount`, one group of a row group after another."""
    import numpy as np

    sums = np.zeros((count_groups(keys), 3, N_TOKENS))
    for offsets, tokens, counts, groups in read_rows(shards, keys):
        order = np.argsort(groups, kind="stable")
        starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
        weights = counts.astype(float)
        for rows in np.split(order, starts[1:]):
            parts = [slice(offsets[row], offsets[row + 1]) for row in rows]
            gene = np.concatenate([tokens[part] for part in parts])
            count = np.concatenate([weights[part] for part in parts])
            own = sums[groups[rows[0]]]
            own[0] += np.bincount(gene, minlength=N_TOKENS)
            own[1] += np.bincount(gene, count, N_TOKENS)
            own[2] += np.bincount(gene, count * count, N_TOKENS)
    with Writer(out) as writer:
        for group, own in enumerate(sums):
            writer.add(group, *own)


def multiply_sparse(shards: Sequence[str], keys: Path, out: Path) -> None:
    """The indicator of the groups times the counts, in SciPy, a shard at a time."""
    import numpy as np
    from scipy import sparse

    n_groups = count_groups(keys)
    sums: list[Any] = [sparse.csr_matrix((n_groups, N_TOKENS), dtype=np.int64) for _ in range(3)]
    for shard in shards:
        found: list[list[Any]] = [[], [], []]
        several = []
        for offsets, tokens, counts, groups in read_rows([shard], keys):
            several.append(groups)
            shape = (len(groups), N_TOKENS)
            for matrices, data in zip(found, (np.ones_like(counts), counts, counts * counts), strict=True):
                matrices.append(sparse.csr_matrix((data, tokens, offsets), shape=shape))
        groups = np.concatenate(several)
        shape = (n_groups, len(groups))
        indicator = sparse.csr_matrix((np.ones(len(groups), np.int64), (groups, np.arange(len(groups)))), shape=shape)
        for at, matrices in enumerate(found):
            sums[at] += indicator @ sparse.vstack(matrices, format="csr")
    with Writer(out) as writer:
        for group in range(n_groups):
            writer.add(group, *(matrix[group].toarray()[0] for matrix in sums))


def explode_polars(shards: Sequence[str], keys: Path, out: Path) -> None:
    """Streaming; number the groups, explode, group by two whole numbers."""
    import polars as pl

    count = pl.col("count").cast(pl.UInt64)
    pl.scan_parquet(list(shards)).select(
        "sample",
        "cell_line_id",
        gene=pl.col("genes").list.slice(1).cast(pl.List(pl.UInt32)),
        count=pl.col("expressions").list.slice(1).cast(pl.List(pl.UInt32)),
    ).join(pl.scan_parquet(keys), on=["sample", "cell_line_id"]).select("group", "gene", "count").explode(
        "gene", "count"
    ).group_by("group", "gene").agg(
        pl.len().alias("n_cells_by_counts"),
        count.sum().alias("sum_counts"),
        (count * count).sum().alias("sum_sq_counts"),
    ).sink_parquet(out / "groups.parquet")


def unnest_duckdb(shards: Sequence[str], keys: Path, out: Path) -> None:
    """Unnest and group by two whole numbers."""
    import duckdb

    query = f"""
        select "group", gene, count(*) n_cells_by_counts, sum(c)::ubigint sum_counts, sum(c * c)::ubigint sum_sq_counts
        from (select "group", unnest(genes[2:])::integer gene, unnest(expressions[2:])::bigint c
              from read_parquet({list(shards)}) join read_parquet('{keys}') using (sample, cell_line_id))
        group by "group", gene"""  # noqa: S608 - paths of this benchmark
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"copy ({query}) to '{out / 'groups.parquet'}' (format parquet)")


class Writer:
    """Writes groups as they come, without the genes that none of their cells has."""

    def __init__(self, out: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = (pa.int32(), pa.int32(), pa.uint32(), pa.uint64(), pa.uint64())
        self._schema = pa.schema(list(zip(COLUMNS, types, strict=True)))
        self._writer = pq.ParquetWriter(out / "groups.parquet", self._schema)
        self._waiting: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()

    def add(self, group: int, n_cells: Array, counts: Array, squares: Array) -> None:
        """Add a group; the arrays have a place for each token."""
        import numpy as np
        import pyarrow as pa

        # Tokens below 3 are no genes: the marker's is 1.
        genes = np.flatnonzero(n_cells[3:]) + 3
        columns = (np.full(len(genes), group), genes, n_cells[genes], counts[genes], squares[genes])
        types = self._schema.types
        arrays = [pa.array(column.astype(kind.to_pandas_dtype())) for column, kind in zip(columns, types, strict=True)]
        self._waiting.append(pa.table(arrays, schema=self._schema))
        if len(self._waiting) >= 50:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting))
        self._waiting = []


def count_groups(keys: Path) -> int:
    """Groups that CELL_KEYS numbers."""
    import polars as pl

    return int(pl.read_parquet(keys, columns=["group"]).height)


CONTESTANTS: dict[str, Callable[[Sequence[str], Path, Path], None]] = {
    "pyarrow-add-at": add_packed,
    "pyarrow-bincount": count_bins,
    "scipy": multiply_sparse,
    "polars": explode_polars,
    "duckdb": unnest_duckdb,
}


def main() -> None:
    """Run one contestant."""
    name, keys, out, *shards = sys.argv[1:]
    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    Path(out).mkdir(parents=True, exist_ok=True)
    CONTESTANTS[name](shards, Path(keys), Path(out))


if __name__ == "__main__":
    main()
