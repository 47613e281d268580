"""Some of the rows: those with the smallest hash, so that who is chosen depends on the seed alone."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from tahoe_engine.evaluate.sample import hash_numbers
from tahoe_engine.features.keys import hash_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.models.blocks import Block

    Numbers = NDArray[np.int64]


def choose_rows(total: int, n_rows: int, seed: int) -> Numbers:
    """Choose rows.

    Parameters
    ----------
    total : int
        How many there are.
    n_rows : int
        How many are wanted.
    seed : int
        Of the hash.

    Returns
    -------
    ndarray of int64
        Their numbers, sorted.

    Examples
    --------
    >>> len(choose_rows(100, 7, 0)), len(choose_rows(3, 7, 0))
    (7, 3)
    """
    import numpy as np

    if n_rows >= total:
        return np.arange(total)
    hashes = hash_numbers(np.arange(total), seed)
    return np.sort(np.argpartition(hashes, n_rows)[:n_rows]).astype(np.int64)


def choose_clusters(clusters: Numbers, names: Sequence[str], n_rows: int, seed: int) -> Numbers | None:
    """Choose the rows of whole clusters.

    Parameters
    ----------
    clusters : ndarray of int64
        Of each row its cluster.
    names : sequence of str
        What their codes stand for.
    n_rows : int
        How many are wanted at most.
    seed : int
        Of the hash of a name.

    Returns
    -------
    ndarray of int64 or None
        Numbers of the rows, sorted: of the clusters in the order of their hashes, as many as fit. None where none does.

    Examples
    --------
    >>> import numpy as np
    >>> choose_clusters(np.array([0, 0, 0, 1, 1]), ["a", "b"], 2, 0)
    array([3, 4])
    >>> choose_clusters(np.array([0, 0, 0, 1, 1]), ["a", "b"], 1, 0) is None
    True
    """
    import numpy as np
    import polars as pl

    sizes = np.bincount(clusters, minlength=len(names))
    hashes = hash_texts([pl.Series(names, dtype=pl.String)], seed)
    taken, n_taken = np.zeros(len(names), bool), 0
    for at in np.argsort(hashes, kind="stable"):
        if sizes[at] and n_taken + sizes[at] <= n_rows:
            taken[at] = True
            n_taken += int(sizes[at])
    return np.flatnonzero(taken[clusters]) if n_taken else None


def draw_rows(block: Block, total: int, n_rows: int, seed: int) -> Block:
    """Keep the rows of a block that are among those chosen of all rows.

    Parameters
    ----------
    block : Block
        Of the training rows, with their numbers.
    total, n_rows, seed : int
        As in `choose_rows`; `n_rows` 0 = all.

    Returns
    -------
    Block
        The same, where all rows are wanted.
    """
    import numpy as np

    if not 0 < n_rows < total:
        return block
    return block.take(np.isin(block.numbers, _remember(total, n_rows, seed), assume_unique=True))


@lru_cache(maxsize=1)  # asked for with every block
def _remember(total: int, n_rows: int, seed: int) -> Numbers:
    return choose_rows(total, n_rows, seed)
