"""What `cells` would do: which rows of which shards, how much is read, and whether it fits."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tahoe_engine import schema
from tahoe_engine.cells.wanted import Wanted, resolve_wanted
from tahoe_engine.config import Settings, parse_rows
from tahoe_engine.errors import ConfigError, ShardError
from tahoe_engine.run import require_room
from tahoe_engine.source import Footer, Shard, choose_metadata, find_shards, read_footers, scheme_of
from tahoe_engine.vocabulary.joined import Joined, load_joined
from tahoe_engine.workers import count_workers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Source = str | os.PathLike[str] | list[str] | tuple[str, ...]

# Measured on made-up shards of 28,224 cells and 36 M entries, zstd; see docs/benchmarks.md.
PART_BYTES_A_CELL = {"summary": 35, "qc": 70, "all": 70}
GENE_PART_BYTES_A_GENE = 29
BASE_MEMORY = 160 << 20  # a worker with Polars and the joined tables
GENE_SUMS_BYTES_A_GENE = 160
WELLS_A_GROUP = 3

# Filters that row-group statistics know about; cell lines and drugs are spread over nearly all row groups.
PRUNING = (("plates", schema.PLATE), ("samples", schema.SAMPLE))


@dataclass(frozen=True)
class PlannedShard:
    """A shard, and the rows of it that were asked for.

    Parameters
    ----------
    footer : Footer
        Identity and row groups.
    first_row, last_row : int
        Rows within the shard; the last is not included.
    """

    footer: Footer
    first_row: int
    last_row: int

    @property
    def n_rows(self) -> int:
        """Rows that were asked for."""
        return self.last_row - self.first_row


@dataclass(frozen=True)
class CellsPlan:
    """The plan of the stage.

    Parameters
    ----------
    settings : Settings
        Resolved.
    shards : tuple of PlannedShard
        The units of work, sorted by name.
    bad : tuple of ShardError
        Shards that cannot be used, sorted by name.
    n_shards : int
        Shards of the source, also those without a row asked for.
    wanted : Wanted
        Filters.
    joined : Joined
        Tables to join.
    metadata : str
        The folder they are from, or ``packaged``.
    """

    settings: Settings
    shards: tuple[PlannedShard, ...]
    bad: tuple[ShardError, ...]
    n_shards: int
    wanted: Wanted
    joined: Joined = field(repr=False)
    metadata: str = "packaged"

    @property
    def n_rows(self) -> int:
        """Rows that were asked for."""
        return sum(shard.n_rows for shard in self.shards)

    def describe(self) -> dict[str, Any]:
        """Give the plan as plain values: units, bytes, amplification, memory, output.

        Returns
        -------
        dict
            JSON-able. ``read_amplification`` is rows decoded over rows wanted by row range, plate and sample, as far as
            row-group statistics tell; cell lines and drugs stand in nearly every row group and save no reading.
        """
        rows_read = sum(_rows_read(shard, self.wanted) for shard in self.shards)
        rows_wanted = sum(rows for shard in self.shards for _, rows in _groups(shard, self.wanted))
        columns = dict.fromkeys(schema.COLUMNS_READ[self.settings.cells.stats], 0)
        for shard in self.shards:
            share = _rows_read(shard, self.wanted) / max(1, shard.footer.n_rows)
            for column in shard.footer.columns:
                if column["name"] in columns:
                    columns[column["name"]] += round(column["compressed_bytes"] * share)
        return {
            "shards": self.n_shards,
            "units": len(self.shards),
            "rows": self.n_rows,
            "bad_shards": [{"shard": error.shard, "code": error.code, "reason": error.reason} for error in self.bad],
            "bytes_to_read": {"total": sum(columns.values()), **columns},
            "bytes_of_shards": sum(shard.footer.size for shard in self.shards),
            "row_groups": sum(len(shard.footer.row_groups) for shard in self.shards),
            "row_groups_read": sum(len(_groups(shard, self.wanted)) for shard in self.shards),
            "read_amplification": round(rows_read / rows_wanted, 3) if rows_wanted else None,
            "workers": count_workers(self.settings.workers),
            "memory_a_worker": self.memory(),
            "output_bytes": self.output_bytes(rows_read),
            "wanted": {key: list(values) for key, values in self.wanted.values.items()},
            "unknown": self.wanted.unknown,
            "metadata": self.metadata,
        }

    def memory(self) -> int:
        """Estimate the peak memory of a worker, in bytes."""
        limits = self.settings.limits
        largest = held = 0
        for shard in self.shards:
            share = max(shard.footer.row_groups, default=0) / max(1, shard.footer.n_rows)
            read = [c for c in shard.footer.columns if c["name"] in schema.COLUMNS_READ[self.settings.cells.stats]]
            chunks = sum(c["compressed_bytes"] + c["uncompressed_bytes"] for c in read) * share
            rows = shard.n_rows * PART_BYTES_A_CELL[self.settings.cells.stats] * 3
            largest = max(largest, int(chunks) + rows)
            if shard.footer.shard.slice is not None or scheme_of(shard.footer.shard.path):
                # Not read from a file but held in memory, all of it.
                held = max(held, sum(c["compressed_bytes"] for c in read) * shard.n_rows // max(1, shard.footer.n_rows))
        # A footer may say anything; what is decoded at a time is bounded by the limits.
        genes = self.joined.genes.height * GENE_SUMS_BYTES_A_GENE
        return BASE_MEMORY + genes + held + min(largest, 2 * (limits.batch_bytes + limits.page_bytes))

    def output_bytes(self, rows: int) -> int:
        """Estimate the bytes that will be written, gene sums a shard included."""
        cells = self.settings.cells
        genes = self.joined.genes.height * GENE_PART_BYTES_A_GENE if cells.stats == "all" else 0
        # A small shard touches few genes: about 600 new ones for each of its first cells.
        gene_parts = sum(min(genes, shard.n_rows * 600 * 12) for shard in self.shards) if genes else 0
        return rows * PART_BYTES_A_CELL[cells.stats] + gene_parts + 4096 * len(self.shards)

    def require_fit(self, into: str | os.PathLike[str] | None, *, done: float = 0.0) -> None:
        """Refuse a plan that cannot fit.

        Parameters
        ----------
        into : path, optional
            The run folder, for its disk.
        done : float
            Share of the work that is finished already.

        Raises
        ------
        ConfigError
            If the workers have too little memory, or the disk too little room.
        """
        workers = self.settings.workers
        need = self.memory()
        if not workers.scheduler:
            n_workers = count_workers(workers)
            if n_workers and need > workers.memory_mib << 20:
                raise ConfigError(
                    f"a worker needs about {need >> 20} MiB and may have {workers.memory_mib}; "
                    "raise workers.memory_mib or lower limits.batch_bytes"
                )
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            if max(1, n_workers) * need > memory:
                raise ConfigError(
                    f"{n_workers} workers need about {n_workers * need >> 20} MiB, this machine has {memory >> 20}; "
                    f"use --workers {max(0, memory // need)}"
                )
        if into is not None:
            rows_read = sum(_rows_read(shard, self.wanted) for shard in self.shards)
            remedy = "free some, use another disk, or ask for less (--stats qc, filters)"
            require_room(Path(into), int(self.output_bytes(rows_read) * (1 - done)), remedy)


def plan_cells(
    source: Source,
    *,
    settings: Settings | None = None,
    shards: Sequence[Shard] | None = None,
    on_footer: Callable[[int], None] | None = None,
    kept: Path | None = None,
) -> CellsPlan:
    """Plan the stage: read footers, cut rows, resolve names. Writes nothing.

    Parameters
    ----------
    source : str, path or list of them
        As in `tahoe_engine.source.find_shards`.
    settings : Settings, optional
        Default: the defaults.
    shards : sequence of Shard, optional
        What `find_shards` gave, if it was asked already.
    on_footer : callable, optional
        Called with the number of footers read so far.
    kept : Path, optional
        Folder where footers of remote shards are kept; without it they are not.

    Returns
    -------
    CellsPlan
        What would be done.

    Raises
    ------
    SourceError
        If there is no such source, or a table to join is wrong.
    ConfigError
        If the row range lies outside the source.
    """
    settings = settings or Settings()
    shards = find_shards(source, settings.source) if shards is None else shards
    metadata = choose_metadata(source, shards, settings.source.metadata)
    metadata.warn()
    folder = metadata.folder
    wanted = resolve_wanted(settings.cells, folder)
    joined = load_joined(folder, settings.cells.vocabulary or None)
    footers = read_footers(
        shards,
        settings.limits.model_dump(),
        threads=settings.source.footer_threads,
        on_footer=on_footer,
        source=settings.source,
        kept=kept,
    )
    planned, bad = _cut_rows(footers, settings.cells.rows)
    if not planned and not bad:
        total = sum(footer.n_rows for footer in footers if isinstance(footer, Footer))
        raise ConfigError(f"rows {settings.cells.rows} lie outside the source, which has {total} rows")
    return CellsPlan(settings, tuple(planned), tuple(bad), len(shards), wanted, joined, metadata.describe())


def _cut_rows(footers: Sequence[Footer | ShardError], rows: str) -> tuple[list[PlannedShard], list[ShardError]]:
    """Cut the row range of the source into ranges within shards.

    A shard whose rows are not known counts as having none; it is bad if it stands inside the range.
    """
    cut = parse_rows(rows)
    first, last = (0, None) if cut is None else cut
    planned: list[PlannedShard] = []
    bad: list[ShardError] = []
    start = 0
    for footer in footers:
        if isinstance(footer, ShardError):
            if start >= first and (last is None or start < last):
                bad.append(footer)
            continue
        end = start + footer.n_rows
        # A shard of no rows is a unit too, unless it is cut away: its part says that it was read.
        from_, to = max(first, start), end if last is None else min(last, end)
        if from_ < to or (cut is None and start == end):
            planned.append(PlannedShard(footer, from_ - start, to - start))
        start = end
    return planned, bad


def _groups(shard: PlannedShard, wanted: Wanted) -> list[tuple[int, float]]:
    """Give for each row group that is read: its rows, and how many of them are probably wanted."""
    found = []
    start = 0
    for index, rows in enumerate(shard.footer.row_groups):
        inside = min(shard.last_row, start + rows) - max(shard.first_row, start)
        start += rows
        share = min((_share(shard.footer, index, key, column, wanted) for key, column in PRUNING), default=1.0)
        if inside > 0 and share > 0:
            found.append((rows, inside * share))
    return found


def _share(footer: Footer, index: int, key: str, column: str, wanted: Wanted) -> float:
    """Estimate the share of a row group that a filter keeps, from its least and greatest value."""
    values = wanted.values.get(key)
    ranges = footer.ranges.get(column, [])
    span = ranges[index] if index < len(ranges) else None
    if values is None or span is None:
        return 1.0
    inside = sum(span[0] <= value <= span[1] for value in values)
    if span[0] == span[1]:
        return float(inside > 0)
    # Wells are numbered, so smp_1783 to smp_1785 are three of them; 1,000 rows hold no more (FACTS.md).
    numbers = [re.search(r"[0-9]{1,9}$", text) for text in span]
    low, high = (int(number[0]) if number else 0 for number in numbers)
    return min(1.0, inside / min(WELLS_A_GROUP, max(2, high - low + 1)))


def _rows_read(shard: PlannedShard, wanted: Wanted) -> int:
    return sum(rows for rows, _ in _groups(shard, wanted))
