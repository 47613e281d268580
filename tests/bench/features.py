"""A full recipe over a long table, beside the same steps in plain Polars and scikit-learn."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

import tahoe_engine as te
from measure import run, run_tahoe

if TYPE_CHECKING:
    from bench.report import Result
    from measure import Finished

RECIPE = Path(__file__).with_name("full.toml")
PLAIN = Path(__file__).with_name("plain_features.py")
CLOSE = 1e-9  # of standardized numbers: the two sum in another order


def measure_features(
    place: Path, *, rows: int = 5_000_000, peer_rows: int = 500_000, workers: tuple[int, ...] = (0, 2)
) -> list[Result]:
    """The engine over all rows, plain Polars and scikit-learn over a tenth; then the numbers are compared."""
    long, short = make_table(place / "long", rows), make_table(place / "short", peer_rows)
    found: list[Result] = []
    hashes = set()
    for n in workers:
        into = place / "features"
        shutil.rmtree(into, ignore_errors=True)
        options = ("--recipe", str(RECIPE), "--table", str(long), "--workers", str(n), "--json")
        done = run_tahoe("features", "--into", str(into), *options)
        facts = json.loads(done.stdout)
        hashes.add(facts["digest"])
        found.append(tell(f"tahoe features, {n} workers", rows, facts["n_features"], done))
    if len(hashes) > 1:
        raise SystemExit("workers gave other features")
    into = place / "features"
    shutil.rmtree(into, ignore_errors=True)
    te.make_features(into, str(RECIPE), table=short, workers=0)
    split = te.load_features(into, "full").design.split.groups
    assert split is not None
    split.write_parquet(place / "split.parquet")
    out = place / "plain.parquet"
    done = run([sys.executable, str(PLAIN), str(short), str(place / "split.parquet"), str(out)])
    found.append(tell("Polars and scikit-learn", peer_rows, found[0]["columns"], done))
    for row in found:
        row["x plain"] = row["rows per CPU s"] / found[-1]["rows per CPU s"]
    compare(into, out)
    return found


def tell(who: str, rows: int, columns: int, done: Finished) -> Result:
    """One line of the table."""
    if done.code:
        raise SystemExit(f"{who} ended with {done.code}: {done.stderr}")
    return {
        "who": who,
        "rows": rows,
        "columns": columns,
        "wall s": done.seconds,
        "CPU s": done.cpu_seconds,
        "rows per CPU s": rows / done.cpu_seconds,
        "peak MiB of a process": done.peak_mib,
    }


def make_table(place: Path, rows: int) -> Path:
    """A made-up cells table, once."""
    if not (place / "cells").is_dir():
        run_tahoe("synth", str(place), "--tables-only", str(rows))
    return place / "cells"


def compare(into: Path, out: Path) -> None:
    """The two must agree, or one of them does something else."""
    plain = pl.read_parquet(out).sort("shard", "row")
    features = te.load_features(into, "full")
    ours = pl.concat([features.table(split).collect() for split in ("train", "test")]).sort("shard", "row")
    names = [name for name, told in features.lineage["columns"].items() if "levels" not in told]
    for name in ("delta_mean", *names):
        one, other = ours[name].cast(pl.Float64).to_numpy(), plain[name].cast(pl.Float64).to_numpy()
        if not np.allclose(one, other, rtol=CLOSE, atol=CLOSE, equal_nan=True):
            worst = np.nanmax(np.abs(one - other))
            raise SystemExit(f"{name}: the engine and plain scikit-learn differ by {worst}")
