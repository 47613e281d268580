"""Files of the user's that are a table: how many rows they have, and which columns of which types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import BadDataError, ConfigError, escape_controls

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

TEXT: Final = frozenset({".csv", ".tsv", ".txt"})
LARGEST_TEXT: Final = 1 << 30  # text is read as a whole; more belongs into Parquet
KEYLESS: Final = (
    "list",
    "large_list",
    "fixed_size_list",
    "struct",
    "map",
    "binary",
    "large_binary",
    "fixed_size_binary",
)


def is_text(path: Path) -> bool:
    """Tell a table of text by its name.

    Parameters
    ----------
    path : Path
        Of a file.

    Returns
    -------
    bool
        Whether it is read as text; all else is Parquet.

    Examples
    --------
    >>> from pathlib import Path
    >>> is_text(Path("cells.CSV")), is_text(Path("cells.parquet"))
    (True, False)
    """
    return path.suffix.lower() in TEXT


def read_text(path: Path) -> Any:  # noqa: ANN401 - a frame of Polars
    """Read a table of text.

    Parameters
    ----------
    path : Path
        Comma-separated, or tab-separated where its name ends with ``.tsv`` or ``.txt``.

    Returns
    -------
    polars.DataFrame
        Types by what stands in the columns.

    Raises
    ------
    ConfigError
        If it is larger than 1 GiB.
    """
    import polars as pl

    if path.stat().st_size > LARGEST_TEXT:
        raise ConfigError(f"{path}: text of more than {LARGEST_TEXT >> 20} MiB; save it as Parquet")
    separator = "," if path.suffix.lower() == ".csv" else "\t"
    return pl.read_csv(path, separator=separator, infer_schema_length=None, null_values=["", "NA", "NaN", "nan"])


def measure_file(path: Path) -> tuple[int, dict[str, str]]:
    """Give the rows and columns of a file.

    Parameters
    ----------
    path : Path
        Text or Parquet.

    Returns
    -------
    n_rows : int
        How many.
    types : dict of str to str
        Of each column, in order; all kinds of text are ``string``.

    Raises
    ------
    BadDataError
        If it cannot be read.
    """
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if is_text(path):
            frame = read_text(path)
            return frame.height, {name: str(dtype) for name, dtype in frame.schema.items()}
        footer = pq.ParquetFile(path)
        return footer.metadata.num_rows, {field.name: _name_type(field.type) for field in footer.schema_arrow}
    except (OSError, pa.ArrowException, pl.exceptions.PolarsError) as error:
        raise BadDataError(f"{path}: cannot be read as a table: {escape_controls(str(error))}") from error


def require_same(types: Mapping[str, str], path: Path, expected: Mapping[str, str], first: Path) -> None:
    """Make sure that two files of a table have the same columns, in whatever order.

    Parameters
    ----------
    types, expected : mapping
        As `measure_file` gives them.
    path, first : Path
        Their files.

    Raises
    ------
    BadDataError
        If a column is missing, is one too many, or has another type; it is named.
    """
    for name in [*expected, *types]:
        here, there = types.get(name), expected.get(name)
        if here != there:
            raise BadDataError(
                f"{path}: the column {escape_controls(name)!r} is {here or 'not there'}, and in {first.name} it is "
                f"{there or 'not there'}; all files of a table have the same columns"
            )


def require_keyable(types: Mapping[str, str], key: Iterable[str], place: Path) -> None:
    """Make sure that rows can be told apart by some columns.

    Parameters
    ----------
    types : mapping
        As `measure_file` gives them.
    key : iterable of str
        Which columns.
    place : Path
        The table.

    Raises
    ------
    ConfigError
        If one of them has lists, records or bytes.
    """
    for name in key:
        if types.get(name, "").partition("<")[0].partition("[")[0] in KEYLESS:
            raise ConfigError(
                f"{place}: rows are told apart by all columns, and {escape_controls(name)!r} is {types[name]}; name "
                "columns of text or numbers in the `key` of the recipe"
            )


def _name_type(kind: Any) -> str:  # noqa: ANN401 - pyarrow ships no types
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    is_text_type = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return "string" if is_text_type else str(kind)
