"""What the stage would do: which fits, on how many rows, in how much memory. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.config import Settings
from tahoe_engine.daskml import require_daskml
from tahoe_engine.errors import ConfigError, LeakError, escape_controls
from tahoe_engine.features import load_features, load_recipe
from tahoe_engine.models.labels import choose_targets, list_fits
from tahoe_engine.models.sound import require_sound
from tahoe_engine.models.tasks import load_task
from tahoe_engine.named import BUG_COMPAT, HONEST
from tahoe_engine.run import require_room
from tahoe_engine.schema import MODELS
from tahoe_engine.workers import allowed_memory, count_workers

if TYPE_CHECKING:
    import os

    from tahoe_engine.features import Features
    from tahoe_engine.models.labels import Fit
    from tahoe_engine.models.task import Task

BASE_MEMORY: Final = 500 << 20  # a worker with dask-ml and scikit-learn
VALUE_BYTES: Final = 12  # of a sparse matrix: a number and its column
COPIES: Final = 3  # as read, as given to the estimator, and what it makes of it
PREDICTION_BYTES: Final = 40  # of a row and model, compressed
SHOWN: Final = 12  # leaks told one by one


@dataclass(frozen=True)
class ModelsPlan:
    """What is to be done.

    Parameters
    ----------
    settings : Settings
        All of them.
    name : str
        Of the models.
    task : Task
        As read.
    mode : str
        Its mode.
    features : Features
        Of the run.
    targets : tuple of str
        That the task stands for.
    fits : tuple of Fit
        Baselines first.
    root : Path
        The run folder.
    notes : tuple of str
        What is done otherwise than the task says, and why.
    """

    settings: Settings
    name: str
    task: Task
    mode: str
    features: Features = field(repr=False)
    targets: tuple[str, ...]
    fits: tuple[Fit, ...] = field(repr=False)
    root: Path
    notes: tuple[str, ...] = ()

    @property
    def stage(self) -> str:
        """Name of the stage in the run."""
        return f"{MODELS}/{self.name}"

    @property
    def kind(self) -> str:
        """Regression or classification."""
        return self.fits[0].material.kind

    def count_fits(self) -> int:
        """Count what is fitted: each candidate on each fold, each fold's own model, and the final ones."""
        folds = self.task.folds.number
        told = 0
        for fit in self.fits:
            candidates = prod(len(values) for values in fit.model.search.values()) if fit.model.search else 0
            inner = candidates * max(1, folds)
            told += (inner + 1) * (0 if self.task.compare else 1) + folds * (1 + candidates * max(0, folds - 1))
        return told

    def memory(self) -> int:
        """Estimate the peak memory of a worker, in bytes."""
        most = 0
        for fit in self.fits:
            pieces = fit.material.pieces.get("train", ())
            stored = len(set(fit.material.sources))
            rows = max((piece.n_rows for piece in pieces), default=0)
            if fit.entry.way == "memory":
                whole = sum(piece.n_rows for piece in pieces)
                caps = [cap for cap in (fit.model.rows, fit.entry.max_rows) if cap]
                rows = max(rows, min([whole, *caps]))
            most = max(most, rows * stored * VALUE_BYTES * COPIES)
        return BASE_MEMORY + most

    def output_bytes(self) -> int:
        """Estimate the size of the predictions, in bytes."""
        rows = sum(piece.n_rows for pieces in self.fits[0].material.pieces.values() for piece in pieces)
        return 0 if self.task.compare else rows * len(self.fits) * PREDICTION_BYTES

    def list_leaks(self) -> list[dict[str, str]]:
        """List the leaks that the features were made with and that concern this task."""
        allowed = set(self.task.allow)
        return [
            leak
            for leak in self.features.manifest["leaks"]
            if leak["target"] in {"", None, *self.targets} and not allowed & {leak["column"], leak["kind"]}
        ]

    def describe(self) -> dict[str, Any]:
        """Give the plan as plain values.

        Returns
        -------
        dict
            JSON-able.
        """
        first = self.fits[0].material
        return {
            "name": self.name,
            "description": self.task.description,
            "mode": self.mode,
            "features": self.features.name,
            "targets": list(self.targets),
            "kind": self.kind,
            "rows": {split: sum(piece.n_rows for piece in pieces) for split, pieces in first.pieces.items()},
            "split_by": first.split_by,
            "models": [fit.label for fit in self.fits],
            "fits": self.count_fits(),
            "leaks": len(self.list_leaks()),
            "workers": count_workers(self.settings.workers),
            "memory_a_worker": self.memory(),
            "output_bytes": self.output_bytes(),
        }

    def require_fit(self) -> None:
        """Refuse a plan that cannot fit.

        Raises
        ------
        ConfigError
            If a worker has too little memory, or the disk too little room.
        """
        workers = self.settings.workers
        need, allowed = self.memory(), allowed_memory(workers)
        if not workers.scheduler and need > allowed:
            raise ConfigError(
                f"{self.name}: a model in memory needs about {need >> 20} MiB and may have {allowed >> 20}; give the "
                "model rows = N, take one that is trained part by part (sgd, ridge), or raise workers.memory_mib"
            )
        require_room(self.root, self.output_bytes())

    def require_honest(self) -> None:
        """Refuse features that leak.

        Raises
        ------
        LeakError
            Each finding is a line.
        """
        leaks = self.list_leaks()
        if not leaks or self.settings.models.allow_leaks:
            return
        lines = [f"  {leak['column']}: {leak['kind']}: {leak['evidence']}" for leak in leaks[:SHOWN]]
        lines += [f"  and {len(leaks) - SHOWN} more"] if len(leaks) > SHOWN else []
        told = "\n".join(escape_controls(line) for line in lines)
        raise LeakError(
            f"{self.name}: the features {self.features.name!r} leak, nothing is trained:\n{told}\nMend the recipe; or "
            "name columns in `allow` of the task, or say --allow-leaks, to see what it is worth: the card says so"
        )


