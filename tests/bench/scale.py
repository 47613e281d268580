"""How the engine grows: with workers, with shards, and with nothing to do but scheduling."""

from __future__ import annotations

import json
import shutil
import statistics
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from bench.atlas import Atlas, link_shards
from measure import Finished, run_tahoe

if TYPE_CHECKING:
    from pathlib import Path

    from bench.report import Result


def scan(source: Path, into: Path, *options: str, timeout: float = 7200) -> Finished:
    """Run the main job into an empty folder."""
    shutil.rmtree(into, ignore_errors=True)
    finished = run_tahoe("cells", source, "--into", into, "--quiet", *options, timeout=timeout)
    if finished.code != 0:
        raise SystemExit(f"tahoe cells ended with {finished.code}:\n{finished.stdout}{finished.stderr}")
    return finished


def compare_workers(atlas: Atlas, place: Path, *, shards: int, repeat: int, stats: str) -> list[Result]:
    """One worker and two on the same links, in turns; the manifests must be equal."""
    source = link_shards(atlas.shards, place / "linked", shards)
    taken: dict[int, list[Finished]] = {1: [], 2: []}
    for _ in range(repeat):
        for workers, runs in taken.items():
            runs.append(scan(source, place / f"workers-{workers}", "--workers", str(workers), "--stats", stats))
    if len({(place / f"workers-{n}" / "cells" / "_MANIFEST.json").read_bytes() for n in taken}) > 1:
        raise SystemExit(f"one worker and two gave other tables; see {place}")
    wall = {workers: statistics.median(one.seconds for one in runs) for workers, runs in taken.items()}
    return [
        {
            "workers": workers,
            "wall s": wall[workers],
            "CPU s": statistics.median(one.cpu_seconds for one in runs),
            "peak MiB of a process": max(one.peak_mib for one in runs),
            "faster than one": wall[1] / wall[workers],
        }
        for workers, runs in taken.items()
    ]


def compare_memory(atlas: Atlas, place: Path, *, shards: int, stats: str) -> list[Result]:
    """Peak memory on some shards, and on ten times as many."""
    found: list[Result] = []
    for n in (shards, 10 * shards):
        source = link_shards(atlas.shards, place / "linked", n)
        for workers in (0, 1):
            finished = scan(source, place / "run", "--workers", str(workers), "--stats", stats)
            found.append({"shards": n, "workers": workers, "peak MiB of a process": finished.peak_mib})
    for row in found:
        first = next(one for one in found if one["workers"] == row["workers"])
        row["of the first"] = row["peak MiB of a process"] / first["peak MiB of a process"]
    return found


def schedule_nothing(atlas: Atlas, place: Path, *, units: int, workers: int) -> list[Result]:
    """Shards without rows: what is left is finding, planning, scheduling, committing, and the manifest."""
    place.mkdir(parents=True, exist_ok=True)
    empty = place / "empty.parquet"
    pq.write_table(pq.ParquetFile(atlas.shards[0]).schema_arrow.empty_table(), empty)
    finished = scan(link_shards([empty], place / "linked", units), place / "run", "--workers", str(workers))
    return [{"units": units, "workers": workers, "wall s": finished.seconds, "CPU s": finished.cpu_seconds}]


def rehearse(atlas: Atlas, place: Path, *, shards: int, workers: int, stats: str) -> list[Result]:
    """The whole atlas by name: as many shards as Tahoe-100M, linked to a few of real size."""
    source = link_shards(atlas.shards, place / "linked", shards)
    finished = scan(source, place / "run", "--workers", str(workers), "--stats", stats, timeout=24 * 3600)
    manifest = json.loads((place / "run" / "cells" / "_MANIFEST.json").read_text(encoding="utf-8"))
    cells = sum(part["rows"] for part in manifest["parts"])
    return [
        {
            "shards": shards,
            "cells": cells,
            "workers": workers,
            "wall s": finished.seconds,
            "cells per s": cells / finished.seconds,
            "CPU s": finished.cpu_seconds,
            "peak MiB of a process": finished.peak_mib,
            "MiB written": sum(file.stat().st_size for file in (place / "run").rglob("*.parquet")) / 2**20,
        }
    ]
