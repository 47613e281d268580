"""Marginal CPU a shard, and peak memory: this engine and its peers on the same shards, in turns, in one run.

Marginal: CPU seconds of the whole process (user and system) on many shards, minus those on few, divided by the
difference; start-up and imports fall out. Turns: one measurement of each, then the next of each, so that a busy minute
of the machine falls on all. The median of the turns is told.
"""

from __future__ import annotations

import shutil
import statistics
import sys
from typing import TYPE_CHECKING

from bench.contestants import CONTESTANTS, ONE_THREAD, ROWS_OF_THE_LOOP
from measure import Finished, run, run_tahoe

if TYPE_CHECKING:
    from pathlib import Path

    from bench.atlas import Atlas
    from bench.report import Result

ENGINE = {"tahoe-summary": "summary", "tahoe-qc": "qc", "tahoe-all": "all"}
# What each figure is held against.
RATIOS = {
    "polars-summary": "tahoe-summary",
    "duckdb-summary": "tahoe-summary",
    "row-loop": "tahoe-summary",
    "polars-all": "tahoe-all",
    "duckdb-all": "tahoe-all",
    "numpy-all": "tahoe-all",
    "pyarrow-decode": "tahoe-all",
}


def compare_peers(atlas: Atlas, place: Path, *, few: int, repeat: int, only: list[str]) -> list[Result]:
    """Measure each contestant on `few` and on all shards of the atlas."""
    names = [name for name in [*ENGINE, *CONTESTANTS] if not only or name in only]
    many, rows = len(atlas.shards), atlas.rows
    taken: dict[tuple[str, int], list[Finished]] = {(name, n): [] for name in names for n in (few, many)}
    for turn in range(repeat):
        for (name, n), runs in taken.items():
            print(f"turn {turn + 1} of {repeat}: {name} on {n} shards", file=sys.stderr, flush=True)
            runs.append(measure(name, atlas, n, place / name))
    marginal = {
        name: statistics.median(
            (high.cpu_seconds - low.cpu_seconds) / (many - few)
            for low, high in zip(taken[name, few], taken[name, many], strict=True)
        )
        for name in names
    }
    return [
        {
            "task": name,
            "CPU s a shard": marginal[name],
            "cells per CPU s": (min(rows, ROWS_OF_THE_LOOP) if name == "row-loop" else rows) / marginal[name],
            "peak MiB": max(one.peak_mib for one in taken[name, many]),
            "wall s, all shards": statistics.median(one.seconds for one in taken[name, many]),
            "engine is faster by": compare(name, marginal, rows),
        }
        for name in names
    ]


def compare(name: str, marginal: dict[str, float], rows: int) -> float | None:
    """How many times the cells per CPU second of the engine's task of the same kind."""
    if RATIOS.get(name) not in marginal:
        return None
    scale = rows / ROWS_OF_THE_LOOP if name == "row-loop" and rows > ROWS_OF_THE_LOOP else 1
    return scale * marginal[name] / marginal[RATIOS[name]]


def measure(name: str, atlas: Atlas, n: int, out: Path) -> Finished:
    """Run one task on the first shards of the atlas, into an empty folder."""
    shutil.rmtree(out, ignore_errors=True)
    shards = atlas.shards[:n]
    if name in ENGINE:
        listed = out.with_suffix(".txt")
        listed.write_text("".join(f"{shard.resolve()}\n" for shard in shards), encoding="utf-8")
        options = ("--stats", ENGINE[name], "--workers", "0", "--quiet")
        finished = run_tahoe("cells", listed, "--into", out, *options, env=ONE_THREAD)
    else:
        command: list[str | Path] = [sys.executable, "-m", "bench.contestants", name, atlas.gene_metadata, out, *shards]
        finished = run(command, env=ONE_THREAD)
    if finished.code != 0:
        raise SystemExit(f"{name} ended with {finished.code}:\n{finished.stdout}{finished.stderr}")
    return finished


def compare_results(place: Path, tolerance: float = 1e-5) -> list[str]:
    """Names of the contestants whose cells differ from the engine's; DuckDB's skewness is another one (G1, not g1)."""
    import polars as pl

    names = ["total_counts", "expr_len", "expr_mean", "expr_std", "expr_skew"]
    engine = pl.read_parquet(place / "tahoe-all" / "cells" / "*.parquet")
    differing = []
    for name in CONTESTANTS:
        cells = place / name / "cells.parquet"
        if not cells.is_file():
            continue
        theirs = pl.read_parquet(cells)
        compared = names[:-1] if name.startswith("duckdb") else names
        both = theirs.join(engine, on="BARCODE_SUB_LIB_ID", suffix="_ours")
        worst = both.select(
            (pl.col(column).cast(float) / pl.col(f"{column}_ours").cast(float) - 1).abs().max() for column in compared
        ).row(0)
        if both.height != theirs.height or any(value is not None and value > tolerance for value in worst):
            differing.append(f"{name}: {dict(zip(compared, worst, strict=True))}")
    return differing
