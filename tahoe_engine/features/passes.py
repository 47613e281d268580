"""What is asked of every slice before features are made: a question a pass, and answers that add up in any order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import StageError
from tahoe_engine.features.blocks import OneHot, OneHotSvd
from tahoe_engine.features.columns import columns_of_split, columns_of_targets
from tahoe_engine.features.keycounts import KeyCounts, count_keys, merge_counts
from tahoe_engine.features.sums import merge_sums
from tahoe_engine.features.targets import collect_baselines
from tahoe_engine.run import hash_file
from tahoe_engine.schema import CONTROL, ROW_KEY, SAMPLE, SPLIT, SPLITS, TRAIN

if TYPE_CHECKING:
    import polars as pl

    from tahoe_engine.features.design import Design
    from tahoe_engine.features.recipe import Recipe
    from tahoe_engine.features.rows import RowReader
    from tahoe_engine.features.table import Slice

MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Counting:
    """The first pass: which rows there are. A part is read once before, every byte, and must be what it was.

    Parameters
    ----------
    reader : RowReader
        Gives the rows.
    keys : bool
        Whether to count who could train, too; not before it is known which rows are kept.
    check : bool
        Whether to hash the parts.
    """

    reader: RowReader
    keys: bool = True
    check: bool = True

    def __call__(self, piece: Slice) -> Counted:
        """Count the rows of a slice."""
        table = self.reader.table
        if self.check and not piece.number and hash_file(Path(piece.path)) != table.hashes[piece.part]:
            raise StageError(f"{piece.path} is not what it was, or what the manifest says; see `tahoe verify --deep`")
        recipe = self.reader.recipe
        frame, told = self.reader.read(piece, tuple(columns_of_split(recipe)))
        counts = count_keys(frame, recipe.split, CONTROL) if self.keys else None
        return Counted({piece.name: frame.height}, Counter(_numbers(told)), _values(told), counts)


@dataclass
class Counted:
    """What the first pass tells.

    Parameters
    ----------
    kept : dict
        Rows kept of each slice, by its name.
    rows : Counter
        Rows in all, and dropped by what.
    seen : dict
        Values seen of the columns in ``rows.keep``.
    keys : KeyCounts, optional
        Who could train.
    """

    kept: dict[str, int] = field(default_factory=dict)
    rows: Counter[str] = field(default_factory=Counter)
    seen: dict[str, set[str]] = field(default_factory=dict)
    keys: KeyCounts | None = None


def merge_counted(parts: list[Counted]) -> Counted:
    """Put together what slices told.

    Parameters
    ----------
    parts : list of Counted
        At least one.

    Returns
    -------
    Counted
        Of all of them.
    """
    merged = Counted()
    for part in parts:
        merged.kept |= part.kept
        merged.rows.update(part.rows)
        for column, values in part.seen.items():
            merged.seen.setdefault(column, set()).update(values)
    keys = [part.keys for part in parts if part.keys is not None]
    merged.keys = merge_counts(keys) if keys else None
    return merged


@dataclass(frozen=True)
class Facing:
    """The second pass: what the split makes of the rows.

    Parameters
    ----------
    reader : RowReader
        Gives the rows.
    design : Design
        With its split.
    """

    reader: RowReader
    design: Design

    def __call__(self, piece: Slice) -> Faced:
        """Face the rows of a slice."""
        import polars as pl

        recipe = self.reader.recipe
        counted = list_counted(recipe)
        wells = name_groups(self.reader)
        wanted = [*columns_of_split(recipe), *columns_of_targets(recipe), *wells, ROW_KEY]
        frame, _ = self.reader.read(piece, tuple(dict.fromkeys([*wanted, *(column for _, column in counted)])))
        assigned = self.design.split.assign(frame)
        rows = frame.with_columns(assigned)
        faced = Faced(
            {target.name: collect_baselines(rows, target) for target in recipe.targets if target.kind == "delta"}
        )
        if recipe.rows.controls == "drop":
            rows = rows.filter(~pl.col(CONTROL))
        faced.n_rows = {piece.name: {split: int((rows[SPLIT] == at).sum()) for at, split in enumerate(SPLITS)}}
        fitted = rows if recipe.fitted_on == "all" else rows.filter(pl.col(SPLIT) == TRAIN)
        faced.n_fitted = {piece.name: fitted.height}
        faced.provenance = {
            "fitted_on": _identify(fitted),
            **{split: _identify(rows.filter(pl.col(SPLIT) == at)) for at, split in enumerate(SPLITS)},
        }
        for block, column in counted:
            levels = fitted.select(pl.col(column).cast(pl.String).fill_null("").alias("level"))
            faced.levels[block, column] = Counter(dict(levels.group_by("level").len().rows()))
        keys = [pl.col(name).cast(pl.String) for name in wells]
        faced.groups = rows.group_by([*keys, SPLIT]).agg(pl.len().cast(pl.Int64).alias("n_rows"))
        return faced


@dataclass
class Faced:
    """What the second pass tells.

    Parameters
    ----------
    baselines : dict
        Sums of control cells, of each delta target.
    n_rows : dict
        Rows of features of each slice and split.
    n_fitted : dict
        Rows of each slice that transformers are fitted on.
    provenance : dict
        Number and sum of the keys of these, and of each split.
    levels : dict
        Rows of each level, by block and column, where levels are those of the rows.
    groups : polars.DataFrame
        Rows of each group (or well) in each split.
    """

    baselines: dict[str, pl.DataFrame] = field(default_factory=dict)
    n_rows: dict[str, dict[str, int]] = field(default_factory=dict)
    n_fitted: dict[str, int] = field(default_factory=dict)
    provenance: dict[str, dict[str, int]] = field(default_factory=dict)
    levels: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    groups: pl.DataFrame | None = None


def merge_faced(parts: list[Faced]) -> Faced:
    """Put together what slices told.

    Parameters
    ----------
    parts : list of Faced
        At least one.

    Returns
    -------
    Faced
        Of all of them.
    """
    import polars as pl

    merged = Faced({name: merge_sums([part.baselines[name] for part in parts]) for name in parts[0].baselines})
    for part in parts:
        merged.n_rows |= part.n_rows
        merged.n_fitted |= part.n_fitted
        for name, one in part.provenance.items():
            known = merged.provenance.setdefault(name, {"rows": 0, "keys": 0})
            known["rows"] += one["rows"]
            known["keys"] = (known["keys"] + one["keys"]) & MASK
        for place, levels in part.levels.items():
            merged.levels.setdefault(place, Counter()).update(levels)
    groups = pl.concat([part.groups for part in parts if part.groups is not None])
    merged.groups = groups.group_by([name for name in groups.columns if name != "n_rows"]).agg(pl.col("n_rows").sum())
    return merged


def name_groups(reader: RowReader) -> list[str]:
    """Name the columns whose values must not be on both sides of the split.

    Parameters
    ----------
    reader : RowReader
        With the rule and the table.

    Returns
    -------
    list of str
        Those of the rule; for cells that are shared out one by one their well: cells of a well are no independent
        witnesses. Else what tells rows apart.
    """
    by = reader.recipe.split.by
    if by:
        return list(by)
    return [SAMPLE] if SAMPLE in reader.table.columns else list(reader.recipe.key)


def list_counted(recipe: Recipe) -> list[tuple[str, str]]:
    """List the columns whose levels are those of the rows, not of a vocabulary.

    Parameters
    ----------
    recipe : Recipe
        With its blocks.

    Returns
    -------
    list of (str, str)
        Block and column.
    """
    found = []
    for block in recipe.features:
        if isinstance(block, OneHot) and (block.levels == "seen" or block.top):
            found.append((block.name, block.column))
        elif isinstance(block, OneHotSvd) and block.levels == "seen":
            found += [(block.name, column) for column in block.columns]
    return found


def _identify(rows: pl.DataFrame) -> dict[str, int]:
    """Give number and sum of keys: which rows these are, in whatever order."""
    import numpy as np

    keys = rows[ROW_KEY].to_numpy()
    return {"rows": rows.height, "keys": int(keys.sum(dtype=np.uint64))}


def _numbers(told: dict[str, Any]) -> dict[str, int]:
    return {name: told[name] for name in ("rows", "keep", "where")}


def _values(told: dict[str, Any]) -> dict[str, set[str]]:
    return {column: set(values) for column, values in told["seen"].items()}
