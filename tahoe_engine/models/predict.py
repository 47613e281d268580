"""Predict in a fresh process: the rows of the features again, compared bit for bit, or the rows of another table."""

from __future__ import annotations

import hashlib
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from tahoe_engine.cells.report import Progress
from tahoe_engine.config import Settings, change_settings
from tahoe_engine.errors import ConfigError, StageError, StoppedError
from tahoe_engine.models.elsewhere import predict_elsewhere
from tahoe_engine.models.fits import PLAIN, SKOPS
from tahoe_engine.models.labels import list_fits
from tahoe_engine.models.predictions import PREDICTIONS, PredictionsWork, name_part, predict_piece
from tahoe_engine.models.task import Task
from tahoe_engine.models.tasks import load_task
from tahoe_engine.named import HONEST
from tahoe_engine.run import (
    Layout,
    commit_part,
    describe_build,
    digest_frame,
    encode_frame,
    hash_file,
    open_run,
    read_published,
)
from tahoe_engine.run.layout import STAGE_NAME
from tahoe_engine.run.parts import move_aside
from tahoe_engine.schema import MODELS
from tahoe_engine.workers import WorkerDiedError, open_computing

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from tahoe_engine.models.blocks import Piece
    from tahoe_engine.workers import Computing

ROWS_A_SECOND: Final = 200  # of a unit that is slow but not stuck: exact kernel machines are


