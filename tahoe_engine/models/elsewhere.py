"""Predictions for the rows of another table: features made as they were made for the run, models as they are stored."""

from __future__ import annotations

import json
import re
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.cells.report import Progress
from tahoe_engine.errors import ConfigError, StoppedError
from tahoe_engine.features.table import find_table, numbers_rows
from tahoe_engine.models.columns import open_features
from tahoe_engine.models.foreign import ElsewhereUnit, ElsewhereWork, predict_slice
from tahoe_engine.models.predictions import JSON, PREDICTIONS
from tahoe_engine.models.ranges import find_ranges
from tahoe_engine.run import describe_build, open_run, replace_file
from tahoe_engine.run.manifest import encode_manifest
from tahoe_engine.run.parts import move_aside
from tahoe_engine.workers import WorkerDiedError, open_computing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tahoe_engine.config import Settings
    from tahoe_engine.features.table import TableParts
    from tahoe_engine.models.material import Material
    from tahoe_engine.models.predictions import PredictionsWork
    from tahoe_engine.run import Layout

OWN: Final = ("cells", "groups")  # tables of the run
SHOWN: Final = 5  # columns in a note
SECONDS_A_ROW: Final = 0.005


def predict_elsewhere(  # noqa: PLR0913, PLR0917 - each is one thing it needs
    layout: Layout,
    stage: str,
    works: list[PredictionsWork],
    on: str,
    obs: str,
    settings: Settings,
    tell: Callable[[Progress], None],
) -> tuple[str, int, tuple[str, ...]]:
    """Predict the rows of another table, and write that to the folder ``predictions`` of the run.

    Parameters
    ----------
    layout : Layout
        The run.
    stage : str
        Of the models.
    works : list of PredictionsWork
        All models, of features of one name.
    on : str
        A file, a folder of Parquet files, or ``cells`` or ``groups`` of the run.
    obs : str
        Tahoe's table of observations, for recipes that join it.
    settings : Settings
        Who computes.
    tell : callable
        Called with a `Progress` after each part.

    Returns
    -------
    folder : str
        With a part a slice, and the file ``FOLDER.json`` that says what they were made of.
    rows : int
        Predictions.
    notes : tuple of str
        Of rows that are unlike those of the training.

    Raises
    ------
    ConfigError, SourceError, StageError, BadDataError
        If there is no such table, or it cannot be made into these features.
    StoppedError
        If workers are lost for now.
    """
    material = works[0].material
    recipe = open_features(material.root, material.features, material.manifest).design.recipe
    if on in OWN and on != recipe.table:
        raise ConfigError(f"the features are of {recipe.table}, not of {on}; name a table like theirs")
    table = find_table(layout, recipe, "" if on in OWN else on)
    # Not in the folder of the stage: what stands there is in its manifest.
    folder = f"{PREDICTIONS}/{stage.partition('/')[2]}/{re.sub(r'[^A-Za-z0-9_.-]', '_', Path(on).stem) or 'table'}"
    with (
        open_run(layout.root) as held,
        open_computing(settings.workers, len(table.slices), gate=describe_build) as all_,
    ):
        ranges = {target: find_ranges(one, all_) for target, one in _widest(works).items()}
        work = ElsewhereWork(held, folder, tuple(works), ranges, numbers_rows(recipe, table.columns), obs)
        move_aside(held, held.root / folder)
        (held.root / folder).mkdir(parents=True)
        units = [ElsewhereUnit(work, piece, table.firsts[piece.name]) for piece in table.slices]
        slack_s = max(unit.piece.n_rows for unit in units) * len(works) * SECONDS_A_ROW
        begun, done, told = time.monotonic(), 0, {}
        outcomes = all_.run_units(
            predict_slice, units, slack_s=slack_s, on_drain=lambda n: tell(Progress("draining", 0, n))
        )
        with closing(outcomes):
            for at, (unit, outcome) in enumerate(outcomes, 1):
                if isinstance(outcome.error, (WorkerDiedError, MemoryError)):
                    raise StoppedError(f"{unit.name}: {outcome.error}; raise workers.memory_mib and run it again")
                if outcome.receipt is None:
                    raise outcome.error or AssertionError("an outcome without receipt and error")
                told[unit.name] = outcome.receipt
                done += unit.piece.n_rows
                seconds = time.monotonic() - begun
                tell(Progress("predictions", at, len(units), done, table.n_rows, 0, seconds))
        facts = _sum_up(table, works, [told[unit.name] for unit in units])
        replace_file(held, held.root / f"{folder}.json", encode_manifest(facts))
    return folder, facts["rows"], tuple(facts["notes"])


def _widest(works: list[PredictionsWork]) -> dict[str, Material]:
    """Give what each target's models see, all of them together; targets that have baselines alone are not there."""
    found = {}
    for target in dict.fromkeys(work.material.target for work in works):
        own = [work.material for work in works if work.material.target == target and not work.file.endswith(JSON)]
        seen = {column: source for one in own for column, source in zip(one.columns, one.sources, strict=True)}
        if own:
            whole = own[0].narrow((), ())
            columns = tuple(name for name in whole.columns if name in seen)
            found[target] = replace(whole, columns=columns, sources=tuple(seen[name] for name in columns))
    return found


def _sum_up(table: TableParts, works: list[PredictionsWork], told: list[dict[str, Any]]) -> dict[str, Any]:
    """Say what was predicted, of what, and what its reader should know."""
    read, made = (sum(one[name] for one in told) for name in ("read", "made"))
    outside: dict[str, dict[str, int]] = {}
    for one in told:
        for target, counts in one["outside"].items():
            own = outside.setdefault(target, {})
            for column, n in counts.items():
                own[column] = own.get(column, 0) + n
    notes = [f"{read - made} of {read} rows are controls, and have no features"] if read != made else []
    for target, counts in outside.items():
        notes += _note_outside(target, counts, made)
    return {
        "inputs": [{"name": name, "sha256": sha256} for name, sha256 in sorted(table.hashes.items())],
        "models": {work.label: work.sha256 for work in works},
        "rows": sum(one["rows"] for one in told),
        "rows_read": read,
        "rows_made": made,
        "outside": outside,
        "notes": notes,
        "parts": [{name: one[name] for name in ("part", "rows", "sha256")} for one in told],
    }


def _note_outside(target: str, counts: dict[str, int], made: int) -> Iterable[str]:
    worst = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if worst:
        named = ", ".join(f"{json.dumps(name)} ({n})" for name, n in worst[:SHOWN])
        more = f" and {len(worst) - SHOWN} more columns" if len(worst) > SHOWN else ""
        yield f"{target}: of {made} rows some are outside of what training rows had: {named}{more}"
