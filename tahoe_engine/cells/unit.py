"""One unit of work, as a worker does it: one coarse call into the core, then the parts get their names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tahoe_engine.cells.wanted import KEYS
from tahoe_engine.errors import ShardError, StageError
from tahoe_engine.run import Layout, commit_part, keep_receipt, require_newest
from tahoe_engine.source import (
    Checksum,
    Image,
    KeptTails,
    Shard,
    build_image,
    fetch_pieces,
    place_error,
    scheme_of,
    verify_bytes,
    verify_checksum,
)
from tahoe_engine.source.footers import hide_path
from tahoe_engine.vocabulary.joined import read_core_tables

if TYPE_CHECKING:
    from tahoe_engine.sections import SourceSettings


@dataclass(frozen=True)
class CellsWork:
    """What all units of a launch have in common.

    Parameters
    ----------
    root : str
        The run folder; every worker sees it under this path.
    epoch : int
        Number of the launch; once a newer one has taken over, nothing of this one gets a name.
    stats, min_genes, bad_rows : str or int
        As in ``[cells]``.
    wanted : dict of str to tuple of str
        Values to keep, by filter.
    limits : dict of str to int
        As in ``[limits]``.
    core : str
        Version of the core that planned.
    joined : str
        Digest of the joined tables.
    verify : bool
        Hash every shard before it is read.
    source : SourceSettings
        How remote shards are asked.
    """

    root: str
    epoch: int
    stats: str
    min_genes: int
    bad_rows: str
    wanted: dict[str, tuple[str, ...]]
    limits: dict[str, int]
    core: str
    joined: str
    verify: bool
    source: SourceSettings


@dataclass(frozen=True)
class CellsUnit:
    """One shard, or the part of it that was asked for.

    Parameters
    ----------
    work : CellsWork
        What it has in common with the others.
    shard : Shard
        Name and absolute path.
    size, footer_digest : int, str
        Its identity when it was planned.
    first_row, last_row : int
        Rows within the shard; the last is not included.
    key : str
        Identity of the unit: plan, shard and rows.
    checksum : Checksum, optional
        What the file should be.
    """

    work: CellsWork
    shard: Shard
    size: int
    footer_digest: str
    first_row: int
    last_row: int
    key: str
    checksum: Checksum | None = None


def scan_unit(unit: CellsUnit) -> dict[str, Any]:
    """Scan one shard and commit its parts.

    Parameters
    ----------
    unit : CellsUnit
        What to do.

    Returns
    -------
    dict
        The core's receipt (rows, sizes, hashes; about 1 kB) and `input_sha256`.

    Raises
    ------
    ShardError
        If the shard is at fault.
    FetchError
        If a remote shard cannot be had for now.
    OSError
        If the parts cannot be written.
    StageError
        If the worker is not fit for this run.
    """
    name = unit.shard.name
    try:
        return _scan(unit)
    except ShardError as error:
        raise hide_path(error, unit.shard.path) from None
    except MemoryError:
        raise ShardError(name, None, None, "E_LIMIT_MEMORY", "not enough memory to read it") from None
    except (Exception, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # noqa: BLE001 - all that is left are panics
        # The core stops its own panics; one that slips through must still be an ordinary error with a name.
        raise ShardError(name, None, None, "E_PANIC", f"the core stopped: {error}") from None


def _scan(unit: CellsUnit) -> dict[str, Any]:
    from tahoe_engine import _rust

    work, name, layout = unit.work, unit.shard.name, Layout(Path(unit.work.root), unit.work.epoch)
    if _rust.core_version() != work.core:
        raise StageError(f"a worker has core {_rust.core_version()}, the plan {work.core}; install the same version")
    if not layout.temporary.is_dir():
        require_newest(layout)
        raise StageError(f"{layout.root} is not there on a worker; it must be on a disk that all workers share")
    found = _find_bytes(unit, layout)
    vocabulary, joins = read_core_tables(str(layout.metadata), work.joined)
    # The name is new for every attempt: two attempts at one shard may be under way at once.
    temporary = layout.temporary / f"{name}.{uuid4().hex}.cells"
    genes = temporary.with_suffix(".genes") if work.stats == "all" else None
    try:
        try:
            made = _rust.scan_cells(
                unit.shard.path,
                str(temporary),
                shard=name,
                stats=work.stats,
                vocabulary=vocabulary,
                joins=joins,
                size=found.size,
                footer_digest=found.footer_digest,
                pieces=found.pieces,
                genes_part=None if genes is None else str(genes),
                cell_lines=_set(work, "cell_lines"),
                drugs=_set(work, "drugs"),
                plates=_set(work, "plates"),
                samples=_set(work, "samples"),
                first_row=unit.first_row,
                last_row=unit.last_row,
                min_genes=work.min_genes,
                bad_rows=work.bad_rows,
                limits=work.limits,
            )
        except ShardError as error:
            raise place_error(error, unit.shard) from None
        receipt: dict[str, Any] = {**made, "input_sha256": found.sha256}
        if found.image is not None:
            columns = {KEYS[key]: values for key, values in work.wanted.items()}
            receipt["rejected"] = found.image.recode(receipt["rejected"], columns, unit.first_row, unit.last_row)
        # What readers see comes last: whoever sees the part of the cells may count on the rest.
        keep_receipt(layout, "cells", name, unit.key, receipt)
        finished = {"cells": temporary, "genes": genes}
        for entry, final in layout.unit_files("cells", name).items():
            part, written = receipt[entry], finished[entry]
            if written is not None and part is not None:
                commit_part(layout, written, final, part["sha256"])
    finally:
        for path in (temporary, genes):
            if path is not None:
                path.unlink(missing_ok=True)
    return receipt


@dataclass(frozen=True)
class _Bytes:
    """What the core reads: pieces in memory, or without them the file itself."""

    size: int
    footer_digest: str
    pieces: list[tuple[int, bytes]] | None = None
    sha256: str | None = None
    image: Image | None = None


def _find_bytes(unit: CellsUnit, layout: Layout) -> _Bytes:
    work, shard = unit.work, unit.shard
    sha256: str | None
    if scheme_of(shard.path):
        pieces = fetch_pieces(
            shard,
            work.source,
            KeptTails(layout.footers),
            work.limits,
            whole=work.verify,
            stats=work.stats,
            plates=_set(work, "plates"),
            samples=_set(work, "samples"),
            first_row=unit.first_row,
            last_row=unit.last_row,
        )
        sha256 = verify_bytes(pieces[0][1], shard.name, unit.checksum) if work.verify else None
        return _Bytes(unit.size, unit.footer_digest, pieces, sha256)
    sha256 = _verify(unit) if work.verify else None
    if shard.slice is None:
        return _Bytes(unit.size, unit.footer_digest, sha256=sha256)
    image = build_image(shard, work.limits, reject=work.bad_rows == "reject")
    return _Bytes(len(image.content), image.digest, image.pieces, sha256, image)


def _verify(unit: CellsUnit) -> str:
    try:
        return verify_checksum(unit.shard.path, unit.shard.name, unit.checksum)
    except OSError as error:
        reason = f"cannot be read: {os.strerror(error.errno or 0)}"
        raise ShardError(unit.shard.name, None, None, "E_IO", reason) from error


def _set(work: CellsWork, key: str) -> set[str] | None:
    values = work.wanted.get(key)
    return None if values is None else set(values)