@dataclass(frozen=True)
class PredictReport:
    """What was predicted.

    Parameters
    ----------
    into : Path
        The run folder.
    name : str
        Of the models.
    tables : str
        Folder of the predictions, in the run.
    rows : int
        Predictions that were made.
    equal, restored : int or None
        Parts that were found as they are predicted now, and those that were missing or damaged and are there again;
        None for another table.
    notes : tuple of str
        What their reader should know.
    seconds : float
        It took.
    """

    into: Path
    name: str
    tables: str
    rows: int
    equal: int | None
    restored: int | None
    notes: tuple[str, ...]
    seconds: float

    def describe(self) -> dict[str, Any]:
        """Give the report as plain values."""
        return {
            "into": str(self.into),
            "name": self.name,
            "tables": self.tables,
            "rows": self.rows,
            "equal": self.equal,
            "restored": self.restored,
            "notes": list(self.notes),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class CheckUnit:
    """A part of predictions to be made again.

    Parameters
    ----------
    work : PredictionsWork
        Of its model.
    piece : Piece
        Its rows.
    part : dict
        Its entry in the manifest.
    """

    work: PredictionsWork
    piece: Piece
    part: dict[str, Any]


def predict_rows(  # noqa: PLR0913 - the keywords are the options of the command
    into: str | os.PathLike[str],
    task: str | os.PathLike[str] | None = None,
    *,
    on: str | os.PathLike[str] | None = None,
    obs: str | os.PathLike[str] = "",
    mode: str | None = None,
    workers: int | None = None,
    settings: Settings | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> PredictReport:
    """Predict with models of a run, from their files alone.

    Parameters
    ----------
    into : str or path-like
        A run with the models of the task.
    task : str or path-like, optional
        Name of a task, or path of its file, or of models of the run: what they are stands in the run.
    on : str or path-like, optional
        A table in place of the rows of the features: a file (Parquet, CSV), a folder of Parquet files, or the run's own
        ``cells`` or ``groups``. Its predictions are written to ``RUN/predictions/NAME/TABLE``. Without it, every part
        of predictions is made again and compared with the one that is there, bit for bit; what is missing is restored.
    obs : str or path-like
        Tahoe's table of observations, for recipes that join it.
    mode : {"honest", "bug-compat"}, optional
        Of the task.
    workers : int, optional
        Processes; 0 = this one.
    settings : Settings, optional
        The rest; the keywords above change it.
    on_progress : callable, optional
        Called with a `Progress` after each part.

    Returns
    -------
    PredictReport
        How many rows, and where they are.

    Raises
    ------
    StageError
        If the models are not there or stale, or predict something else here than they did.
    ConfigError, BadDataError, StoppedError
        See `tahoe_engine.errors`; each says what to do.

    Examples
    --------
    >>> import tahoe_engine as te
    >>> te.predict_rows("demo/run", "biospark-m3").equal  # doctest: +SKIP
    3
    """
    begun = time.monotonic()
    changes: dict[str, dict[str, object]] = {
        "models": {"task": None if task is None else [str(task)], "mode": mode},
        "workers": {"count": workers},
    }
    settings = change_settings(settings or Settings(), changes, "predict_rows")
    root = Path(into)
    named = settings.models.task
    if len(named) != 1:
        raise ConfigError("say whose predictions: --task NAME")
    layout = Layout(root.absolute())
    name = _name_models(layout, str(named[0]), settings.models.mode)
    stage = f"{MODELS}/{name}"
    manifest = read_published(layout, stage)
    works = _list_works(layout, stage, manifest)
    tell = on_progress or _ignore
    if on is not None:
        told = predict_elsewhere(layout, stage, works, str(on), str(obs), settings, tell)
        tables, rows, notes = told
        return PredictReport(root, name, tables, rows, None, None, notes, time.monotonic() - begun)
    units = _list_units(works, manifest)
    n_rows = sum(unit.piece.n_rows for unit in units)
    with open_computing(settings.workers, len(units), gate=describe_build) as computing:
        gone = _check_parts(units, computing, tell)
    if gone:
        with open_run(root) as held:
            for unit in gone:
                _restore(held, unit)
    tables = f"{stage}/{PREDICTIONS}"
    return PredictReport(root, name, tables, n_rows, len(units) - len(gone), len(gone), (), time.monotonic() - begun)


def check_part(unit: CheckUnit) -> bool:
    """Predict the rows of a part again.

    Parameters
    ----------
    unit : CheckUnit
        Which.

    Returns
    -------
    bool
        Whether the part is there, every byte; it is as predicted now in any case.

    Raises
    ------
    StageError
        If another value is predicted here than was written.
    """
    frame = predict_piece(unit.work, unit.piece)
    if digest_frame(frame) != unit.part["digest"]:
        raise StageError(
            f"{unit.part['name']}: the model predicts something else here than it did: other versions of its packages "
            "(the card has them), or another kind of machine; train it here to have numbers that are of one piece"
        )
    path = _place(unit)
    return path.is_file() and hash_file(path) == unit.part["sha256"]


def _name_models(layout: Layout, task: str, mode: str) -> str:
    """Give the name of the models of a task; that of models of the run is enough, wherever the task's file was."""
    own = task if mode == HONEST else f"{task}-{mode}"
    if STAGE_NAME.fullmatch(f"{MODELS}/{own}") and layout.stage_manifest(f"{MODELS}/{own}").is_file():
        return own
    return load_task(task, mode)[0]


def _list_works(layout: Layout, stage: str, manifest: dict[str, Any]) -> list[PredictionsWork]:
    """List the models of a stage: from what is stored, not from the task's file, which may have changed."""
    task = Task.model_validate(manifest["settings"]["models"]["task"])
    if task.compare:
        raise ConfigError(f"{stage} is a comparison of models over folds; it keeps none to predict with")
    hashes = {part["name"]: part["sha256"] for part in manifest["parts"]}
    works = []
    for fit in list_fits(task, layout.root, manifest["features"], tuple(manifest["targets"])):
        file = f"{fit.label}/{PLAIN if fit.is_baseline else SKOPS}"
        if file not in hashes:
            raise StageError(f"{stage}: there is no model {fit.label!r}; run `tahoe train` again")
        works.append(
            PredictionsWork(str(layout.root), 0, stage, fit.label, file, hashes[file], fit.entry.trusted, fit.material)
        )
    return works


def _list_units(works: list[PredictionsWork], manifest: dict[str, Any]) -> list[CheckUnit]:
    parts = {part["name"]: part for part in manifest["parts"]}
    return [
        CheckUnit(work, piece, parts[f"{name_part(piece, work.label)}.parquet"])
        for work in works
        for pieces in work.material.pieces.values()
        for piece in pieces
    ]


def _check_parts(units: list[CheckUnit], computing: Computing, tell: Callable[[Progress], None]) -> list[CheckUnit]:
    """Check all parts and give those that are not there."""
    begun, rows, total = time.monotonic(), 0, sum(unit.piece.n_rows for unit in units)
    slack_s = max((unit.piece.n_rows for unit in units), default=0) / ROWS_A_SECOND
    gone = []
    outcomes = computing.run_units(
        check_part, units, slack_s=slack_s, on_drain=lambda n: tell(Progress("draining", 0, n))
    )
    with closing(outcomes):
        for at, (unit, outcome) in enumerate(outcomes, 1):
            if isinstance(outcome.error, (WorkerDiedError, MemoryError)):
                raise StoppedError(f"{unit.part['name']}: {outcome.error}; raise workers.memory_mib and run it again")
            if outcome.error is not None:
                raise outcome.error
            if not outcome.receipt:
                gone.append(unit)
            rows += unit.piece.n_rows
            tell(Progress("predictions", at, len(units), rows, total, 0, time.monotonic() - begun))
    return gone


def _restore(layout: Layout, unit: CheckUnit) -> None:
    content, name = encode_frame(predict_piece(unit.work, unit.piece)), unit.part["name"]
    if hashlib.sha256(content).hexdigest() != unit.part["sha256"]:
        raise StageError(f"{name} is gone, and this version of Polars writes other bytes; run `tahoe train` again")
    final, temporary = _place(unit), layout.temporary / f"restored.{uuid4().hex}"
    move_aside(layout, layout.root / final.relative_to(unit.work.root))
    final.parent.mkdir(parents=True, exist_ok=True)
    with temporary.open("xb") as file:
        file.write(content)
    commit_part(layout, temporary, final, unit.part["sha256"])


def _place(unit: CheckUnit) -> Path:
    return Path(unit.work.root) / unit.work.stage / str(unit.part["name"])


def _ignore(progress: Progress) -> None:
    """Tell nobody."""
