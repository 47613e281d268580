"""Exact medians of columns that do not fit into memory.

dask-ml has no median of arrays, and dask's own quantiles are approximate. Here the two middle values are selected digit
by digit: 64 bits that sort like the number are looked at from the left, 11 at a time, and a pass over the slices counts
how often each digit follows those found so far. After six passes all bits are known; it ends sooner where all values
that are left are equal, which after three or four passes they mostly are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.workers import Computing

    FloatArray = NDArray[np.float64]
    BitsArray = NDArray[np.uint64]

# (first bit, number of bits) of each digit.
DIGITS = ((53, 11), (42, 11), (31, 11), (20, 11), (9, 11), (0, 9))
MOST_COLUMNS = 512  # at a time: their counts take 16 MiB a slice


def to_bits(values: FloatArray) -> BitsArray:
    """Give unsigned numbers that sort as the values do: the sign is turned, and all bits of negative ones.

    Parameters
    ----------
    values : numpy.ndarray
        No NaN. -0 is taken for 0.

    Returns
    -------
    numpy.ndarray
        Equal exactly where the values are.

    Examples
    --------
    >>> import numpy as np
    >>> bits = to_bits(np.array([-2.0, -1.0, -0.0, 0.0, 1e-300, 3.0]))
    >>> (np.diff(bits.astype(float)) > 0).tolist(), to_values(bits).tolist()
    ([True, True, False, True, True], [-2.0, -1.0, 0.0, 0.0, 1e-300, 3.0])
    """
    import numpy as np

    raw: BitsArray = (values + 0.0).view(np.uint64)
    sign = np.uint64(1 << 63)
    return np.where(raw & sign, ~raw, raw | sign)


def to_values(bits: BitsArray) -> FloatArray:
    """Turn back what `to_bits` gave.

    Parameters
    ----------
    bits : numpy.ndarray
        Of numbers.

    Returns
    -------
    numpy.ndarray
        The numbers.
    """
    import numpy as np

    sign = np.uint64(1 << 63)
    return np.where(bits & sign, bits ^ sign, ~bits).view(np.float64)


@dataclass(frozen=True)
class Counts:
    """What a pass found of the values that begin with given bits; a row for the lower and the upper middle one.

    Parameters
    ----------
    digits : numpy.ndarray
        How often each digit comes next: (2, columns, digits).
    lows, highs : numpy.ndarray
        Bits of the smallest and the largest of them: (2, columns).
    """

    digits: NDArray[np.int64]
    lows: BitsArray
    highs: BitsArray


@dataclass(frozen=True)
class CountDigits:
    """A pass over one slice.

    Parameters
    ----------
    load : callable
        Gives the rows of a slice.
    columns : slice
        Of which columns.
    shift, width : int
        The digit.
    prefixes : numpy.ndarray
        Bits above it: (2, columns).
    """

    load: Callable[[Any], FloatArray]
    columns: slice
    shift: int
    width: int
    prefixes: BitsArray

    def __call__(self, piece: object) -> Counts:
        """Count.

        Parameters
        ----------
        piece : object
            The slice.

        Returns
        -------
        Counts
            Its values only.
        """
        import numpy as np

        matrix = self.load(piece)[:, self.columns]
        n_columns, n_digits = matrix.shape[1], 1 << self.width
        digits = np.zeros((2, n_columns, n_digits), np.int64)
        lows = np.full((2, n_columns), np.iinfo(np.uint64).max, np.uint64)
        highs = np.zeros((2, n_columns), np.uint64)
        above = self.shift + self.width
        for column in range(n_columns):
            values = matrix[:, column]
            bits = to_bits(values[~np.isnan(values)])
            for middle, prefix in enumerate(self.prefixes[:, column]):
                if middle and prefix == self.prefixes[0, column]:
                    # Both middle values begin alike, mostly.
                    for counted in (digits, lows, highs):
                        counted[1, column] = counted[0, column]
                    continue
                # A shift by all 64 bits is not defined.
                found = bits if above == 64 else bits[bits >> np.uint64(above) == prefix]  # noqa: PLR2004
                if len(found):
                    digit = (found >> np.uint64(self.shift)) & np.uint64(n_digits - 1)
                    digits[middle, column] = np.bincount(digit.astype(np.int64), minlength=n_digits)
                    lows[middle, column], highs[middle, column] = found.min(), found.max()
        return Counts(digits, lows, highs)


def add_counts(parts: list[Counts]) -> Counts:
    """Put passes over slices together.

    Parameters
    ----------
    parts : list of Counts
        At least one.

    Returns
    -------
    Counts
        Of all of them.
    """
    import numpy as np

    return Counts(
        np.sum([part.digits for part in parts], axis=0),
        np.min([part.lows for part in parts], axis=0),
        np.max([part.highs for part in parts], axis=0),
    )


def fit_medians(
    load: Callable[[Any], FloatArray], slices: Sequence[Any], n_columns: int, computing: Computing
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Find the median of each column, as `numpy.nanmedian` does: the mean of the two middle values.

    Parameters
    ----------
    load : callable
        Picklable; gives the rows of a slice, NaN where missing.
    slices : sequence
        At least one.
    n_columns : int
        Of what `load` gives.
    computing : Computing
        Who computes.

    Returns
    -------
    medians, counts : numpy.ndarray
        And how many values there are that are not missing; the median of none is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from tahoe_engine.config import WorkersSettings
    >>> from tahoe_engine.workers import open_computing
    >>> with open_computing(WorkersSettings(count=0), 1) as computing:
    ...     medians, counts = fit_medians(np.array, [[[1.0], [7.0]], [[2.0], [np.nan], [4.0]]], 1, computing)
    >>> medians.tolist(), counts.tolist()
    ([3.0], [4])
    """
    import numpy as np

    found = [
        _select(load, slices, slice(first, min(first + MOST_COLUMNS, n_columns)), computing)
        for first in range(0, n_columns, MOST_COLUMNS)
    ]
    return np.concatenate([medians for medians, _ in found]), np.concatenate([counts for _, counts in found])


