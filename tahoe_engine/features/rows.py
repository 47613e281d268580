"""The rows of a recipe: read, kept or dropped and counted, joined, derived."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import BadDataError, ConfigError, escape_controls
from tahoe_engine.features.files import is_text, read_text
from tahoe_engine.features.formulas import Formula, read_formula
from tahoe_engine.features.keys import hash_texts
from tahoe_engine.features.table import numbers_rows
from tahoe_engine.schema import CONTROL, DRUG, ROW, ROW_KEY, ROW_NUMBER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import polars as pl

    from tahoe_engine.features.joined import Joins
    from tahoe_engine.features.recipe import Recipe
    from tahoe_engine.features.table import Slice, TableParts

OWN: Final = frozenset({ROW_KEY, ROW_NUMBER, CONTROL})
KEY_SEED: Final = 0  # a row's key is the same under every seed


@dataclass(frozen=True)
class RowReader:
    """Reads the rows of a recipe, slice by slice, in any process.

    Parameters
    ----------
    recipe : Recipe
        Which rows and which columns there are.
    table : TableParts
        Whose.
    joins : Joins
        Tables that are joined.
    before : dict
        Rows that are kept before each slice, by its name; empty where nothing counts them.
    """

    recipe: Recipe
    table: TableParts
    joins: Joins
    before: dict[str, int] = field(default_factory=dict, repr=False)

    @cached_property
    def derived(self) -> dict[str, Formula]:
        """Formulas by the name of the column they give."""
        return {name: read_formula(text) for name, text in self.recipe.derive.items()}

    @cached_property
    def own(self) -> frozenset[str]:
        """Columns that the engine knows itself: no table has them."""
        return OWN | {ROW} if numbers_rows(self.recipe, self.table.columns) else OWN

    @cached_property
    def where(self) -> Formula | None:
        """What is true for rows to keep."""
        return read_formula(self.recipe.rows.where) if self.recipe.rows.where else None

    def require_columns(self, names: Iterable[str]) -> None:
        """Make sure that columns are there, and the formulas can be computed.

        Parameters
        ----------
        names : iterable of str
            Columns of the table, joined or derived ones.

        Raises
        ------
        ConfigError
            If one is not; the nearest real one is named.
        """
        import difflib

        taken = OWN & {*self.table.columns, *self.derived}
        if taken:
            raise ConfigError(f"a column is called {min(taken)!r}, a name the engine uses itself; rename it")
        there = [*self.table.columns, *self.joins.columns]
        for name, formula in [*self.derived.items(), ("", self.where)]:
            for column in sorted(formula.columns if formula else ()):
                if column not in there:
                    self._refuse(column, there, difflib)
            if name in there:
                raise ConfigError(f"the derived column {name!r} is there already; give it another name")
            there += [name] if name else []
        for column in [*names, *self.recipe.rows.keep]:
            if column not in there:
                self._refuse(column, there, difflib)

    def _refuse(self, column: str, there: list[str], difflib: Any) -> None:  # noqa: ANN401 - the module
        near = difflib.get_close_matches(column, there, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        listed = escape_controls(", ".join(there))
        raise ConfigError(f"there is no column {escape_controls(column)!r}; {hint}There is {listed}")

    def list_base(self, wanted: Collection[str]) -> frozenset[str]:
        """Give the columns that others are made of.

        Parameters
        ----------
        wanted : collection of str
            Columns of the table, joined or derived ones.

        Returns
        -------
        frozenset of str
            Columns of the table or joined ones.
        """
        base: set[str] = set()
        for name in wanted:
            formula = self.derived.get(name)
            base |= {name} if formula is None else self.list_base(formula.columns)
        return frozenset(base)

    def read(self, piece: Slice, wanted: Collection[str]) -> tuple[pl.DataFrame, dict[str, Any]]:
        """Read the rows of a slice that are kept.

        Parameters
        ----------
        piece : Slice
            Which.
        wanted : collection of str
            Columns to give, besides those of our own that are named there: ``row_key``, ``row_number``, ``is_control``.

        Returns
        -------
        frame : polars.DataFrame
            In the order of the table.
        told : dict
            ``rows`` of the slice, dropped by ``keep`` and ``where``, and the values ``seen`` of columns in ``keep``.

        Raises
        ------
        BadDataError
            If the part cannot be read.
        """
        rows = self.recipe.rows
        asked = {*(name for name in wanted if name not in self.own), *rows.keep}
        asked |= self.where.columns if self.where else set()
        asked |= set(self.table.key) if ROW_KEY in wanted else set()
        asked |= {DRUG} if CONTROL in wanted and DRUG in self.table.columns else set()
        base = self.list_base(asked)
        frame = _read_slice(piece, self.table, base | self.joins.keys_of(base))
        if ROW in wanted and ROW in self.own:
            frame = frame.with_columns(_number_rows(frame, self.table.firsts[piece.name], ROW))
        told: dict[str, Any] = {"rows": frame.height, "seen": _list_seen(frame, rows.keep)}
        for column, values in rows.keep.items():
            frame = frame.filter(_is_one_of(frame.schema[column], column, values))
        told["keep"] = told["rows"] - frame.height
        frame = self.complete(frame, base)
        if self.where is not None:
            if self.where.tell_kind(frame.schema) != "truth":
                raise ConfigError(f"rows.where = {rows.where!r} must be true or false; write a comparison")
            frame = frame.filter(self.where.expression(frame.schema).fill_null(value=False))
        told["where"] = told["rows"] - told["keep"] - frame.height
        if rows.first and self.before:
            frame = frame.head(max(0, rows.first - self.before[piece.name]))
        return self.add_own(frame, wanted, self.before.get(piece.name, 0)).select(*dict.fromkeys(wanted)), told

    def complete(self, frame: pl.DataFrame, base: Collection[str]) -> pl.DataFrame:
        """Join and derive columns.

        Parameters
        ----------
        frame : polars.DataFrame
            Rows of the table.
        base : collection of str
            Columns to join; what can be derived of what is there then, is.

        Returns
        -------
        polars.DataFrame
            The same rows.
        """
        frame = self.joins.add(frame, base)
        for name, formula in self.derived.items():
            if formula.columns <= set(frame.columns):
                frame = frame.with_columns(formula.expression(frame.schema).alias(name))
        return frame

    def add_own(self, frame: pl.DataFrame, wanted: Collection[str], first: int = 0) -> pl.DataFrame:
        """Add the columns that are the engine's own.

        Parameters
        ----------
        frame : polars.DataFrame
            Rows with the key of the table, and ``drug`` where it has one.
        wanted : collection of str
            Of ``row_key``, ``row_number``, ``is_control`` and, where the engine numbers them, ``row``.
        first : int
            Number of the first row.

        Returns
        -------
        polars.DataFrame
            The same rows.
        """
        import polars as pl

        own = []
        if ROW_KEY in wanted:
            texts = [frame[name].cast(pl.String) for name in self.table.key]
            own.append(pl.Series(ROW_KEY, hash_texts(texts, KEY_SEED), dtype=pl.UInt64))
        if ROW_NUMBER in wanted:
            own.append(_number_rows(frame, first, ROW_NUMBER))
        if ROW in wanted and ROW in self.own and ROW not in frame.columns:
            own.append(_number_rows(frame, first, ROW))
        if CONTROL in wanted:
            drug = frame[DRUG] if DRUG in frame.columns else pl.repeat(None, frame.height, dtype=pl.String, eager=True)
            own.append(drug.eq_missing(self.recipe.rows.control).alias(CONTROL))
        return frame.with_columns(own)


def _number_rows(frame: pl.DataFrame, first: int, name: str) -> pl.Series:
    import polars as pl

    dtype = pl.Int64 if name == ROW else pl.UInt64  # as cells have it
    return pl.int_range(first, first + frame.height, dtype=dtype, eager=True).alias(name)


def _read_slice(piece: Slice, table: TableParts, columns: Collection[str]) -> pl.DataFrame:
    import polars as pl

    path = Path(piece.path)
    names = [name for name in table.columns if name in columns] or list(table.columns[:1])  # of none are no rows
    try:
        if table.kind == "top_table":
            from tahoe_engine.toptable import read_top_table

            frame: pl.DataFrame = read_top_table(path).frame.select(names)
        elif is_text(path):
            frame = read_text(path).select(names)
        else:
            scanned = pl.scan_parquet(path, glob=False, hive_partitioning=False).slice(piece.first, piece.n_rows)
            frame = scanned.select(names).collect()
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        # Bytes of a foreign file can be such that its reader gives up.
        raise BadDataError(f"{path}: cannot be read: {escape_controls(str(error))}") from error
    if frame.height != piece.n_rows:
        raise BadDataError(f"{path}: {frame.height} rows, {piece.n_rows} expected; it changed meanwhile")
    for name, dtype in frame.schema.items():
        if dtype.is_nested() or dtype in {pl.Binary, pl.Object}:
            raise BadDataError(
                f"{path}: the column {escape_controls(name)!r} is {dtype}; features are made of texts, numbers, dates "
                "and truth values"
            )
    # Categories and enums of foreign files are texts like any others.
    return frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))


def _is_one_of(dtype: pl.DataType, column: str, values: tuple[str, ...]) -> pl.Expr:
    import polars as pl

    if dtype.is_numeric():
        try:
            return pl.col(column).cast(pl.Float64).is_in([float(value) for value in values])
        except ValueError as error:
            raise ConfigError(f"rows.keep: {column!r} has numbers, and {values} are not all numbers") from error
    return pl.col(column).cast(pl.String).is_in(values)


def _list_seen(frame: pl.DataFrame, keep: Collection[str]) -> dict[str, list[str]]:
    import polars as pl

    return {column: frame[column].drop_nulls().unique().cast(pl.String).sort().to_list() for column in keep}
