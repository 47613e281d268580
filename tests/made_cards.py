"""Made-up facts and tables of a whole task, for whoever tests its card."""

from __future__ import annotations

from typing import Any

import polars as pl

from made_judgements import (
    make_calibration,
    make_candidates,
    make_classes,
    make_comparison,
    make_confusion,
    make_curves,
    make_frame,
    make_importances,
    make_metrics,
    make_points,
)
from tahoe_engine.schema import models as schema

FACTS: dict[str, Any] = {
    "name": "first",
    "into": "run",
    "task": {"description": "How far is a cell", "seed": 7, "rank_rows": 1000, "models": []},
    "features": "cells",
    "mode": "honest",
    "kind": "regression",
    "targets": ["delta_mean"],
    "split_by": "drug",
    "split": {"hash": "abc", "rows": {"train": 17371, "test": 4137}},
    "metric": "r2",
    "judged_on": "test",
    "models": [{"model": "mean", "estimator": "mean"}, {"model": "ridge", "estimator": "ridge"}],
    "rows": {"in": 21508, "kept": 21508, "filtered": 0},
    "leaks": [],
    "notes": [],
    "versions": {"tahoe-engine": "0.1.0"},
    "needs": {"features/cells": "ff"},
}


def make_tests(beats: dict[str, bool], *, n_groups: int = 24, p_least: float | None = 1e-4) -> pl.DataFrame:
    row = {"split": "test", "metric": "r2", "baseline": "mean", "difference": 0.5, "low": 0.25, "high": 0.75}
    row |= {"n_groups": n_groups, "p_value": 0.001, "p_holm": 0.002, "p_least": p_least}
    return make_frame(schema.TESTS, [row | {"model": model, "beats_baseline": won} for model, won in beats.items()])


def make_groups(model: str, metric: str, values: dict[str, float | None]) -> pl.DataFrame:
    row = {"model": model, "mode": "honest", "split": "test", "metric": metric, "n": 10, "baseline": 0.0}
    return make_frame(schema.METRICS, [row | {"group": group, "value": value} for group, value in values.items()])


def make_everything(models: list[str], classes: list[str]) -> dict[str, pl.DataFrame]:
    verdict = {"verdict": "fits", "evidence": f"r2 of {models[0]} is 0.5 [0.4, 0.6]"}
    return {
        "metrics": pl.concat(
            [
                make_metrics(dict.fromkeys(models, 0.5)),
                make_groups(models[0], "r2", {f"line={name}": 0.5 for name in classes}),
            ]
        ),
        "tests": make_tests(dict.fromkeys(models, True)),
        "verdicts": make_frame(schema.VERDICTS, [{"model": model, **verdict} for model in models]),
        "points": make_points(models, n=20),
        "confusion": make_confusion(models, classes),
        "classes": make_classes(models, classes),
        "calibration": make_calibration(models, classes),
        "curves": make_curves(models),
        "candidates": pl.concat([make_candidates(model) for model in models]),
        "importances": make_importances(models, classes, classes),
        "comparison": make_comparison(models, classes),
    }
