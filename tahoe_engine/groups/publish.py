"""Make the groups visible: the index, then the manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tahoe_engine.groups.anchors import choose_anchor
from tahoe_engine.run import publish_indexed
from tahoe_engine.schema import groups_index

if TYPE_CHECKING:
    import polars as pl

    from tahoe_engine.groups.launch import Launch


def publish(launch: Launch) -> dict[str, Any]:
    """Write the index of the groups and the manifests: of the stage first, of the run last.

    Parameters
    ----------
    launch : Launch
        With all receipts.

    Returns
    -------
    dict
        Manifest of the stage. If it stands there already, with all its parts, nothing is written.
    """
    index = make_index(launch)
    facts = launch.semantic | {
        "n_groups": index.height,
        "n_cells": int(index["n_cells"].sum()),
        "total_counts": int(index["total_counts"].sum()),
    }
    return publish_indexed(launch.layout, "groups", index, launch.ledger.receipts, facts)


def make_index(launch: Launch) -> pl.DataFrame:
    """Put the index together from the receipts.

    Parameters
    ----------
    launch : Launch
        With all receipts.

    Returns
    -------
    polars.DataFrame
        As `schema.groups_index` has it, by group.
    """
    import polars as pl

    plan, by = launch.plan, launch.plan.by
    anchor = choose_anchor(by)
    others = [key for key in by if key not in anchor]
    columns = {column.name: getattr(pl, column.dtype) for column in groups_index(by).columns}
    rows: dict[str, list[Any]] = {name: [] for name in columns}
    for one in plan.anchors:
        told = launch.ledger.receipts[one.name]["index"]
        keys: dict[str, list[Any]] = {
            key: [value] * len(told["place"]) for key, value in zip(anchor, one.values, strict=True)
        }
        for at, key in enumerate(others):
            keys[key] = [plan.rest[place][at] for place in told["place"]]
        for name, column in rows.items():
            column.extend(keys[name] if name in keys else told[name])
    return pl.DataFrame(rows, schema=columns)
