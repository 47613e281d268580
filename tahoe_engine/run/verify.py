"""Compare a run with its manifests; in depth, every byte and every value with what was recorded of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import ShardError, StageError
from tahoe_engine.run.disk import hash_file
from tahoe_engine.run.layout import MANIFEST, Layout
from tahoe_engine.run.manifest import digest_parts, encode_manifest, find_stale, list_stages, read_manifest
from tahoe_engine.run.protocol import check_protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike


@dataclass(frozen=True)
class Mismatch:
    """One thing that is not as it was recorded.

    Parameters
    ----------
    file : str
        Relative to the run folder.
    reason : str
        What was found and what was expected.
    """

    file: str
    reason: str


def verify_run(path: str | PathLike[str], *, deep: bool = False) -> tuple[int, list[Mismatch]]:
    """Check every part of a run against the manifests.

    Parameters
    ----------
    path : str or path-like
        The run folder.
    deep : bool
        Read every byte: sha256, rows and digest of the values of every part; the sums, receipts, plan and journal in
        ``.tahoe`` where it is there; and that the rows of the manifest add up.

    Returns
    -------
    n_files : int
        Files that were checked.
    mismatches : list of Mismatch
        Empty if all is well.

    Raises
    ------
    StageError
        If nothing is finished there.
    """
    layout = Layout(Path(path))
    found: list[Mismatch] = []
    try:
        stages = list_stages(layout)
    except StageError as error:
        if not layout.manifest.is_file():
            raise
        return 1, [Mismatch(MANIFEST, str(error))]
    n_files = 1
    if encode_manifest(json.loads(layout.manifest.read_bytes())) != layout.manifest.read_bytes():
        found.append(Mismatch(MANIFEST, "not in the spelling it was written in"))
    for stage, entry in sorted(stages.items()):
        n_stage, mismatches = _check_stage(layout, stage, entry, deep=deep)
        n_files += n_stage
        found += mismatches
        if deep:
            n_more, reasons = check_protocol(layout, stage)
            n_files += n_more
            found += [Mismatch(file, reason) for file, reason in reasons]
    return n_files, found


def _check_stage(layout: Layout, stage: str, entry: dict[str, Any], *, deep: bool) -> tuple[int, list[Mismatch]]:
    path = layout.stage_manifest(stage)
    if not path.is_file():
        return 1, [Mismatch(f"{stage}/{MANIFEST}", "missing")]
    found = []
    if hash_file(path) != entry["manifest"]:
        found.append(Mismatch(f"{stage}/{MANIFEST}", "differs from what the run's manifest recorded"))
    try:
        manifest = read_manifest(layout, stage)
        parts = {part["name"]: part for part in manifest["parts"]}
        tables = {table["name"]: table for table in manifest.get("tables", ())}
        n_files = 1 + len(parts) + len(tables)
        found += [Mismatch(f"{stage}/{MANIFEST}", reason) for reason in _check_sums(manifest, entry)]
        for folder, files in ((layout.stage(stage), parts), (layout.metadata, tables)):
            for name, part in sorted(files.items()):
                place = f"{folder.relative_to(layout.root).as_posix()}/{name}"
                own = folder != layout.metadata and _is_of_core(stage, name)
                checked = _check_part(folder / name, part, deep=deep, own=own)
                found += [Mismatch(place, reason) for reason in checked]
        stale = find_stale(layout, manifest)
    except (StageError, KeyError, TypeError, AttributeError, ValueError) as error:
        return 1, [*found, Mismatch(f"{stage}/{MANIFEST}", f"damaged ({error})")]
    found += [
        Mismatch(f"{stage}/{MANIFEST}", f"stale: the stage {needed!r} {reason}") for needed, reason in stale.items()
    ]
    folder = layout.stage(stage)
    strangers = {file.relative_to(folder).as_posix() for file in folder.rglob("*.parquet")} - parts.keys()
    found += [Mismatch(f"{stage}/{name}", "not in the manifest") for name in sorted(strangers)]
    return n_files, found


def _check_sums(manifest: dict[str, Any], entry: dict[str, Any]) -> Iterator[str]:
    parts = manifest["parts"]
    if digest_parts(parts) != manifest["digest"] or manifest["digest"] != entry.get("digest"):
        yield "its digest is not that of its parts"
    if sum(part["rows"] for part in parts) != entry.get("rows"):
        yield "its rows are not those the run's manifest recorded"
    rows = manifest.get("rows")
    if rows is not None and rows["in"] != rows["kept"] + rows["filtered"] + rows["rejected"] + rows["quarantined"]:
        yield f"its rows do not add up: {rows}"


def _is_of_core(stage: str, name: str) -> bool:
    """Tell whether the core wrote a part, and its digest with it."""
    return stage == "cells" or (stage == "groups" and "/" in name)


def _check_part(path: Path, part: dict[str, Any], *, deep: bool, own: bool) -> Iterator[str]:
    if not path.is_file():
        yield "missing"
    elif path.is_symlink():
        yield "a link: a copy of the run would not have it"
    elif path.stat().st_size != part["size"]:
        yield f"{path.stat().st_size} bytes, expected {part['size']}"
    elif deep and hash_file(path) != part["sha256"]:
        yield "its sha256 differs"
    elif deep and path.suffix == ".parquet":
        yield from _check_values(path, part, own=own)


def _check_values(path: Path, part: dict[str, Any], *, own: bool) -> Iterator[str]:
    """Check that the part can be read and holds what was counted; its bytes are right already."""
    import pyarrow.parquet as pq

    from tahoe_engine import _rust

    rows = pq.ParquetFile(path).metadata.num_rows
    if rows != part["rows"]:
        yield f"{rows} rows, expected {part['rows']}"
    # Of a table that another library writes, the digest is that of the numbers before they were written.
    if "digest" in part and own:
        try:
            digest = _rust.digest_table(str(path))["digest"]
        except ShardError as error:
            yield f"cannot be read back: {error.reason}"
        else:
            if digest != part["digest"]:
                yield "the digest of its values differs"
