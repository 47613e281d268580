"""Way ``memory``: all rows in one matrix, fitted by the estimator's own ``fit``."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import ConfigError, StoppedError
from tahoe_engine.models.catalogue import TREES, make_estimator
from tahoe_engine.models.fitted import Fitted
from tahoe_engine.models.foldrows import choose_sample, identify_material, load_sample
from tahoe_engine.models.search import search_grid
from tahoe_engine.models.store import decode_model, encode_model
from tahoe_engine.models.training import Trained, train_rows, training
from tahoe_engine.run.manifest import digest_of
from tahoe_engine.workers import WorkerDiedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from tahoe_engine.models.catalogue import Entry
    from tahoe_engine.models.kept import Kept
    from tahoe_engine.models.material import Material
    from tahoe_engine.models.task import Model, Task
    from tahoe_engine.workers import Computing

TREES_AT_ONCE: Final = 32  # of which all workers have some; what is lost with one of them
ROWS_AT_ONCE: Final = (
    2_000_000  # of all trees of a batch: small ones wait for each other at its end, and are soon grown again
)
SAVE_SECONDS: Final = 30.0  # between two savings of a forest that grows: to write one down takes as long as a few trees
LEAST_FOLDS: Final = 3
TRIES: Final = 3  # a batch of trees during which workers are lost
PATIENCE_S: Final = 7200.0  # beyond the wall limit of a unit: a fit is one, and may be long


@dataclass(frozen=True)
class FitUnit:
    """A fit to the training rows, for a worker.

    Parameters
    ----------
    material : Material
        Whose rows.
    entry : Entry
        Of the catalogue.
    parameters : dict
        Of the estimator.
    n_rows : int
        At most so many; 0 = all.
    seed : int
        Of the task.
    """

    material: Material = field(repr=False)
    entry: Entry
    parameters: dict[str, Any]
    n_rows: int
    seed: int


def fit_memory(  # noqa: PLR0913, PLR0917 - all ways of fitting take the same
    material: Material, model: Model, entry: Entry, task: Task, computing: Computing, kept: Kept
) -> Fitted:
    """Fit an estimator to all training rows at once, with the parameters that a search found the best.

    The search sees at most ``folds.rows`` rows, the final fit all that ``rows`` of the model allow. Forests grow on all
    workers, and what has grown is saved now and then; everything else is fitted by one of them.

    Parameters
    ----------
    material : Material
        Whose training rows.
    model : Model
        Of the task.
    entry : Entry
        Of the catalogue.
    task : Task
        Of its file.
    computing : Computing
        Who computes.
    kept : Kept
        Where finished parts of the search and of a forest are.

    Returns
    -------
    Fitted
        The same bits whoever computes.

    Raises
    ------
    ConfigError
        If the estimator refuses its parameters, or the rows that were chosen lack a class.
    StoppedError
        If workers are lost, or the fit needs more memory than they have.
    """
    candidates, chosen = search_parameters(material, model, entry, task, computing, kept)
    parameters = {**model.parameters, **chosen}
    caps = [cap for cap in (model.rows, entry.max_rows) if cap]
    unit = FitUnit(material, entry, parameters, min(caps, default=0), task.seed)
    if entry.trusted == TREES:
        trained, n_rows = _grow_forest(unit, computing, kept)
    else:
        trained, n_rows = run_alone(fit_unit, [unit], computing)[0]
    whole = material.count_rows()
    notes = (f"trained on {n_rows} of {whole} training rows, chosen by their hash",) if n_rows < whole else ()
    _require_classes(trained, material)
    told = {name: None if value == "none" else value for name, value in parameters.items()}
    return Fitted(
        trained.estimator,
        {**entry.before, **entry.defaults, **told},
        n_rows,
        candidates=candidates,
        notes=(*notes, *trained.notes),
    )


def search_parameters(  # noqa: PLR0913, PLR0917 - all ways of fitting take the same
    material: Material, model: Model, entry: Entry, task: Task, computing: Computing, kept: Kept
) -> tuple[pl.DataFrame | None, dict[str, Any]]:
    """Search for the best parameters on the folds of the training rows, where the model asks for it.

    Parameters
    ----------
    material, model, entry, task, computing, kept
        As in `fit_memory`.

    Returns
    -------
    candidates : polars.DataFrame or None
        As `tahoe_engine.schema.CANDIDATES` has it, without ``model``.
    chosen : dict
        Empty where nothing is searched for.
    """
    if not model.search:
        return None, {}
    own = task.model_copy(update={"folds": task.folds.model_copy(update={"of": "train"})})
    sample = choose_sample(material, model, entry, own)
    if sample.n_folds < LEAST_FOLDS:
        raise ConfigError(
            f"model {model.name!r} is searched for, which needs folds, also within each fold that judges it; give the "
            f"task folds.number = {LEAST_FOLDS} or more"
        )
    return search_grid(sample, sample.assign(load_sample(sample)), model, entry, task, computing, kept)


def fit_unit(unit: FitUnit) -> tuple[Trained, int]:
    """Fit an estimator in this process.

    Parameters
    ----------
    unit : FitUnit
        What.

    Returns
    -------
    trained : Trained
        The estimator.
    n_rows : int
        It was fitted to.
    """
    block = unit.material.gather(n_rows=unit.n_rows, seed=unit.seed, bare=True)
    options = {"seed": unit.seed, "n_classes": len(unit.material.classes)}
    return train_rows(unit.entry, unit.material.kind, unit.parameters, block.x, block.y, **options), len(block.y)


def run_alone(function: Callable[[Any], Any], units: Sequence[Any], computing: Computing) -> list[Any]:
    """Run long units on workers, each by itself.

    Parameters
    ----------
    function : callable
        Importable by name; takes a unit.
    units : sequence
        Small and picklable.
    computing : Computing
        Who computes.

    Returns
    -------
    list
        What the function gave, in the order of the units.

    Raises
    ------
    StoppedError
        If a unit takes its workers with it.
    """
    found: dict[int, Any] = {}
    places = {id(unit): place for place, unit in enumerate(units)}
    with closing(computing.run_units(function, units, slack_s=PATIENCE_S)) as outcomes:
        for unit, outcome in outcomes:
            found[places[id(unit)]] = take_receipt(outcome.receipt, outcome.error)
    return [found[place] for place in range(len(units))]


def take_receipt(receipt: Any, error: BaseException | None) -> Any:  # noqa: ANN401 - whatever a unit gives
    """Give what a unit came back with, or raise what that means for a fit.

    Parameters
    ----------
    receipt : object
        Of the outcome.
    error : BaseException, optional
        Likewise.

    Returns
    -------
    object
        The receipt.

    Raises
    ------
    StoppedError
        If the unit took its worker with it, or found no memory.
    """
    if isinstance(error, (WorkerDiedError, MemoryError)):
        raise StoppedError(
            f"a fit did not end: {str(error) or 'not enough memory'}. Give the model rows = N or raise "
            "workers.memory_mib, then run the same command again"
        ) from error
    if error is not None:
        raise error
    return receipt


def _grow_forest(unit: FitUnit, computing: Computing, kept: Kept) -> tuple[Trained, int]:
    """Grow a forest on all workers through joblib, a batch of trees at a time, as one ``fit`` would have grown it."""
    import numpy as np

    material = unit.material
    block = material.gather(n_rows=unit.n_rows, seed=unit.seed, bare=True)
    present = np.unique(block.y) if material.classes else np.zeros(0, np.int64)
    made = make_estimator(
        unit.entry,
        material.kind,
        unit.parameters,
        seed=unit.seed,
        n_features=block.x.shape[1],
        n_classes=max(2, len(present)),
    )
    notes: list[str] = []
    with training(unit.entry.name, notes):
        x = made[:-1].fit_transform(block.x) if len(made) > 1 else block.x
        forest = made[-1]
        total = forest.n_estimators
        key = digest_of([identify_material(material), unit.parameters, unit.n_rows, unit.seed, unit.entry.name])
        # What went on as if nothing had happened gives the same trees: each has its own seed, drawn in order.
        content = kept.find(f"forest-{key}")
        forest = forest if content is None else decode_model(content, TREES)
        saved = time.monotonic()
        step = max(TREES_AT_ONCE, ROWS_AT_ONCE // x.shape[0])
        for n_trees in [*range(step, total, step), total]:
            if n_trees <= len(getattr(forest, "estimators_", ())):
                continue
            forest = _add_trees(forest.set_params(n_estimators=n_trees, warm_start=True), x, block.y, computing)
            if n_trees < total and time.monotonic() - saved >= SAVE_SECONDS:
                kept.keep(f"forest-{key}", encode_model(forest))
                saved = time.monotonic()
    made.steps[-1] = ("model", forest.set_params(n_jobs=None, warm_start=False))
    told = tuple(note for note in notes if "class_weight" not in note)  # of batches: all see the same rows
    return Trained(made, tuple(present.tolist()), len(material.classes), told), len(block.y)


def _add_trees(forest: Any, x: csr_array, y: NDArray[Any], computing: Computing) -> Any:  # noqa: ANN401 - a forest
    from copy import deepcopy

    for left in reversed(range(TRIES)):
        # A batch that was broken off has drawn its seeds, but has no trees.
        trial = deepcopy(forest).set_params(n_jobs=-1)
        try:
            with computing.joblib():
                return trial.fit(x, y)
        except StoppedError:
            if not left:
                raise
    raise AssertionError("unreachable")


def _require_classes(trained: Trained, material: Material) -> None:
    """Make sure that the codes of the model are those of the target."""
    n_classes = len(material.classes)
    if trained.codes != tuple(range(n_classes)):
        lost = next(name for code, name in enumerate(material.classes) if code not in trained.codes)
        raise ConfigError(
            f"the rows that were chosen lack {n_classes - len(trained.codes)} of {n_classes} classes, {lost!r} among "
            "them; give the model more rows"
        )
