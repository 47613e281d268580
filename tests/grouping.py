"""Groups of cells through the compiled core, without the engine around it: for tests of the core itself."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

import strategies
from scan import build_vocabulary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from oracle import Tables

PLENTY = 1 << 40


def identify(path: Path) -> dict[str, Any]:
    """What names one state of a shard to the core."""
    from tahoe_engine import _rust

    shard = path.name.removesuffix(".parquet")
    probed = _rust.probe_shard(str(path), shard, _rust.DEFAULT_LIMITS)
    return {"shard": shard, "size": probed["size"], "footer_digest": probed["footer_digest"]}


def to_rows(rows: Sequence[int]) -> bytes:
    """Rows of a shard as the core takes them."""
    return np.asarray(rows, "<i8").tobytes()


def make_sums(
    spill: Path, n_groups: int, *, tables: Tables = strategies.TABLES, memory_bytes: int = PLENTY, **options: Any
) -> Any:
    """Empty sums."""
    from tahoe_engine import _rust

    vocabulary = build_vocabulary(tables)
    return _rust.GroupSums(vocabulary, n_groups, memory_bytes=memory_bytes, spill=str(spill), **options)


def add_rows(
    sums: Any, path: Path, rows: Sequence[int], groups: Sequence[int], totals: Sequence[int], /, **options: Any
) -> Any:
    """Add some rows of a shard."""
    return sums.add_shard(
        str(path),
        **identify(path)
        | {
            "rows": to_rows(rows),
            "groups": np.asarray(groups, "<u4").tobytes(),
            "totals": np.asarray(totals, "<u8").tobytes(),
        }
        | options,
    )


def read_rows(path: Path, rows: Sequence[int], *, tables: Tables = strategies.TABLES, **options: Any) -> Any:
    """Counts of some rows: what the core gives, and each row as genes and counts."""
    from tahoe_engine import _rust

    options = identify(path) | options
    found = _rust.read_counts(str(path), rows=to_rows(rows), vocabulary=build_vocabulary(tables), **options)
    ends = np.frombuffer(found["indptr"], "<i8").tolist()
    indices, data = np.frombuffer(found["indices"], "<i4"), np.frombuffer(found["data"], "<u4")
    tokens = np.asarray(list(tables.mitochondrial))[indices].tolist()
    pairs = list(zip(tokens, data.tolist(), strict=True))
    assert (ends[0], ends[-1], len(ends)) == (0, len(pairs), len(rows) + 1)
    return found, [pairs[low:high] for low, high in pairwise(ends)]
