"""The tables of the stage, as they come together model by model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tahoe_engine.evaluate.baselines import add_baselines, tell_better, test_models
from tahoe_engine.evaluate.metrics import compute_metrics
from tahoe_engine.evaluate.tables import (
    tabulate_calibration,
    tabulate_classes,
    tabulate_confusion,
    tabulate_points,
)
from tahoe_engine.evaluate.tally import collect_tally
from tahoe_engine.evaluate.verdict import NOT_TOLD, judge_fit
from tahoe_engine.schema import FIT_SECONDS, MODEL, SPLIT, SPLITS, TRAIN
from tahoe_engine.schema import models as tables_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from tahoe_engine.evaluate.tally import Tally
    from tahoe_engine.models.fitted import Held
    from tahoe_engine.models.labels import Fit
    from tahoe_engine.models.plan import ModelsPlan
    from tahoe_engine.schema import Table

TABLES: dict[str, Table] = {table.name.partition("/")[2]: table for table in tables_of.MODEL_TABLES}
TEST = SPLITS[-1]
FOLDED = "cv-"  # what the splits of folds begin with


class Collected:
    """Tables that grow.

    Parameters
    ----------
    plan : ModelsPlan
        What was to be done.
    primary : str
        Metric by which models are compared.
    """

    def __init__(self, plan: ModelsPlan, primary: str) -> None:
        self._plan, self._primary = plan, primary
        self._frames: dict[str, list[pl.DataFrame]] = {name: [] for name in TABLES}
        self._tallies: dict[str, dict[str, Tally]] = {}

    def add(self, table: str, label: str, rows: pl.DataFrame | None, **more: str) -> None:
        """Add rows of a model.

        Parameters
        ----------
        table : str
            Its name.
        label : str
            Of the model.
        rows : polars.DataFrame, optional
            Without the column ``model``.
        **more : str
            Further columns of one value.
        """
        import polars as pl

        if rows is None or not rows.height:
            return
        added = [pl.lit(value).alias(name) for name, value in {MODEL: label, **more}.items()]
        columns = [
            pl.col(column.name).cast(getattr(pl, column.dtype))
            for column in TABLES[table].columns
            if column.name != "baseline" or "baseline" in rows.columns
        ]
        self._frames[table].append(rows.with_columns(added).select(columns))

    def add_tally(self, fit: Fit, split: str, tally: Tally) -> None:
        """Add what a tally says.

        Parameters
        ----------
        fit : Fit
            Of the model.
        split : str
            Whose rows.
        tally : Tally
            Of its predictions.
        """
        task, classes = self._plan.task, fit.material.classes
        self._tallies.setdefault(split, {})[fit.label] = tally
        # Nobody asks how sure a group's value on training rows is.
        bounds = split != SPLITS[TRAIN]
        metrics = compute_metrics(tally, n_bootstrap=task.bootstrap, seed=task.seed, bound_groups=bounds)
        if not fit.material.cluster_columns:  # rows by their number: their means are the means of nothing
            metrics = metrics.filter(metrics["metric"] != "r2_clusters")
        self.add("metrics", fit.label, metrics, **{SPLIT: split, "mode": self._plan.mode})
        if split.startswith(FOLDED):
            return
        if fit.material.kind == "regression":
            self.add("points", fit.label, tabulate_points(tally), **{SPLIT: split})
            return
        names = (*classes, *fit.material.strange)
        self.add("confusion", fit.label, tabulate_confusion(tally, classes=names), **{SPLIT: split})
        self.add("classes", fit.label, tabulate_classes(tally, classes=names), **{SPLIT: split})
        self.add("calibration", fit.label, tabulate_calibration(tally, classes=names), **{SPLIT: split})

    def add_fold(self, fit: Fit, held: Held) -> None:
        """Add what was predicted of a fold that a model was not trained on.

        Parameters
        ----------
        fit : Fit
            Of the model.
        held : Held
            Of one fold.
        """
        import numpy as np

        task = self._plan.task
        tally = collect_tally(
            held.y,
            held.y_pred,
            held.clusters,
            kind=fit.material.kind,
            n_classes=len(fit.material.classes),
            probabilities=held.probabilities,
            margins=held.margins,
            numbers=np.arange(len(held.y)),
            rank_rows=task.rank_rows,
            seed=task.seed,
        )
        self.add_tally(fit, f"{FOLDED}{held.fold}", tally)

    def close(self, judged_on: str, seconds: Mapping[str, float]) -> dict[str, pl.DataFrame]:
        """Compare the models with their baselines, and give all tables.

        Parameters
        ----------
        judged_on : str
            Split that the tests are about.
        seconds : mapping
            Of a fold of each model.

        Returns
        -------
        dict of str to polars.DataFrame
            By name; those without rows are not there.
        """
        import polars as pl

        plan, primary = self._plan, self._primary
        models = [fit.label for fit in plan.fits if not fit.is_baseline]
        found = pl.concat(self._frames["metrics"])
        # What another target's mean is worth is no baseline of this one.
        metrics = pl.concat(
            add_baselines(
                found.filter(pl.col(MODEL).is_in([fit.label for fit in fits])),
                [fit.label for fit in fits if fit.is_baseline],
            )
            for fits in _by_target(plan).values()
        )
        self._frames["metrics"] = [metrics]
        # Of rows that were trained on, a test would only tell who remembers them.
        for fits in _by_target(plan).values() if judged_on != SPLITS[0] else ():
            own = {fit.label: self._tallies[judged_on][fit.label] for fit in fits}
            named = [fit.label for fit in fits if fit.is_baseline]
            tested = test_models(own, named, metric=primary, n_bootstrap=plan.task.bootstrap, seed=plan.task.seed)
            # Without two groups, or without resamples, "no" would be an answer that nobody has.
            able = tested.filter(pl.col("p_holm").is_not_null() & pl.col("low").is_not_null())
            self._frames["tests"].append(_shape(able.with_columns(pl.lit(judged_on).alias(SPLIT)), TABLES["tests"]))
        tests = {row[MODEL]: row for table in self._frames["tests"] for row in table.to_dicts()}
        # Of folds alone, or of rows that were trained on, there is no verdict.
        for label in models if judged_on == TEST else ():
            test = tests.get(label)
            verdict, evidence = judge_fit(
                metrics.filter(pl.col(MODEL) == label),
                None,
                primary,
                beats=None if test is None else bool(test["beats_baseline"]),
                able=test is not None and tell_better(test) != NOT_TOLD,
            )
            rows = pl.DataFrame({"verdict": [verdict], "evidence": [evidence]})
            self.add("verdicts", label, rows)
        self._frames["comparison"] = [_compare(plan, metrics, seconds)]
        return {
            name: pl.concat(frames) for name, frames in self._frames.items() if any(frame.height for frame in frames)
        }


def _by_target(plan: ModelsPlan) -> dict[str, list[Fit]]:
    found: dict[str, list[Fit]] = {}
    for fit in plan.fits:
        found.setdefault(fit.material.target, []).append(fit)
    return found


def _shape(rows: pl.DataFrame, table: Table) -> pl.DataFrame:
    import polars as pl

    return rows.select(pl.col(column.name).cast(getattr(pl, column.dtype)) for column in table.columns)


def _compare(plan: ModelsPlan, metrics: pl.DataFrame, seconds: Mapping[str, float]) -> pl.DataFrame:
    """Give mean and standard deviation of each metric over the folds."""
    import polars as pl

    sets = {fit.label: fit.set_name for fit in plan.fits}
    folds = metrics.filter(pl.col(SPLIT).str.starts_with(FOLDED) & pl.col("group").is_null())
    told = folds.group_by(MODEL, "metric", maintain_order=True).agg(
        mean=pl.col("value").mean(),
        sd=pl.col("value").std(),
        folds=pl.len().cast(pl.UInt32),
        n=pl.col("n").sum(),
        baseline=pl.col("baseline").mean(),
    )
    # Where nothing is compared, all tables have the same bytes each time.
    timed = seconds if plan.task.compare else {}
    return _shape(
        told.with_columns(
            pl.col(MODEL).replace_strict(sets, return_dtype=pl.String).alias("set"),
            pl.col(MODEL).replace_strict(timed, default=None, return_dtype=pl.Float64).alias(FIT_SECONDS),
        ),
        TABLES["comparison"],
    )
