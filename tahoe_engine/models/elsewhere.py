"""Predictions for the rows of another table: features made as they were made for the run, models as they are stored."""

from __future__ import annotations

import json
import re
import time
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.cells.report import Progress
from tahoe_engine.errors import BadDataError, ConfigError, StoppedError, escape_controls
from tahoe_engine.features.files import is_text, read_text
from tahoe_engine.features.matrix import build_matrix
from tahoe_engine.features.table import find_table, numbers_rows
from tahoe_engine.models.apply import apply_model
from tahoe_engine.models.columns import open_features, plan_columns
from tahoe_engine.models.predictions import JSON, PREDICTIONS, PredictionsWork, join_predictions, load_model
from tahoe_engine.models.ranges import find_ranges
from tahoe_engine.run import Layout, describe_build, encode_frame, hash_file, open_run, replace_file
from tahoe_engine.run.manifest import encode_manifest
from tahoe_engine.run.parts import move_aside
from tahoe_engine.schema import ROW, Y
from tahoe_engine.workers import WorkerDiedError, open_computing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import polars as pl
    from scipy.sparse import csr_array

    from tahoe_engine.config import Settings
    from tahoe_engine.features.table import Slice, TableParts
    from tahoe_engine.models.material import Material
    from tahoe_engine.models.ranges import Ranges

ON: Final = "on"  # folder in that of the predictions
OWN: Final = ("cells", "groups")  # tables of the run
SHOWN: Final = 5  # columns in a note
SECONDS_A_ROW: Final = 0.005


@dataclass(frozen=True)
class ElsewhereWork:
    """What all slices of the table have in common.

    Parameters
    ----------
    layout : Layout
        The run, held by this launch.
    folder : str
        Of the predictions, in the run.
    works : tuple of PredictionsWork
        The models.
    ranges : dict of str to Ranges
        What the training rows of each target had.
    numbered : bool
        Whether rows go by their number.
    obs : str
        As in `predict_elsewhere`.
    """

    layout: Layout
    folder: str
    works: tuple[PredictionsWork, ...] = field(repr=False)
    ranges: dict[str, Ranges] = field(repr=False)
    numbered: bool
    obs: str


@dataclass(frozen=True)
class ElsewhereUnit:
    """A slice of the table.

    Parameters
    ----------
    work : ElsewhereWork
        What it has in common with the others.
    piece : Slice
        Its rows.
    first : int
        Number of its first row in the table.
    """

    work: ElsewhereWork
    piece: Slice
    first: int

    @property
    def name(self) -> str:
        """Path of its predictions, in the run."""
        return f"{self.work.folder}/{self.piece.name}.parquet"


def predict_elsewhere(  # noqa: PLR0913, PLR0917 - each is one thing it needs
    layout: Layout,
    stage: str,
    works: list[PredictionsWork],
    on: str,
    obs: str,
    settings: Settings,
    tell: Callable[[Progress], None],
) -> tuple[str, int, tuple[str, ...]]:
    """Predict the rows of another table, and write that beside the predictions of the features.

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
    folder = f"{stage}/{PREDICTIONS}/{ON}/{re.sub(r'[^A-Za-z0-9_.-]', '_', Path(on).stem) or 'table'}"
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


def predict_slice(unit: ElsewhereUnit) -> dict[str, Any]:
    """Predict the rows of a slice with all models, and write that.

    Parameters
    ----------
    unit : ElsewhereUnit
        What to do.

    Returns
    -------
    dict
        ``part``, ``sha256``, predictions in ``rows``, rows in ``read`` and ``made`` of them; and by target how many of
        these are ``outside`` of what training rows had, in which column.

    Raises
    ------
    BadDataError
        If the table cannot be read, or lacks a number that the recipe does not impute.
    """
    import polars as pl

    work, material = unit.work, unit.work.works[0].material
    features = open_features(material.root, material.features, material.manifest)
    raw = _read_slice(unit.piece, features.design.recipe.table)
    made = features.transform(raw, obs=work.obs)
    if work.numbered and ROW in made.columns:
        made = made.with_columns(pl.col(ROW) + unit.first)
    told = []
    ids = made.select(features.design.ids)
    for one in work.works:
        model = load_model(f"{one.root}/{one.stage}/{one.file}", one.sha256, one.trusted)
        slim = replace(one.material, columns=(), sources=()) if one.file.endswith(JSON) else one.material
        y_pred, shares = apply_model(model, make_matrix(slim, made), made, len(slim.classes))
        y = made[slim.target].cast(pl.Float64 if slim.kind == "regression" else pl.String).alias(Y)
        told.append(join_predictions(ids, one.label, y, y_pred, shares, slim))
    frame = pl.concat(told, how="diagonal")
    path = work.layout.root / unit.name
    replace_file(work.layout, path, encode_frame(frame))
    outside = {
        target: ranges.count_outside(make_matrix(ranges.material, made), made) for target, ranges in work.ranges.items()
    }
    return {
        "part": f"{unit.piece.name}.parquet",
        "sha256": hash_file(path),
        "rows": frame.height,
        "read": raw.height,
        "made": made.height,
        "outside": outside,
    }


def make_matrix(material: Material, made: pl.DataFrame) -> csr_array:
    """Give the matrix of rows that were made into features.

    Parameters
    ----------
    material : Material
        Whose columns.
    made : polars.DataFrame
        As `Features.transform` gives them.

    Returns
    -------
    scipy.sparse.csr_array
        Rows by columns of the material.

    Raises
    ------
    BadDataError
        If a number is missing or infinite.
    """
    import numpy as np

    spreads = plan_columns(material.root, material.features, material.manifest, material.columns, material.sources)
    x = build_matrix(made, spreads, len(material.columns))
    wrong = ~np.isfinite(x.data)
    if wrong.any():
        name = material.columns[x.indices[wrong][0]]
        raise BadDataError(
            escape_controls(f"the feature {name!r} is missing or infinite in a row of the table; no model takes that")
        )
    return x


def _widest(works: list[PredictionsWork]) -> dict[str, Material]:
    """Give what each target's models see, all of them together."""
    return {work.material.target: work.material.narrow((), ()) for work in works}


def _read_slice(piece: Slice, kind: str) -> pl.DataFrame:
    import polars as pl

    path = Path(piece.path)
    try:
        if kind == "top_table":
            from tahoe_engine.toptable import read_top_table

            frame: pl.DataFrame = read_top_table(path).frame
        elif is_text(path):
            frame = read_text(path)
        else:
            frame = (
                pl.scan_parquet(path, glob=False, hive_partitioning=False).slice(piece.first, piece.n_rows).collect()
            )
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise BadDataError(f"{path}: cannot be read: {escape_controls(str(error))}") from error
    if frame.height != piece.n_rows:
        raise BadDataError(f"{path}: {frame.height} rows, {piece.n_rows} expected; it changed meanwhile")
    return frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))


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
