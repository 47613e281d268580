"""Runs of the main job in tests: start one, and look at what it left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tahoe_engine as te

if TYPE_CHECKING:
    from pathlib import Path

    from tahoe_engine.cells import CellsReport


def published(run: Path) -> dict[str, bytes]:
    """Every byte a reader sees, by its path in the run."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and ".tahoe" not in path.parts
    }


def scan(source: Any, into: Path, **options: Any) -> CellsReport:
    """Run in this process, unless told otherwise."""
    return te.scan_cells(source, into, **{"workers": 0, **options})


def quarantined(report: CellsReport) -> dict[str, str]:
    """Codes of the shards that were set aside."""
    return {record["shard"]: record["code"] for record in report.manifest["quarantined"]}