def _select(
    load: Callable[[Any], FloatArray], slices: Sequence[Any], columns: slice, computing: Computing
) -> tuple[FloatArray, NDArray[np.int64]]:
    import numpy as np

    width = columns.stop - columns.start
    prefixes = np.zeros((2, width), np.uint64)
    counts, ranks = np.zeros(width, np.int64), np.zeros((2, width), np.int64)
    for shift, n_bits in DIGITS:
        found = computing.reduce(CountDigits(load, columns, shift, n_bits, prefixes), add_counts, slices)
        if shift == DIGITS[0][0]:
            counts = found.digits[0].sum(axis=1)
            ranks = np.stack([np.maximum(counts - 1, 0) // 2, counts // 2])
        if (found.lows >= found.highs).all():
            break
        upto = found.digits.cumsum(axis=2)
        digit = (upto <= ranks[:, :, None]).sum(axis=2).clip(max=(1 << n_bits) - 1)
        below = np.take_along_axis(upto - found.digits, digit[:, :, None], axis=2)[:, :, 0]
        ranks = ranks - below
        prefixes = (prefixes << np.uint64(n_bits)) | digit.astype(np.uint64)
    else:
        # All 64 bits are known: they are the numbers themselves.
        found = Counts(found.digits, prefixes, prefixes)
    empty = counts == 0
    lower, upper = to_values(np.where(empty, to_bits(np.zeros(1)), found.lows))
    # Halved first, large ones do not overflow; halved last, small ones lose no bit.
    large = np.maximum(np.abs(lower), np.abs(upper)) > 1.0
    first, last = np.where(large, 0.5, 1.0), np.where(large, 1.0, 0.5)
    return np.where(empty, np.nan, (lower * first + upper * first) * last), counts
