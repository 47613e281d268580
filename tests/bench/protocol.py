"""What exactly-once costs: beside the work on a shard, and before a resumed run begins to work."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from bench.atlas import Atlas, link_shards
from tahoe_engine import load_settings
from tahoe_engine.cells.launch import Launch
from tahoe_engine.cells.plan import plan_cells
from tahoe_engine.cells.unit import CellsUnit, scan_unit
from tahoe_engine.run import Journal, commit_part, hold_run, keep_receipt
from tahoe_engine.source import read_footers
from tahoe_engine.vocabulary.joined import copy_joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bench.report import Result

LIMITS = load_settings().limits.model_dump()


def measure_cost(atlas: Atlas, place: Path, *, repeat: int) -> list[Result]:
    """Time a shard, and what of it is not work: its identity, its commit (done once more alone), its line."""
    steps: dict[str, list[float]] = {"identity": [], "unit": [], "commit": [], "journal": []}
    for turn in range(repeat):
        with _launch(atlas.folder, place / f"cost-{turn}") as launch:
            for unit in launch.missing():
                for name, seconds in _time_unit(launch, unit).items():
                    steps[name].append(seconds)
    medians = {name: statistics.median(times) for name, times in steps.items()}
    safety = medians["identity"] + medians["commit"] + medians["journal"]
    whole = medians["identity"] + medians["unit"] + medians["journal"]
    return [
        {
            "shards": len(steps["unit"]),
            "shard ms": 1000 * whole,
            "identity ms": 1000 * medians["identity"],
            "commit ms": 1000 * medians["commit"],
            "journal ms": 1000 * medians["journal"],
            "% of a shard": 100 * safety / whole,
        }
    ]


def measure_replay(atlas: Atlas, place: Path, *, units: int) -> list[Result]:
    """Shards without rows, all done: how long until a second launch knows that nothing is missing."""
    place.mkdir(parents=True, exist_ok=True)
    empty = place / "empty.parquet"
    pq.write_table(pq.ParquetFile(atlas.shards[0]).schema_arrow.empty_table(), empty)
    source, into = link_shards([empty], place / "linked", units), place / "replay"
    with _launch(source, into) as launch:
        for unit in launch.missing():
            launch.record_receipt(unit, scan_unit(unit))
    found: list[Result] = []
    for journal in ("whole", "lost"):
        if journal == "lost":
            shutil.rmtree(into / ".tahoe" / "journal")
        plan = plan_cells(source)
        with hold_run(into) as layout:
            start = time.perf_counter()
            with Journal(layout, "cells") as lines:
                launch = Launch(plan, layout, lines)
            seconds = time.perf_counter() - start
        if launch.missing():
            raise SystemExit(f"{len(launch.missing())} of {units} units were not recognized")
        found.append({"units": units, "journal": journal, "replay s": seconds})
    return found


@contextmanager
def _launch(source: Path, into: Path) -> Iterator[Launch]:
    plan = plan_cells(source)
    with hold_run(into) as layout, Journal(layout, "cells") as journal:
        launch = Launch(plan, layout, journal)
        copy_joined(plan.joined, layout)
        for folder in (layout.stage("cells"), layout.gene_parts):
            folder.mkdir(exist_ok=True)
        yield launch


def _time_unit(launch: Launch, unit: CellsUnit) -> dict[str, float]:
    receipt: dict[str, Any] = {}

    def record() -> None:
        launch.record_receipt(unit, receipt)
        launch.sync()

    return {
        "identity": _time(lambda: read_footers([unit.shard], LIMITS)),
        "unit": _time(lambda: receipt.update(scan_unit(unit))),
        "commit": _commit_again(launch, unit, receipt),
        "journal": _time(record),
    }


def _commit_again(launch: Launch, unit: CellsUnit, receipt: dict[str, Any]) -> float:
    """Write the files of a unit once more under other names, as its worker did: written, synced, read back, linked."""
    layout, name = launch.layout, unit.shard.name
    contents = {entry: path.read_bytes() for entry, path in layout.unit_files("cells", name).items()}

    def commit() -> None:
        keep_receipt(layout, "cells", f"{name}.again", unit.key, receipt)
        for entry, path in layout.unit_files("cells", f"{name}.again").items():
            temporary = layout.temporary / entry
            with temporary.open("wb") as file:
                file.write(contents[entry])
                file.flush()
                os.fsync(file.fileno())
            commit_part(layout, temporary, path, receipt[entry]["sha256"])

    return _time(commit)


def _time(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
