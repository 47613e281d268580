"""Publish a stage: the small files beside its parts, then the manifests."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

from tahoe_engine.run.disk import hash_file
from tahoe_engine.run.frames import digest_frame, encode_frame
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
from tahoe_engine.schema import FIT_SECONDS

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
    return publish_stage(layout, stage, {INDEX: encode_frame(index)}, receipts, facts)


def publish_stage(
    layout: Layout,
    stage: str,
    files: Mapping[str, bytes],
    receipts: Mapping[str, Mapping[str, Any]],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the small files of a stage and its manifest, and enter it into the run's, last.

    Parameters
    ----------
    layout : Layout
        The run, held by this launch.
    stage : str
        Its name.
    files : mapping
        Content by name; a name may hold a folder. The digest of a Parquet file is that of its values.
    receipts : mapping
        Of all its parts, by name.
    facts : mapping
        What the manifest says besides: settings, versions, counts.

    Returns
    -------
    dict
        The manifest. If it stands there already, with all files and parts, nothing is written.
    """
    inner = f"{PARTITIONED[stage]}/" if stage in PARTITIONED else ""
    parts = [_describe(name, files[name]) for name in sorted(files)]
    hashes = {part["name"]: part["sha256"] for part in parts}
    parts += [{"name": f"{inner}{name}.parquet", **receipts[name][stage]} for name in sorted(receipts)]
    manifest = {
        "format_version": FORMAT_VERSION,
        "stage": stage,
        **facts,
        "parts": parts,
        "digest": digest_parts(parts),
    }
    folder = layout.stage(stage)
    # They are small and every reader needs them: their bytes are looked at, not their sizes alone.
    whole = all((folder / name).is_file() and hash_file(folder / name) == sha256 for name, sha256 in hashes.items())
    if whole and is_published(layout, [stage], {stage: manifest}):
        return manifest
    # Until all of them agree, readers find none.
    remove_stages(layout, [stage])
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        replace_file(layout, folder / name, content)
    write_manifest(layout, stage, manifest)
    write_run_manifest(layout, [stage])
    return manifest


def _describe(name: str, content: bytes) -> dict[str, Any]:
    import polars as pl

    sha256 = hashlib.sha256(content).hexdigest()
    rows, digest = 0, sha256
    if name.endswith(".parquet"):
        frame = pl.read_parquet(io.BytesIO(content))
        rows, digest = frame.height, digest_frame(frame.drop(FIT_SECONDS, strict=False))
    return {"name": name, "rows": rows, "size": len(content), "sha256": sha256, "digest": digest}
