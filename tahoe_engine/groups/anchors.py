"""Where the cells of each well are: which row groups of which shards hold them.

Groups are cut into parts by some of their keys, the *anchor*: a part holds all groups of one well (or, where wells are
no key, of one drug of a plate, one plate, drug, cell line …), and a worker sums several parts at once. Parts do not
depend on how many.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import StageError
from tahoe_engine.run import name_part
from tahoe_engine.schema import CELL_LINE_ID, DRUG, PLATE, SAMPLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tahoe_engine.source import Recorded

Value = str | float | None

# Which keys are the anchor: those whose rows lie closest together. A plate has too many groups to be one part.
ANCHORS = ((SAMPLE,), (PLATE, DRUG), (PLATE,), (DRUG,))
RUN = 5  # plate, sample, first row, one past the last, kept rows; receipts of older versions had others


@dataclass(frozen=True)
class Anchor:
    """One value of the anchor, and where its cells are.

    Parameters
    ----------
    values : tuple of str, float or None
        Of the keys.
    plate : str or None
        Of all its cells; None where they have several.
    n_cells : int
        Kept cells.
    masks : dict of str to int
        By shard: a bit for each row group that holds one of its cells.
    places : int
        A bit for each combination of the other keys that one of its cells has: its groups.
    """

    values: tuple[Value, ...]
    plate: str | None
    n_cells: int
    masks: dict[str, int] = field(repr=False)
    places: int = 1

    @property
    def n_groups(self) -> int:
        """Number of its groups."""
        return self.places.bit_count()

    @property
    def name(self) -> str:
        """Name of its part."""
        # The plate of a drug is the folder already.
        value = self.values[-1]
        return name_part(self.plate, value if isinstance(value, str) or value is None else f"{value!r}")


def choose_anchor(by: tuple[str, ...]) -> tuple[str, ...]:
    """Give the keys by which the table is cut into parts.

    Parameters
    ----------
    by : tuple of str
        Keys of the groups.

    Returns
    -------
    tuple of str
        One or two of them.

    Examples
    --------
    >>> choose_anchor(("cell_line_id", "sample")), choose_anchor(("drug", "plate")), choose_anchor(("dose_um",))
    (('sample',), ('plate', 'drug'), ('dose_um',))
    """
    return next((keys for keys in ANCHORS if set(keys) <= set(by)), by[:1])


def natural(value: Value) -> tuple[Any, ...]:
    """Give what sorts values as people do: plate4 before plate10, nothing before all.

    Parameters
    ----------
    value : str, float or None
        A key.

    Returns
    -------
    tuple
        To sort by.

    Examples
    --------
    >>> sorted(["plate10", "plate4", None, ""], key=natural)
    [None, '', 'plate4', 'plate10']
    """
    if value is None:
        return (0,)
    if isinstance(value, str):
        parts = re.split(r"([0-9]{1,18})", value)
        return (2, tuple((text, 0) if at % 2 == 0 else ("", int(text)) for at, text in enumerate(parts)), value)
    return (1, float(value))


def locate_runs(
    receipts: Mapping[str, Mapping[str, Any]], recorded: Mapping[str, Recorded]
) -> tuple[list[Anchor], list[str]] | None:
    """Find the wells by the runs that the receipts of the cells tell, without looking at a cell.

    Parameters
    ----------
    receipts : mapping
        Of the stage `cells`, by shard.
    recorded : mapping
        The shards.

    Returns
    -------
    anchors, cell_lines : list of Anchor, list of str
        In natural order; the lines are all that any kept cell has. None where receipts do not tell.
    """
    masks: dict[str, dict[str, int]] = {}
    cells: dict[str, int] = {}
    plates: dict[str, str | None] = {}
    lines = {line for receipt in receipts.values() for line in receipt.get("cell_lines") or ()}
    order = sorted(lines, key=natural)
    places: dict[str, int] = {}
    for shard, receipt in receipts.items():
        runs, there = receipt.get("sample_runs"), receipt.get("sample_lines")
        if runs is None or there is None or any(len(run) != RUN or run[1] not in there for run in runs):
            return None
        own_order = sorted(receipt["cell_lines"])
        spread = None if own_order == order else [1 << order.index(line) for line in own_order]
        for sample, digits in there.items():
            bits = int(digits, 16)
            if spread is not None:
                bits = sum(place for at, place in enumerate(spread) if bits >> at & 1)
            places[sample] = places.get(sample, 0) | bits
        ends = list(accumulate(recorded[shard].row_groups))
        for plate, sample, first, end, kept in runs:
            # A name that two plates use is of neither.
            plates[sample] = plate if plates.setdefault(sample, plate) == plate else None
            own = masks.setdefault(sample, {})
            own[shard] = own.get(shard, 0) | _mask(ends, first, end)
            cells[sample] = cells.get(sample, 0) + kept
    samples = sorted(masks, key=natural)
    return [Anchor((one,), plates[one], cells[one], masks[one], places[one]) for one in samples], order


def locate_cells(
    parts: Iterable[tuple[str, Path]], recorded: Mapping[str, Recorded], by: tuple[str, ...]
) -> tuple[list[Anchor], list[tuple[Value, ...]]]:
    """Find the cells of each value of the anchor by looking at the keys of all cells.

    Parameters
    ----------
    parts : iterable of (str, Path)
        Shard and its part of the cells table.
    recorded : mapping
        The shards.
    by : tuple of str
        Keys of the groups.

    Returns
    -------
    anchors : list of Anchor
        In natural order.
    rest : list of tuple
        All combinations of the other keys that some cell has, in natural order.

    Raises
    ------
    StageError
        If a part is gone or damaged.
    """
    import polars as pl

    anchor = choose_anchor(by)
    others = [key for key in by if key not in anchor]
    masks: dict[tuple[Value, ...], dict[str, int]] = {}
    cells: dict[tuple[Value, ...], int] = {}
    plates: dict[tuple[Value, ...], set[str]] = {}
    pairs: dict[tuple[Value, ...], set[tuple[Value, ...]]] = {}
    for shard, path in parts:
        try:
            table = pl.read_parquet(path, columns=list(dict.fromkeys([*by, PLATE, "row"])))
        except (OSError, pl.exceptions.PolarsError) as error:
            raise StageError(f"{path}: cannot be read ({error}); run `tahoe cells` again") from error
        for row in table.select(*anchor, *others).unique().rows():
            pairs.setdefault(row[: len(anchor)], set()).add(row[len(anchor) :])
        ends = pl.Series(list(accumulate(recorded[shard].row_groups)), dtype=pl.Int64)
        found = table.select(
            pl.struct(anchor).alias("anchor"),
            pl.col(PLATE).alias("of_plate"),
            pl.lit(ends).search_sorted(pl.col("row"), side="right").alias("group"),
        )
        for values, plate, group, number in found.group_by("anchor", "of_plate", "group").len().iter_rows():
            value = tuple(values[key] for key in anchor)
            own = masks.setdefault(value, {})
            own[shard] = own.get(shard, 0) | 1 << group
            cells[value] = cells.get(value, 0) + number
            plates.setdefault(value, set()).add(plate)
    rest = sorted(set().union(*pairs.values()), key=_natural)
    place = {values: at for at, values in enumerate(rest)}
    anchors = []
    whole = SAMPLE in anchor or PLATE in anchor
    for value in sorted(cells, key=_natural):
        plate = next(iter(plates[value])) if whole and len(plates[value]) == 1 else None
        bits = sum(1 << place[values] for values in pairs[value])
        anchors.append(Anchor(value, plate, cells[value], masks[value], bits))
    return anchors, rest


def is_told_by_runs(by: tuple[str, ...]) -> bool:
    """Tell whether runs of wells are enough to find groups by these keys.

    Parameters
    ----------
    by : tuple of str
        Keys of the groups.

    Returns
    -------
    bool
        True for wells, and wells by cell line.
    """
    return SAMPLE in by and set(by) <= {SAMPLE, CELL_LINE_ID}


def _natural(values: tuple[Value, ...]) -> tuple[Any, ...]:
    return tuple(map(natural, values))


def _mask(ends: list[int], first: int, end: int) -> int:
    """Give a bit for each row group that a run of rows touches."""
    low, high = bisect_right(ends, first), bisect_right(ends, end - 1)
    return (1 << (high + 1)) - (1 << low)
