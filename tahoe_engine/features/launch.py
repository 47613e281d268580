"""One launch of the stage: what is fitted, which parts are finished, which are missing, and what comes back."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from tahoe_engine.cells.report import Progress
from tahoe_engine.errors import StageError, StoppedError
from tahoe_engine.features.fitted import digest_fitted
from tahoe_engine.features.names import require_distinct
from tahoe_engine.features.prepare import Prepared, prepare_design
from tahoe_engine.features.store import encode_design
from tahoe_engine.features.unit import FeaturesUnit, FeaturesWork, name_parts, write_unit
from tahoe_engine.run import Ledger, begin_stage, hash_file, hold_back, read_published
from tahoe_engine.run.manifest import digest_of
from tahoe_engine.workers import WorkerDiedError, guard_units

if TYPE_CHECKING:
    from collections.abc import Callable

    from tahoe_engine.features.plan import FeaturesPlan
    from tahoe_engine.run import Journal, Layout
    from tahoe_engine.workers import Computing

# Whose functions the numbers come from, to the last bit.
PACKAGES = ("dask", "dask-ml", "numpy", "polars", "scikit-learn", "scipy")
VALUES_A_SECOND = 200_000  # of a unit that is slow but not stuck: a hundredth of what one core does


class Launch:
    """The state of one launch.

    Parameters
    ----------
    plan : FeaturesPlan
        What is to be done.
    layout : Layout
        The run, held by this launch.
    journal : Journal
        What earlier launches did.

    Attributes
    ----------
    ledger : Ledger
        What is finished; there once `fit` is done.
    prepared : Prepared
        What was decided and fitted; likewise.
    files : dict
        Small files that are published with the parts, by name; likewise.
    semantic : dict
        As it stands in the recorded plan and the manifest.

    Raises
    ------
    StageError
        If the stage was started with another recipe, or of another table.
    """

    ledger: Ledger
    prepared: Prepared
    files: dict[str, bytes]

    def __init__(self, plan: FeaturesPlan, layout: Layout, journal: Journal) -> None:
        self.plan, self.layout, self._journal = plan, layout, journal
        chosen = plan.settings.features
        table = plan.table
        self.semantic: dict[str, Any] = {
            "settings": {"features": {"mode": chosen.mode, "recipe": plan.recipe.model_dump(mode="json")}},
            "versions": {"tahoe-engine": version("tahoe-engine"), **{name: version(name) for name in PACKAGES}},
            "needs": table.needs,
            "joined": plan.reader.joins.identity,
        }
        inputs = {
            name: {"sha256": table.hashes[piece.part], "first": piece.first, "rows": piece.n_rows}
            for piece in table.slices
            for name in name_parts(piece).values()
        }
        self._key = begin_stage(layout, journal, plan.stage, self.semantic, inputs)
        self._units: list[FeaturesUnit] = []

    def find_finished(self) -> dict[str, Any] | None:
        """Give the manifest of these features if an earlier launch has published them, every byte.

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
            # Cheaper by far than fitting again.
            if not path.is_file() or path.stat().st_size != part["size"] or hash_file(path) != part["sha256"]:
                return None
        allowed = self.plan.settings.features.allow_leaks
        return manifest if allowed or not manifest["leaks"] else None

    def fit(self, computing: Computing, tell: Callable[[Progress], None]) -> None:
        """Split the rows and fit what is fitted, then look at what is finished.

        Parameters
        ----------
        computing : Computing
            Who computes.
        tell : callable
            Called with a `Progress` after each pass over the table.

        Raises
        ------
        ConfigError, BadDataError
            If recipe and table do not go together.
        StoppedError
            If workers are lost for now.
        """
        plan, layout = self.plan, self.layout
        self.prepared = prepare_design(plan, layout, computing, tell)
        require_distinct(self.prepared.design)
        self.files = encode_design(self.prepared)
        fitted = digest_fitted(self.files)
        work = FeaturesWork(
            root=str(layout.root.absolute()),
            epoch=layout.epoch,
            stage=plan.stage,
            reader=self.prepared.reader,
            design=self.prepared.design,
        )
        keys: dict[str, str] = {}
        for piece in plan.table.slices:
            rows = {name: self.prepared.n_rows[piece.name][split] for split, name in name_parts(piece).items()}
            own = {name: digest_of([self._key, fitted, name, n]) for name, n in rows.items() if n}
            if own:
                self._units.append(FeaturesUnit(self._narrow(work, piece.part), piece, own, rows))
                keys |= own
        self.ledger = Ledger(layout, plan.stage, self._journal, keys)

    @staticmethod
    def _narrow(work: FeaturesWork, shard: str) -> FeaturesWork:
        """Leave out of what a unit carries where other shards are: there are thousands."""
        design = work.design
        if not design.shards:
            return work
        return replace(work, design=replace(design, shards={shard: design.shards[shard]}))

    def sync(self) -> None:
        """Bring what was recorded to the disk: manifests come after it."""
        self._journal.sync()

    @property
    def columns(self) -> list[list[str]]:
        """Names and types of the columns of the parts, in order, as Polars has them."""
        return next(iter(self.ledger.receipts.values()))["columns"]  # type: ignore[no-any-return]

    def hold_back(self) -> None:
        """Take finished parts out of sight: they are refused. A later launch brings them back."""
        self._journal.append({"refused": "leaks"})
        hold_back(self.layout, self._journal, self.plan.stage)

    def run_missing(self, computing: Computing, tell: Callable[[Progress], None]) -> tuple[int, int]:
        """Run the units that are missing, and record each part.

        Parameters
        ----------
        computing : Computing
            Who computes.
        tell : callable
            Called with a `Progress` after each unit.

        Returns
        -------
        rows, parts : int
            Read and made by this launch.

        Raises
        ------
        StoppedError
            If workers are lost for now, or a unit takes its process with it: nothing is published.
        """
        missing = set(self.ledger.missing())
        units = [unit for unit in self._units if not missing.isdisjoint(unit.keys)]
        if not units:
            return 0, 0
        begun, rows, done = time.monotonic(), 0, 0
        total, rows_total = sum(len(unit.keys) for unit in units), sum(unit.piece.n_rows for unit in units)
        settings = self.plan.settings.workers
        stored, dense = self.plan.count_columns()
        slack_s = max(unit.piece.n_rows for unit in units) * (stored + dense) / VALUES_A_SECOND
        outcomes = computing.run_units(
            guard_units(write_unit, self.ledger, lambda unit: list(unit.keys), settings, slack_s=slack_s),
            units,
            slack_s=slack_s,
            on_drain=lambda n: tell(Progress("draining", 0, n)),
        )
        # Closing the generator stops the workers, whatever ends the loop; only then may temporary files go.
        with closing(outcomes):
            for unit, outcome in outcomes:
                if outcome.receipt is None:
                    raise _judge(unit, outcome.error)
                for name, receipt in outcome.receipt.items():
                    self.ledger.record_receipt(name, receipt)
                rows, done = rows + unit.piece.n_rows, done + len(unit.keys)
                tell(Progress("features", done, total, rows, rows_total, 0, time.monotonic() - begun))
        return rows, done


def _judge(unit: FeaturesUnit, error: BaseException | None) -> BaseException:
    """Say what an error of a unit means: no row may be lost, so that nothing is set aside here."""
    if isinstance(error, (WorkerDiedError, MemoryError)):
        return StoppedError(
            f"{unit.piece.name}, {unit.piece.n_rows} rows: {str(error) or 'not enough memory'}. Nothing is published; "
            "raise workers.memory_mib, then run the same command again to resume"
        )
    return error or AssertionError("an outcome without receipt and error")
