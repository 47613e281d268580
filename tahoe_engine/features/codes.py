"""Truncated singular value decomposition of one-hot columns, from their codes: the ones and zeros are never made.

dask-ml's TruncatedSVD fails on sparse input (IndexError: Index dimension must be 1 or 2). The Gram matrix of ones and
zeros is a table of counts: exact, the same for any partition, and as small as the vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import ConfigError
from tahoe_engine.features.svd import Decomposition, finish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

MOST_LEVELS = 4096  # of several columns of text: their table of pairs takes 128 MiB
MOST_LOADINGS = 20_000_000


@dataclass(frozen=True)
class CountPairs:
    """Count how often levels come together in a slice: the Gram matrix of their one-hot columns, in whole numbers.

    Parameters
    ----------
    load : callable
        Gives the codes of a slice.
    sizes : tuple of int
        Number of levels of each column of codes. Of one column alone only the diagonal is not zero, and only it is
        given.
    """

    load: Callable[[Any], FloatArray]
    sizes: tuple[int, ...]

    def __call__(self, piece: object) -> IntArray:
        """Count.

        Parameters
        ----------
        piece : object
            The slice.

        Returns
        -------
        numpy.ndarray
            Levels by levels; or levels, of one column.
        """
        import numpy as np

        loaded = self.load(piece)
        codes = np.where(loaded >= 0, loaded, -1.0).astype(np.int64)
        if len(self.sizes) == 1:
            return np.bincount(codes[codes[:, 0] >= 0, 0], minlength=self.sizes[0])
        starts = np.cumsum((0, *self.sizes))
        pairs = np.zeros((starts[-1], starts[-1]), np.int64)
        for one, n_one in enumerate(self.sizes):
            for other, n_other in enumerate(self.sizes):
                known = (codes[:, one] >= 0) & (codes[:, other] >= 0)
                flat = np.bincount(codes[known, one] * n_other + codes[known, other], minlength=n_one * n_other)
                pairs[starts[one] : starts[one + 1], starts[other] : starts[other + 1]] = flat.reshape(n_one, n_other)
        return pairs


def add_pairs(parts: list[IntArray]) -> IntArray:
    """Put the counts of slices together.

    Parameters
    ----------
    parts : list of numpy.ndarray
        As `CountPairs` gave them.

    Returns
    -------
    numpy.ndarray
        Their sum, exact.
    """
    import numpy as np

    total: IntArray = np.sum(parts, axis=0)
    return total


def require_room(block: str, sizes: Sequence[int], n_components: int) -> None:
    """Refuse a decomposition of codes that would not fit into memory, or has more components than levels.

    Parameters
    ----------
    block : str
        Of features, for the message.
    sizes : sequence of int
        As in `CountPairs`.
    n_components : int
        That are asked for.

    Raises
    ------
    ConfigError
        If so.

    Examples
    --------
    >>> require_room("drug", (380,), 50)
    """
    n_levels = sum(sizes)
    if n_components > n_levels:
        raise ConfigError(f"block {block!r}: svd of {n_levels} levels has no {n_components} components; ask for fewer")
    if (len(sizes) > 1 and n_levels > MOST_LEVELS) or n_levels * n_components > MOST_LOADINGS:
        raise ConfigError(
            f"block {block!r}: svd of {n_levels:,} levels into {n_components} components does not fit into memory; "
            "keep the most frequent levels (top), or ask for fewer components"
        )


def decompose_pairs(pairs: IntArray, n_rows: int, n_components: int) -> Decomposition:
    """Give the singular vectors of one-hot columns from their Gram matrix.

    The squares of the singular values are its eigenvalues; it is exact, so that nothing is lost by squaring but for
    directions that hold less than 1e-8 of the largest one.

    Parameters
    ----------
    pairs : numpy.ndarray
        As `CountPairs` gave it. Of one column: the singular vectors are the levels themselves, most frequent first.
    n_rows : int
        Of all slices.
    n_components : int
        At most as many as levels.

    Returns
    -------
    Decomposition
        See there.

    Examples
    --------
    >>> import numpy as np
    >>> found = decompose_pairs(np.array([1, 9, 4]), 14, 2)
    >>> found.components.tolist(), found.singular_values.tolist()
    ([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [3.0, 2.0])
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    if pairs.ndim == 1:
        counts = pairs
        order = np.argsort(-counts, kind="stable")[:n_components]
        components, squares = np.zeros((len(order), len(counts))), counts[order].astype(np.float64)
        components[np.arange(len(order)), order] = 1.0
        tolerance = 0.0
    else:
        counts = pairs.diagonal()
        with threadpool_limits(limits=1, user_api="blas"):
            squares, vectors = np.linalg.eigh(pairs.astype(np.float64))
        squares, components = squares[::-1][:n_components].clip(min=0.0), vectors.T[::-1][:n_components]
        tolerance = float(np.sqrt(squares[0] * len(counts) * np.finfo(np.float64).eps))
    shares = counts / max(1, n_rows)
    explained = squares / max(1, n_rows) - (components @ shares) ** 2
    return finish(components, np.sqrt(squares), explained, float((shares - shares**2).sum()), tolerance)
