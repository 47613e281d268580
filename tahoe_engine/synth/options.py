"""What a made-up atlas is made of: its options, checked."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WELLS_A_PLATE: Final = 96
MOST_CELLS: Final = 10**9


@dataclass(frozen=True)
class Options:
    """Every option that the bytes of an atlas hang on, as `truth/truth.json` records it."""

    kind: str
    plates: tuple[int, ...]
    wells: int
    lines: int | tuple[str, ...]
    cells: int
    seed: int
    line_effect: float
    drug_effect: float
    well_effect: float
    drug_genes: float
    median_counts: float
    counts_spread: float
    shard_rows: int
    row_group_rows: int
    sublibrary_cells: int
    marker: bool
    vocabulary: str

    def __post_init__(self) -> None:
        """Refuse what cannot be, naming the option."""
        from tahoe_engine.vocabulary import resolve_plates

        _, absent = resolve_plates(self.plates)
        if absent or not self.plates or len(set(self.plates)) != len(self.plates):
            raise ConfigError(f"plates: numbers of 1 to 14 without repeats are wanted, found {list(self.plates)}")
        _require_whole("wells", self.wells, 1, WELLS_A_PLATE)
        _require_whole("cells", self.cells, 1, MOST_CELLS)
        _require_whole("seed", self.seed, 0, 2**63 - 1)
        _require_whole("shard_rows", self.shard_rows, 1, 10**8)
        # A row group is held in memory whole: some 1.5 GB at this bound.
        _require_whole("row_group_rows", self.row_group_rows, 1, 50_000)
        _require_whole("sublibrary_cells", self.sublibrary_cells, WELLS_A_PLATE, 10**6)
        for name in ("line_effect", "drug_effect", "well_effect", "counts_spread"):
            _require_number(name, getattr(self, name), 0.0, 5.0)
        _require_number("drug_genes", self.drug_genes, 0.0, 1.0)
        _require_number("median_counts", self.median_counts, 1.0, 1e5)

    def as_dict(self) -> dict[str, Any]:
        """Give the options as JSON holds them."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def differences(self, other: dict[str, Any]) -> list[str]:
        """Name the options that another atlas was made with differently."""
        mine = self.as_dict()
        names = [field.name for field in fields(self)]
        return [
            f"{name} {other.get(name)!r} there, {mine[name]!r} here" for name in names if other.get(name) != mine[name]
        ]

    def effects(self) -> dict[str, float]:
        """Give the sizes of the effects as the core takes them."""
        return {
            "line": float(self.line_effect),
            "drug": float(self.drug_effect),
            "well": float(self.well_effect),
            "drug_genes": float(self.drug_genes),
            "median_counts": float(self.median_counts),
            "counts_spread": float(self.counts_spread),
        }


@dataclass(frozen=True)
class Written:
    """What a call of `write_atlas` or `write_tables` did.

    Attributes
    ----------
    out : Path
        The atlas' folder.
    cells, shards, bytes : int
        Rows, files of rows, and their size.
    written : int
        Files that this call wrote; 0 where everything was there already.
    plates : tuple of int
    wells : dict of str to tuple of str
        Sample ids of the chosen wells, plate by plate.
    lines : tuple of str
        Cellosaurus ids.
    seconds : float
    """

    out: Path
    cells: int
    shards: int
    bytes: int
    written: int
    plates: tuple[int, ...]
    wells: dict[str, tuple[str, ...]]
    lines: tuple[str, ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Give the fields as JSON holds them."""
        fields_ = asdict(self) | {"out": str(self.out), "plates": list(self.plates), "lines": list(self.lines)}
        return fields_ | {"wells": {plate: list(samples) for plate, samples in self.wells.items()}}


def clean_lines(lines: int | Sequence[str]) -> int | tuple[str, ...]:
    """Give a number of lines, or the ids of the named ones.

    Parameters
    ----------
    lines : int or sequence of str
        How many, or ids or names.

    Returns
    -------
    int or tuple of str
        The number, or Cellosaurus ids.

    Raises
    ------
    ConfigError
        If there are not so many, or a name is none of the assayed lines'.

    Examples
    --------
    >>> clean_lines(["A-172"])
    ('CVCL_0131',)
    """
    from tahoe_engine.vocabulary import resolve_cell_lines

    if isinstance(lines, int):
        _require_whole("lines", lines, 1, 50)
        return lines
    found, absent = resolve_cell_lines([lines] if isinstance(lines, str) else lines)
    if absent or not found:
        told = "; ".join(f"{name} is not in Tahoe-100M, nearest are {', '.join(near)}" for name, near in absent.items())
        raise ConfigError(f"lines: {told or 'at least one is wanted'}")
    return tuple(found)


def _require_whole(name: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{name}: a whole number of {low:,} to {high:,} is wanted, found {value!r}")


def _require_number(name: str, value: object, low: float, high: float) -> None:
    if not isinstance(value, int | float) or not math.isfinite(value) or not low <= value <= high:
        raise ConfigError(f"{name}: a number of {low:g} to {high:g} is wanted, found {value!r}")
