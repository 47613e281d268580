"""The tables ``obs`` and ``var`` of an h5ad file, written piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tahoe_engine.errors import StageError
from tahoe_engine.export.guarded import hold_interrupts
from tahoe_engine.export.h5ad import CHUNK, COMPRESSION, encode, name_uniquely

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import h5py
    import numpy as np
    import polars as pl

    from tahoe_engine.export.h5ad import Target

INDEX = "_index"  # of a table without a name for it, as pandas has it
SMALLEST_CODES = ((128, "<i1"), (32_768, "<i2"))  # what pandas takes for so many categories


class FrameWriter:
    """A table of an h5ad file.

    Parameters
    ----------
    file : Target
        Where it goes.
    name : {"obs", "var"}
        Which one.
    columns : mapping of str to polars type
        Its columns, in order.
    categories : mapping of str to list of str
        Columns that become categoricals, with all their values.
    n_rows : int
        All rows.
    compression : str
        As in `tahoe_engine.export.h5ad.COMPRESSION`.
    named_by : str, optional
        A column of texts that is equal to the names: it is stored once, under both names.

    Notes
    -----
    A null is a missing category, NaN among real values, and the empty text among texts.
    """

    @hold_interrupts()
    def __init__(  # noqa: PLR0913 - each is a fact about the table
        self,
        file: Target,
        name: str,
        columns: Mapping[str, pl.DataType],
        categories: Mapping[str, Sequence[str]],
        *,
        n_rows: int,
        compression: str,
        named_by: str | None = None,
    ) -> None:
        import h5py
        import numpy as np
        import polars as pl

        self._group, self._categories, self._written = file.root.create_group(name), categories, 0
        self._disk = file.disk
        self._sets: dict[str, h5py.Dataset] = {}
        encode(self._group, "dataframe", "0.2.0")
        text = h5py.string_dtype()
        self._group.attrs[INDEX] = INDEX
        # Said to be text also where there is none.
        self._group.attrs["column-order"] = np.array(list(columns), dtype=text)
        # A data set of chunks must have room for one.
        some = {"chunks": (min(CHUNK, n_rows),), **COMPRESSION[compression]} if n_rows else {}
        for column, dtype in {INDEX: pl.String(), **columns}.items():
            if column == named_by:
                self._group[column] = self._group[INDEX]
            elif column in categories:
                group = self._group.create_group(column)
                encode(group, "categorical", "0.2.0")
                group.attrs["ordered"] = False
                texts = _as_texts(pl.Series(categories[column], dtype=pl.String), unique=True)
                values = group.create_dataset("categories", data=texts, dtype=text)
                encode(values, "string-array", "0.2.0")
                codes = next((code for most, code in SMALLEST_CODES if len(categories[column]) < most), "<i4")
                self._sets[column] = group.create_dataset("codes", shape=(n_rows,), dtype=codes, **some)
                encode(self._sets[column], "array", "0.2.0")
            elif dtype == pl.String:
                # The references are chunked, too; the texts lie in HDF5's heap, which nothing compresses.
                self._sets[column] = self._group.create_dataset(column, shape=(n_rows,), dtype=text, **some)
                encode(self._sets[column], "string-array", "0.2.0")
            else:
                kind = "?" if dtype == pl.Boolean else np.dtype(str(dtype).lower()).newbyteorder("<")
                self._sets[column] = self._group.create_dataset(column, shape=(n_rows,), dtype=kind, **some)
                encode(self._sets[column], "array", "0.2.0")

    @hold_interrupts()
    def append(self, names: Sequence[str] | pl.Series, frame: pl.DataFrame) -> None:
        """Append rows.

        Parameters
        ----------
        names : sequence of str, or polars.Series
            Of the rows; unique over the whole table.
        frame : polars.DataFrame
            The columns, and possibly others.

        Raises
        ------
        StageError
            If a category is a new one: the table changed since its categories were read.
        """
        import polars as pl

        start, end = self._written, self._written + frame.height
        for column, values in self._sets.items():
            if column == INDEX:
                values[start:end] = _as_texts(pl.Series(names, dtype=pl.String))
            elif column in self._categories:
                values[start:end] = _as_codes(frame[column], self._categories[column])
            elif frame.schema[column] == pl.String:
                values[start:end] = _as_texts(frame[column])
            else:
                values[start:end] = frame[column].to_numpy()
        self._written = end
        self._disk.check()


def _as_codes(series: pl.Series, categories: Sequence[str]) -> np.ndarray:
    import polars as pl

    try:
        codes = series.cast(pl.Enum(categories)).to_physical()
    except pl.exceptions.InvalidOperationError as error:
        raise StageError(f"{series.name!r} changed while it was read; run the same command again") from error
    return codes.cast(pl.Int64).fill_null(-1).to_numpy()


def escape_nul(text: pl.Expr) -> pl.Expr:
    """Write a NUL so that HDF5 does not end the text there.

    Parameters
    ----------
    text : polars.Expr
        A column of texts.

    Returns
    -------
    polars.Expr
        Without NUL.
    """
    return text.str.replace_all("\0", "\\x00", literal=True)


def _as_texts(series: pl.Series, *, unique: bool = False) -> np.ndarray:
    import polars as pl

    texts = series.to_frame("text").select(escape_nul(pl.col("text").fill_null("")))["text"]
    if unique and texts.n_unique() < len(texts):
        texts = pl.Series(name_uniquely(texts.to_list(), range(len(texts))))
    return texts.to_numpy().astype(object)
