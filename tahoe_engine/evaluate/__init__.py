"""Judges of predictions: metrics with their baseline, n and interval. Knows neither estimators nor runs."""

from __future__ import annotations

from tahoe_engine.evaluate.baselines import add_baselines, test_models
from tahoe_engine.evaluate.directions import choose_primary, find_metric, is_better, list_metrics
from tahoe_engine.evaluate.metrics import compute_metrics
from tahoe_engine.evaluate.tables import tabulate_calibration, tabulate_classes, tabulate_confusion, tabulate_points
from tahoe_engine.evaluate.tally import Tally, collect_tally, merge_tallies
from tahoe_engine.evaluate.ties import rank_scores
from tahoe_engine.evaluate.verdict import judge_fit

__all__ = [
    "Tally",
    "add_baselines",
    "choose_primary",
    "collect_tally",
    "compute_metrics",
    "find_metric",
    "is_better",
    "judge_fit",
    "list_metrics",
    "merge_tallies",
    "rank_scores",
    "tabulate_calibration",
    "tabulate_classes",
    "tabulate_confusion",
    "tabulate_points",
    "test_models",
]
