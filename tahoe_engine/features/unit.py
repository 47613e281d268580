"""One unit of work: the features of a slice, a part for each of its splits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tahoe_engine.errors import StageError
from tahoe_engine.run import Layout, commit_part, keep_receipt, require_newest, write_frame
from tahoe_engine.run.layout import flatten
from tahoe_engine.schema import SPLIT, SPLITS

if TYPE_CHECKING:
    from tahoe_engine.features.design import Design
    from tahoe_engine.features.rows import RowReader
    from tahoe_engine.features.table import Slice


@dataclass(frozen=True)
class FeaturesWork:
    """What all units of a launch have in common.

    Parameters
    ----------
    root : str
        The run folder; every worker sees it under this path.
    epoch : int
        Number of the launch; once a newer one has taken over, nothing of this one gets a name.
    stage : str
        ``features/NAME``.
    reader : RowReader
        Gives the rows.
    design : Design
        Makes features of them.
    """

    root: str
    epoch: int
    stage: str
    reader: RowReader = field(repr=False)
    design: Design = field(repr=False)


@dataclass(frozen=True)
class FeaturesUnit:
    """A slice of the table.

    Parameters
    ----------
    work : FeaturesWork
        What it has in common with the others.
    piece : Slice
        Its rows.
    keys : dict of str to str
        Identity of each of its parts, by name.
    n_rows : dict of str to int
        Rows that each of them has.
    """

    work: FeaturesWork
    piece: Slice
    keys: dict[str, str]
    n_rows: dict[str, int]


def name_parts(piece: Slice) -> dict[str, str]:
    """Name the parts of a slice.

    Parameters
    ----------
    piece : Slice
        Which.

    Returns
    -------
    dict of str to str
        By split.
    """
    return {split: f"{split}/{piece.name}" for split in SPLITS}


def write_unit(unit: FeaturesUnit) -> dict[str, Any]:
    """Make the features of a slice and commit its parts.

    Parameters
    ----------
    unit : FeaturesUnit
        What to do.

    Returns
    -------
    dict
        A receipt for each part: the part itself (rows, size, sha256, digest) and what was ``counted`` in it.

    Raises
    ------
    StageError
        If the rows are not those that were counted, or the worker is not fit for this run.
    OSError
        If a part cannot be written.
    """
    import polars as pl

    work, layout = unit.work, Layout(Path(unit.work.root), unit.work.epoch)
    if not layout.temporary.is_dir():
        require_newest(layout)
        raise StageError(f"{layout.root} is not there on a worker; it must be on a disk that all workers share")
    frame, _ = work.reader.read(unit.piece, work.design.needed)
    made = work.design.make(frame)
    receipts: dict[str, Any] = {}
    for split, name in name_parts(unit.piece).items():
        rows = made.filter(pl.col(SPLIT) == SPLITS.index(split)).drop(SPLIT)
        if rows.height != unit.n_rows.get(name, 0):
            raise StageError(f"{name}: {rows.height} rows, {unit.n_rows.get(name, 0)} counted; run the command again")
        if name in unit.keys:
            receipts[name] = _commit(layout, unit, name, rows)
    return receipts


def _commit(layout: Layout, unit: FeaturesUnit, name: str, rows: Any) -> dict[str, Any]:  # noqa: ANN401 - a frame
    stage = unit.work.stage
    temporary = layout.temporary / f"{flatten(f'{stage}/{name}')}.{uuid4().hex}"
    try:
        part = write_frame(temporary, rows)
        columns = [[column, str(dtype)] for column, dtype in rows.schema.items()]
        receipt = {stage: part, "counted": unit.work.design.count(rows), "columns": columns}
        final = layout.part(stage, name)
        final.parent.mkdir(parents=True, exist_ok=True)
        # What readers see comes last: whoever sees the part may count on the rest.
        keep_receipt(layout, stage, name, unit.keys[name], receipt)
        commit_part(layout, temporary, final, part["sha256"])
    finally:
        temporary.unlink(missing_ok=True)
    return receipt
