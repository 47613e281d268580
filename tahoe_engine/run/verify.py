"""Compare a run with its manifests.

Rows and logical digests, and what to do about a mismatch, belong to the next issue; this checks names, sizes, hashes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tahoe_engine.errors import StageError
from tahoe_engine.run.layout import MANIFEST, Layout
from tahoe_engine.run.manifest import list_stages, read_manifest
from tahoe_engine.run.parts import hash_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike


@dataclass(frozen=True)
class Mismatch:
    """One thing that is not as the manifest says.

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
        Read every byte and compare the sha256 too.

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
    n_files = 0
    for stage, entry in sorted(list_stages(layout).items()):
        manifest = layout.stage_manifest(stage)
        n_files += 1
        if not manifest.is_file() or hash_file(manifest) != entry["manifest"]:
            found.append(Mismatch(f"{stage}/{MANIFEST}", "differs from what the run's manifest recorded"))
        try:
            parts = {part["name"]: part for part in read_manifest(layout, stage)["parts"]}
        except StageError:
            continue
        n_files += len(parts)
        for name, part in sorted(parts.items()):
            found.extend(
                Mismatch(f"{stage}/{name}", reason)
                for reason in _check_part(layout.stage(stage) / name, part["size"], part["sha256"] if deep else None)
            )
        strangers = {file.name for file in layout.stage(stage).glob("*.parquet")} - parts.keys()
        found.extend(Mismatch(f"{stage}/{name}", "not in the manifest") for name in sorted(strangers))
    return n_files, found


def _check_part(path: Path, size: int, sha256: str | None) -> Iterator[str]:
    if not path.is_file():
        yield "missing"
    elif path.stat().st_size != size:
        yield f"{path.stat().st_size} bytes, expected {size}"
    elif sha256 is not None and hash_file(path) != sha256:
        yield "its sha256 differs"
