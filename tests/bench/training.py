"""Train once and tell about it: a process of its own, so that its memory and its CPU time are those of the training.

WHO is ``passes`` (the engine, part by part), ``plain`` (Polars and scikit-learn over the
same files in the same order), ``forest`` or ``grid`` (the engine, in memory).
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tahoe_engine.config import WorkersSettings
from tahoe_engine.models.course import JUDGED_ROWS
from tahoe_engine.models.kept import Kept
from tahoe_engine.models.material import Material, open_material
from tahoe_engine.models.task import Task
from tahoe_engine.run import Layout
from tahoe_engine.workers import open_computing

if TYPE_CHECKING:
    from tahoe_engine.models.material import Piece

SEED = 1
FEATURES, TARGET = "full", "delta_mean"
MODELS: dict[str, dict[str, Any]] = {
    "forest": {
        "estimator": "random_forest",
        "parameters": {"n_estimators": 64, "min_samples_leaf": 5, "max_features": 0.3},
    },
    "grid": {
        "estimator": "random_forest",
        "parameters": {"n_estimators": 16, "max_features": 0.3},
        "search": {"min_samples_leaf": [2, 5, 10], "max_depth": [4, 8]},
    },
}


def main() -> None:
    """Train as asked."""
    parser = argparse.ArgumentParser()
    parser.add_argument("who", choices=["passes", "plain", "forest", "grid"])
    parser.add_argument("run", type=Path)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--rows", type=int, default=20_000)
    asked = parser.parse_args()
    material = open_material(asked.run, FEATURES, TARGET)
    if asked.who == "plain":
        found = train_plainly(material, asked.epochs)
    elif asked.who == "passes":
        found = train_passes(material, asked.epochs, asked.workers)
    else:
        found = train_in_memory(material, asked.who, asked.rows, asked.workers)
    print(json.dumps({"columns": len(material.columns), "rows": material.count_rows(), **found}))


def train_passes(material: Material, epochs: int, workers: int) -> dict[str, Any]:
    """As the stage does it, checkpoints and curve included."""
    from tahoe_engine.models.catalogue import find_entry
    from tahoe_engine.models.passes import fit_passes

    task = make_task({"estimator": "sgd", "passes": {"epochs": epochs, "patience": 0}})
    with open_computing(WorkersSettings(count=workers), 100) as computing, tempfile.TemporaryDirectory() as folder:
        computing.reduce(_wake, _add, list(range(8)))
        entry = find_entry("sgd", material.kind)
        fitted = fit_passes(material, task.models[0], entry, task, computing, make_kept(Path(folder)))
    return {"weights": fitted.estimator.coef_.tolist()}


def _add(numbers: list[int]) -> int:
    return sum(numbers)


def train_in_memory(material: Material, who: str, rows: int, workers: int) -> dict[str, Any]:
    """A forest, or a grid of them; told are the seconds with workers that have started."""
    from tahoe_engine.models.catalogue import find_entry
    from tahoe_engine.models.memory import fit_memory

    # What a process loads once is no part of a fit, neither here nor on workers.
    for library in ("sklearn.ensemble", "dask_ml.model_selection"):
        importlib.import_module(library)
    task = make_task({**MODELS[who], "rows": rows})
    with open_computing(WorkersSettings(count=workers), 100) as computing, tempfile.TemporaryDirectory() as folder:
        computing.reduce(_wake, _add, list(range(8)))
        begun = time.monotonic()
        entry = find_entry("random_forest", material.kind)
        fit_memory(material, task.models[0], entry, task, computing, make_kept(Path(folder)))
        return {"seconds": time.monotonic() - begun}


def train_plainly(material: Material, epochs: int) -> dict[str, Any]:
    """A loop as one writes it: read a file, make a sparse matrix of it, train on it; score as many rows as we do."""
    import polars as pl
    from scipy.sparse import csr_matrix, hstack
    from sklearn.linear_model import SGDRegressor
    from sklearn.metrics import root_mean_squared_error
    from sklearn.preprocessing import OneHotEncoder

    folder = Path(material.root) / "features" / FEATURES
    lineage = json.loads((folder / "lineage.json").read_bytes())["columns"]
    sources = list(dict.fromkeys(material.sources))
    numbers = [name for name in sources if "names" not in lineage[name]]
    codes = [name for name in sources if "names" in lineage[name]]
    if sources != [*numbers, *codes]:
        raise SystemExit("the plain loop takes numbers first")
    levels = [np.arange(len(lineage[name]["names"])) for name in codes]
    encoder = OneHotEncoder(categories=levels, handle_unknown="ignore").fit(np.zeros((1, len(codes)), np.int32))
    estimator = SGDRegressor(random_state=SEED)
    pieces = material.pieces["train"]

    def read(piece: Piece) -> tuple[Any, Any]:
        rows = pl.read_parquet(folder / f"{piece.name}.parquet", columns=[*sources, TARGET])
        rows = rows.filter(pl.col(TARGET).is_not_null())
        dense = csr_matrix(rows.select(numbers).to_numpy())
        return hstack([dense, encoder.transform(rows.select(codes).to_numpy())], format="csr"), rows[TARGET].to_numpy()

    told = []
    for epoch in range(epochs):
        for at in np.random.default_rng([SEED, epoch]).permutation(len(pieces)):
            estimator.partial_fit(*read(pieces[at]))
        scored: list[tuple[Any, Any]] = []
        while sum(len(y) for y, _ in scored) < min(JUDGED_ROWS, material.count_rows()):
            x, y = read(pieces[len(scored)])
            scored.append((y, estimator.predict(x)))
        told.append(root_mean_squared_error(*map(np.concatenate, zip(*scored, strict=True))))
    return {"weights": estimator.coef_.tolist(), "scores": told}


def make_task(model: dict[str, Any]) -> Task:
    """A task of one model."""
    return Task.model_validate(
        {
            "features": FEATURES,
            "targets": TARGET,
            "seed": SEED,
            "models": [{"name": "one", **model}],
            "folds": {"number": 3},
        }
    )


def make_kept(folder: Path) -> Kept:
    """A place for checkpoints."""
    layout = Layout(folder)
    layout.make_state()
    return Kept(layout, "models/bench")


def _wake(number: int) -> int:
    """Load what trains, which takes each process two seconds, once."""
    for name in ("dask_ml.wrappers", "skops.io", "sklearn.ensemble", "tahoe_engine.models.passes"):
        import_module(name)
    return number


if __name__ == "__main__":
    main()
