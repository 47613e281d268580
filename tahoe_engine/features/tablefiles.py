"""Small fitted tables as Parquet bytes, and back: no pickle."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl


def encode_table(table: pl.DataFrame) -> bytes:
    """Write a table.

    Parameters
    ----------
    table : polars.DataFrame
        Small.

    Returns
    -------
    bytes
        Parquet; equal for equal tables under one version of Polars.
    """
    out = io.BytesIO()
    table.write_parquet(out, compression="zstd", statistics=False)
    return out.getvalue()


def decode_table(files: Mapping[str, bytes], name: str, schema: Mapping[str, Any]) -> pl.DataFrame:
    """Read what `encode_table` wrote.

    Parameters
    ----------
    files : mapping of str to bytes
        Contents by file name.
    name : str
        Which of them.
    schema : mapping of str to polars.DataType
        What must be in it, in order.

    Returns
    -------
    polars.DataFrame
        The table, every bit of it.

    Raises
    ------
    StageError
        If it is missing, damaged, or another table.

    Examples
    --------
    >>> import polars as pl
    >>> table = pl.DataFrame({"x": [0.1, None]})
    >>> decode_table({"t": encode_table(table)}, "t", {"x": pl.Float64}).equals(table)
    True
    """
    import polars as pl

    if name not in files:
        raise StageError(f"{name} is missing; run `tahoe features` again")
    try:
        table = pl.read_parquet(io.BytesIO(files[name]))
    except (OSError, pl.exceptions.PolarsError) as error:
        raise StageError(f"{name} is damaged ({error}); run `tahoe features` again") from error
    if list(table.schema.items()) != list(schema.items()):
        raise StageError(f"{name} has columns {dict(table.schema)}, not {dict(schema)}; run `tahoe features` again")
    return table
