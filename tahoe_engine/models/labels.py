"""What a task asks to be fitted: each model on each set of features, for each target, under a label."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from tahoe_engine.errors import ConfigError, escape_controls
from tahoe_engine.models.catalogue import find_entry
from tahoe_engine.models.material import open_material
from tahoe_engine.models.task import Model

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tahoe_engine.models.catalogue import Entry
    from tahoe_engine.models.material import Material
    from tahoe_engine.models.task import Task

SHOWN: Final = 20  # names in a message
CONSTANT: Final = {"regression": "mean", "classification": "majority"}  # the baseline that no task goes without


@dataclass(frozen=True)
class Fit:
    """One model to be fitted.

    Parameters
    ----------
    label : str
        What it is called in every table: the model, with its set of features and its target before it where there are
        several.
    model : Model
        Of the task.
    entry : Entry
        Of the catalogue.
    material : Material
        What it is fitted on.
    set_name : str
        Of its set of features; empty where the task has none.
    """

    label: str
    model: Model
    entry: Entry
    material: Material = field(repr=False)
    set_name: str = ""

    @property
    def is_baseline(self) -> bool:
        """Whether it looks at no feature."""
        return self.entry.way == "baseline"


def choose_targets(task: Task, there: Iterable[str]) -> tuple[str, ...]:
    """Give the targets that a task names, by name or by pattern.

    Parameters
    ----------
    task : Task
        Of its file.
    there : iterable of str
        Targets of the features.

    Returns
    -------
    tuple of str
        Each once, in the order of the features where a pattern stands for many.

    Raises
    ------
    ConfigError
        If one of them stands for nothing.
    """
    known = tuple(there)
    found: dict[str, None] = {}
    for pattern in task.targets:
        matching = [name for name in known if name == pattern or fnmatchcase(name, pattern)]
        if not matching:
            raise ConfigError(
                f"the features {task.features!r} have no target {escape_controls(pattern)!r}; "
                f"there is {escape_controls(', '.join(known[:SHOWN]))}" + (", …" if len(known) > SHOWN else "")
            )
        found |= dict.fromkeys(matching)
    return tuple(found)


def list_fits(task: Task, root: Path, features: str, targets: tuple[str, ...]) -> list[Fit]:
    """List what is to be fitted.

    Parameters
    ----------
    task : Task
        Of its file.
    root : Path
        The run folder.
    features : str
        Name of the features.
    targets : tuple of str
        Of the features.

    Returns
    -------
    list of Fit
        Baselines first.

    Raises
    ------
    ConfigError
        If an estimator is not in the catalogue, or is not for such a target.
    """
    fits: list[Fit] = []
    for target in targets:
        whole = open_material(root, features, target, kind=task.kind)
        before = f"{target}." if len(targets) > 1 else ""
        models = _add_constant(task.models, whole.kind)
        for model in models:
            entry = find_entry(model.estimator, whole.kind)
            if entry.way == "baseline":
                fits.append(Fit(f"{before}{model.name}", model, entry, whole))
                continue
            for set_name in model.sets or tuple(task.sets) or ("",):
                blocks = task.sets[set_name] if set_name else ()
                label = f"{before}{set_name}.{model.name}" if set_name else f"{before}{model.name}"
                fits.append(Fit(label, model, entry, whole.narrow(blocks, model.without), set_name))
    return sorted(fits, key=lambda fit: not fit.is_baseline)


def _add_constant(models: tuple[Model, ...], kind: str) -> tuple[Model, ...]:
    constant = CONSTANT[kind]
    if any(model.estimator == constant for model in models):
        return models
    if any(model.name == constant for model in models):
        raise ConfigError(f"{constant!r} is the name of the baseline that is always there; call the model otherwise")
    return (Model(name=constant, estimator=constant), *models)
