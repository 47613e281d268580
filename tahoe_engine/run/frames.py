"""Tables that Polars writes: the same bytes for the same values, and a digest of the values themselves."""

from __future__ import annotations

import hashlib
import io
import os
from typing import TYPE_CHECKING, Any

from tahoe_engine.run.disk import hash_file

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

GROUP_ROWS = 131_072  # as the core's parts


def write_frame(path: Path, frame: pl.DataFrame) -> dict[str, Any]:
    """Write a table to a new file and bring it to the disk.

    Parameters
    ----------
    path : Path
        A temporary file; it must not exist.
    frame : polars.DataFrame
        The rows, in the order they shall have.

    Returns
    -------
    dict
        ``rows``, ``size``, ``sha256`` and ``digest``, as a manifest has them.

    Raises
    ------
    OSError
        If the file system refuses.
    """
    with path.open("xb") as file:
        file.write(encode_frame(frame))
        file.flush()
        os.fsync(file.fileno())
    return {
        "rows": frame.height,
        "size": path.stat().st_size,
        "sha256": hash_file(path),
        "digest": digest_frame(frame),
    }


def encode_frame(frame: pl.DataFrame) -> bytes:
    """Give a table as the bytes of a Parquet file.

    Parameters
    ----------
    frame : polars.DataFrame
        The rows, in the order they shall have.

    Returns
    -------
    bytes
        The same for the same values, by one version of Polars.
    """
    content = io.BytesIO()
    frame.write_parquet(content, compression="zstd", compression_level=1, row_group_size=GROUP_ROWS)
    return content.getvalue()


def digest_frame(frame: pl.DataFrame) -> str:
    """Hash the values of a table, whoever writes them.

    Parameters
    ----------
    frame : polars.DataFrame
        Of numbers and texts.

    Returns
    -------
    str
        Hexadecimal. Names, types, order of rows and nulls count; row groups and compression do not.

    Examples
    --------
    >>> import polars as pl
    >>> one, other = pl.DataFrame({"a": [1, None]}), pl.DataFrame({"a": [1, 0]})
    >>> digest_frame(one) == digest_frame(one.clone()), digest_frame(one) == digest_frame(other)
    (True, False)
    """
    import numpy as np
    import polars as pl

    hasher = hashlib.sha256()
    for column in frame.iter_columns():
        n_null = column.null_count()
        hasher.update(f"{column.name}:{column.dtype}:{len(column)}:{n_null}:".encode())
        if column.dtype.is_numeric():
            if n_null:
                hasher.update(column.is_null().cast(pl.UInt8).to_numpy().data)
                column = column.fill_null(0)  # noqa: PLW2901 - the same values
            hasher.update(np.ascontiguousarray(column.to_numpy()).data)
        else:
            texts = column.cast(pl.String)
            # How long each is, then all of them behind each other.
            hasher.update(texts.str.len_bytes().cast(pl.Int64).fill_null(-1).to_numpy().data)
            hasher.update((texts.str.join("").item() or "").encode())
    return hasher.hexdigest()
