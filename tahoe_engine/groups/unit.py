"""One unit of work: the parts of some neighbouring wells, summed together and committed one by one."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tahoe_engine.errors import ShardError, StageError
from tahoe_engine.groups.anchors import Value, choose_anchor
from tahoe_engine.run import Layout, commit_part, keep_receipt, require_newest
from tahoe_engine.run.layout import flatten
from tahoe_engine.schema import DRUG, PLATE
from tahoe_engine.source import KeptTails, fetch_rows, place_error
from tahoe_engine.vocabulary.joined import read_core_tables

if TYPE_CHECKING:
    import polars as pl

    from tahoe_engine.sections import GroupsSettings, SourceSettings
    from tahoe_engine.source import Recorded

TOLD = (DRUG, "dose_um", PLATE)  # what the index says of a group where all its cells agree
ENTRY_BYTES = 4  # of a batch, in the core


@dataclass(frozen=True)
class GroupsWork:
    """What all units of a launch have in common.

    Parameters
    ----------
    root, epoch : str, int
        The run folder, absolute, and the launch.
    groups : GroupsSettings
        Keys and memory.
    rest : tuple of tuple
        Combinations of the keys beside the anchor.
    limits : dict of str to int
        As in ``[limits]``.
    core : str
        Version of the core that planned.
    joined : str
        Digest of the joined tables.
    source : SourceSettings
        How remote shards are asked.
    reject : bool
        Lines that are no cells were rejected by the stage `cells`.
    """

    root: str
    epoch: int
    groups: GroupsSettings
    rest: tuple[tuple[Value, ...], ...]
    limits: dict[str, int]
    core: str
    joined: str
    source: SourceSettings
    reject: bool


@dataclass(frozen=True)
class Part:
    """One part that a unit makes.

    Parameters
    ----------
    values : tuple of str, float or None
        Of the keys of the anchor.
    first, places : int
        Number of its first group, and a bit for each place among the other keys that has one.
    name, key : str
        Name and identity of the part.
    n_cells : int
        Cells it must have.
    plate : str or None
        That all of them must be of.
    """

    values: tuple[Value, ...]
    first: int
    places: int
    name: str
    key: str
    n_cells: int
    plate: str | None


@dataclass(frozen=True)
class GroupsUnit:
    """Neighbouring wells.

    Parameters
    ----------
    work : GroupsWork
        What it has in common with the others.
    parts : tuple of Part
        What is made.
    shards : tuple of (Recorded, dict)
        What is read, and the entry of its cells in their manifest.
    n_rows : int
        Rows of the row groups that are read.
    """

    work: GroupsWork
    parts: tuple[Part, ...]
    shards: tuple[tuple[Recorded, dict[str, Any]], ...]
    n_rows: int


def sum_unit(unit: GroupsUnit) -> dict[str, Any]:
    """Sum the groups of a unit and commit its parts.

    Parameters
    ----------
    unit : GroupsUnit
        What to do.

    Returns
    -------
    dict
        By the name of a part: its receipt, with the lines of the index in it.

    Raises
    ------
    ShardError
        If a shard is not what it was when its cells were scanned.
    FetchError
        If a remote shard cannot be had for now.
    OSError
        If a part cannot be written.
    StageError
        If the worker is not fit for this run, or the cells are not those of the plan.
    """
    from tahoe_engine import _rust

    work, layout = unit.work, Layout(Path(unit.work.root), unit.work.epoch)
    if _rust.core_version() != work.core:
        raise StageError(f"a worker has core {_rust.core_version()}, the plan {work.core}; install the same version")
    if not layout.temporary.is_dir():
        require_newest(layout)
        raise StageError(f"{layout.root} is not there on a worker; it must be on a disk that all workers share")
    vocabulary, _ = read_core_tables(str(layout.metadata), work.joined)
    spill = layout.temporary / f"sums.{uuid4().hex}"
    sums = _rust.GroupSums(
        vocabulary,
        len(unit.parts) * len(work.rest),
        memory_bytes=work.groups.memory_mib << 20,
        batch_entries=(work.groups.batch_mib << 20) // ENTRY_BYTES,
        spill=str(spill),
    )
    kept = KeptTails(layout.footers)
    tables = []
    for one, entry in unit.shards:
        cells = _read_cells(layout, unit, entry)
        if cells.height == 0:
            continue
        rows = cells["row"].to_numpy().tobytes()
        try:
            size, digest, pieces = fetch_rows(one, rows, work.source, kept, work.limits, reject=work.reject)
            sums.add_shard(
                one.shard.path,
                shard=one.shard.name,
                size=size,
                footer_digest=digest,
                rows=rows,
                groups=cells["local"].to_numpy().tobytes(),
                totals=cells["total_counts"].to_numpy().tobytes(),
                limits=work.limits,
                pieces=pieces,
            )
        except ShardError as error:
            raise place_error(error, one.shard) from None
        tables.append(cells.drop("row"))
    return _write_parts(unit, layout, sums, tables)


def _read_cells(layout: Layout, unit: GroupsUnit, entry: dict[str, Any]) -> pl.DataFrame:
    """Give the cells of a shard that are in one of the unit's groups: row, group within the unit, total, keys."""
    import polars as pl

    by = unit.work.groups.by
    anchor = choose_anchor(by)
    others = [key for key in by if key not in anchor]
    path = layout.stage("cells") / entry["name"]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StageError(f"{path}: cannot be read ({error.strerror}); run `tahoe cells` again") from error
    # What is hashed is what is read: the sums are those of these cells and no others.
    if hashlib.sha256(content).hexdigest() != entry["sha256"]:
        raise StageError(f"{path} is not what the manifest says; see `tahoe verify --deep`, run `tahoe cells` again")
    columns = list(dict.fromkeys(["row", "total_counts", *by, *TOLD]))
    table = pl.read_parquet(io.BytesIO(content), columns=columns)
    wells = pl.DataFrame(
        [*zip(*(part.values for part in unit.parts), strict=True), range(len(unit.parts))],
        schema={**{key: table.schema[key] for key in anchor}, "part": pl.UInt32},
    )
    table = table.join(wells, on=list(anchor), how="inner", nulls_equal=True, maintain_order="left")
    if others:
        places = pl.DataFrame(
            [*zip(*unit.work.rest, strict=True), range(len(unit.work.rest))],
            schema={**{key: table.schema[key] for key in others}, "place": pl.UInt32},
        )
        found = table.join(places, on=others, how="inner", nulls_equal=True, maintain_order="left")
        if found.height != table.height:
            raise StageError(f"{path} has cells that the plan does not know; run `tahoe groups --new`")
        table = found
    else:
        table = table.with_columns(pl.lit(0, dtype=pl.UInt32).alias("place"))
    local = (pl.col("part") * len(unit.work.rest) + pl.col("place")).cast(pl.UInt32).alias("local")
    return table.select("row", local, "part", "place", "total_counts", *TOLD)


