"""Random targets: no estimator may be called better than the baseline, whatever the seed."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

import tahoe_engine as te
from tahoe_engine.models.catalogue import list_entries

if TYPE_CHECKING:
    from pathlib import Path

    from bench.report import Result

RECIPE = """table = "file"
key = ["id"]
[split]
SPLIT
test = TEST
folds = 3
[[targets]]
kind = "column"
name = "y"
column = "y"
[[features]]
kind = "numeric"
name = "numbers"
columns = [COLUMNS]
steps = ["standardize"]
[[features]]
kind = "one_hot"
name = "line"
column = "line"
levels = "seen"
"""
TASK = """features = "random"
targets = "y"
bootstrap = 200
seed = SEED
[folds]
number = 3
[importance]
rows = 0
MODELS
"""
FEWER: Final = {
    "random_forest": "n_estimators = 15",
    "extra_trees": "n_estimators = 15",
    "gradient_boosting": "n_estimators = 15",
}
SEARCHED: Final = {  # by kind of the target and estimator
    ("regression", "ridge"): "alpha = [1.0, 1000.0]",
    ("regression", "lasso"): "alpha = [0.001, 0.1]",
    ("classification", "logistic"): "C = [0.01, 1.0]",
}
# A class as rare as the other weighs as much: whoever guesses it freely has hits by luck.
WEIGHED: Final = ("logistic", "linear_svm", "kernel_svm", "svc", "random_forest")
BALANCED: Final = dict.fromkeys(WEIGHED, 'class_weight = "balanced"') | {
    "gradient_boosting": "n_estimators = 15, scale_pos_weight = 15.0"
}
COLUMNS: Final = tuple(f"x{at}" for at in range(8))
PROCESSES: Final = 2


@dataclass(frozen=True)
class Noise:
    """A kind of target that nothing can be known of.

    Parameters
    ----------
    name : str
        For people.
    kind : {"regression", "classification"}
        Of the target.
    by, test : str
        How rows are split, and the share that is tested.
    shares : tuple of float
        Of the classes.
    rows : float
        Of so many as are asked for.
    """

    name: str
    kind: str
    by: str = 'by = ["well"]'
    test: float = 0.3
    shares: tuple[float, ...] = ()
    rows: float = 1.0


NOISES: Final = (
    Noise("numbers, unequal wells", "regression"),
    Noise("three classes, unequal wells", "classification", shares=(0.5, 0.3, 0.2)),
    Noise("a class of 5 %, by rows", "classification", 'stratify = ["y"]', 0.2, (0.95, 0.05), 0.5),
)


def try_random_targets(place: Path, *, seeds: int = 20, rows: int = 600, wells: int = 40) -> list[Result]:
    """Train everything on noise, seed by seed; tell who was called better than the baseline."""
    found: list[Result] = []
    for at, noise in enumerate(NOISES):
        names = [entry.name for entry in list_entries() if noise.kind in entry.kinds and entry.way != "baseline"]
        chosen = names if len(noise.shares) != 2 else [name for name in names if name in BALANCED]
        work = partial(train_on_noise, place / str(at), noise, tuple(chosen), int(rows * noise.rows), wells)
        with ProcessPoolExecutor(PROCESSES, get_context("spawn"), initializer=keep_to_one_thread) as pool:
            told = list(pool.map(work, range(seeds)))
        better = [f"{seed}: {name}" for seed, (names, *_) in enumerate(told) for name in names]
        found.append(
            {
                "noise": noise.name,
                "seeds": seeds,
                "estimators": len(chosen),
                "called better": len(better),
                "smallest p": min(p for _, p, _, _ in told),
                "smallest p (Holm)": min(p for _, _, p, _ in told),
                "reports that say so": sum(said for *_, said in told),
            }
        )
        # Holm at .05 in each of the trainings: one in twenty may be wrong by right.
        if len({name.partition(":")[0] for name in better}) > max(1, seeds // 20):
            raise SystemExit(f"called better than the baseline on noise: {', '.join(better)}")
    return found


def keep_to_one_thread() -> None:
    """One process a core, and one thread each."""
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def train_on_noise(
    place: Path, noise: Noise, estimators: tuple[str, ...], rows: int, wells: int, seed: int
) -> tuple[list[str], float, float, bool]:
    """Train on one table of noise: who is called better, the smallest P values, and whether the notes say so."""
    run = place / str(seed)
    make_noise(run, noise, rows=rows, wells=wells, seed=seed)
    (run / "task.toml").write_text(write_task(noise, estimators, seed))
    report = te.train_models(run, run / "task.toml", workers=0)
    tests = pl.read_parquet(run / "models" / "task" / "tests.parquet")
    if tests.height != len(estimators):
        raise SystemExit(f"{tests.height} tests of {len(estimators)} models")
    least = [float(tests[name].min() or 0.0) for name in ("p_value", "p_holm")]  # type: ignore[arg-type]
    said = any("no model is better" in note or "cannot be told" in note for note in report.manifest["notes"])
    better = tests.filter(pl.col("beats_baseline"))["model"].to_list()
    shutil.rmtree(run)
    return better, least[0], least[1], said


def make_noise(run: Path, noise: Noise, *, rows: int, wells: int, seed: int) -> None:
    """A table of noise, wells of unequal size, and its features."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice(len(noise.shares), rows, p=noise.shares) if noise.shares else rng.normal(size=rows)
    frame = pl.DataFrame(
        {
            "id": np.arange(rows),
            "well": [f"w{int(at)}" for at in np.minimum(rng.exponential(wells / 3, rows), wells - 1)],
            "line": [f"l{int(at)}" for at in rng.integers(0, 6, rows)],
            "y": [f"c{one}" for one in drawn] if noise.shares else drawn,
            **{name: rng.normal(size=rows) for name in COLUMNS},
        }
    )
    run.mkdir(parents=True)
    frame.write_parquet(run / "noise.parquet")
    named = ", ".join(f'"{name}"' for name in COLUMNS)
    recipe = RECIPE.replace("COLUMNS", named).replace("SPLIT", noise.by).replace("TEST", str(noise.test))
    (run / "random.toml").write_text(recipe)
    te.make_features(run, run / "random.toml", table=run / "noise.parquet", workers=0)


def write_task(noise: Noise, estimators: tuple[str, ...], seed: int) -> str:
    """A task with a model for each estimator."""
    models: list[str] = []
    for name in estimators:
        models += ["[[models]]", f'name = "{name}"', f'estimator = "{name}"']
        given = BALANCED[name] if len(noise.shares) == 2 else FEWER.get(name)
        models += [f"parameters = {{ {given} }}"] if given else []
        if len(noise.shares) != 2 and (noise.kind, name) in SEARCHED:
            models.append(f"search = {{ {SEARCHED[noise.kind, name]} }}")
    return TASK.replace("SEED", str(seed)).replace("MODELS", "\n".join(models))
