"""The manifests of `cells` and `genes`, made of the receipts: whoever did the work, equal runs have equal bytes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tahoe_engine.run.manifest import FORMAT_VERSION, digest_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tahoe_engine.errors import ShardError

Receipts = dict[str, dict[str, Any]]


def describe_quarantine(error: ShardError, rows: int | None) -> dict[str, Any]:
    """Give the record of a shard that was set aside.

    Parameters
    ----------
    error : ShardError
        Why.
    rows : int or None
        Rows of it that were asked for; None if its footer does not say.

    Returns
    -------
    dict
        shard, row_group, row, code, reason, rows.
    """
    return {
        "shard": error.shard,
        "row_group": error.row_group,
        "row": error.row,
        "code": error.code,
        "reason": error.reason,
        "rows": rows,
    }


def count_rows(receipts: Receipts, quarantined: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Account for every row.

    Parameters
    ----------
    receipts : dict
        By shard.
    quarantined : iterable of dict
        As `describe_quarantine` gives them.

    Returns
    -------
    dict
        in, kept, filtered, rejected, quarantined.

    Raises
    ------
    AssertionError
        If a receipt does not close: a bug, and no table may be published over it.
    """
    rows = Counter({"in": 0, "kept": 0, "filtered": 0, "rejected": 0, "quarantined": 0})
    for shard, receipt in receipts.items():
        filtered, rejected = sum(receipt["filtered"].values()), sum(receipt["rejected"].values())
        if receipt["rows_in"] != receipt["kept"] + filtered + rejected or receipt["kept"] != receipt["cells"]["rows"]:
            raise AssertionError(f"{shard}: the rows do not add up: {receipt}")
        rows.update({"in": receipt["rows_in"], "kept": receipt["kept"], "filtered": filtered, "rejected": rejected})
    lost = sum(record["rows"] or 0 for record in quarantined)
    rows.update({"in": lost, "quarantined": lost})
    if rows["in"] != rows["kept"] + rows["filtered"] + rows["rejected"] + rows["quarantined"]:
        raise AssertionError(f"the rows do not add up: {dict(rows)}")
    return dict(rows)


def describe_cells(  # noqa: PLR0913 - all that a manifest holds
    semantic: Mapping[str, Any],
    inputs: Mapping[str, Mapping[str, Any]],
    receipts: Receipts,
    *,
    quarantined: list[dict[str, Any]],
    wanted: Mapping[str, Any],
    tables: list[dict[str, Any]],
) -> dict[str, Any]:
    """Make the manifest of `cells`.

    Parameters
    ----------
    semantic : mapping
        Settings, versions and tables that the numbers depend on.
    inputs : mapping
        Identity of every shard, by name.
    receipts : dict
        By shard.
    quarantined : list of dict
        As `describe_quarantine` gives them.
    wanted : mapping
        As `describe_wanted` gives it.
    tables : list of dict
        Files of the tables that were joined.

    Returns
    -------
    dict
        JSON-able, sorted where order is free.
    """
    parts = [{"name": f"{shard}.parquet", **receipts[shard]["cells"]} for shard in sorted(receipts)]
    stats = semantic["settings"]["cells"]["stats"]
    return {
        "format_version": FORMAT_VERSION,
        "stage": "cells",
        **semantic,
        # The summary takes the marker to be the first entry of value -2 and looks at no token.
        "tokens_checked": stats != "summary",
        "rows": count_rows(receipts, quarantined),
        "filtered": _sum(receipts, "filtered"),
        "rejected": _sum(receipts, "rejected"),
        "warnings": _sum(receipts, "warnings"),
        "wanted": dict(wanted),
        "extra_columns": _shards_with(receipts, "extra_columns"),
        "absent_columns": _shards_with(receipts, "absent_columns"),
        "inputs": [
            {"name": shard, **inputs[shard], "sha256": receipts.get(shard, {}).get("input_sha256")}
            for shard in sorted(inputs)
        ],
        "quarantined": sorted(quarantined, key=lambda record: str(record["shard"])),
        "quarantined_by_code": dict(sorted(Counter(record["code"] for record in quarantined).items())),
        "tables": sorted(tables, key=lambda table: str(table["name"])),
        "parts": parts,
        "digest": digest_parts(parts),
    }


def describe_genes(cells: Mapping[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Make the manifest of `genes`.

    Parameters
    ----------
    cells : mapping
        Manifest of the cells it sums over.
    part : dict
        Entry of the table.

    Returns
    -------
    dict
        JSON-able.
    """
    return {
        "format_version": FORMAT_VERSION,
        "stage": "genes",
        "settings": cells["settings"],
        "core": cells["core"],
        "metadata": cells["metadata"],
        "cells_digest": cells["digest"],
        "n_cells": cells["rows"]["kept"],
        "parts": [part],
        "digest": digest_parts([part]),
    }


def _sum(receipts: Receipts, name: str) -> dict[str, int]:
    total: Counter[str] = Counter()
    for receipt in receipts.values():
        total.update(receipt[name])
    return dict(sorted(total.items()))


def _shards_with(receipts: Receipts, name: str) -> dict[str, int]:
    total: Counter[str] = Counter()
    for receipt in receipts.values():
        total.update(set(receipt.get(name) or ()))
    return dict(sorted(total.items()))
