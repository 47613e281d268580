"""The tables that a recipe joins: of drugs, of cell lines, and Tahoe's own of every cell."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import ConfigError
from tahoe_engine.features.joins import OBS_FOUND, join_obs, list_obs_columns, load_cell_line_columns, load_drug_columns
from tahoe_engine.run import digest_frame, hash_file
from tahoe_engine.schema import BARCODE, CELL_LINE_ID, DRUG, PLATE, SAMPLE

if TYPE_CHECKING:
    from collections.abc import Collection

    import polars as pl

    from tahoe_engine.features.recipe import Recipe
    from tahoe_engine.features.table import TableParts


@dataclass(frozen=True)
class Joins:
    """What is joined to rows, and how it is told from another table of its name.

    Parameters
    ----------
    tables : dict
        Small tables, one row a value of their key, by that key.
    obs : str
        Path of ``obs_metadata``; empty where it is not joined.
    obs_columns : tuple of str
        What it has to give.
    identity : dict
        Digests of the tables.
    """

    tables: dict[str, pl.DataFrame] = field(default_factory=dict, repr=False)
    obs: str = ""
    obs_columns: tuple[str, ...] = ()
    identity: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, recipe: Recipe, table: TableParts, obs: str) -> Joins:
        """Load what a recipe joins.

        Parameters
        ----------
        recipe : Recipe
            Which tables.
        table : TableParts
            What they are joined to; its own columns stay where one has the same name.
        obs : str
            Path of ``obs_metadata``.

        Returns
        -------
        Joins
            Ready to be added.

        Raises
        ------
        ConfigError
            If a table is needed and not named, or there is nothing to join it by.
        """
        folder = Path(table.metadata) if table.metadata else None
        loaded = {"drug": (DRUG, load_drug_columns), "cell_line": (CELL_LINE_ID, load_cell_line_columns)}
        tables: dict[str, pl.DataFrame] = {}
        identity: dict[str, Any] = {}
        for name in recipe.joins:
            key = loaded[name][0] if name in loaded else BARCODE
            if key not in table.columns:
                raise ConfigError(f"the recipe joins {name!r}, and the table has no column {key!r} to join it by")
            if name in loaded:
                frame = loaded[name][1](folder)
                tables[key] = frame.drop([one for one in frame.columns if one in table.columns and one != key])
                identity[name] = digest_frame(tables[key])
        columns: tuple[str, ...] = ()
        if "obs" in recipe.joins:
            if not obs:
                raise ConfigError("the recipe joins obs_metadata; name it with --obs (Parquet file or folder)")
            columns = tuple(name for name in list_obs_columns(obs) if name not in table.columns)
            files = sorted(Path(obs).glob("*.parquet")) if Path(obs).is_dir() else [Path(obs)]
            identity["obs"] = {path.name: hash_file(path) for path in files}
        return cls(tables, obs if columns else "", columns, identity)

    @property
    def columns(self) -> tuple[str, ...]:
        """What they give."""
        small = [name for key, table in self.tables.items() for name in table.columns if name != key]
        return (*small, *self.obs_columns)

    def keys_of(self, wanted: Collection[str]) -> set[str]:
        """Give the columns that are needed to join others.

        Parameters
        ----------
        wanted : collection of str
            Columns, joined or not.

        Returns
        -------
        set of str
            Columns of the table.
        """
        keys = {key for key, table in self.tables.items() if not set(wanted).isdisjoint(set(table.columns) - {key})}
        return keys | ({BARCODE, SAMPLE, PLATE} if not set(wanted).isdisjoint(self.obs_columns) else set())

    def add(self, frame: pl.DataFrame, wanted: Collection[str]) -> pl.DataFrame:
        """Join to rows what is asked for.

        Parameters
        ----------
        frame : polars.DataFrame
            Rows with the columns of `keys_of`.
        wanted : collection of str
            Columns, joined or not.

        Returns
        -------
        polars.DataFrame
            The same rows; null where a table does not know them.
        """
        for key, table in self.tables.items():
            names = [name for name in table.columns if name in wanted and name != key]
            if names:
                frame = frame.join(table.select(key, *names), on=key, how="left", maintain_order="left")
        names = [name for name in self.obs_columns if name in wanted]
        if names:
            frame = join_obs(frame, self.obs, [name for name in names if name != OBS_FOUND])
        return frame
