"""The table a recipe is about: of the run, or a file of the user's; its parts, cut into slices."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import BadDataError, ConfigError, SourceError, StageError
from tahoe_engine.features.files import is_text, measure_file, require_keyable, require_same
from tahoe_engine.features.width import SLICE_ROWS, choose_slice_rows
from tahoe_engine.run import Layout, hash_file, read_published
from tahoe_engine.schema import BARCODE, CELLS, GROUP_KEYS, ROW, SAMPLE, cells_table, groups_index
from tahoe_engine.toptable import read_top_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tahoe_engine.features.recipe import Recipe

GROUPS_INDEX: Final = "index.parquet"


@dataclass(frozen=True)
class Slice:
    """Neighbouring rows of a part: what is in memory at once.

    Parameters
    ----------
    part : str
        Name of the part; that of the slice too, where it is the only one.
    path : str
        Its file.
    first, n_rows : int
        Rows of the file.
    number : int
        Of the slice within its part.
    single : bool
        Whether the part has no other.
    """

    part: str
    path: str
    first: int
    n_rows: int
    number: int
    single: bool

    @property
    def name(self) -> str:
        """Name of what is made of it."""
        return self.part if self.single else f"{self.part}.{self.number:05}"


@dataclass(frozen=True)
class TableParts:
    """The parts of a table, with what tells them from others of their name.

    Parameters
    ----------
    kind : str
        As in the recipe.
    slices : tuple of Slice
        In order.
    hashes : dict
        sha256 of each part's file; checked before it is used.
    columns : tuple of str
        What the table has.
    key : tuple of str
        Columns that tell its rows apart.
    ids : tuple of str
        Columns that go along with the features.
    needs : dict
        Digests of the stages of the run that it is of.
    told : dict
        What its reader has to say of it.
    metadata : str
        Folder of the tables of drugs and lines; empty for the packaged ones.
    """

    kind: str
    slices: tuple[Slice, ...] = field(repr=False)
    hashes: dict[str, str] = field(repr=False)
    columns: tuple[str, ...]
    key: tuple[str, ...]
    ids: tuple[str, ...]
    needs: dict[str, str]
    told: dict[str, Any]
    metadata: str = ""

    @property
    def n_rows(self) -> int:
        """Rows of all parts."""
        return sum(piece.n_rows for piece in self.slices)

    @cached_property
    def firsts(self) -> dict[str, int]:
        """Number of the first row of each slice, by its name."""
        sizes = [piece.n_rows for piece in self.slices]
        return dict(zip([piece.name for piece in self.slices], accumulate(sizes, initial=0), strict=False))


def numbers_rows(recipe: Recipe, columns: Collection[str]) -> bool:
    """Tell whether the rows of a table go by their number, too: those of files, which have no shard and row.

    Parameters
    ----------
    recipe : Recipe
        Which table.
    columns : collection of str
        What the table has; a column ``row`` of its own stays what it is.

    Returns
    -------
    bool
        Whether ``row`` goes along with the features.
    """
    taken = {*columns, *recipe.derive, *(target.name for target in recipe.targets)}
    return recipe.table in {"top_table", "file"} and ROW not in taken


def find_table(layout: Layout, recipe: Recipe, place: str) -> TableParts:
    """Find the table of a recipe.

    Parameters
    ----------
    layout : Layout
        The run.
    recipe : Recipe
        Which table.
    place : str
        A file or folder of the user's that is it; empty: the run's own.

    Returns
    -------
    TableParts
        With at least one row.

    Raises
    ------
    StageError
        If the run has no such table, or not as its manifest says.
    ConfigError
        If the recipe needs a file and none is named.
    SourceError
        If there is no such file.
    BadDataError
        If it cannot be read, or has no rows.
    """
    if place:
        parts = _find_files(Path(place), recipe)
    elif recipe.table in {"cells", "groups"}:
        parts = _find_own(layout, recipe)
    else:
        raise ConfigError("this recipe is about a table of yours; name its file with --table")
    if not parts.n_rows:
        raise BadDataError(f"{place or layout.stage(recipe.table)}: the table has no rows")
    return parts


def _find_own(layout: Layout, recipe: Recipe) -> TableParts:
    manifest = read_published(layout, recipe.table)
    folder = layout.stage(recipe.table)
    entries = [part for part in manifest["parts"] if part["name"].endswith(".parquet") and part["rows"]]
    if recipe.table == "groups":
        entries = [part for part in entries if part["name"] == GROUPS_INDEX]
        keys = tuple(manifest["settings"]["groups"].get("by", GROUP_KEYS))
        columns, key = groups_index(keys).names, keys
        ids = tuple(name for name in columns if name not in {"n_cells", "total_counts"})
    else:
        stats = manifest["settings"]["cells"]["stats"]
        columns, key, ids = _columns_of_cells(stats)
    for part in entries:
        path = folder / part["name"]
        if not path.is_file() or path.stat().st_size != part["size"]:
            raise StageError(f"{path}: gone or damaged; run `tahoe {recipe.table}` again with the same settings")
    rows = choose_slice_rows(recipe)
    slices = [
        piece
        for part in sorted(entries, key=lambda part: str(part["name"]))
        for piece in cut_part(part["name"].removesuffix(".parquet"), folder / part["name"], part["rows"], rows=rows)
    ]
    return TableParts(
        kind=recipe.table,
        slices=tuple(slices),
        hashes={part["name"].removesuffix(".parquet"): part["sha256"] for part in entries},
        columns=columns,
        key=key,
        ids=ids,
        needs={recipe.table: manifest["digest"]},
        told={},
        metadata=str(layout.metadata.absolute()) if layout.metadata.is_dir() else "",
    )


def _columns_of_cells(stats: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    columns = cells_table(stats).names
    ids = columns[: CELLS.names.index("n_genes_by_counts")]
    # The barcode tells cells apart in all Tahoe has; the well is there for data sets that use them again.
    return columns, (BARCODE, SAMPLE), tuple(name for name in ids if name in columns)


def _find_files(place: Path, recipe: Recipe) -> TableParts:
    paths = sorted(place.glob("*.parquet")) if place.is_dir() else [place]
    if not paths or not all(path.is_file() for path in paths):
        raise SourceError(f"{place}: no such table; name a file (Parquet, CSV) or a folder of Parquet files")
    counts: dict[Path, int] = {}
    columns: tuple[str, ...] = ()
    told: dict[str, Any] = {}
    if recipe.table == "top_table":
        if len(paths) > 1:
            raise ConfigError("a top table is one file; name it with --table")
        table = read_top_table(paths[0])
        counts, columns, told = (
            {paths[0]: table.frame.height},
            tuple(table.frame.columns),
            {"top_table": table.describe()},
        )
    types: dict[str, str] = {}
    for path in paths if recipe.table != "top_table" else ():
        counts[path], found = measure_file(path)
        if types:
            require_same(found, path, types, paths[0])
        else:
            types, columns = found, tuple(found)
    key, ids = recipe.key, recipe.key
    if numbers_rows(recipe, columns):
        ids = (*ids, ROW)
    if recipe.table == "cells":
        key = (BARCODE, SAMPLE)
        ids = tuple(name for name in CELLS.names[: CELLS.names.index("n_genes_by_counts")] if name in columns)
    require_keyable(types, key or columns, place)
    beside = place.absolute().parent / "metadata" if place.is_dir() else None
    return TableParts(
        kind=recipe.table,
        slices=tuple(
            piece
            for path in paths
            for piece in cut_part(
                path.stem, path, counts[path], whole=recipe.table == "top_table", rows=choose_slice_rows(recipe)
            )
        ),
        hashes={path.stem: hash_file(path) for path in paths},
        columns=columns,
        key=key or columns,
        ids=ids,
        needs={},
        told=told,
        metadata=str(beside) if beside is not None and beside.is_dir() else "",
    )


def cut_part(name: str, path: Path, n_rows: int, *, whole: bool = False, rows: int = SLICE_ROWS) -> Iterator[Slice]:
    """Cut a part into slices.

    Parameters
    ----------
    name : str
        Of the part.
    path : Path
        Its file.
    n_rows : int
        Its rows.
    whole : bool
        One slice, however long.
    rows : int
        Of a slice, at most.

    Yields
    ------
    Slice
        In order; none of an empty part.

    Examples
    --------
    >>> [piece.name for piece in cut_part("a", Path("a.parquet"), 200_000)]
    ['a.00000', 'a.00001']
    >>> [(piece.name, piece.n_rows) for piece in cut_part("b", Path("b.parquet"), 7)]
    [('b', 7)]
    """
    step = max(1, n_rows) if whole or is_text(path) else rows
    firsts = range(0, n_rows, step)
    for number, first in enumerate(firsts):
        yield Slice(name, str(path.absolute()), first, min(step, n_rows - first), number, single=len(firsts) == 1)
