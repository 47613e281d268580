"""Sums by group and gene: this engine and its peers on the same shards, in turns; and groups as large as Tahoe's.

Cells are scanned before, and are not in these figures: the engine reads their table to know which row is in which
group, and the peers get the groups numbered. CPU and marginal as in `peers`.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
from typing import TYPE_CHECKING

import polars as pl

from bench.atlas import link_shards
from bench.contestants import ONE_THREAD
from bench.pseudobulk import COLUMNS, CONTESTANTS
from measure import Finished, run, run_tahoe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bench.atlas import Atlas
    from bench.report import Result

ENGINE = "tahoe"
DESIGN = ("--plates", "4", "--wells", "48")  # times 50 lines: 2,400 groups
# These take too long, or too much memory, for more.
SMALL = {"scipy": (1, 2), "polars": (1, 2), "duckdb": (1, 2)}
DENSE = ("tahoe", "pyarrow-add-at", "polars")


def compare_groups(atlas: Atlas, place: Path, *, few: int, repeat: int, only: list[str]) -> list[Result]:
    """Measure each contestant on few and on many shards."""
    names = [name for name in (ENGINE, *CONTESTANTS) if not only or name in only]
    sizes = {name: SMALL.get(name, (few, len(atlas.shards))) for name in names}
    listed = {n: atlas.shards[:n] for pair in sizes.values() for n in pair}
    taken: dict[tuple[str, int], list[Finished]] = {}
    for n, shards in listed.items():
        scan(shards, place / f"cells-{n}")
    keys = number_groups(place / f"cells-{max(listed)}")
    for turn in range(repeat):
        for name in names:
            for n in sizes[name]:
                print(f"turn {turn + 1} of {repeat}: {name} on {n} shards", file=sys.stderr, flush=True)
                taken.setdefault((name, n), []).append(measure(name, listed[n], place, keys))
    marginal = {}
    for name, (low, high) in sizes.items():
        pairs = zip(taken[name, low], taken[name, high], strict=True)
        marginal[name] = statistics.median((b.cpu_seconds - a.cpu_seconds) / (high - low) for a, b in pairs)
    require_agreement(place, listed, keys)
    return [
        {
            "task": name,
            "shards": "{} to {}".format(*sizes[name]),
            "CPU s a shard": marginal[name],
            "cells per CPU s": atlas.rows / marginal[name],
            "CPU s, all shards": statistics.median(one.cpu_seconds for one in taken[name, sizes[name][1]]),
            "peak MiB": max(one.peak_mib for one in taken[name, sizes[name][1]]),
            "engine is faster by": marginal[name] / marginal[ENGINE] if ENGINE in marginal else None,
        }
        for name in names
    ]


def fill_groups(atlas: Atlas, place: Path, *, times: int, names: Sequence[str] = DENSE) -> list[Result]:
    """Link the shards several times, so that groups have as many cells as Tahoe's and no more genes to write.

    Peers run on twice the shards only, the slow ones on one shard and that twice: what one more costs them is the same
    each time.
    """
    found: list[Result] = []
    cells = atlas.rows * len(atlas.shards) * times
    for name in names:
        n = 1 if name in SMALL else len(atlas.shards)
        most = n * (times if name == ENGINE else 2)
        runs: list[Finished] = []
        for count in (n, most):
            shards = sorted(link_shards(atlas.shards[:n], place / f"linked-{count}", count).iterdir())
            scan(shards, place / f"cells-{count}")
            runs.append(measure(name, shards, place, number_groups(place / f"cells-{count}")))
        a_shard = (runs[1].cpu_seconds - runs[0].cpu_seconds) / (most - n)
        whole = runs[0].cpu_seconds + a_shard * (len(atlas.shards) * times - n)
        found.append(
            {
                "task": name,
                "shards": f"{n} to {most}",
                "CPU s a shard": a_shard,
                "cells per CPU s": atlas.rows / a_shard,
                "the same, start and writing included": None if name in SMALL else cells / whole,
                "peak MiB": max(one.peak_mib for one in runs),
            }
        )
    return found


def compare_group_memory(atlases: Sequence[Atlas], place: Path) -> list[Result]:
    """Peak memory of a process for few groups and for many."""
    found: list[Result] = []
    for atlas in atlases:
        n = len(atlas.shards)
        scan(atlas.shards, place / f"cells-{n}")
        finished = sum_groups(place / f"cells-{n}", place / f"tahoe-{n}")
        manifest = json.loads((place / f"tahoe-{n}" / "groups/_MANIFEST.json").read_text(encoding="utf-8"))
        found.append(
            {
                "groups": manifest["n_groups"],
                "cells": manifest["n_cells"],
                "peak MiB": finished.peak_mib,
                "CPU s": finished.cpu_seconds,
                # The index is a part, too.
                "rows of moments": sum(part["rows"] for part in manifest["parts"]) - manifest["n_groups"],
                "MB written": sum(part["size"] for part in manifest["parts"]) / 1e6,
            }
        )
    return found


def check_agreement(atlas: Atlas, place: Path) -> None:
    """Run everybody once, most in this process, and compare."""
    n = len(atlas.shards)
    scan(atlas.shards, place / f"cells-{n}")
    keys = number_groups(place / f"cells-{n}")
    for name in (ENGINE, "pyarrow-add-at"):
        measure(name, atlas.shards, place, keys)
    for name, task in CONTESTANTS.items():
        if name != "pyarrow-add-at":
            out = place / f"{name}-{n}"
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            task([*map(str, atlas.shards)], keys, out)
    require_agreement(place, {n: atlas.shards}, keys)


def scan(shards: Sequence[Path], into: Path) -> None:
    """Scan the cells, once for all."""
    shutil.rmtree(into, ignore_errors=True)
    listed = into.with_suffix(".txt")
    listed.write_text("".join(f"{shard.resolve()}\n" for shard in shards), encoding="utf-8")
    require_success(
        "cells", run_tahoe("cells", listed, "--into", into, "--stats", "summary", "--workers", "0", "--quiet")
    )


def number_groups(cells: Path) -> Path:
    """Write the groups with a number each, for the peers."""
    keys = pl.scan_parquet(cells / "cells/*.parquet").select("sample", "cell_line_id").unique().collect().sort(pl.all())
    path = cells.with_suffix(".keys.parquet")
    keys.with_columns(group=pl.int_range(pl.len(), dtype=pl.Int32)).write_parquet(path)
    return path


def measure(name: str, shards: Sequence[Path], place: Path, keys: Path) -> Finished:
    """Run one task on some shards, into an empty folder."""
    out = place / f"{name}-{len(shards)}"
    if name == ENGINE:
        return sum_groups(place / f"cells-{len(shards)}", out)
    shutil.rmtree(out, ignore_errors=True)
    command: list[str | Path] = [sys.executable, "-m", "bench.pseudobulk", name, keys, out, *shards]
    return require_success(name, run(command, env=ONE_THREAD, timeout=7200))


def sum_groups(cells: Path, out: Path) -> Finished:
    """Sum the groups of a copy of the run."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(cells, out)
    options = ("--workers", "0", "--quiet")
    return require_success("groups", run_tahoe("groups", "--into", out, *options, env=ONE_THREAD, timeout=7200))


