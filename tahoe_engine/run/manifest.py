"""Manifests: what readers trust. Sorted, without times, hosts or absolute paths, so equal runs have equal bytes."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import StageError, StoppedError
from tahoe_engine.run.layout import name_verb
from tahoe_engine.run.parts import replace_file
from tahoe_engine.run.shape import is_stage_list, is_stage_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tahoe_engine.run.layout import Layout

FORMAT_VERSION = 1
DAMAGED = "damaged; run the stage again"


def encode_manifest(manifest: dict[str, Any]) -> bytes:
    """Give the one spelling of a manifest.

    Parameters
    ----------
    manifest : dict
        JSON-able.

    Returns
    -------
    bytes
        Sorted keys, a line a value, a newline at the end.
    """
    return (json.dumps(manifest, sort_keys=True, indent=1, ensure_ascii=True, allow_nan=False) + "\n").encode()


def digest_of(value: object) -> str:
    """Give the sha256 of a JSON-able value in its one spelling.

    Parameters
    ----------
    value : object
        JSON-able.

    Returns
    -------
    str
        Hexadecimal.

    Examples
    --------
    >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_parts(parts: list[dict[str, Any]]) -> str:
    """Give the digest of a stage: that of its parts' names and logical digests.

    Parameters
    ----------
    parts : list of dict
        With `name` and `digest`.

    Returns
    -------
    str
        Hexadecimal; independent of writer and compression, as the parts' digests are.
    """
    return digest_of(sorted((part["name"], part["digest"]) for part in parts))


def write_manifest(layout: Layout, stage: str, manifest: dict[str, Any]) -> None:
    """Write a stage's manifest atomically.

    Parameters
    ----------
    layout : Layout
        The run.
    stage : str
        Name of the stage.
    manifest : dict
        Its content.
    """
    replace_file(layout, layout.stage_manifest(stage), encode_manifest(manifest))


def read_manifest(layout: Layout, stage: str) -> dict[str, Any]:
    """Read a stage's manifest.

    Parameters
    ----------
    layout : Layout
        The run.
    stage : str
        Name of the stage.

    Returns
    -------
    dict
        Its content.

    Raises
    ------
    StageError
        If the stage is not finished, or its manifest is damaged or of a newer format.
    """
    path = layout.stage_manifest(stage)
    if not path.is_file():
        raise StageError(f"{layout.root}: the stage {stage!r} is not finished; run `{name_verb(stage)}` first")
    manifest = _read(path)
    if not is_stage_manifest(manifest):
        raise StageError(f"{path}: {DAMAGED}")
    return manifest


def read_published(layout: Layout, stage: str) -> dict[str, Any]:
    """Read the manifest of a stage that the run's manifest lists, as it was listed.

    Parameters
    ----------
    layout : Layout
        The run.
    stage : str
        Name of the stage.

    Returns
    -------
    dict
        Its content.

    Raises
    ------
    StageError
        If the stage is not finished, is being written anew, or its manifest is damaged.
    """
    manifest = read_manifest(layout, stage)
    entry, verb = list_stages(layout).get(stage), name_verb(stage)
    if entry is None:
        raise StageError(f"{layout.root}: the stage {stage!r} is not finished; run `{verb}` again")
    if entry["manifest"] != hashlib.sha256(layout.stage_manifest(stage).read_bytes()).hexdigest():
        raise StageError(f"{layout.stage_manifest(stage)}: not the one that was published; run `{verb}` again")
    for needed, reason in find_stale(layout, manifest).items():
        raise StageError(f"{layout.root}: the stage {stage!r} is stale: {needed!r} {reason}; run `{verb} --new`")
    return manifest


def find_stale(layout: Layout, manifest: Mapping[str, Any]) -> dict[str, str]:
    """Tell which stages that a stage was computed from are not there any more as they were then.

    Parameters
    ----------
    layout : Layout
        The run.
    manifest : mapping
        Of the stage; its ``needs`` are the digests of those stages.

    Returns
    -------
    dict
        What happened, by the name of a stage; empty if nothing did.
    """
    needs = manifest.get("needs", {})
    listed = list_stages(layout) if needs else {}
    found = {}
    for stage, digest in needs.items():
        if stage not in listed:
            found[stage] = "is not finished"
        elif listed[stage].get("digest") != digest:
            found[stage] = "was computed anew since"
    return found


