"""Truncated singular value decompositions of columns that do not fit into memory.

dask-ml's TruncatedSVD keeps an orthogonal factor as large as the data until the last slice is done, and fails on sparse
input. Only the right singular vectors are wanted here, and for these the triangular factors suffice: each slice is
reduced to one (QR), and they are stacked and reduced again (TSQR: Demmel, Grigori, Hoemmen and Langou 2012,
Communication-optimal parallel and sequential QR and LU factorizations, section 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

SAME_LOADING = 1e-9  # loadings that differ by less share the first place; else rounding would choose the sign


@dataclass(frozen=True)
class Decomposition:
    """Right singular vectors of a matrix that is not centred.

    Parameters
    ----------
    components : numpy.ndarray
        A row each, the largest loading positive; zeros beyond the rank, where any direction would do.
    singular_values : numpy.ndarray
        From the largest.
    explained : numpy.ndarray
        Share of the variance of the columns, about their means, that each explains: scikit-learn's
        ``explained_variance_ratio_``.
    """

    components: FloatArray
    singular_values: FloatArray
    explained: FloatArray


@dataclass(frozen=True)
class Triangulate:
    """Reduce a slice to triangular factors, one for each group of columns.

    Parameters
    ----------
    load : callable
        Gives the rows of a slice.
    groups : tuple of (str, tuple of str)
        Block of features and its columns, in the order of the columns that `load` gives.
    """

    load: Callable[[Any], FloatArray]
    groups: tuple[tuple[str, tuple[str, ...]], ...]

    def __call__(self, piece: object) -> list[FloatArray]:
        """Reduce.

        Parameters
        ----------
        piece : object
            The slice.

        Returns
        -------
        list of numpy.ndarray
            The first column of each stands for ones: it carries the means.
        """
        import numpy as np

        matrix = self.load(piece)
        found, start = [], 0
        for block, columns in self.groups:
            part = matrix[:, start : start + len(columns)]
            missing = np.isnan(part).any(axis=0)
            if missing.any():
                name = columns[int(missing.argmax())]
                raise ConfigError(f"block {block!r}: column {name!r} has missing values; put impute before svd")
            found.append(_reduce(np.hstack([np.ones((len(part), 1)), part])))
            start += len(columns)
        return found


def stack_triangles(parts: list[list[FloatArray]]) -> list[FloatArray]:
    """Put the factors of slices together.

    Parameters
    ----------
    parts : list of list of numpy.ndarray
        As `Triangulate` gave them.

    Returns
    -------
    list of numpy.ndarray
        One factor for each group of columns.
    """
    import numpy as np

    return [_reduce(np.vstack(factors)) for factors in zip(*parts, strict=True)]


def _reduce(matrix: FloatArray) -> FloatArray:
    import numpy as np
    from threadpoolctl import threadpool_limits

    # One thread: else the last bits depend on the cores.
    with threadpool_limits(limits=1, user_api="blas"):
        factor: FloatArray = np.linalg.qr(matrix, mode="r")  # type: ignore[assignment]
    return factor


def decompose_triangle(factor: FloatArray, n_rows: int, n_components: int) -> Decomposition:
    """Give the singular vectors of the matrix that a factor was made of.

    Parameters
    ----------
    factor : numpy.ndarray
        Its first column stands for ones.
    n_rows : int
        Of the matrix.
    n_components : int
        At most as many as rows and columns.

    Returns
    -------
    Decomposition
        Of the matrix without the ones.

    Examples
    --------
    >>> import numpy as np
    >>> factor = Triangulate(np.array, (("b", ("x", "y")),))([[3.0, 0.0], [0.0, -4.0]])[0]
    >>> found = decompose_triangle(factor, 2, 2)
    >>> (abs(found.components.round(12)) + 0).tolist(), found.singular_values.round(12).tolist()
    ([[0.0, 1.0], [1.0, 0.0]], [4.0, 3.0])
    """
    import numpy as np
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        _, values, vectors = np.linalg.svd(factor[:, 1:], full_matrices=False)
    # Below the row of the ones stands the factor of the centred matrix.
    centred = factor[1:, 1:]
    components = vectors[:n_components]
    explained = ((centred[:, None, :] * components).sum(axis=2) ** 2).sum(axis=0)
    tolerance = values[0] * max(n_rows, vectors.shape[1]) * np.finfo(np.float64).eps
    return finish(components, values[:n_components], explained, float((centred**2).sum()), tolerance)


def finish(
    components: FloatArray, values: FloatArray, explained: FloatArray, total: float, tolerance: float
) -> Decomposition:
    """Choose signs, and set to zero what rounding alone would decide.

    Parameters
    ----------
    components, values : numpy.ndarray
        Right singular vectors and their values, from the largest.
    explained : numpy.ndarray
        What each holds of `total`.
    total : float
        Variance of all columns.
    tolerance : float
        Singular values up to it are rounding.

    Returns
    -------
    Decomposition
        See there.
    """
    import numpy as np

    sizes = np.abs(components)
    first = (sizes >= sizes.max(axis=1, keepdims=True) * (1 - SAME_LOADING)).argmax(axis=1)
    signs = np.where(components[np.arange(len(components)), first] < 0, -1.0, 1.0)
    there = values > tolerance
    shares = explained / total if total > 0 else np.zeros_like(explained)
    # + 0 makes 0 of -0.
    return Decomposition(
        np.where(there[:, None], components * signs[:, None], 0.0) + 0.0,
        np.where(there, values, 0.0),
        np.where(there, shares, 0.0),
    )
