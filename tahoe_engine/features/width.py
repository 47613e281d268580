"""How many numbers a row becomes on its way, and how many rows may hence be in memory at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tahoe_engine.features.blocks import Expression, Numeric, OneHotSvd

if TYPE_CHECKING:
    from tahoe_engine.features.recipe import Recipe

SLICE_ROWS: Final = 131_072  # a row group of our own parts
STEP: Final = 8_192
MOST_VALUES: Final = 16 << 20  # of a slice; a number is there some six times while it is made


def count_columns(recipe: Recipe) -> tuple[int, int]:
    """Count what comes out.

    Parameters
    ----------
    recipe : Recipe
        With its blocks.

    Returns
    -------
    stored, dense : int
        Columns of numbers that are stored, and the widest matrix there is on the way, as far as it is known before.
    """
    stored, dense = 0, 0
    for block in recipe.features:
        width = len(block.columns) if isinstance(block, Numeric) else 1
        if isinstance(block, Numeric):
            for step in block.steps:
                width = width * (width + 3) // 2 if step.do == "polynomial" else width
                dense = max(dense, width)
                width = min(width, step.components) if step.do == "svd" else width
        elif isinstance(block, Expression):
            dense, width = max(dense, block.genes), block.svd or block.genes
        elif isinstance(block, OneHotSvd):
            width = block.components
            dense = max(dense, width)
        stored += width
    return stored, dense


def choose_slice_rows(recipe: Recipe) -> int:
    """Choose how many rows are in memory at once.

    Parameters
    ----------
    recipe : Recipe
        With its blocks.

    Returns
    -------
    int
        By the recipe alone, so that the bits do not depend on the machine.

    Examples
    --------
    >>> from tahoe_engine.features.recipes import load_recipe
    >>> choose_slice_rows(load_recipe("biospark-m3")[1])
    131072
    """
    stored, dense = count_columns(recipe)
    return max(STEP, min(SLICE_ROWS, MOST_VALUES // max(1, stored + dense) // STEP * STEP))
