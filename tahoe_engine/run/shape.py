"""The shape of manifests: what their readers rely on, so that a damaged file is named and not stumbled over."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from tahoe_engine.run.layout import STAGE_NAME

DEEPEST = 32  # levels; ours have six, and whoever prints a manifest goes down them one by one
PART_KEYS = {"name": str, "rows": int, "size": int, "sha256": str, "digest": str}
QUARANTINE_KEYS = ("shard", "row", "code", "reason")
TABLES = ("settings", "rows", "filtered", "rejected", "warnings", "wanted", "metadata", "needs")


def is_stage_manifest(value: object) -> bool:
    """Tell whether a value has the shape of a stage's manifest.

    Parameters
    ----------
    value : object
        Any JSON value.

    Returns
    -------
    bool
        True if every part has its name, rows, size and hashes, and what may stand beside them is of the right kind.

    Examples
    --------
    >>> is_stage_manifest({"parts": [], "digest": ""}), is_stage_manifest({"parts": {}, "digest": ""})
    (True, False)
    """
    if not isinstance(value, dict) or _is_deep(value):
        return False
    parts, bad = value.get("parts"), value.get("quarantined", [])
    return (
        isinstance(value.get("digest"), str)
        and isinstance(parts, list)
        and all(map(_is_part, parts))
        and isinstance(bad, list)
        and all(isinstance(record, dict) and record.keys() >= set(QUARANTINE_KEYS) for record in bad)
        and all(isinstance(value.get(name, {}), dict) for name in TABLES)
        and isinstance(value.get("settings", {}).get("cells", {}), dict)
    )


def is_stage_list(value: object) -> bool:
    """Tell whether a value has the shape of the list of stages in a run's manifest.

    Parameters
    ----------
    value : object
        Any JSON value.

    Returns
    -------
    bool
        True if every stage has a name that is a folder of the run, and the sha256 of its manifest.

    Examples
    --------
    >>> is_stage_list({"cells": {"manifest": "00"}}), is_stage_list({"../cells": {"manifest": "00"}})
    (True, False)
    """
    return isinstance(value, dict) and all(
        bool(STAGE_NAME.fullmatch(name)) and isinstance(entry, dict) and isinstance(entry.get("manifest"), str)
        for name, entry in value.items()
    )


def _is_part(part: Any) -> bool:  # noqa: ANN401 - any JSON value
    return (
        isinstance(part, dict)
        # Exactly these types: a truth value is an int to Python.
        and all(type(part.get(key)) is kind for key, kind in PART_KEYS.items())
        and _is_inside(part["name"])
        and part["rows"] >= 0
        and part["size"] >= 0
    )


def _is_inside(name: str) -> bool:
    """Tell whether a name stays in its folder: a manifest must not send its reader elsewhere."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in name


def _is_deep(value: object) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True
