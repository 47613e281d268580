"""Hashes of texts that are the same for ever: on every machine, under every version of every library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]

# The odd constants of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014).
GOLDEN: Final = 0x9E3779B97F4A7C15
FIRST: Final = 0xBF58476D1CE4E5B9
SECOND: Final = 0x94D049BB133111EB
NULL: Final = 0xD1B54A32D192ED03  # stands for a text that is not there
WORD: Final = 8


def hash_texts(columns: Sequence[pl.Series], seed: int) -> Hashes:
    """Hash the texts of each row.

    Parameters
    ----------
    columns : sequence of polars.Series of String
        All of one length; null is not the same as ``''``.
    seed : int
        Another seed, other hashes.

    Returns
    -------
    ndarray of uint64
        One a row. Eight bytes at a time go through the finalizer of splitmix64, and the length of each text before
        them, so that ``("ab", "c")`` and ``("a", "bc")`` differ.

    Examples
    --------
    >>> import polars as pl
    >>> [f"{one:016x}" for one in hash_texts([pl.Series(["01_001_052-lib_1105", "", None])], 0)]
    ['8f34a14d4c8d3c52', '77e0c91a43d83a83', '97a1be8a2c73d5ae']
    """
    import numpy as np

    n_rows = len(columns[0]) if columns else 0
    hashes = np.full(n_rows, mix(np.array([seed], np.uint64))[0], np.uint64)
    for column in columns:
        hashes = _add_texts(hashes, column)
    return hashes


def mix(values: Hashes) -> Hashes:
    """Send each number to another, so that flipping one of its bits flips about half of those that come out.

    Parameters
    ----------
    values : ndarray of uint64
        Any.

    Returns
    -------
    ndarray of uint64
        One for one: different numbers stay different.

    Examples
    --------
    >>> import numpy as np
    >>> hex(mix(np.array([0], np.uint64))[0])
    '0xe220a8397b1dcdaf'
    """
    import numpy as np

    mixed = values + np.uint64(GOLDEN)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(FIRST)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(SECOND)
    return mixed ^ (mixed >> np.uint64(31))


def _add_texts(hashes: Hashes, column: pl.Series) -> Hashes:
    import numpy as np
    import pyarrow as pa

    texts = column.to_arrow().cast(pa.large_binary())
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    starts, sizes = ends[:-1], np.diff(ends)
    missing = column.is_null().to_numpy()
    sizes = np.where(missing, 0, sizes)
    content = np.zeros((0 if data is None else data.size) + WORD, np.uint8)
    if data is not None:
        content[:-WORD] = np.frombuffer(data, np.uint8)
    # Eight bytes from any place on, as a little-endian number.
    words = np.ndarray((len(content) - WORD + 1,), "<u8", content, strides=(1,))
    hashes = mix(hashes ^ np.where(missing, np.uint64(NULL), sizes.astype(np.uint64)))
    for done in range(0, int(sizes.max(initial=0)), WORD):
        rows = np.flatnonzero(sizes > done)
        word = words[starts[rows] + done].astype(np.uint64)
        left = sizes[rows] - done
        short = left < WORD
        mask = (np.uint64(1) << (np.uint64(8) * left[short].astype(np.uint64))) - np.uint64(1)
        word[short] &= mask
        hashes[rows] = mix(hashes[rows] ^ word)
    return hashes
