"""Runs with features for the stage models, and tasks about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

import tahoe_engine as te
from made_tables import write_parts

if TYPE_CHECKING:
    from pathlib import Path

    from tahoe_engine.models import ModelsReport

CLASSES = ("down", "same", "up")
RECIPE = """table = "file"
key = ["id"]
[split]
by = ["well"]
test = 0.3
folds = 3
[[targets]]
kind = "column"
name = "height"
column = "y"
[[targets]]
kind = "column"
name = "way"
column = "w"
[[features]]
kind = "numeric"
name = "numbers"
columns = ["a", "b", "c"]
steps = ["standardize"]
[[features]]
kind = "one_hot"
name = "line"
column = "line"
levels = "seen"
"""


def make_rows(n: int = 600, *, wells: int = 20, seed: int = 1, told: float = 1.0) -> pl.DataFrame:
    """Rows of wells: `y` goes with `a` and the line, `w` with `a` and `b`; `told` = 0: with nothing."""
    rng = np.random.default_rng(seed)
    a, b, c = rng.normal(size=(3, n))
    line = rng.integers(4, size=n)
    well = rng.integers(wells, size=n)
    y = told * (2 * a + line) + rng.normal(0, 0.5, n) + rng.normal(0, 0.2, wells)[well]
    score = told * (a + b) + rng.normal(0, 0.3, n)
    return pl.DataFrame(
        {
            "id": [f"i{at:05}" for at in range(n)],
            "well": [f"w{one:03}" for one in well],
            "line": [f"L{one}" for one in line],
            "a": a,
            "b": b,
            "c": c,
            "y": y,
            "w": [CLASSES[one] for one in np.digitize(score, [-0.7, 0.7])],
        }
    )


def make_run(folder: Path, rows: pl.DataFrame | None = None, *, n_parts: int = 3) -> Path:
    """Give a run with features called ``mine`` of such rows, in parts."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mine.toml").write_text(RECIPE)
    table = write_parts(make_rows() if rows is None else rows, folder / "table", n_parts=n_parts)
    te.make_features(folder / "run", folder / "mine.toml", table=table, workers=0)
    return folder / "run"


def write_task(folder: Path, text: str, *, name: str = "task", target: str = "height", more: str = "") -> Path:
    """Write a task about the features ``mine``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.toml"
    path.write_text(
        f'features = "mine"\ntargets = "{target}"\nbootstrap = 200\nseed = 3\n{more}\n'
        f"[folds]\nnumber = 3\n[importance]\nrows = 200\nrepeats = 2\n{text}"
    )
    return path


def train(into: Path, task: Path | str, **options: Any) -> ModelsReport:
    """Train in this process, unless told otherwise."""
    return te.train_models(into, task, **{"workers": 0, **options})


def read_model_table(into: Path, models: str, name: str) -> pl.DataFrame:
    """Give a table of some models."""
    return te.Run(into).table(f"models/{models}/{name}").collect()


def read_metric(into: Path, models: str, model: str, metric: str, split: str = "test") -> dict[str, Any]:
    """Give the row of a metric over all rows of a split."""
    table = read_model_table(into, models, "metrics")
    found = table.filter(pl.col("group").is_null(), model=model, metric=metric, split=split)
    return found.row(0, named=True)
