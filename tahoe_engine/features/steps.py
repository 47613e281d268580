"""What a fitted step does to a matrix: row by row, so that a row's result does not depend on its neighbours.

No product of matrices is left to BLAS here: the order in which it adds up depends on the number of rows and on the
machine. `log1p` is the platform's own and may differ in the last bit between machines; all else is IEEE arithmetic in
a fixed order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tahoe_engine.errors import BadDataError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

BLOCK_ROWS = 1024  # what a product works on at a time: it stays in the cache
MOST_COLUMNS = 20_000  # that may come out of a polynomial


def require_finite(matrix: FloatArray, columns: Sequence[str], where: str) -> None:
    """Refuse infinities; NaN is missing, and none of them.

    Parameters
    ----------
    matrix : numpy.ndarray
        Rows and columns.
    columns : sequence of str
        Their names.
    where : str
        Block of features, for the message.

    Raises
    ------
    BadDataError
        If there is one; the column is named.

    Examples
    --------
    >>> import numpy as np
    >>> require_finite(np.array([[1.0, np.inf]]), ("a", "b"), "numbers")
    Traceback (most recent call last):
    tahoe_engine.errors.BadDataError: block 'numbers': column 'b' has an infinite value; ...
    """
    import numpy as np

    infinite = np.isinf(matrix).any(axis=0)
    if infinite.any():
        name = columns[int(infinite.argmax())]
        raise BadDataError(
            f"block {where!r}: column {name!r} has an infinite value; leave such rows out (rows.where) or derive a "
            "column without"
        )


def fill_missing(matrix: FloatArray, fill: FloatArray) -> FloatArray:
    """Put one value of its own into what is missing in each column.

    Parameters
    ----------
    matrix : numpy.ndarray
        NaN is missing.
    fill : numpy.ndarray
        One value a column.

    Returns
    -------
    numpy.ndarray
        Without NaN.

    Examples
    --------
    >>> import numpy as np
    >>> fill_missing(np.array([[np.nan, 2.0], [3.0, np.nan]]), np.array([5.0, 6.0])).tolist()
    [[5.0, 2.0], [3.0, 6.0]]
    """
    import numpy as np

    return np.where(np.isnan(matrix), fill, matrix)


def take_log1p(matrix: FloatArray, columns: Sequence[str], where: str) -> FloatArray:
    """Take log(1 + x).

    Parameters
    ----------
    matrix : numpy.ndarray
        Larger than -1, or NaN.
    columns : sequence of str
        Names.
    where : str
        Block of features, for the message.

    Returns
    -------
    numpy.ndarray
        Of the same shape.

    Raises
    ------
    BadDataError
        If a value is -1 or less; the column is named.

    Examples
    --------
    >>> import numpy as np
    >>> take_log1p(np.array([[0.0]]), ("a",), "numbers").tolist()
    [[0.0]]
    """
    import numpy as np

    low = (matrix <= -1).any(axis=0)
    if low.any():
        name = columns[int(low.argmax())]
        raise BadDataError(
            f"block {where!r}: column {name!r} has a value of -1 or less, which has no log1p; put log1p before "
            "standardize, or leave the column out"
        )
    return np.log1p(matrix)


def multiply_columns(matrix: FloatArray, powers: IntArray) -> FloatArray:
    """Multiply columns by their powers.

    Parameters
    ----------
    matrix : numpy.ndarray
        Rows and columns.
    powers : numpy.ndarray
        A row for each column that comes out, a column for each that goes in.

    Returns
    -------
    numpy.ndarray
        A column for each row of `powers`; each product from left to right.

    Examples
    --------
    >>> import numpy as np
    >>> multiply_columns(np.array([[2.0, 3.0]]), np.array([[1, 0], [2, 1]])).tolist()
    [[2.0, 12.0]]
    """
    import numpy as np

    product = np.empty((len(matrix), len(powers)))
    for number, row in enumerate(powers):
        first, *others = np.repeat(np.arange(len(row)), row).tolist()
        product[:, number] = matrix[:, first]
        for other in others:
            product[:, number] *= matrix[:, other]
    return product


def project(matrix: FloatArray, components: FloatArray) -> FloatArray:
    """Multiply rows by components, each row in the same order of additions.

    Parameters
    ----------
    matrix : numpy.ndarray
        Rows and columns.
    components : numpy.ndarray
        A row for each column that comes out, a column for each that goes in.

    Returns
    -------
    numpy.ndarray
        ``matrix @ components.T``, but for the last bits.

    Examples
    --------
    >>> import numpy as np
    >>> project(np.array([[2.0, 3.0]]), np.array([[1.0, 10.0]])).tolist()
    [[32.0]]
    """
    import numpy as np

    product = np.zeros((len(matrix), len(components)))
    columns = np.ascontiguousarray(components.T)
    for first in range(0, len(matrix), BLOCK_ROWS):
        rows, out = matrix[first : first + BLOCK_ROWS], product[first : first + BLOCK_ROWS]
        for number, loadings in enumerate(columns):
            out += rows[:, number, None] * loadings
    return product


def pick_codes(codes: FloatArray, sizes: IntArray, components: FloatArray) -> FloatArray:
    """Multiply one-hot columns, given as codes, by components.

    Parameters
    ----------
    codes : numpy.ndarray
        Whole numbers, a column for each column of text; -1 or NaN is a level that is not known.
    sizes : numpy.ndarray
        Number of levels of each.
    components : numpy.ndarray
        A row for each column that comes out, a column for each level of each column of text.

    Returns
    -------
    numpy.ndarray
        What the product with the ones and zeros would be.

    Examples
    --------
    >>> import numpy as np
    >>> pick_codes(np.array([[1.0], [-1.0]]), np.array([2]), np.array([[0.5, 0.25]])).tolist()
    [[0.25], [0.0]]
    """
    import numpy as np

    product = np.zeros((len(codes), len(components)))
    start = 0
    for number, size in enumerate(sizes.tolist()):
        known = codes[:, number] >= 0
        product[known] += components.T[start + codes[known, number].astype(np.int64)]
        start += size
    return product


def name_powers(columns: Sequence[str], powers: IntArray) -> tuple[str, ...]:
    """Name products as scikit-learn's PolynomialFeatures does.

    Parameters
    ----------
    columns : sequence of str
        That go in.
    powers : numpy.ndarray
        As in `multiply_columns`.

    Returns
    -------
    tuple of str
        One name a product.

    Examples
    --------
    >>> import numpy as np
    >>> name_powers(("a", "b"), np.array([[1, 0], [2, 0], [1, 1]]))
    ('a', 'a^2', 'a b')
    """
    return tuple(
        " ".join(
            name if power == 1 else f"{name}^{power}" for name, power in zip(columns, row, strict=True) if power > 0
        )
        for row in powers.tolist()
    )


def require_few(n_columns: int, degree: int, where: str) -> None:
    """Refuse a polynomial of too many columns.

    Parameters
    ----------
    n_columns : int
        That go in.
    degree : int
        Of the polynomial.
    where : str
        Block of features, for the message.

    Raises
    ------
    ConfigError
        If more than 20,000 would come out.

    Examples
    --------
    >>> require_few(4, 2, "numbers")
    """
    from math import comb

    n_out = comb(n_columns + degree, degree) - 1
    if n_out > MOST_COLUMNS:
        raise ConfigError(
            f"block {where!r}: a polynomial of degree {degree} over {n_columns} columns has {n_out:,} of them, more "
            f"than {MOST_COLUMNS:,}; take fewer columns, or put svd before it"
        )
