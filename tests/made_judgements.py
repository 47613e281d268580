"""Made-up tables of the stage ``models``, for whoever draws or tells them: also with hostile names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tahoe_engine.schema import models as schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tahoe_engine.schema import Table

# Mathematics, markup, escapes, another direction of writing, letters no typeface has, a hidden legend, nothing at all.
HOSTILE = (
    "$\\frac{1}{0}$",
    "<script>alert('x')</script>",
    "a|b `c` *d* [e](https://evil.example/f)",
    "\x1b[2J\nnext\u202eline",
    "细胞系 \U0001f9ec",
    "_hidden",
    "",
    "x" * 200,
)


def make_frame(table: Table, rows: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """Rows with the table's columns and types; what a row leaves out is null."""
    types = {column.name: getattr(pl, column.dtype)() for column in table.columns}
    return pl.DataFrame([{name: row.get(name) for name in types} for row in rows], schema=types)


def make_metrics(
    values: dict[str, float | None], *, metric: str = "r2", baseline: float | None = 0.0, n: int = 4137
) -> pl.DataFrame:
    """A metric on training, fold and test rows; the interval is ± .05."""
    rows: list[dict[str, Any]] = []
    for model, value in values.items():
        for split, better in (("train", 0.2), ("cv-0", 0.01), ("cv-1", -0.01), ("test", 0.0)):
            there = None if value is None else value + better
            interval = {"low": there - 0.05, "high": there + 0.05} if there is not None and split == "test" else {}
            told = {"split": split, "metric": metric, "value": there, "n": n, "baseline": baseline, **interval}
            rows.append({"model": model, "mode": "honest", **told})
    return make_frame(schema.METRICS, rows)


def make_points(models: Sequence[str], *, n: int = 4137, seed: int = 0) -> pl.DataFrame:
    """Counts of a grid of 40 by 40; the last model predicts one value."""
    rng = np.random.default_rng(seed)
    rows = []
    for model in models:
        y = rng.normal(size=n)
        y_pred = np.zeros(n) if model == models[-1] else 0.6 * y + rng.normal(scale=0.4, size=n)
        edges = np.linspace(-4, 4, 41)
        heights = np.array([-1e-9, 1e-9]) if model == models[-1] else edges
        counts = np.histogram2d(y, y_pred, bins=(edges, heights))[0].astype(int)
        for i, j in np.argwhere(counts > 0).tolist():
            box = {"y_low": edges[i], "y_high": edges[i + 1], "y_pred_low": heights[j], "y_pred_high": heights[j + 1]}
            rows.append({"model": model, "split": "test", **box, "n": int(counts[i, j])})
    return make_frame(schema.POINTS, rows)


def make_confusion(models: Sequence[str], classes: Sequence[str], *, seed: int = 0) -> pl.DataFrame:
    """Mostly right; the last model always says the first class."""
    rng = np.random.default_rng(seed)
    rows = []
    for model in models:
        for y in classes:
            for y_pred in classes:
                right = y_pred == classes[0] if model == models[-1] else y_pred == y
                n = int(rng.integers(50, 2000)) if right else int(rng.integers(0, 30) if model != models[-1] else 0)
                if n:
                    rows.append({"model": model, "split": "test", "y": y, "y_pred": y_pred, "n": n})
    return make_frame(schema.CONFUSION, rows)


def make_classes(models: Sequence[str], classes: Sequence[str], *, seed: int = 0) -> pl.DataFrame:
    """A report by class; the last class has no rows."""
    rng = np.random.default_rng(seed)
    rows = []
    for model in models:
        for name in classes:
            there = name != classes[-1]
            told = {
                key: float(rng.uniform(0.5, 1)) if there else None for key in ("precision", "recall", "f1", "roc_auc")
            }
            rows.append({"model": model, "split": "test", "class": name, **told, "support": 100 if there else 0})
    return make_frame(schema.CLASSES, rows)