def plan_models(
    into: str | os.PathLike[str], task: str | None = None, *, settings: Settings | None = None
) -> ModelsPlan:
    """Plan the stage. Writes nothing.

    Parameters
    ----------
    into : str or path-like
        The run folder.
    task : str, optional
        Name or path of a task, in place of the one in the settings.
    settings : Settings, optional
        The rest.

    Returns
    -------
    ModelsPlan
        What would be done.

    Raises
    ------
    ConfigError
        If the task is wrong, or does not go with the features.
    StageError
        If the features are not there, stale or damaged.
    """
    require_daskml()
    settings = settings or Settings()
    name, read = load_task(_choose_task(task, settings), settings.models.mode)
    root = Path(into)
    features = load_features(root, _name_features(read, settings.models.mode))
    targets = choose_targets(read, features.lineage["targets"])
    fits = list_fits(read, root, features.name, targets)
    read, notes = _fit_folds(read, fits)
    if read.compare and not read.folds.number:
        told = "; ".join(notes) or "folds.number = 0"
        raise ConfigError(f"{name}: a comparison is made over folds, and there are none ({told})")
    require_sound(read, fits, features)
    return ModelsPlan(settings, name, read, settings.models.mode, features, targets, tuple(fits), root, notes)


def name_recipe(task: str, mode: str = HONEST) -> tuple[str, str]:
    """Tell which recipe a task needs, and in which mode.

    Parameters
    ----------
    task : str
        Name or path.
    mode : {"honest", "bug-compat"}
        Of the task. Where its recipe has no such mode, the honest features are taken.

    Returns
    -------
    recipe, mode : str
        For `make_features`.

    Examples
    --------
    >>> name_recipe("biospark-m3"), name_recipe("biospark-m3", "bug-compat")
    (('biospark-m3', 'honest'), ('biospark-m3', 'bug-compat'))
    """
    _, read = load_task(task, mode)
    if mode == BUG_COMPAT:
        try:
            load_recipe(read.features, mode)
        except ConfigError:
            return read.features, HONEST
    return read.features, mode


def _name_features(task: Task, mode: str) -> str:
    """Give the name of the features of a task: of a recipe that has a path its stem."""
    if mode == BUG_COMPAT:
        try:
            return load_recipe(task.features, mode)[0]
        except ConfigError:
            pass
    return Path(task.features).stem if task.features.endswith(".toml") else task.features


def _fit_folds(task: Task, fits: list[Fit]) -> tuple[Task, tuple[str, ...]]:
    """Make no more folds than there are groups that train: each group is in one of them."""
    groups = min(fit.material.n_groups for fit in fits)
    wanted = task.folds.number
    # What is searched for needs its folds: there the search says what is missing.
    if task.folds.of == "all" or groups >= wanted or any(fit.model.search for fit in fits):
        return task, ()
    number = groups if groups > 1 else 0
    note = f"{groups} {'group trains' if groups == 1 else 'groups train'} and {wanted} folds were asked for: " + (
        f"there are {number}" if number else "there is no cross-validation"
    )
    return task.model_copy(update={"folds": task.folds.model_copy(update={"number": number})}), (note,)


def _choose_task(task: str | None, settings: Settings) -> str:
    named = (task,) if task else settings.models.task
    if len(named) != 1:
        told = "no task is named" if not named else f"{len(named)} tasks are named"
        raise ConfigError(f"{told}; say --task NAME (`tahoe train --list` shows them)")
    return str(named[0])
