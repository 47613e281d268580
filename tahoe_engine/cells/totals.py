"""The cells of a run beside the numbers that Tahoe-100M publishes of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tahoe_engine.run import Run
from tahoe_engine.schema import CELL_NAME, DRUG, PLATE
from tahoe_engine.vocabulary import load_cell_counts

if TYPE_CHECKING:
    import os

    import polars as pl

# Rows of the shards by plate: cells of `obs_metadata` whose pass_filter is 'full'; 95,624,334 in all.
PUBLISHED = {
    "plate1": 5_299_930,
    "plate2": 7_687_184,
    "plate3": 4_158_278,
    "plate4": 6_679_884,
    "plate5": 5_908_471,
    "plate6": 7_285_856,
    "plate7": 5_227_768,
    "plate8": 8_516_367,
    "plate9": 5_569_622,
    "plate10": 7_731_986,
    "plate11": 7_062_820,
    "plate12": 10_188_591,
    "plate13": 8_106_500,
    "plate14": 6_201_077,
}
SHARDS = 3_388
SHOWN = 20  # conditions named one by one
# All cells are counted there, and those of the shards are 95 of 100 of them: a condition this large is never empty.
NEVER_EMPTY = 50


@dataclass(frozen=True)
class Totals:
    """What the comparison found.

    Parameters
    ----------
    plates : list of dict
        plate, cells, published, verdict: ``"equal"``, ``"part"`` (the run covers some of it), ``"fewer"`` (it should
        cover all), ``"more"`` or ``"unknown"``.
    conditions : dict
        How many conditions (plate, drug, dose, line) were compared and how many have more cells than published, are
        not published, or are missing from a plate that is complete; with the first of each.
    """

    plates: list[dict[str, Any]]
    conditions: dict[str, Any]

    @property
    def n_mismatches(self) -> int:
        """Plates and conditions that cannot be Tahoe's."""
        wrong = sum(plate["verdict"] not in {"equal", "part"} for plate in self.plates)
        return wrong + sum(int(self.conditions[kind]) for kind in ("more", "unknown", "missing"))


def compare_totals(path: str | os.PathLike[str]) -> Totals:
    """Compare the kept cells of a run with the published numbers, as far as the run covers them.

    Parameters
    ----------
    path : str or path-like
        The run folder.

    Returns
    -------
    Totals
        By plate and by condition. The published numbers by condition count all cells, those by plate only the cells
        of the shards: no condition can have more, and a plate is complete when its numbers are equal.

    Raises
    ------
    StageError
        If the cells are not finished.

    Examples
    --------
    >>> compare_totals("demo/run").plates  # doctest: +SKIP
    """
    import polars as pl

    run = Run(path)
    manifest = run.manifest["cells"]
    rows = manifest["rows"]
    whole = rows["in"] == rows["kept"] and len(manifest["inputs"]) == SHARDS
    keys = [PLATE, DRUG, "dose_um", CELL_NAME]
    found = run.table("cells").group_by(keys).agg(pl.len().cast(pl.Int64).alias("cells")).collect()
    counted = dict(found.group_by(PLATE).agg(pl.col("cells").sum()).rows())
    if whole:
        counted = dict.fromkeys(PUBLISHED, 0) | counted
    plates = [
        {
            "plate": plate,
            "cells": cells,
            "published": PUBLISHED.get(plate),
            "verdict": _judge(plate, cells, whole=whole),
        }
        for plate, cells in sorted(counted.items(), key=lambda item: (len(item[0]), item[0]))
    ]
    complete = [plate["plate"] for plate in plates if plate["verdict"] == "equal"]
    grid = load_cell_counts().rename({"conc": "dose_um", "n_cells": "published"})
    grid = grid.with_columns(pl.col(DRUG).str.strip_chars()).group_by(keys).agg(pl.col("published").sum())
    both = found.join(grid, on=keys, how="full", coalesce=True, nulls_equal=True)
    kinds = {
        "more": both.filter(pl.col("cells") > pl.col("published")),
        "unknown": both.filter(pl.col("published").is_null()),
        "missing": both.filter(
            pl.col("cells").is_null() & pl.col(PLATE).is_in(complete) & (pl.col("published") > NEVER_EMPTY)
        ),
    }
    first = {f"first_{kind}": _first(rows, keys) for kind, rows in kinds.items()}
    return Totals(plates, {"compared": found.height, **{kind: rows.height for kind, rows in kinds.items()}, **first})


def _judge(plate: str, cells: int, *, whole: bool) -> str:
    published = PUBLISHED.get(plate)
    if published is None:
        return "unknown"
    if cells == published:
        return "equal"
    if cells > published:
        return "more"
    return "fewer" if whole else "part"


def _first(rows: pl.DataFrame, keys: list[str]) -> list[dict[str, Any]]:
    return rows.sort(keys, nulls_last=False).head(SHOWN).to_dicts()