def make_calibration(models: Sequence[str], classes: Sequence[str], *, seed: int = 0) -> pl.DataFrame:
    """Ten bins; the fourth one is empty."""
    rng = np.random.default_rng(seed)
    rows = []
    for model in models:
        for name in classes:
            for i in range(10):
                x = i / 10 + 0.05
                told = {"mean_predicted": x, "observed": float(np.clip(x + rng.normal(scale=0.05), 0, 1))}
                n = int(rng.integers(1, 400)) if i != 3 else 0
                rows.append({"model": model, "split": "test", "class": name, "bin": i, "n": n, **(told if n else {})})
    return make_frame(schema.CALIBRATION, rows)


def make_curves(models: Sequence[str]) -> pl.DataFrame:
    """By rows for all, by passes and by a parameter for the first."""
    rows = []

    def add(model: str, curve: str, xs: Sequence[float], metric: str = "r2") -> None:
        for i, x in enumerate(xs):
            for part, value in (("train", 0.9 - 0.05 * i), ("validation", 0.3 + 0.1 * i)):
                rows.append({"model": model, "curve": curve, "x": x, "part": part, "metric": metric, "value": value})

    for model in models:
        add(model, "rows", (4000, 8000, 16000))
    add(models[0], "epoch", range(1, 7), "log_loss")
    add(models[0], "alpha", (0.01, 0.1, 1, 10, 100))
    return make_frame(schema.CURVES, rows)


def make_candidates(model: str, *, tied: int = 3) -> pl.DataFrame:
    """The grid of 54; so many share the first place, and the first of them was chosen."""
    rows = []
    grid = [
        {"max_depth": depth, "max_features": "sqrt", "min_samples_leaf": leaf, "n_estimators": trees}
        for trees in (50, 100, 200)
        for depth in (None, 5, 10)
        for leaf in (1, 2, 3, 4, 5, 6)
    ]
    for i, parameters in enumerate(grid):
        mean = 0.6 if i < tied else 0.6 - 0.01 * i
        told = {"mean": mean, "sd": 0.05, "train_mean": min(1.0, mean + 0.2), "folds": 5, "metric": "r2"}
        place = {"rank": 1 if i < tied else i + 1, "tied": tied > 1 and i < tied, "chosen": i == 0}
        rows.append({"model": model, "parameters": json.dumps(parameters, sort_keys=True), **told, **place})
    return make_frame(schema.CANDIDATES, rows)


def make_importances(models: Sequence[str], features: Sequence[str], classes: Sequence[str] = ()) -> pl.DataFrame:
    """Permutation for all; coefficients, one a class where there are classes, for the first. The first two are tied."""
    rows = []
    for model in models:
        for i, feature in enumerate(features):
            value = 0.5 if i < 2 else 0.5 / (i + 1)
            told = {"feature": feature, "value": value, "sd": 0.02, "rank": 1 if i < 2 else i + 1}
            rows.append({"model": model, "kind": "permutation", **told})
    for name in classes or (None,):
        for i, feature in enumerate(features):
            told = {"feature": feature, "class": name, "value": (-1) ** i / (i + 1), "rank": i + 1}
            rows.append({"model": models[0], "kind": "coefficient", **told})
    return make_frame(schema.IMPORTANCES, rows)


def make_comparison(models: Sequence[str], sets: Sequence[str], *, seed: int = 0) -> pl.DataFrame:
    """Each model on each set; the last of them is far off."""
    rng = np.random.default_rng(seed)
    rows = []
    for name in sets:
        for model in models:
            last = model == models[-1] and name == sets[-1]
            told = {"mean": -40.0 if last else float(rng.uniform(0, 0.6)), "sd": 0.03, "folds": 5, "n": 20000}
            rows.append({"model": f"{name}.{model}", "set": name, "metric": "r2", **told, "baseline": -0.001})
    return make_frame(schema.COMPARISON, rows)
