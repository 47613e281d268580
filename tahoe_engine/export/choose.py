"""Which groups and cells are exported: by names that people write, found among those that the run has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import ConfigError, escape_controls
from tahoe_engine.schema import CELL_LINE_ID, CELL_NAME, CELLOSAURUS_ID, DRUG, PLATE, SAMPLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import polars as pl

    from tahoe_engine.run import Run

COLUMNS = {"plates": PLATE, "drugs": DRUG, "cell_lines": CELL_LINE_ID, "samples": SAMPLE}


@dataclass(frozen=True)
class Filters:
    """What to keep; empty keeps all.

    Parameters
    ----------
    plates, drugs, cell_lines, samples : tuple of str
        Ids or names, in any case; plates also by number.
    """

    plates: tuple[str, ...] = ()
    drugs: tuple[str, ...] = ()
    cell_lines: tuple[str, ...] = ()
    samples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chosen:
    """The values to keep.

    Parameters
    ----------
    values : dict of str to list of str
        By column: values that the run has.
    absent : dict of str to dict
        By filter: names that the run has not, each with the nearest that it has.
    """

    values: dict[str, list[str]] = field(default_factory=dict)
    absent: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    @property
    def predicate(self) -> pl.Expr:
        """True for the rows to keep."""
        import polars as pl

        return pl.all_horizontal(
            pl.lit(value=True),
            *(pl.col(column).is_in(values).fill_null(value=False) for column, values in self.values.items()),
        )

    def require_some(self, n_rows: int, what: str) -> None:
        """Refuse to export nothing.

        Parameters
        ----------
        n_rows : int
            What is left.
        what : str
            Name of the rows.

        Raises
        ------
        ConfigError
            If nothing is left.
        """
        if n_rows:
            return
        told = [
            f"it has no {name!r} among its {key.replace('_', ' ')}"
            + (f" (the nearest: {', '.join(near)})" if near else "")
            for key, names in self.absent.items()
            for name, near in names.items()
        ]
        because = "; ".join(told) or ("no row has all that was asked for" if self.values else "the run is empty")
        raise ConfigError(escape_controls(f"no {what} of the run are left to export: {because}"))


def choose(run: Run, filters: Filters, known: Mapping[str, Sequence[str]]) -> Chosen:
    """Find the wanted values among those of the run.

    Parameters
    ----------
    run : Run
        For the names of its cell lines.
    filters : Filters
        What is wanted.
    known : mapping
        By column: the values that the run has. A column that is not there cannot be filtered by.

    Returns
    -------
    Chosen
        With what is absent.

    Raises
    ------
    ConfigError
        If the rows have no such column.
    """
    from tahoe_engine.vocabulary import nearest

    values: dict[str, list[str]] = {}
    absent: dict[str, dict[str, list[str]]] = {}
    for key, column in COLUMNS.items():
        wanted: tuple[str, ...] = getattr(filters, key)
        if not wanted:
            continue
        if column not in known:
            option = f"--{key.replace('_', '-')}"
            raise ConfigError(f"{option}: the groups of this run are not by {column}; they have {', '.join(known)}")
        names = _name(run, column, known[column])
        spelt = _spell(column, names)
        found, unknown = [], {}
        for text in (str(name).strip() for name in wanted):
            value = spelt.get(text) or spelt.get(text.casefold())
            if value is None:
                unknown[text] = nearest(text, names)
            else:
                found.append(value)
        values[column] = sorted(set(found))
        if unknown:
            absent[key] = unknown
    return Chosen(values, absent)


def as_filters(**given: Any) -> Filters:  # noqa: ANN401 - what callers write
    """Make filters of what callers write: None, or names and numbers.

    Parameters
    ----------
    **given : sequence of str or int, optional
        By filter.

    Returns
    -------
    Filters
        All as text.

    Examples
    --------
    >>> as_filters(plates=[4], drugs=None)
    Filters(plates=('4',), drugs=(), cell_lines=(), samples=())
    """
    texts = {key: (value,) if isinstance(value, str) else tuple(map(str, value or ())) for key, value in given.items()}
    return Filters(**texts)


def _name(run: Run, column: str, values: Sequence[str]) -> dict[str, str]:
    """Give the values by themselves, and lines by their names, too."""
    names = {value: value for value in values}
    if column == CELL_LINE_ID:
        names |= {name: value for value, name in _cell_names(run).items() if value in names}
    return names


def _spell(column: str, names: Mapping[str, str]) -> dict[str, str]:
    """Give all that a value may be called; an exact name wins over a folded one."""
    short = {name.removeprefix("plate"): value for name, value in names.items()} if column == PLATE else {}
    return {name.casefold(): value for name, value in names.items()} | short | dict(names)


def _cell_names(run: Run) -> dict[str, str]:
    import polars as pl

    path = run.path / "metadata" / "cell_lines.parquet"
    if not path.is_file():
        return {}
    return dict(pl.read_parquet(path, glob=False).select(CELLOSAURUS_ID, CELL_NAME).drop_nulls().unique().rows())
