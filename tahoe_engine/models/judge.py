"""What the models are worth: every number beside its baseline, with n and an interval."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tahoe_engine.cells.report import Progress
from tahoe_engine.evaluate.directions import choose_primary
from tahoe_engine.models.collected import Collected
from tahoe_engine.models.curves import draw_curves
from tahoe_engine.models.folds import validate_folds
from tahoe_engine.models.importance import measure_importance
from tahoe_engine.models.tallies import tally_split
from tahoe_engine.schema import SPLITS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import polars as pl

    from tahoe_engine.models.fits import FittedModel
    from tahoe_engine.models.kept import Kept
    from tahoe_engine.models.plan import ModelsPlan
    from tahoe_engine.run import Layout
    from tahoe_engine.workers import Computing


@dataclass(frozen=True)
class Judged:
    """What was found of the models.

    Parameters
    ----------
    tables : dict
        By name of the table in `tahoe_engine.schema.models`, without ``models/``.
    metric : str
        By which they are compared.
    judged_on : str
        Split that the tests are about; the first fold where nothing is held out.
    """

    tables: dict[str, pl.DataFrame] = field(repr=False)
    metric: str
    judged_on: str


def judge_models(  # noqa: PLR0913, PLR0917 - each is one thing it needs
    plan: ModelsPlan,
    layout: Layout,
    fitted: Mapping[str, FittedModel],
    receipts: Mapping[str, dict[str, Any]],
    computing: Computing,
    kept: Kept,
    tell: Callable[[Progress], None],
) -> Judged:
    """Judge what was predicted, and each fold.

    Parameters
    ----------
    plan : ModelsPlan
        What was to be done.
    layout : Layout
        The run, held by this launch.
    fitted : mapping
        The models, by label; none for a comparison.
    receipts : mapping
        Of the parts of predictions, by name.
    computing : Computing
        Who computes.
    kept : Kept
        Where unfinished work is.
    tell : callable
        Called with a `Progress` after each model.

    Returns
    -------
    Judged
        All tables.
    """
    task, begun = plan.task, time.monotonic()
    primary = choose_primary(plan.kind, task.primary)
    found = Collected(plan, primary)
    splits: set[str] = set()
    seconds: dict[str, float] = {}
    for at, fit in enumerate(plan.fits, 1):
        for split in SPLITS if fitted else ():
            tally = tally_split(fit, split, layout.root, plan.stage, task, receipts, computing)
            if tally is not None:
                splits.add(split)
                found.add_tally(fit, split, tally)
        if task.folds.number:
            held = validate_folds(fit.material, fit.model, fit.entry, task, computing, kept)
            seconds[fit.label] = sum(one.fit_seconds for one in held) / max(1, len(held))
            for one in held:
                splits.add(f"cv-{one.fold}")
                found.add_fold(fit, one)
        model = fitted.get(fit.label)
        if model is not None and not fit.is_baseline:
            found.add("candidates", fit.label, model.candidates)
            found.add("curves", fit.label, model.curves)
            found.add(
                "curves",
                fit.label,
                draw_curves(
                    fit.material,
                    fit.model,
                    fit.entry,
                    task,
                    computing,
                    kept,
                    parameters=model.parameters,
                    candidates=model.candidates,
                ),
            )
            importance = measure_importance(fit.material, model.open(), task, fit.model, computing)
            found.add("importances", fit.label, importance)
        tell(Progress("judging", at, len(plan.fits), seconds=time.monotonic() - begun))
    judged_on = next(split for split in ("test", "validation", "cv-0", *sorted(splits)) if split in splits)
    return Judged(found.close(judged_on, seconds), primary, judged_on)
