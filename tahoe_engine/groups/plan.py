"""What `groups` would do: which wells together, what is read for them, and whether it fits."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tahoe_engine.config import Settings
from tahoe_engine.errors import ConfigError
from tahoe_engine.groups.anchors import (
    Anchor,
    Value,
    choose_anchor,
    is_told_by_runs,
    locate_cells,
    locate_runs,
)
from tahoe_engine.groups.blocks import Block, estimate_genes, make_blocks
from tahoe_engine.run import Layout, read_journal, read_published
from tahoe_engine.schema import TOKEN_ID
from tahoe_engine.source import Recorded, read_recorded
from tahoe_engine.workers import count_workers

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

LARGEST_ID = 2**31 - 1
BASE_MEMORY = 200 << 20  # a worker with Polars, the joined tables and the keys of a block's cells
PART_BYTES_A_ROW = 36  # of a part, zstd; measured, see docs/benchmarks.md
ROW_BYTES = 130  # of a part before it is written
# Of one core: cells read and added, and rows of moments written; measured, see docs/benchmarks.md.
CELLS_A_SECOND, ROWS_A_SECOND = 59_800, 4_300_000


@dataclass(frozen=True)
class GroupsPlan:
    """The plan of the stage.

    Parameters
    ----------
    settings : Settings
        Resolved.
    cells : dict
        Manifest of the cells.
    anchors : tuple of Anchor
        What the parts are of, in natural order.
    rest : tuple of tuple
        Combinations of the other keys, in natural order; `Anchor.places` are places in it.
    recorded : dict of str to Recorded
        The shards, by name.
    n_genes : int
        Of the vocabulary.
    """

    settings: Settings
    cells: dict[str, Any] = field(repr=False)
    anchors: tuple[Anchor, ...] = field(repr=False)
    rest: tuple[tuple[Value, ...], ...] = field(repr=False)
    recorded: dict[str, Recorded] = field(repr=False)
    n_genes: int = 0

    @property
    def by(self) -> tuple[str, ...]:
        """Keys of the groups."""
        return self.settings.groups.by

    def make_blocks(self, names: set[str] | None = None) -> list[Block]:
        """Put the parts together that are summed together.

        Parameters
        ----------
        names : set of str, optional
            Only these parts.

        Returns
        -------
        list of Block
            In order.
        """
        anchors = [anchor for anchor in self.anchors if names is None or anchor.name in names]
        workers = count_workers(self.settings.workers)
        return make_blocks(anchors, self.settings, n_genes=self.n_genes, n_workers=workers)

    def memory(self) -> int:
        """Bound the memory of a worker, in bytes: what the sums take beyond their share goes to disk."""
        groups, limits = self.settings.groups, self.settings.limits
        rows = max((groups * genes for groups, genes in map(self._estimate, self.anchors)), default=0)
        batch = min(2 * (limits.batch_bytes + limits.page_bytes), 64 << 20)
        sums = (groups.memory_mib << 20) + (groups.batch_mib << 20)
        return BASE_MEMORY + sums + batch + rows * ROW_BYTES

    def output_rows(self) -> int:
        """Estimate the rows of the table of moments."""
        return sum(groups * genes for groups, genes in map(self._estimate, self.anchors))

    def _estimate(self, anchor: Anchor) -> tuple[int, int]:
        return estimate_genes(anchor, n_genes=self.n_genes)

    def describe(self) -> dict[str, Any]:
        """Give the plan as plain values.

        Returns
        -------
        dict
            JSON-able. ``read_amplification`` is rows decoded over kept cells; ``cpu_seconds`` an estimate.
        """
        blocks = self.make_blocks()
        read = sum(block.count_rows(self.recorded) for block in blocks)
        kept = sum(anchor.n_cells for anchor in self.anchors)
        gap = self.settings.source.gap_bytes
        sizes = [block.count_bytes(self.recorded, gap) for block in blocks]
        return {
            "by": list(self.by),
            "parts": len(self.anchors),
            "part_of": ", ".join(choose_anchor(self.by)),
            "groups": sum(anchor.n_groups for anchor in self.anchors),
            "units": len(blocks),
            "parts_a_unit": max((len(block.anchors) for block in blocks), default=0),
            "shards": len(self.recorded),
            "cells": kept,
            "rows_to_read": read,
            "read_amplification": round(read / kept, 3) if kept else None,
            "bytes_to_read": sum(size for size, _ in sizes),
            "requests": sum(requests for _, requests in sizes),
            "workers": count_workers(self.settings.workers),
            "memory_a_worker": self.memory(),
            "output_rows": self.output_rows(),
            "output_bytes": self.output_rows() * PART_BYTES_A_ROW,
            "cpu_seconds": round(read / CELLS_A_SECOND + self.output_rows() / ROWS_A_SECOND),
        }

    def require_fit(self) -> None:
        """Refuse a plan that cannot fit.

        Raises
        ------
        ConfigError
            If a worker has too little memory, or there are more groups than numbers for them.
        """
        workers = self.settings.workers
        if sum(anchor.n_groups for anchor in self.anchors) > LARGEST_ID:
            raise ConfigError("there are more groups than can be numbered; name fewer keys")
        if not workers.scheduler and count_workers(workers) and self.memory() > workers.memory_mib << 20:
            raise ConfigError(
                f"a worker needs about {self.memory() >> 20} MiB and may have {workers.memory_mib}; "
                "raise workers.memory_mib, lower groups.memory_mib, or name keys that make smaller parts (sample, or "
                "plate and drug)"
            )


def plan_groups(
    into: str | os.PathLike[str],
    *,
    settings: Settings | None = None,
    source: str | os.PathLike[str] | Sequence[str] | None = None,
) -> GroupsPlan:
    """Plan the stage from what the stage `cells` has left in a run. Writes nothing.

    Parameters
    ----------
    into : str or path-like
        The run folder.
    settings : Settings, optional
        Default: the defaults.
    source : str, path or list of them, optional
        Where the shards are now, if they have moved.

    Returns
    -------
    GroupsPlan
        What would be done.

    Raises
    ------
    StageError
        If the cells are not finished.
    SourceError
        If a shard is not in the source that was named.
    """
    import polars as pl

    settings = settings or Settings()
    layout = Layout(Path(into))
    cells = read_published(layout, "cells")
    recorded = read_recorded(layout.sources, cells, settings.source, source)
    by = settings.groups.by
    n_genes: int = pl.scan_parquet(layout.metadata / "genes.parquet").select(pl.col(TOKEN_ID).len()).collect().item()
    found: tuple[list[Anchor], list[tuple[Value, ...]]] | None = None
    if is_told_by_runs(by):
        receipts = _read_receipts(layout, cells)
        told = None if receipts is None else locate_runs(receipts, recorded)
        if told is not None:
            anchors, lines = told
            if len(by) > 1:
                found = (anchors, [(line,) for line in lines])
            else:
                found = ([replace(one, places=1) for one in anchors], [()])
    if found is None:
        parts = [
            (part["name"].removesuffix(".parquet"), layout.stage("cells") / part["name"]) for part in cells["parts"]
        ]
        found = locate_cells(parts, recorded, by)
    return GroupsPlan(settings, cells, tuple(found[0]), tuple(found[1]), recorded, n_genes)


def _read_receipts(layout: Layout, cells: dict[str, Any]) -> dict[str, dict[str, Any]] | None:
    """Give the receipts of the published parts; none if a journal is not there."""
    last = {record["shard"]: record["receipt"] for record in read_journal(layout, "cells") if "receipt" in record}
    found = {}
    for part in cells["parts"]:
        name = part["name"].removesuffix(".parquet")
        receipt = last.get(name)
        if receipt is None or (receipt.get("cells") or {}).get("sha256") != part["sha256"]:
            return None
        found[name] = receipt
    return found
