"""What a worker leaves beside its part, so that a part whose journal line was lost can be taken over.

A receipt is written before the part gets its name and says which unit it is of: whoever sees the part finds what it
holds. Its bytes are synced, its name is not: after a power failure it is whole or not there, and where it is not its
unit is done again and gives the same bytes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tahoe_engine.run.journal import encode_line, parse_line

if TYPE_CHECKING:
    from tahoe_engine.run.layout import Layout


def keep_receipt(layout: Layout, stage: str, name: str, key: str, receipt: dict[str, Any]) -> None:
    """Leave the receipt of a unit.

    Parameters
    ----------
    layout : Layout
        The run.
    stage : str
        Name of the stage; the folder of its receipts exists.
    name : str
        Name of the unit.
    key : str
        Identity of the unit.
    receipt : dict
        JSON-able.
    """
    place = layout.receipt(stage, name)
    temporary = layout.temporary / f"{place.stem}.{uuid4().hex}.receipt"
    try:
        with temporary.open("xb") as file:
            file.write(encode_line({"shard": name, "key": key, "receipt": receipt}))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)


def find_receipt(layout: Layout, stage: str, name: str, key: str) -> dict[str, Any] | None:
    """Give the receipt a worker left of a unit.

    Parameters
    ----------
    layout, stage, name, key
        As in `keep_receipt`.

    Returns
    -------
    dict or None
        None if there is none, or of another unit, or damaged.
    """
    place = layout.receipt(stage, name)
    try:
        # Nothing else is opened: reading a pipe would wait for ever.
        record = parse_line(place.read_bytes()) if place.is_file() else None
    except (OSError, ValueError):
        return None
    if record is None or record.get("key") != key or record.get("shard") != name:
        return None
    receipt = record.get("receipt")
    return receipt if isinstance(receipt, dict) else None


def hash_files(layout: Layout, stage: str, name: str, receipt: dict[str, Any]) -> dict[str, str | None]:
    """Give the sha256 of each file of a unit, as a receipt has them.

    Parameters
    ----------
    layout, stage, name
        As in `keep_receipt`.
    receipt : dict
        Of the unit.

    Returns
    -------
    dict
        By the file's entry in the receipt; None where the unit has no such file.
    """
    parts = {entry: receipt.get(entry) for entry in layout.unit_files(stage, name)}
    return {entry: None if part is None else part["sha256"] for entry, part in parts.items()}
