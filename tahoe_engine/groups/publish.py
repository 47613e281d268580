"""Make the groups visible: the index, then the manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tahoe_engine.groups.anchors import choose_anchor
from tahoe_engine.run import (
    FORMAT_VERSION,
    is_published,
    remove_stages,
    write_frame,
    write_manifest,
    write_run_manifest,
)
from tahoe_engine.run.disk import hash_file, sync_folder
from tahoe_engine.run.epoch import require_newest
from tahoe_engine.run.layout import PARTITIONED
from tahoe_engine.run.manifest import digest_parts
from tahoe_engine.schema import groups_index

if TYPE_CHECKING:
    import polars as pl

    from tahoe_engine.groups.launch import Launch

INDEX = "index.parquet"


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
    layout = launch.layout
    index = make_index(launch)
    temporary = layout.temporary / f"{INDEX}.{uuid4().hex}"
    try:
        entry = {"name": INDEX, **write_frame(temporary, index)}
        manifest = _describe(launch, index, entry)
        there = layout.stage("groups") / INDEX
        whole = there.is_file() and hash_file(there) == entry["sha256"]
        if whole and is_published(layout, ["groups"], {"groups": manifest}):
            return manifest
        # Until all of them agree, readers find none.
        remove_stages(layout, ["groups"])
        require_newest(layout)
        layout.stage("groups").mkdir(exist_ok=True)
        temporary.replace(layout.stage("groups") / INDEX)
        sync_folder(layout.stage("groups"))
    finally:
        temporary.unlink(missing_ok=True)
    write_manifest(layout, "groups", manifest)
    write_run_manifest(layout, ["groups"])
    return manifest


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


def _describe(launch: Launch, index: pl.DataFrame, entry: dict[str, Any]) -> dict[str, Any]:
    folder = PARTITIONED["groups"]
    receipts = launch.ledger.receipts
    parts = [entry, *({"name": f"{folder}/{name}.parquet", **receipts[name]["groups"]} for name in sorted(receipts))]
    return {
        "format_version": FORMAT_VERSION,
        "stage": "groups",
        **launch.semantic,
        "n_groups": index.height,
        "n_cells": int(index["n_cells"].sum()),
        "total_counts": int(index["total_counts"].sum()),
        "parts": parts,
        "digest": digest_parts(parts),
    }
