"""What a source is: shards, rows, schema, encodings, identity, and what is wrong with which shard."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from tahoe_engine.source.footers import Footer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tahoe_engine.errors import ShardError


def describe_source(footers: Sequence[Footer | ShardError]) -> dict[str, Any]:
    """Sum up the footers of a source.

    Parameters
    ----------
    footers : sequence of Footer or ShardError
        As `read_footers` gives them, with or without values.

    Returns
    -------
    dict
        JSON-able: counts, columns with their types, codecs and encodings, an identity, the values that were read,
        and the bad shards. ``identity`` is a hash of the names, sizes and footer digests of the good shards.
    """
    good = [footer for footer in footers if isinstance(footer, Footer)]
    bad = [footer for footer in footers if not isinstance(footer, Footer)]
    groups = [rows for footer in good for rows in footer.row_groups]
    identity = [[footer.shard.name, footer.size, footer.digest] for footer in good]
    return {
        "shards": len(footers),
        "bytes": sum(footer.size for footer in good),
        "rows": sum(groups),
        "rows_a_shard": _span([footer.n_rows for footer in good]),
        "row_groups": len(groups),
        "rows_a_row_group": _span(groups),
        "identity": hashlib.sha256(json.dumps(identity).encode()).hexdigest(),
        "written_by": dict(sorted(Counter(footer.created_by or "unknown" for footer in good).items())),
        "huggingface": sum(footer.huggingface for footer in good),
        "columns": _columns(good),
        "extra_columns": dict(sorted(Counter(name for footer in good for name in footer.extra_columns).items())),
        "values": {
            key: sorted({value for footer in good for value in footer.values.get(key, ())})
            for key in sorted({key for footer in good for key in footer.values})
        },
        "bad": [
            {"shard": error.shard, "row_group": error.row_group, "code": error.code, "reason": error.reason}
            for error in bad
        ],
    }


def _span(numbers: list[int]) -> list[int]:
    return [min(numbers), max(numbers)] if numbers else []


def _columns(footers: list[Footer]) -> list[dict[str, Any]]:
    """Sum up each column; two types of one name are two entries."""
    columns: dict[tuple[str, str], dict[str, Any]] = {}
    for footer in footers:
        for column in footer.columns:
            entry = columns.setdefault(
                (column["name"], column["type"]),
                {
                    "name": column["name"],
                    "type": column["type"],
                    "shards": 0,
                    "codecs": set(),
                    "encodings": set(),
                    "compressed_bytes": 0,
                    "uncompressed_bytes": 0,
                },
            )
            entry["shards"] += 1
            entry["codecs"].update(column["codecs"])
            entry["encodings"].update(column["encodings"])
            entry["compressed_bytes"] += column["compressed_bytes"]
            entry["uncompressed_bytes"] += column["uncompressed_bytes"]
    return [
        {**entry, "codecs": sorted(entry["codecs"]), "encodings": sorted(entry["encodings"])}
        for entry in columns.values()
    ]
