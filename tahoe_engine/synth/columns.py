"""Rows of a layout as Arrow columns, without a Python object a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from tahoe_engine.schema import BARCODE, CELL_LINE_ID, DRUG, MOA_FINE, PLATE, PUBCHEM_CID, SAMPLE, SMILES
from tahoe_engine.synth.layout import BARCODES, Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tahoe_engine.synth.layout import Design

# The most digits of a number in a barcode: a billion cells are some 20,000 libraries.
_POWERS: Final = 10 ** np.arange(18, dtype=np.int64)

NO_ROWS: Final = Rows(
    np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros(0, np.uint64), np.zeros(0, np.int64), np.zeros(0, np.int64)
)


class RowStream:
    """Sublibraries joined end to end and cut where the reader wants.

    Parameters
    ----------
    sublibraries : iterator of Rows
        As `iterate_sublibraries` gives them.
    """

    def __init__(self, sublibraries: Iterator[Rows]) -> None:
        self._coming = sublibraries
        self._held: list[Rows] = [NO_ROWS]

    def take(self, n_rows: int) -> Rows:
        """Give the next rows; fewer only at the end."""
        while sum(map(len, self._held)) < n_rows:
            following = next(self._coming, None)
            if following is None:
                break
            self._held.append(following)
        taken, rest, left = [], [], n_rows
        for rows in self._held:
            taken.append(rows.part(0, left))
            rest.append(rows.part(left, len(rows)))
            left = max(0, left - len(rows))
        self._held = [rows for rows in rest if len(rows)] or [NO_ROWS]
        return _join(taken)


def key_buffers(rows: Rows) -> tuple[bytes, bytes, bytes]:
    """Give wells, lines and keys as the core takes them: little-endian u32, u32, u64."""
    return rows.well.astype("<u4").tobytes(), rows.line.astype("<u4").tobytes(), rows.key.astype("<u8").tobytes()


def text_columns(rows: Rows, design: Design) -> dict[str, Any]:
    """Give the text columns of rows, as dictionaries but for the barcode.

    Parameters
    ----------
    rows : Rows
        Consecutive rows.
    design : Design
        Whose wells and lines they name.

    Returns
    -------
    dict of str to pyarrow.Array
        By column name.
    """
    wells = design.wells
    of_wells = {
        DRUG: [well.drug for well in wells],
        SAMPLE: [well.sample for well in wells],
        MOA_FINE: [well.moa_fine for well in wells],
        SMILES: [well.smiles for well in wells],
        PUBCHEM_CID: [well.pubchem_cid for well in wells],
        PLATE: [well.plate for well in wells],
    }
    columns = {name: look_up(rows.well, values) for name, values in of_wells.items()}
    columns[CELL_LINE_ID] = look_up(rows.line, list(design.lines))
    first = np.array([well.barcode for well in wells])[rows.well]
    columns[BARCODE] = _barcodes(first, rows.code, rows.library)
    return columns


def look_up(places: NDArray[np.uint32], values: list[str]) -> Any:  # noqa: ANN401 -- pyarrow ships no types
    """Give texts by their places, as a dictionary array whose values are distinct."""
    distinct = {value: at for at, value in enumerate(dict.fromkeys(values))}
    codes = np.array([distinct[value] for value in values], np.int32)[places]
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(list(distinct), pa.string()))


def _barcodes(first: NDArray[np.int64], code: NDArray[np.int64], library: NDArray[np.int64]) -> Any:  # noqa: ANN401
    """Write `01_005_047-lib_1105` for each row; libraries of one length at a time, so that texts are equally long."""
    parts = []
    digits = np.searchsorted(_POWERS, library, side="right")
    for stretch in np.split(np.arange(len(code)), np.flatnonzero(np.diff(digits)) + 1):
        if not len(stretch):
            continue
        width = int(digits[stretch[0]])
        text = np.tile(np.frombuffer(b"00_000_000-lib_" + b"0" * width, np.uint8), (len(stretch), 1))
        _write_number(text[:, 0:2], first[stretch])
        _write_number(text[:, 3:6], code[stretch] // BARCODES + 1)
        _write_number(text[:, 7:10], code[stretch] % BARCODES + 1)
        _write_number(text[:, 15:], library[stretch])
        ends = np.arange(len(stretch) + 1, dtype=np.int32) * text.shape[1]
        parts.append(pa.StringArray.from_buffers(len(stretch), pa.py_buffer(ends), pa.py_buffer(text)))
    return pa.concat_arrays(parts) if parts else pa.array([], pa.string())


def _write_number(target: NDArray[np.uint8], numbers: NDArray[np.int64]) -> None:
    for place in range(target.shape[1]):
        target[:, -1 - place] = numbers // _POWERS[place] % 10 + ord("0")


def _join(parts: list[Rows]) -> Rows:
    columns = ("well", "line", "key", "code", "library")
    return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))
