"""One launch of the stage: what is fitted, what is predicted, what is missing of both."""

from __future__ import annotations

import time
from contextlib import closing
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.cells.report import Progress
from tahoe_engine.errors import StageError, StoppedError
from tahoe_engine.models.fits import FitKeeper, fit_model
from tahoe_engine.models.judge import Judged, judge_models
from tahoe_engine.models.kept import Kept
from tahoe_engine.models.predictions import PredictionsUnit, PredictionsWork, name_part, write_predictions
from tahoe_engine.run import Ledger, begin_stage, hash_file, read_published, replace_file
from tahoe_engine.run.manifest import digest_of
from tahoe_engine.workers import WorkerDiedError, guard_units

if TYPE_CHECKING:
    from collections.abc import Callable

    from tahoe_engine.models.fits import FittedModel
    from tahoe_engine.models.plan import ModelsPlan
    from tahoe_engine.run import Journal, Layout
    from tahoe_engine.workers import Computing

# Whose functions the numbers come from, to the last bit.
PACKAGES: Final = ("dask", "dask-ml", "numpy", "polars", "scikit-learn", "scipy", "skops", "xgboost-cpu")
ROWS_A_SECOND: Final = 200  # of a unit that is slow but not stuck: exact kernel machines are


class Launch:
    """The state of one launch.

    Parameters
    ----------
    plan : ModelsPlan
        What is to be done.
    layout : Layout
        The run, held by this launch.
    journal : Journal
        What earlier launches did.

    Attributes
    ----------
    fitted : dict
        A `FittedModel` by label; there once `fit` is done.
    n_done : int
        Models that this launch fitted.

    Raises
    ------
    StageError
        If the stage was started with another task, or of other features.
    """

    def __init__(self, plan: ModelsPlan, layout: Layout, journal: Journal) -> None:
        self.plan, self.layout, self._journal = plan, layout, journal
        self.semantic: dict[str, Any] = {
            "settings": {"models": {"mode": plan.mode, "task": plan.task.describe()}},
            "versions": {"tahoe-engine": version("tahoe-engine"), **{name: version(name) for name in PACKAGES}},
            "needs": {plan.features.stage: plan.features.manifest["digest"]},
        }
        parts = {part["name"].removesuffix(".parquet"): part for part in plan.features.manifest["parts"]}
        self._pieces = [
            (fit, piece)
            for fit in (() if plan.task.compare else plan.fits)
            for pieces in fit.material.pieces.values()
            for piece in pieces
            if piece.n_rows
        ]
        inputs = {
            name_part(piece, fit.label): {"sha256": parts[piece.name]["sha256"], "rows": piece.n_rows}
            for fit, piece in self._pieces
        }
        self._key = begin_stage(layout, journal, plan.stage, self.semantic, inputs)
        self._inputs = inputs
        self.kept = Kept(layout, plan.stage)
        self.fitted: dict[str, FittedModel] = {}
        self.n_done = 0
        self.ledger: Ledger | None = None

    @property
    def n_tasks(self) -> int:
        """No more workers than that have something to do."""
        return max(len(self._pieces), self.plan.count_fits())

    def find_finished(self) -> dict[str, Any] | None:
        """Give the manifest of these models if an earlier launch has published them, every byte.

        Returns
        -------
        dict or None
            None where something is missing, stale or damaged: then all is looked at.
        """
        try:
            manifest = read_published(self.layout, self.plan.stage)
        except StageError:
            return None
        folder = self.layout.stage(self.plan.stage)
        for part in manifest["parts"]:
            path = folder / part["name"]
            if not path.is_file() or path.stat().st_size != part["size"] or hash_file(path) != part["sha256"]:
                return None
        return manifest

    def fit(self, computing: Computing, tell: Callable[[Progress], None]) -> None:
        """Fit what is not fitted yet, one model after the other: each uses all workers.

        Parameters
        ----------
        computing : Computing
            Who computes.
        tell : callable
            Called with a `Progress` after each model.

        Raises
        ------
        ConfigError, BadDataError
            If a model does not go with its features.
        StoppedError
            If workers are lost for now.
        """
        if self.plan.task.compare:
            return
        keeper = FitKeeper(self.kept, self._key, self.plan.features.manifest["digest"])
        begun, fits = time.monotonic(), self.plan.fits
        for at, fit in enumerate(fits, 1):
            found = keeper.find(fit)
            if found is None:
                found = keeper.keep(fit, fit_model(fit, self.plan.task, computing, self.kept))
                self.n_done += 1
            self.fitted[fit.label] = found
            folder = self.layout.stage(self.plan.stage) / fit.label
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / found.file
            if not path.is_file() or hash_file(path) != found.sha256:
                # Those who predict read it under its name; until the manifest is there, nobody else does.
                replace_file(self.layout, path, found.content)
            tell(Progress("fits", at, len(fits), seconds=time.monotonic() - begun))

    def predict(self, computing: Computing, tell: Callable[[Progress], None]) -> None:
        """Predict what is not predicted yet, and record each part.

        Parameters
        ----------
        computing : Computing
            Who computes.
        tell : callable
            Called with a `Progress` after each part.

        Raises
        ------
        StoppedError
            If workers are lost for now, or a unit takes its process with it: nothing is published.
        """
        plan = self.plan
        if plan.task.compare:
            return
        keys = {
            name_part(piece, fit.label): digest_of(
                [self._key, fit.label, self.fitted[fit.label].sha256, self._inputs[name_part(piece, fit.label)]]
            )
            for fit, piece in self._pieces
        }
        self.ledger = ledger = Ledger(self.layout, plan.stage, self._journal, keys)
        missing = set(ledger.missing())
        works = {
            fit.label: PredictionsWork(
                root=str(self.layout.root.absolute()),
                epoch=self.layout.epoch,
                stage=plan.stage,
                label=fit.label,
                file=f"{fit.label}/{self.fitted[fit.label].file}",
                sha256=self.fitted[fit.label].sha256,
                trusted=fit.entry.trusted,
                material=fit.material,
            )
            for fit in plan.fits
        }
        units = [
            PredictionsUnit(works[fit.label], piece, name, keys[name])
            for fit, piece in self._pieces
            if (name := name_part(piece, fit.label)) in missing
        ]
        if not units:
            return
        begun, rows, total = time.monotonic(), 0, sum(unit.piece.n_rows for unit in units)
        slack_s = max(unit.piece.n_rows for unit in units) / ROWS_A_SECOND
        settings = plan.settings.workers
        outcomes = computing.run_units(
            guard_units(write_predictions, ledger, lambda unit: [unit.name], settings, slack_s=slack_s),
            units,
            slack_s=slack_s,
            on_drain=lambda n: tell(Progress("draining", 0, n)),
        )
        # Closing the generator stops the workers, whatever ends the loop; only then may temporary files go.
        with closing(outcomes):
            for at, (unit, outcome) in enumerate(outcomes, 1):
                if outcome.receipt is None:
                    raise _judge_error(unit, outcome.error)
                ledger.record_receipt(unit.name, outcome.receipt)
                rows += unit.piece.n_rows
                tell(Progress("predictions", at, len(units), rows, total, 0, time.monotonic() - begun))

    def judge(self, computing: Computing, tell: Callable[[Progress], None]) -> Judged:
        """Judge what was predicted, and each fold.

        Parameters
        ----------
        computing : Computing
            Who computes.
        tell : callable
            Called with a `Progress` after each model.

        Returns
        -------
        Judged
            The tables of the stage.
        """
        receipts = (
            {} if self.ledger is None else {name: one[self.plan.stage] for name, one in self.ledger.receipts.items()}
        )
        return judge_models(self.plan, self.layout, self.fitted, receipts, computing, self.kept, tell)

    def sync(self) -> None:
        """Bring what was recorded to the disk: manifests come after it."""
        self._journal.sync()


def _judge_error(unit: PredictionsUnit, error: BaseException | None) -> BaseException:
    """Say what an error of a unit means: no row may be lost, so that nothing is set aside here."""
    if isinstance(error, (WorkerDiedError, MemoryError)):
        return StoppedError(
            f"{unit.name}, {unit.piece.n_rows} rows: {str(error) or 'not enough memory'}. Nothing is published; "
            "raise workers.memory_mib, then run the same command again to resume"
        )
    return error or AssertionError("an outcome without receipt and error")