def require_success(name: str, finished: Finished) -> Finished:
    """Stop where a task failed."""
    if finished.code != 0:
        raise SystemExit(f"{name} ended with {finished.code}:\n{finished.stdout}{finished.stderr}")
    return finished


def require_agreement(place: Path, sizes: Mapping[int, Sequence[Path]], keys: Path) -> None:
    """Compare all rows of all tables with the engine's, exactly."""
    numbers = pl.scan_parquet(keys)
    differing = []
    for n in sizes:
        ours = None
        for name in (ENGINE, *CONTESTANTS):
            out = place / f"{name}-{n}"
            if not out.is_dir():
                continue
            if name == ENGINE:
                index = pl.scan_parquet(out / "groups/index.parquet").join(numbers, on=["sample", "cell_line_id"])
                moments = pl.scan_parquet(out / "groups/moments/**/*.parquet", hive_partitioning=False)
                table = moments.join(index.select("group_id", "group"), on="group_id")
                ours = describe_table(table)
            elif ours is not None and (found := describe_table(pl.scan_parquet(out / "groups.parquet"))) != ours:
                differing.append(f"{name} on {n} shards: {found}, {ENGINE}: {ours}")
    if differing:
        raise SystemExit("these do not agree with the engine:\n" + "\n".join(differing))


def describe_table(table: pl.LazyFrame) -> tuple[int, ...]:
    """Rows, sums, and a sum of hashes of whole rows, in whatever order they come."""
    row = pl.struct(pl.col(name).cast(pl.Int64) for name in COLUMNS)
    sums = (pl.col(name).cast(pl.Int64).sum() for name in COLUMNS)
    hashed = (row.hash() // 2**32).cast(pl.Int64).sum()
    return table.select(pl.len(), *sums, hashed.alias("hash")).collect(engine="streaming").row(0)
