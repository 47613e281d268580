"""Random targets: no estimator may be called better than the baseline, whatever the seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

import tahoe_engine as te

if TYPE_CHECKING:
    from pathlib import Path

    from bench.report import Result

RECIPE = """table = "file"
key = ["id"]
[split]
by = ["well"]
test = 0.3
folds = 3
[[targets]]
kind = "column"
name = "number"
column = "number"
[[targets]]
kind = "column"
name = "class"
column = "class"
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
targets = "TARGET"
bootstrap = 500
seed = SEED
[folds]
number = 3
[importance]
rows = 0
MODELS
"""
REGRESSORS = ("ridge", "lasso", "elastic_net", "linear_svm", "kernel_svm", "random_forest", "extra_trees", "sgd")
CLASSIFIERS = ("ridge", "logistic", "linear_svm", "kernel_svm", "svc", "random_forest", "extra_trees", "sgd")
SEARCHED = {"ridge": "alpha = [1.0, 1000.0]"}
FEWER = {
    "random_forest": "n_estimators = 30",
    "extra_trees": "n_estimators = 30",
    "gradient_boosting": "n_estimators = 30",
}


def try_random_targets(place: Path, *, seeds: int = 20, rows: int = 1500, wells: int = 40) -> list[Result]:
    """Train everything on noise, seed by seed; tell who was called better than the baseline."""
    found: list[Result] = []
    for kind, target, estimators in (
        ("regression", "number", (*REGRESSORS, "gradient_boosting")),
        ("classification", "class", (*CLASSIFIERS, "gradient_boosting")),
    ):
        better: list[str] = []
        told = 0
        smallest = 1.0
        for seed in range(seeds):
            run = place / f"{kind}-{seed}"
            make_noise(run, rows=rows, wells=wells, seed=seed)
            (run / "task.toml").write_text(write_task(target, estimators, seed))
            report = te.train_models(run, run / "task.toml", workers=0)
            tests = te.Run(run).table("models/task/tests").collect()
            smallest = min(smallest, float(tests["p_holm"].min() or 0.0))  # type: ignore[arg-type]
            better += [f"{seed}: {name}" for name in tests.filter(pl.col("beats_baseline"))["model"]]
            told += any("no model is better" in note for note in report.manifest["notes"])
        found.append(
            {
                "targets": f"random, {kind}",
                "seeds": seeds,
                "estimators": len(estimators),
                "called better": len(better),
                "smallest p (Holm)": smallest,
                "reports that say so": told,
            }
        )
        if better:
            raise SystemExit(f"called better than the baseline on noise: {', '.join(better)}")
    return found


def make_noise(run: Path, *, rows: int, wells: int, seed: int) -> None:
    """A table of noise, wells of unequal size, and its features."""
    rng = np.random.default_rng(seed)
    columns = {f"x{at}": rng.normal(size=rows) for at in range(8)}
    frame = pl.DataFrame(
        {
            "id": np.arange(rows),
            "well": [f"w{int(at)}" for at in np.minimum(rng.exponential(wells / 3, rows), wells - 1)],
            "line": [f"l{int(at)}" for at in rng.integers(0, 6, rows)],
            "number": rng.normal(size=rows),
            "class": [("a", "b", "c")[int(at)] for at in rng.choice(3, rows, p=[0.5, 0.3, 0.2])],
            **columns,
        }
    )
    run.mkdir(parents=True)
    frame.write_parquet(run / "noise.parquet")
    named = ", ".join(f'"{name}"' for name in columns)
    (run / "random.toml").write_text(RECIPE.replace("COLUMNS", named))
    te.make_features(run, run / "random.toml", table=run / "noise.parquet", workers=0)


def write_task(target: str, estimators: tuple[str, ...], seed: int) -> str:
    """A task with a model for each estimator."""
    models: list[str] = []
    for name in estimators:
        lines: dict[str, Any] = {"name": f'"{name}"', "estimator": f'"{name}"'}
        models += ["[[models]]", *(f"{key} = {value}" for key, value in lines.items())]
        if name in FEWER:
            models.append(f"parameters = {{ {FEWER[name]} }}")
        if name in SEARCHED and target == "number":
            models.append(f"search = {{ {SEARCHED[name]} }}")
    text = TASK.replace("TARGET", target).replace("SEED", str(seed))
    return text.replace("MODELS", "\n".join(models))
