"""One shard through the compiled core, without the engine around it: for tests of the core itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import strategies
from tahoe_engine.run import hash_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from oracle import Tables

INTEGER_COLUMNS = {"n_cells_by_counts", "total_counts"}


@dataclass(frozen=True)
class Scanned:
    """What a scan left: its receipt and the parts it wrote."""

    receipt: Mapping[str, Any]
    cells: Path
    genes: Path


def scan(path: Path, *, stats: str, tables: Tables = strategies.TABLES, suffix: str = "", **options: Any) -> Scanned:
    """Probe and scan one file; its parts land beside it."""
    from tahoe_engine import _rust

    shard = path.name.removesuffix(".parquet")
    parts = Scanned({}, path.with_suffix(f".cells{suffix}"), path.with_suffix(f".genes{suffix}"))
    probed = _rust.probe_shard(str(path), shard, _rust.DEFAULT_LIMITS)
    receipt = _rust.scan_cells(
        str(path),
        str(parts.cells),
        shard=shard,
        stats=stats,
        vocabulary=build_vocabulary(tables),
        joins=_rust.Joins(dict(tables.cell_names), dict(tables.doses_um)),
        size=probed["size"],
        footer_digest=probed["footer_digest"],
        genes_part=str(parts.genes) if stats == "all" else None,
        limits=_rust.DEFAULT_LIMITS,
        **options,
    )
    return Scanned(receipt, parts.cells, parts.genes)


def build_vocabulary(tables: Tables) -> Any:
    """The core's vocabulary of the oracle's table."""
    from tahoe_engine import _rust

    return _rust.Vocabulary(list(tables.mitochondrial), list(tables.mitochondrial.values()))


def merge(scanned: Sequence[Scanned], *, tables: Tables = strategies.TABLES, raw: bool = False) -> Mapping[str, Any]:
    """Merge gene parts: columns in vocabulary order, or with `raw` their bytes."""
    from tahoe_engine import _rust

    n_cells = sum(one.receipt["kept"] for one in scanned)
    merged: dict[str, bytes] = _rust.merge_genes(
        [(str(one.genes), hash_file(one.genes)) for one in scanned], build_vocabulary(tables), n_cells
    )
    if raw:
        return merged
    return {
        name: [
            None if np.isnan(value) else value
            for value in np.frombuffer(buffer, "<u8" if name in INTEGER_COLUMNS else "<f8").tolist()
        ]
        for name, buffer in merged.items()
    }
