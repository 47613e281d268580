"""What is in a run: its stages, finished or begun, with their settings and their rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tahoe_engine.run.journal import read_journal
from tahoe_engine.run.layout import Layout, unflatten
from tahoe_engine.run.manifest import list_stages, read_manifest
from tahoe_engine.run.plan import read_plan
from tahoe_engine.run.shape import QUARANTINE_KEYS

if TYPE_CHECKING:
    from os import PathLike

SHOWN = (
    *("settings", "core", "metadata", "rows", "filtered", "rejected", "warnings", "wanted", "quarantined"),
    *(
        "needs",
        "split",
        "leaks",
        "n_groups",
        "n_cells",
        "n_contrasts",
        "n_without_control",
        "flags",
        "meaning",
        "versions",
    ),
)


def describe_run(path: str | PathLike[str]) -> dict[str, Any]:
    """Sum up a run.

    Parameters
    ----------
    path : str or path-like
        The run folder.

    Returns
    -------
    dict
        JSON-able: ``stages`` (finished: parts, bytes, digest and what the manifest says) and ``unfinished`` (begun:
        shards done of how many, and those set aside, each with what is known of why).

    Raises
    ------
    StageError
        If this is no run folder, or a manifest or a plan is damaged.
    """
    layout = Layout(Path(path))
    begun = sorted(unflatten(file.stem.removeprefix("plan-")) for file in layout.state.glob("plan-*.json"))
    finished = list_stages(layout) if layout.manifest.is_file() or not begun else {}
    stages = {}
    for stage in sorted(finished):
        manifest = read_manifest(layout, stage)
        parts = manifest["parts"]
        stages[stage] = {
            "parts": len(parts),
            "table_rows": sum(part["rows"] for part in parts if not part["name"].startswith("transformers/")),
            "bytes": sum(part["size"] for part in parts),
            "digest": manifest["digest"],
            "format_version": manifest["format_version"],
            **{name: manifest[name] for name in SHOWN if name in manifest},
        }
    return {
        "run": str(path),
        "stages": stages,
        "unfinished": {stage: _describe_begun(layout, stage) for stage in begun if stage not in finished},
    }


def _describe_begun(layout: Layout, stage: str) -> dict[str, Any]:
    inputs = read_plan(layout, stage)["inputs"]
    # The last word on each shard counts: what was quarantined once may have been mended since.
    records = read_journal(layout, stage)
    last = {record["shard"]: record for record in records if "shard" in record}
    refused = [record["refused"] for record in records if "refused" in record]
    return {
        **({"refused": refused[-1]} if refused else {}),
        "shards": len(inputs),
        "done": sum("receipt" in record for record in last.values()),
        "quarantined": [
            {key: record.get(key) for key in QUARANTINE_KEYS}
            for _, record in sorted(last.items())
            if "receipt" not in record
        ],
    }
