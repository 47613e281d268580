"""Gene sums of all shards to the table of genes: exact, so the number of shards and workers does not show."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tahoe_engine import schema
from tahoe_engine.errors import ShardError, StoppedError
from tahoe_engine.run.disk import hash_file
from tahoe_engine.run.parts import move_aside, replace_file

if TYPE_CHECKING:
    from tahoe_engine.cells.manifests import Receipts
    from tahoe_engine.run.layout import Layout
    from tahoe_engine.vocabulary.joined import Joined

SHOWN = 5  # damaged shards named in an error


def merge_genes(layout: Layout, receipts: Receipts, joined: Joined, n_cells: int) -> dict[str, Any]:
    """Merge the gene sums of the shards and write ``genes/genes.parquet``.

    Parameters
    ----------
    layout : Layout
        The run.
    receipts : dict
        Of the shards, by name.
    joined : Joined
        Genes of the table, in its order.
    n_cells : int
        Kept cells.

    Returns
    -------
    dict
        The part's entry in the manifest: name, rows, size, sha256, digest.

    Raises
    ------
    StoppedError
        If the sums of a shard are not what was written; they are set aside, and the next launch makes them anew.
    """
    import numpy as np
    import polars as pl

    from tahoe_engine import _rust

    vocabulary, _ = joined.core_tables
    parts = {
        str(layout.unit_files("cells", shard)["genes"]): receipt["genes"]["sha256"]
        for shard, receipt in sorted(receipts.items())
        if receipt["genes"] is not None
    }
    try:
        buffers = _rust.merge_genes(list(parts.items()), vocabulary, n_cells)
    except ShardError as error:
        damaged = [Path(path) for path, sha256 in parts.items() if _is_damaged(Path(path), sha256)]
        for path in damaged:
            move_aside(layout, path)
        names = ", ".join(path.stem for path in damaged[:SHOWN])
        raise StoppedError(
            f"the gene sums of {len(damaged)} shards are damaged ({names or error}) and were set aside; run the same "
            "command again to compute them anew"
        ) from error
    known = {
        "gene": joined.genes[schema.TOKEN_ID],
        schema.ENSEMBL_ID: joined.genes[schema.ENSEMBL_ID],
        schema.GENE_SYMBOL: joined.genes[schema.GENE_SYMBOL],
    }
    columns = []
    for column in schema.GENES.columns:
        dtype = getattr(pl, column.dtype)
        if column.name in known:
            columns.append(known[column.name].cast(dtype).alias(column.name))
        else:
            numbers = np.frombuffer(buffers[column.name], dtype="<u8" if column.dtype == "UInt64" else "<f8")
            values = pl.Series(column.name, numbers, dtype=dtype)
            # The core has no null in a buffer: NaN stands for a mean or variance of too few cells.
            columns.append(values.fill_nan(None) if column.nullable else values)
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_parquet(buffer, compression="zstd", row_group_size=1 << 16)
    layout.stage("genes").mkdir(exist_ok=True)
    final = layout.stage("genes") / "genes.parquet"
    replace_file(layout, final, buffer.getvalue())
    return {
        "name": final.name,
        "rows": joined.genes.height,
        "size": final.stat().st_size,
        "sha256": hash_file(final),
        "digest": _digest(buffers, joined),
    }


def _is_damaged(path: Path, sha256: str) -> bool:
    return not path.is_file() or hash_file(path) != sha256


def _digest(buffers: dict[str, bytes], joined: Joined) -> str:
    """Give a hash of the values, whoever writes them."""
    import hashlib

    hasher = hashlib.sha256(joined.digests["genes"].encode())
    for name, buffer in sorted(buffers.items()):
        hasher.update(f"{name}:{len(buffer)}:".encode())
        hasher.update(buffer)
    return hasher.hexdigest()
