"""The order of training rows, where it decides: a forest draws rows by their place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tahoe_engine.features.places import list_places
from tahoe_engine.schema import TRAIN

if TYPE_CHECKING:
    from tahoe_engine.features.split import Split
    from tahoe_engine.models.blocks import Block


def order_rows(block: Block, split: Split) -> Block:
    """Give the training rows of a split in scikit-learn's way in its order.

    Parameters
    ----------
    block : Block
        All training rows, in the order of the table.
    split : Split
        Of the features.

    Returns
    -------
    Block
        As ``train_test_split`` gives them, so that a published forest comes out as it was published; as they were
        where the split is made otherwise, or rows without the target (or dropped control cells) are not among them.
    """
    import numpy as np

    if split.rule.method != "sklearn":
        return block
    places = list_places(split.rule, split.n_rows, TRAIN)
    if places.size != len(block.y):
        return block
    return block.take(np.searchsorted(np.sort(places), places))
