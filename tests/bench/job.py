"""`jobs/biospark.toml`, from three full-sized shards to evaluated models in one command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from measure import run_tahoe

if TYPE_CHECKING:
    from bench.report import Result

JOB = Path("jobs/biospark.toml")
SECONDS = 300  # the bar, on two cores


def measure_job(atlas: Path, place: Path, *, workers: int = 2) -> list[Result]:
    """Run the job on an atlas, then again when all of it is there."""
    into = place / "biospark"
    shutil.rmtree(into, ignore_errors=True)
    found: list[Result] = []
    for what in ("from nothing", "again, all is there"):
        options = ("--source", str(atlas), "--into", str(into), "--workers", str(workers), "--json")
        done = run_tahoe("run", str(JOB), *options, timeout=3600)
        if done.code:
            raise SystemExit(f"{JOB} ended with {done.code}: {done.stderr}")
        told = json.loads(done.stdout)
        found.append(
            {
                "what": what,
                "workers": workers,
                "wall s": done.seconds,
                "CPU s": done.cpu_seconds,
                "peak MiB of a process": done.peak_mib,
                **{name: stage["seconds"] for name, stage in told.items()},
            }
        )
    return found
