"""Where recipes are, and how one is read in one of its two modes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tahoe_engine.features.recipe import Recipe
from tahoe_engine.named import HONEST, Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECIPES: Final = Shelf("recipe", "recipes", Recipe)


def load_recipe(name: str, mode: str = HONEST) -> tuple[str, Recipe]:
    """Read a recipe.

    Parameters
    ----------
    name : str
        Path of a TOML file, or the name of one in ``config/recipes/`` of the working folder, else of the package's own.
    mode : {"honest", "bug-compat"}
        As it should be, or as the published project did it, mistakes and all: for comparison.

    Returns
    -------
    name : str
        Of the feature set: that of the file, with ``-bug-compat`` in that mode.
    recipe : Recipe
        Checked.

    Raises
    ------
    ConfigError
        If there is no such recipe or mode, or something in it is wrong; unknown keys are named with the nearest real
        one.

    Examples
    --------
    >>> load_recipe("biospark-m3")[0], load_recipe("biospark-m4", "bug-compat")[0]
    ('biospark-m3', 'biospark-m4-bug-compat')
    """
    return RECIPES.load(name, mode)


def list_recipes() -> Iterator[Path]:
    """List the recipes that have a name, those of the working folder first.

    Yields
    ------
    Path
        Of a file; a name that is there twice is the first one's.
    """
    yield from RECIPES.list()
