"""The part of a stratum: written contrast by contrast, so that no part has to fit into memory."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tahoe_engine.run import hash_file
from tahoe_engine.run.frames import GROUP_ROWS
from tahoe_engine.schema import RESULTS, RESULTS_LIMMA

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from tahoe_engine.schema import Table


def results_table(method: str) -> Table:
    """Give the table of results that a method writes.

    Parameters
    ----------
    method : {"limma", "welch"}
        As in ``[contrasts]``.

    Returns
    -------
    Table
        With the columns that only limma has, or without.
    """
    return RESULTS_LIMMA if method == "limma" else RESULTS


class ResultsWriter:
    """Write the results of contrasts to a temporary file.

    Parameters
    ----------
    path : Path
        The file; it must not exist.
    table : Table
        Its columns.

    Notes
    -----
    The same rows give the same bytes: row groups have a fixed length, whatever the contrasts they come from.
    """

    def __init__(self, path: Path, table: Table) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = {"Int32": pa.int32(), "Float64": pa.float64()}
        self._path, self._table = path, table
        self._schema = pa.schema([(column.name, types[column.dtype]) for column in table.columns])
        self._file = path.open("xb")
        # Ids in runs and tokens in order are small as they are; dictionaries of measured numbers would only grow.
        self._parquet = pq.ParquetWriter(
            self._file,
            self._schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=["contrast_id"],
            column_encoding={"gene": "DELTA_BINARY_PACKED"},
        )
        self._held: list[Any] = []
        self._n_held = self._rows = 0
        self._hasher = hashlib.sha256(":".join(table.names).encode())

    def append(self, contrast_id: int, columns: dict[str, NDArray[np.generic]]) -> None:
        """Add the rows of a contrast.

        Parameters
        ----------
        contrast_id : int
            Greater than those before.
        columns : dict of str to ndarray
            By name, all of one length, without ``contrast_id``; NaN is written as null.
        """
        import pyarrow as pa

        rows = len(columns["gene"]) if columns else 0
        if not rows:
            return
        arrays = []
        for column in self._table.columns:
            if column.name == "contrast_id":
                values: NDArray[np.generic] = np.full(rows, contrast_id, np.int32)
            else:
                values = np.ascontiguousarray(columns[column.name], np.int32 if column.dtype == "Int32" else np.float64)
            missing = np.isnan(values) if values.dtype == np.float64 else None
            if missing is not None:
                values = np.where(missing, np.nan, values)  # one of the many NaN, so that equal values have equal bytes
            self._hasher.update(values.tobytes())
            arrays.append(pa.array(values, mask=missing))
        self._held.append(pa.Table.from_arrays(arrays, schema=self._schema))
        self._n_held += rows
        self._rows += rows
        self._write(self._n_held // GROUP_ROWS * GROUP_ROWS)

    def finish(self) -> dict[str, Any]:
        """Write the rest and bring the file to the disk.

        Returns
        -------
        dict
            ``rows``, ``size``, ``sha256`` and ``digest``, as a manifest has them.
        """
        self._write(self._n_held)
        self._parquet.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return {
            "rows": self._rows,
            "size": self._path.stat().st_size,
            "sha256": hash_file(self._path),
            "digest": self._hasher.hexdigest(),
        }

    def _write(self, rows: int) -> None:
        import pyarrow as pa

        if not rows:
            return
        held = pa.concat_tables(self._held).combine_chunks()
        self._parquet.write_table(held.slice(0, rows), row_group_size=GROUP_ROWS)
        self._held = [held.slice(rows)] if rows < self._n_held else []
        self._n_held -= rows

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._file.closed:
            self._parquet.close()
            self._file.close()
