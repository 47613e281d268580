"""What in a task does not go with the features or the catalogue: told before hours are spent on the fits before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tahoe_engine.errors import ConfigError, escape_controls
from tahoe_engine.evaluate.directions import choose_primary
from tahoe_engine.models.catalogue import make_estimator
from tahoe_engine.models.columns import list_ids
from tahoe_engine.models.gram import plan_ridge
from tahoe_engine.models.search import list_candidates
from tahoe_engine.vocabulary import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tahoe_engine.features import Features
    from tahoe_engine.models.labels import Fit
    from tahoe_engine.models.task import Task

TAKEN: Final = ("figures", "predictions")  # folders beside those of the models


def require_sound(task: Task, fits: Sequence[Fit], features: Features) -> None:
    """Refuse a task that would break off halfway.

    Parameters
    ----------
    task : Task
        As it is done.
    fits : sequence of Fit
        All that it asks for.
    features : Features
        Of the run.

    Raises
    ------
    ConfigError
        If targets are of two kinds; a metric, an id column or a parameter is not there; a value is none for its
        estimator; a search has no folds or goes another way than its estimator; a model has the name of a folder.
    """
    kinds = {fit.material.kind for fit in fits}
    if len(kinds) > 1:
        raise ConfigError("some targets are numbers, others are classes; write a task for each, or say `kind`")
    choose_primary(kinds.pop(), task.primary)
    ids = list_ids(features)
    _require_columns("groups", task.groups, ids)
    for fit in {fit.model.name: fit for fit in fits}.values():  # a model is the same for all sets and targets
        _require_model(fit, task, ids)


def _require_model(fit: Fit, task: Task, ids: Sequence[str]) -> None:
    model, entry = fit.model, fit.entry
    if model.name in TAKEN:
        raise ConfigError(f"{model.name!r} is a folder beside those of the models; call the model otherwise")
    if fit.is_baseline:
        by = model.parameters.get("by", ())
        _require_columns(f"model {model.name!r}", (by,) if isinstance(by, str) else by, ids)  # type: ignore[arg-type]
        return
    if model.how == "halving" and entry.way != "passes":
        raise ConfigError(
            f"model {model.name!r}: {entry.name} is not trained part by part, so that halving is not for it; "
            "leave `how` out: the grid tries all"
        )
    if model.search and entry.way == "passes" and model.how != "halving":
        raise ConfigError(
            f'model {model.name!r}: {entry.name} is trained part by part, and tries parameters with how = "halving"'
        )
    if model.search and entry.way == "memory" and not task.folds.number:
        raise ConfigError(f"model {model.name!r} searches for parameters, which needs folds; folds.number = 0")
    if entry.way == "closed":
        plan_ridge(fit.material, model, task)
        return
    n_classes = max(2, len(fit.material.classes))
    for chosen in list_candidates(model) or [{}]:
        make_estimator(
            entry,
            fit.material.kind,
            {**model.parameters, **chosen},
            seed=task.seed,
            n_features=len(fit.material.columns),
            n_classes=n_classes,
        )


def _require_columns(whose: str, named: Sequence[str], ids: Sequence[str]) -> None:
    for name in named:
        if name not in ids:
            near = ", ".join(nearest(str(name), ids))
            told = f"; the nearest are {near}" if near else f"; there are {', '.join(ids)}"
            raise ConfigError(escape_controls(f"{whose}: the features have no id column {name!r}{told}"))
