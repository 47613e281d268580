"""Training on any number of rows, beside plain scikit-learn over the same files; forests on one worker and on two."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from measure import run, run_tahoe

if TYPE_CHECKING:
    from bench.report import Result
    from measure import Finished

TRAINING = Path(__file__).with_name("training.py")
RECIPE = Path(__file__).with_name("full.toml")
PLATES = ",".join(map(str, range(1, 15)))  # all 380 drugs and 50 lines: 474 columns, 460 of zeros and ones
FEW, MANY = 1, 4  # passes: what starting costs is in both, and goes in the difference
CLOSE = 1e-9


def measure_models(place: Path, *, rows: int = 2_000_000, workers: tuple[int, ...] = (0, 2)) -> list[Result]:
    """Passes of the engine and of a plain loop over the same rows; then the weights are compared."""
    into = make_features(place, rows)
    found: list[Result] = []
    weights = []
    for who, n in [*(("passes", n) for n in workers), ("plain", 0)]:
        few, _ = train(who, into, "--epochs", str(FEW), "--workers", str(n))
        many, told = train(who, into, "--epochs", str(MANY), "--workers", str(n))
        weights.append(told["weights"])
        passes = (MANY - FEW) * told["rows"]
        found.append(
            {
                "who": "plain scikit-learn" if who == "plain" else f"tahoe, {n} workers",
                "rows": told["rows"],
                "columns": told["columns"],
                "wall s": many.seconds,
                "rows per s": passes / (many.seconds - few.seconds),
                "rows per CPU s": passes / (many.cpu_seconds - few.cpu_seconds),
                "peak MiB of a process": many.peak_mib,
            }
        )
    for row in found:
        row["x plain"] = row["rows per CPU s"] / found[-1]["rows per CPU s"]
    if any(one != weights[0] for one in weights[:-1]):
        raise SystemExit("workers gave other weights")
    if not np.allclose(weights[0], weights[-1], rtol=CLOSE, atol=CLOSE):
        raise SystemExit("the engine and the plain loop have other weights")
    return found


def compare_forests(place: Path, *, rows: int = 20_000, of: int = 200_000) -> list[Result]:
    """A forest and a grid of forests on one worker and on two."""
    into = make_features(place, of)
    found: list[Result] = []
    for who in ("forest", "grid"):
        seconds = [train(who, into, "--rows", str(rows), "--workers", str(n))[1]["seconds"] for n in (1, 2)]
        found.append({"what": who, "rows": rows, "1 worker s": seconds[0], "2 workers s": seconds[1]})
        found[-1]["x 1 worker"] = seconds[0] / seconds[1]
    return found


def train(who: str, into: Path, *options: str) -> tuple[Finished, dict[str, Any]]:
    """Train in a process of its own; on one thread, as workers do."""
    threads = dict.fromkeys(("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = run([sys.executable, str(TRAINING), who, str(into), *options], env=threads, timeout=3600)
    if done.code:
        raise SystemExit(f"{who} ended with {done.code}: {done.stderr}")
    return done, json.loads(done.stdout)


def make_features(place: Path, rows: int) -> Path:
    """Features of a made-up cells table, once."""
    table, into = place / f"models-{rows}", place / f"models-{rows}-run"
    if not (into / "_MANIFEST.json").is_file():
        shutil.rmtree(into, ignore_errors=True)
        shutil.rmtree(table, ignore_errors=True)
        for command in (
            ("synth", str(table), "--tables-only", str(rows), "--plates", PLATES),
            ("features", "--into", str(into), "--recipe", str(RECIPE), "--table", str(table / "cells")),
        ):
            done = run_tahoe(*command, timeout=3600)
            if done.code:
                raise SystemExit(f"tahoe {command[0]} ended with {done.code}: {done.stderr}")
    return into
