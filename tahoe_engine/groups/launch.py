"""One launch of the stage: which parts are finished, which are missing, and what comes back."""

from __future__ import annotations

import time
from contextlib import closing
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from tahoe_engine.cells.report import Progress
from tahoe_engine.errors import BadDataError, FetchError, ShardError, StageError
from tahoe_engine.groups.unit import GroupsUnit, GroupsWork, Part, sum_unit
from tahoe_engine.run import Ledger, begin_stage, describe_build, read_published
from tahoe_engine.run.manifest import digest_of
from tahoe_engine.source import scheme_of
from tahoe_engine.workers import Deferred, WorkerDiedError, guard_units, run_units

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tahoe_engine.groups.blocks import Block
    from tahoe_engine.groups.plan import GroupsPlan
    from tahoe_engine.run import Journal, Layout

ROWS_A_SECOND = 2_000  # of a unit that is slow but not stuck: a thirtieth of what one core does
CHANGED = {"E_INPUT_CHANGED", "E_IO"}


class Launch:
    """The state of one launch.

    Parameters
    ----------
    plan : GroupsPlan
        What is to be done.
    layout : Layout
        The run, held by this launch.
    journal : Journal
        What earlier launches did.

    Attributes
    ----------
    ledger : Ledger
        What is finished.
    semantic : dict
        As it stands in the recorded plan and the manifest.

    Raises
    ------
    StageError
        If the stage was started with other keys, or of other cells.
    """

    def __init__(self, plan: GroupsPlan, layout: Layout, journal: Journal) -> None:
        from tahoe_engine import _rust

        self.plan, self.layout, self._journal = plan, layout, journal
        if read_published(layout, "cells")["digest"] != plan.cells["digest"]:
            raise StageError(f"{layout.root}: the cells were scanned anew meanwhile; run the same command again")
        self.semantic: dict[str, Any] = {
            "settings": {"groups": {"by": list(plan.by)}},
            "core": f"{_rust.core_version()} {_rust.groups_version()}",
            "metadata": plan.cells["metadata"],
            "needs": {"cells": plan.cells["digest"]},
        }
        inputs = {anchor.name: {"n_cells": anchor.n_cells} for anchor in plan.anchors}
        if len(inputs) < len(plan.anchors):
            raise StageError("two values of a key have one name; choose other keys")
        key = begin_stage(layout, journal, "groups", self.semantic, inputs)
        settings = plan.settings
        self._work = GroupsWork(
            root=str(layout.root.absolute()),
            epoch=layout.epoch,
            groups=settings.groups,
            rest=plan.rest,
            limits=settings.limits.model_dump(),
            core=_rust.core_version(),
            joined=digest_of(plan.cells["metadata"]),
            source=settings.source,
            reject=plan.cells["settings"]["cells"]["bad_rows"] == "reject",
        )
        firsts = [0, *accumulate(anchor.n_groups for anchor in plan.anchors)][: len(plan.anchors)]
        # With another list of the other keys a part is another.
        places = digest_of([list(values) for values in plan.rest])
        self._parts = {
            anchor.name: Part(
                values=anchor.values,
                first=first,
                places=anchor.places,
                name=anchor.name,
                key=digest_of([key, anchor.name, first, places, str(anchor.places), anchor.n_cells]),
                n_cells=anchor.n_cells,
                plate=anchor.plate,
            )
            for first, anchor in zip(firsts, plan.anchors, strict=True)
        }
        self.ledger = Ledger(layout, "groups", journal, {name: part.key for name, part in self._parts.items()})

    def missing(self) -> list[GroupsUnit]:
        """Give the units of the parts that are not finished."""
        names = set(self.ledger.missing())
        return [self._make_unit(block) for block in self.plan.make_blocks(names)]

    def _make_unit(self, block: Block) -> GroupsUnit:
        entries = {part["name"].removesuffix(".parquet"): part for part in self.plan.cells["parts"]}
        recorded = self.plan.recorded
        return GroupsUnit(
            work=self._work,
            parts=tuple(self._parts[anchor.name] for anchor in block.anchors),
            shards=tuple((recorded[shard], entries[shard]) for shard in block.masks),
            n_rows=block.count_rows(recorded),
        )

    def sync(self) -> None:
        """Bring what was recorded to the disk: manifests come after it."""
        self._journal.sync()

    def run_missing(self, tell: Callable[[Progress], None]) -> tuple[int, int]:
        """Run the units that are missing, and record each part.

        Parameters
        ----------
        tell : callable
            Called with a `Progress` after each unit.

        Returns
        -------
        rows, parts : int
            Read and made by this launch.

        Raises
        ------
        StageError, BadDataError
            If a shard is not what it was: nothing is published.
        StoppedError
            If workers or source are lost for now.
        """
        units = self.missing()
        total, rows_total = sum(len(unit.parts) for unit in units), sum(unit.n_rows for unit in units)
        begun, rows, done = time.monotonic(), 0, 0
        deferred = Deferred[GroupsUnit]()
        while units:
            with closing(self._outcomes(units, deferred, tell)) as outcomes:
                for unit, receipts in outcomes:
                    for name, receipt in receipts.items():
                        self.ledger.record_receipt(name, receipt)
                    rows, done = rows + unit.n_rows, done + len(receipts)
                    tell(Progress("groups", done, total, rows, rows_total, 0, time.monotonic() - begun))
            units = deferred.take()
        return rows, done

    def _outcomes(
        self, units: list[GroupsUnit], deferred: Deferred[GroupsUnit], tell: Callable[[Progress], None]
    ) -> Generator[tuple[GroupsUnit, dict[str, Any]]]:
        settings = self.plan.settings
        remote = any(scheme_of(one.shard.path) for unit in units for one, _ in unit.shards)
        slack = max(unit.n_rows for unit in units) / ROWS_A_SECOND
        slack += settings.source.retry_budget_s + settings.source.timeout_s if remote else 0.0
        outcomes = run_units(
            guard_units(sum_unit, self.ledger, list_names, settings.workers, slack_s=slack),
            units,
            settings.workers,
            gate=describe_build,
            slack_s=slack,
            on_drain=lambda n: tell(Progress("draining", 0, n)),
        )
        # Closing the generator stops the workers, whatever ends the loop; only then may temporary files go.
        with closing(outcomes):
            for unit, outcome in outcomes:
                if isinstance(outcome.error, FetchError):
                    deferred.add(unit, outcome.error)
                elif outcome.error is not None:
                    raise self._judge(unit, outcome.error)
                else:
                    deferred.reached()
                    yield unit, outcome.receipt or {}

    def _judge(self, unit: GroupsUnit, error: BaseException) -> BaseException:
        """Say what an error of a unit means: no group may lack cells, so that nothing is set aside here."""
        if isinstance(error, ShardError) and error.code in CHANGED:
            return StageError(
                f"{error}. Its cells were scanned from another file: put that back, name its place with --source, or "
                "run `tahoe cells --accept-changed-inputs` and this again. Nothing is published"
            )
        if isinstance(error, ShardError):
            checked = self.plan.cells.get("tokens_checked", True)
            why = "" if checked else ": `--stats summary` looks at no gene, so that this was not seen"
            return BadDataError(
                f"{error}. Its cells were counted by `tahoe cells` all the same{why}. Scan them again with --stats qc, "
                "which sets such a shard aside (or with --bad-rows reject such rows), then run this again with --new. "
                "Nothing is published"
            )
        if isinstance(error, WorkerDiedError):
            return BadDataError(f"{unit.parts[0].name} and {len(unit.parts) - 1} more: {error}. Nothing is published")
        return error


def list_names(unit: GroupsUnit) -> list[str]:
    """Give the names of the parts of a unit."""
    return [part.name for part in unit.parts]
