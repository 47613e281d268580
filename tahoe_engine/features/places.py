"""Rows by their place: split as scikit-learn does it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from tahoe_engine.errors import ConfigError
from tahoe_engine.schema import TEST, VALIDATION

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.features.recipe import SplitRule


@lru_cache(maxsize=1)  # asked for once a slice
def permute_places(rule: SplitRule, n_rows: int) -> NDArray[np.uint8]:
    """Share out places as scikit-learn does.

    Parameters
    ----------
    rule : SplitRule
        With shares and seed.
    n_rows : int
        How many there are.

    Returns
    -------
    ndarray of uint8
        Split of each place.

    Raises
    ------
    ConfigError
        If nothing is left to train on, or there are more than 20 million rows.

    Notes
    -----
    ``train_test_split(test_size=test, random_state=seed)`` tests the first ceil(test·n) of
    ``RandomState(seed).permutation(n)``. With a validation share, the next ceil(validation·n) validate.
    """
    import numpy as np

    most = 20_000_000
    if n_rows > most:
        raise ConfigError(f'a split by the order of rows is for up to {most:,} rows; use method = "hash"')
    order = np.random.RandomState(rule.seed).permutation(n_rows)
    n_test, n_validation = (int(np.ceil(share * n_rows)) for share in (rule.test, rule.validation))
    if n_rows - n_test - n_validation < 1:
        raise ConfigError(f"{n_rows} rows are too few to be split; lower split.test")
    places = np.zeros(n_rows, np.uint8)
    places[order[:n_test]] = TEST
    places[order[n_test : n_test + n_validation]] = VALIDATION
    places.setflags(write=False)
    return places


def list_places(rule: SplitRule, n_rows: int, split: int) -> NDArray[np.int64]:
    """List the rows of a split in the order in which scikit-learn gives them.

    Parameters
    ----------
    rule : SplitRule
        Of the method ``sklearn``.
    n_rows : int
        Rows that were split.
    split : int
        Which.

    Returns
    -------
    ndarray of int64
        Numbers of rows. Whoever draws rows by their place, as a forest does, needs this order to draw the same.
    """
    import numpy as np

    order = np.random.RandomState(rule.seed).permutation(n_rows)
    chosen: NDArray[np.int64] = order[permute_places(rule, n_rows)[order] == split]
    return chosen
