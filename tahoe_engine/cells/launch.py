"""One launch of the stage: what is known, what is missing, what comes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tahoe_engine.cells.manifests import Receipts, describe_quarantine
from tahoe_engine.cells.unit import CellsUnit, CellsWork
from tahoe_engine.cells.wanted import KEYS
from tahoe_engine.errors import BadDataError, ConfigError, ShardError
from tahoe_engine.run import Journal, Ledger, begin_stage, hash_file, hold_back, replace_file
from tahoe_engine.run.manifest import digest_of, encode_manifest
from tahoe_engine.source import (
    Checksum,
    Checksums,
    Shard,
    describe_footers,
    find_checksums,
    load_checksums,
    scheme_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tahoe_engine.cells.plan import CellsPlan
    from tahoe_engine.run import Layout

# What of the settings changes numbers; workers, threads and paths do not.
SEMANTIC = ("stats", "min_genes", "rows", "bad_rows")

PUBLISHED = ("cells", "genes")  # the tables that come of this stage

SHOWN = 5  # bad shards named in an error


class Launch:
    """The state of one launch.

    Parameters
    ----------
    plan : CellsPlan
        What is to be done.
    layout : Layout
        The run, held by this launch.
    journal : Journal
        What earlier launches did.
    accept_changed_inputs : bool
        Take inputs as they are now, and do anew what came of others.

    Attributes
    ----------
    ledger : Ledger
        What is finished.
    quarantined : dict
        Shards set aside, by name: the error and the rows of it that were asked for.
    semantic, inputs : dict
        As they stand in the recorded plan and the manifest.

    Raises
    ------
    StageError
        If the run was started with other settings or inputs.
    """

    def __init__(
        self, plan: CellsPlan, layout: Layout, journal: Journal, *, accept_changed_inputs: bool = False
    ) -> None:
        from tahoe_engine import _rust

        self.plan, self.layout, self._journal = plan, layout, journal
        self.filter_columns = KEYS
        self.quarantined: dict[str, tuple[ShardError, int | None]] = {error.shard: (error, None) for error in plan.bad}
        settings = plan.settings
        cells = {name: getattr(settings.cells, name) for name in SEMANTIC}
        wanted = {key: list(plan.wanted.values.get(key, ())) for key in KEYS}
        metadata = plan.joined.digests
        self.semantic: dict[str, Any] = {
            "settings": {"cells": {**cells, **wanted}, "limits": settings.limits.model_dump()},
            "core": _rust.core_version(),
            "metadata": metadata,
        }
        self.inputs = _inputs(plan)
        plan_key = begin_stage(
            layout,
            journal,
            "cells",
            self.semantic,
            self.inputs,
            dependents=PUBLISHED,
            accept_changed_inputs=accept_changed_inputs,
        )
        self._record_sources()
        self._work = CellsWork(
            root=str(layout.root.absolute()),
            epoch=layout.epoch,
            stats=settings.cells.stats,
            min_genes=settings.cells.min_genes,
            bad_rows=settings.cells.bad_rows,
            wanted=plan.wanted.values,
            limits=settings.limits.model_dump(),
            core=self.semantic["core"],
            joined=digest_of(metadata),
            verify=settings.source.verify_inputs,
            source=settings.source,
        )
        self._units = {unit.shard.name: unit for unit in self._make_units(plan_key)}
        keys = {name: unit.key for name, unit in self._units.items()}
        self.ledger = Ledger(layout, "cells", journal, keys, dependents=PUBLISHED, accept=self._is_verified)
        for error in plan.bad:
            self.ledger.record_defect(error.shard, describe_quarantine(error, None))

    @property
    def receipts(self) -> Receipts:
        """Receipts of finished shards, by name."""
        return self.ledger.receipts

    def _make_units(self, plan_key: str) -> Iterable[CellsUnit]:
        checksums = self._checksums()
        for planned in self.plan.shards:
            footer = planned.footer
            shard = footer.shard
            if not scheme_of(shard.path):
                shard = replace(shard, path=str(Path(shard.path).absolute()))
            identity = [plan_key, shard.name, footer.size, footer.digest, planned.first_row, planned.last_row]
            if shard.version:
                identity.append(shard.version)
            yield CellsUnit(
                work=self._work,
                shard=shard,
                size=footer.size,
                footer_digest=footer.digest,
                first_row=planned.first_row,
                last_row=planned.last_row,
                key=digest_of(identity),
                checksum=_checksum(shard, checksums),
            )

    def _checksums(self) -> Checksums | None:
        source = self.plan.settings.source
        if not source.verify_inputs:
            return None
        if not source.checksums and all(_own_checksum(planned.footer.shard) for planned in self.plan.shards):
            return None
        path = source.checksums or find_checksums([planned.footer.shard for planned in self.plan.shards])
        if not path:
            raise ConfigError("--verify-inputs: the source has no SHA256SUMS; name a file with --checksums")
        return load_checksums(path)

    def _is_verified(self, receipt: dict[str, Any]) -> bool:
        """Tell whether a receipt will do: with ``--verify-inputs`` its shard was hashed."""
        return not self._work.verify or receipt["input_sha256"] is not None

    def missing(self) -> list[CellsUnit]:
        """Give the units that are not finished."""
        return [self._units[name] for name in self.ledger.missing()]

    def record_receipt(self, unit: CellsUnit, receipt: dict[str, Any]) -> None:
        """Record a finished shard."""
        self.ledger.record_receipt(unit.shard.name, receipt)

    def record_defect(self, unit: CellsUnit, error: ShardError) -> None:
        """Record a shard that is set aside."""
        rows = unit.last_row - unit.first_row
        self.quarantined[unit.shard.name] = (error, rows)
        self.ledger.record_defect(unit.shard.name, describe_quarantine(error, rows))

    @property
    def n_torn(self) -> int:
        """Journals of earlier launches whose end was torn."""
        return self._journal.n_torn

    def sync(self) -> None:
        """Bring what was recorded to the disk: manifests come after it."""
        self._journal.sync()

    def quarantined_records(self) -> list[dict[str, Any]]:
        """Give the records of the shards that were set aside."""
        return [describe_quarantine(error, rows) for error, rows in self.quarantined.values()]

    def wanted_rows(self) -> dict[str, dict[str, int]]:
        """Sum the rows of each wanted value."""
        total: dict[str, dict[str, int]] = {}
        for receipt in self.receipts.values():
            for key, rows in receipt["wanted_rows"].items():
                counts = total.setdefault(key, {})
                for value, number in rows.items():
                    counts[value] = counts.get(value, 0) + number
        return total

    def check_bad(self, *, at_end: bool = False) -> None:
        """Stop if more is bad than this run may have.

        Parameters
        ----------
        at_end : bool
            All shards are through.

        Raises
        ------
        BadDataError
            Naming the first five of them; nothing is published.
        """
        run = self.plan.settings.run
        bad = [error for _, (error, _) in sorted(self.quarantined.items())]
        allowed = max(run.max_bad_shards, int(run.max_bad_share * self.plan.n_shards))
        if bad and run.strict:
            raise BadDataError(f"{len(bad)} bad shards, and --strict is set: nothing is published. {_list_bad(bad)}")
        if len(bad) > allowed:
            raise BadDataError(
                f"{len(bad)} of {self.plan.n_shards} shards are bad, more than {allowed}: stopped, "
                f"nothing is published. {_list_bad(bad)}"
            )
        rejected = sum(sum(receipt["rejected"].values()) for receipt in self.receipts.values()) if run.strict else 0
        if at_end and rejected:
            raise BadDataError(f"{rejected} rows rejected, and --strict is set: nothing is published")

    def hold_back(self) -> None:
        """Take finished parts out of sight; a later launch brings them back."""
        hold_back(self.layout, self._journal, "cells")

    def _record_sources(self) -> None:
        """Write down where the shards are: later stages read them again."""
        recorded = describe_footers([planned.footer for planned in self.plan.shards])
        replace_file(self.layout, self.layout.sources, encode_manifest(recorded))
        self._journal.append({"sources": hash_file(self.layout.sources)})


def _own_checksum(shard: Shard) -> Checksum | None:
    """Give the sha256 by which the hub itself knows a file."""
    kind, _, value = shard.version.partition(":")
    return Checksum(value, shard.size) if kind == "sha256" else None


def _checksum(shard: Shard, checksums: Checksums | None) -> Checksum | None:
    return _own_checksum(shard) if checksums is None else checksums.find(shard.path)


def _list_bad(bad: list[ShardError]) -> str:
    more = len(bad) - SHOWN
    return "; ".join(map(str, bad[:SHOWN])) + (f"; and {more} more" if more > 0 else "")


def _inputs(plan: CellsPlan) -> dict[str, dict[str, Any]]:
    inputs: dict[str, dict[str, Any]] = {
        planned.footer.shard.name: {
            "size": planned.footer.size,
            "footer_digest": planned.footer.digest,
            "rows": planned.footer.n_rows,
            "first_row": planned.first_row,
            "last_row": planned.last_row,
            **({"version": planned.footer.shard.version} if planned.footer.shard.version else {}),
        }
        for planned in plan.shards
    }
    nothing = {"size": None, "footer_digest": None, "rows": None, "first_row": None, "last_row": None}
    inputs.update({error.shard: dict(nothing) for error in plan.bad})
    return inputs