def _write_parts(unit: GroupsUnit, layout: Layout, sums: Any, tables: list[pl.DataFrame]) -> dict[str, Any]:  # noqa: ANN401 - of the core
    import polars as pl

    receipts: dict[str, Any] = {}
    index = (
        pl.concat(tables)
        .group_by("part", "place", "local")
        .agg(
            pl.len().cast(pl.UInt64).alias("n_cells"),
            pl.col("total_counts").sum(),
            *(pl.when(pl.col(name).n_unique() == 1).then(pl.col(name).first()).alias(name) for name in TOLD),
        )
        .sort("local")
    )
    for at, part in enumerate(unit.parts):
        own = index.filter(pl.col("part") == at)
        found = own["n_cells"].sum()
        if found != part.n_cells:
            raise StageError(f"{part.name}: {found} cells, {part.n_cells} planned; run `tahoe cells` again")
        if part.plate is not None and own.filter(pl.col(PLATE).ne_missing(part.plate)).height:
            raise StageError(f"{part.name}: it has cells of other plates than planned; run `tahoe groups --new`")
        numbers = own["place"].to_list()
        if sum(1 << place for place in numbers) != part.places:
            raise StageError(f"{part.name}: it has other groups than planned; run `tahoe cells` again")
        ids = list(range(part.first, part.first + own.height))
        temporary = layout.temporary / f"{flatten(part.name)}.{uuid4().hex}.moments"
        try:
            written = sums.write_part(str(temporary), list(zip(own["local"].to_list(), ids, strict=True)))
            receipt = {
                "groups": written,
                "n_cells": part.n_cells,
                "index": {
                    "group_id": ids,
                    "place": numbers,
                    **own.select("n_cells", "total_counts", *TOLD).to_dict(as_series=False),
                },
            }
            final = layout.part("groups", part.name)
            final.parent.mkdir(parents=True, exist_ok=True)
            keep_receipt(layout, "groups", part.name, part.key, receipt)
            commit_part(layout, temporary, final, written["sha256"])
        finally:
            temporary.unlink(missing_ok=True)
        receipts[part.name] = receipt
    return receipts
