"""Publish a stage whose parts have an index: the index, then the manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tahoe_engine.run.disk import hash_file
from tahoe_engine.run.frames import write_frame
from tahoe_engine.run.layout import PARTITIONED
from tahoe_engine.run.manifest import (
    FORMAT_VERSION,
    digest_parts,
    is_published,
    remove_stages,
    write_manifest,
    write_run_manifest,
)
from tahoe_engine.run.parts import replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from tahoe_engine.run.layout import Layout

INDEX = "index.parquet"


def publish_indexed(
    layout: Layout,
    stage: str,
    index: pl.DataFrame,
    receipts: Mapping[str, Mapping[str, Any]],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the index of a stage and its manifest, and enter it into the run's, last.

    Parameters
    ----------
    layout : Layout
        The run, held by this launch.
    stage : str
        One of `PARTITIONED`.
    index : polars.DataFrame
        What its parts are of.
    receipts : mapping
        Of all its parts, by name.
    facts : mapping
        What the manifest says besides: settings, versions, counts.

    Returns
    -------
    dict
        The manifest. If it stands there already, with the index and all parts, nothing is written.
    """
    temporary = layout.temporary / f"{INDEX}.{uuid4().hex}"
    try:
        entry = {"name": INDEX, **write_frame(temporary, index)}
        folder = PARTITIONED[stage]
        parts = [entry, *({"name": f"{folder}/{name}.parquet", **receipts[name][stage]} for name in sorted(receipts))]
        manifest = {
            "format_version": FORMAT_VERSION,
            "stage": stage,
            **facts,
            "parts": parts,
            "digest": digest_parts(parts),
        }
        place = layout.stage(stage) / INDEX
        # The index is small and every reader needs it: its bytes are looked at, not its size alone.
        whole = place.is_file() and hash_file(place) == entry["sha256"]
        if whole and is_published(layout, [stage], {stage: manifest}):
            return manifest
        # Until all of them agree, readers find none.
        remove_stages(layout, [stage])
        layout.stage(stage).mkdir(exist_ok=True)
        replace_file(layout, place, temporary.read_bytes())
    finally:
        temporary.unlink(missing_ok=True)
    write_manifest(layout, stage, manifest)
    write_run_manifest(layout, [stage])
    return manifest