def list_stages(layout: Layout) -> dict[str, Any]:
    """List the finished stages of a run.

    Parameters
    ----------
    layout : Layout
        The run.

    Returns
    -------
    dict
        For each stage: `manifest` (sha256 of its manifest), `digest`, `rows`.

    Raises
    ------
    StageError
        If this is no run folder, or nothing is finished in it.
    """
    if not layout.manifest.is_file():
        if layout.state.is_dir():
            raise StageError(f"{layout.root}: no stage is finished yet; run the same command again to resume")
        raise StageError(f"{layout.root}: not a run folder (it has no _MANIFEST.json)")
    stages: Any = _read(layout.manifest).get("stages")
    if not is_stage_list(stages):
        raise StageError(f"{layout.manifest}: {DAMAGED}")
    found: dict[str, Any] = stages
    return found


def write_run_manifest(layout: Layout, stages: list[str]) -> None:
    """Enter finished stages into the run's manifest; the last act of a stage.

    Parameters
    ----------
    layout : Layout
        The run.
    stages : list of str
        Stages whose manifests were just written.
    """
    known = {} if _is_damaged(layout.manifest) else list_stages(layout)
    for stage in stages:
        manifest = read_manifest(layout, stage)
        known[stage] = {
            "digest": manifest["digest"],
            "manifest": hashlib.sha256(layout.stage_manifest(stage).read_bytes()).hexdigest(),
            "rows": sum(part["rows"] for part in manifest["parts"]),
        }
    _write_stages(layout, known)


def is_published(layout: Layout, stages: Iterable[str], manifests: Mapping[str, dict[str, Any]]) -> bool:
    """Tell whether stages are published already, with these very manifests and all their parts.

    Parameters
    ----------
    layout : Layout
        The run.
    stages : iterable of str
        Names of stages.
    manifests : mapping
        What the manifests of some of them must be.

    Returns
    -------
    bool
        False also where anything is damaged: it is published again then.
    """
    try:
        listed = list_stages(layout)
        for stage in stages:
            content = layout.stage_manifest(stage).read_bytes()
            if listed[stage]["manifest"] != hashlib.sha256(content).hexdigest():
                return False
            if stage in manifests and content != encode_manifest(manifests[stage]):
                return False
            for part in read_manifest(layout, stage)["parts"]:
                if (layout.stage(stage) / part["name"]).stat().st_size != part["size"]:
                    return False
    except (StageError, OSError, KeyError, TypeError):
        return False
    return True


def remove_stages(layout: Layout, stages: Iterable[str]) -> None:
    """Take stages out of the run's manifest: from then on they are not finished.

    Parameters
    ----------
    layout : Layout
        The run.
    stages : iterable of str
        Names of stages; they need not be listed.
    """
    if _is_damaged(layout.manifest):
        return
    gone = set(stages)
    known = list_stages(layout)
    if gone & known.keys():
        _write_stages(layout, {stage: entry for stage, entry in known.items() if stage not in gone})


def _write_stages(layout: Layout, stages: dict[str, Any]) -> None:
    content = encode_manifest({"format_version": FORMAT_VERSION, "stages": stages})
    replace_file(layout, layout.manifest, content)


def _is_damaged(path: Path) -> bool:
    """Tell a run's manifest that is missing or damaged from one of a newer format, which is never overwritten."""
    try:
        manifest = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):
        return True
    if not isinstance(manifest, dict) or "format_version" not in manifest:
        return True
    return bool(manifest["format_version"] == FORMAT_VERSION) and not is_stage_list(manifest.get("stages"))


def _read(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_bytes())
        version = manifest["format_version"]
    except OSError as error:
        # Not what it holds is wrong: it may be whole, and is not called damaged.
        raise StoppedError(f"{path}: cannot be read ({error.strerror}); mend that, then run again") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StageError(f"{path}: {DAMAGED}") from error
    if version != FORMAT_VERSION:
        raise StageError(f"{path}: format {version!r}, this version of the engine reads {FORMAT_VERSION}")
    result: dict[str, Any] = manifest
    return result
