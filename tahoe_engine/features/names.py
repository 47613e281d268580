"""Names in tables of features: each stands for one column, and none is one of the engine's own."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from tahoe_engine.errors import ConfigError, escape_controls
from tahoe_engine.schema import FOLD

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tahoe_engine.features.design import Design
    from tahoe_engine.features.recipe import Recipe

PLACES: Final = ("split", FOLD)  # what the engine adds to every row


def require_names(recipe: Recipe, needed: Iterable[str], there: Collection[str]) -> None:
    """Make sure that no target is mistaken for a column, and no column for a place in the split.

    Parameters
    ----------
    recipe : Recipe
        With its targets.
    needed : iterable of str
        Columns that are read.
    there : collection of str
        Columns of the table, joined and derived ones.

    Raises
    ------
    ConfigError
        If one could be; it is named.

    Examples
    --------
    >>> target = {"kind": "column", "name": "fold", "column": "y"}
    >>> block = {"kind": "numeric", "name": "all", "columns": ["x"]}
    >>> from tahoe_engine.features.recipe import Recipe
    >>> require_names(Recipe.model_validate({"targets": [target], "features": [block]}), ["x", "y"], ["x", "y"])
    Traceback (most recent call last):
    tahoe_engine.errors.ConfigError: the target 'fold' has a name the engine uses itself; give it another
    """
    for name in needed:
        if name in PLACES and name in there:
            raise ConfigError(
                f"the recipe uses a column {name!r}, a name the engine uses itself; rename it, or derive one from it"
            )
    for target in recipe.targets:
        if target.name in PLACES:
            raise ConfigError(f"the target {target.name!r} has a name the engine uses itself; give it another")
        of_its_own = target.kind == "column" and target.column == target.name
        if target.name in there and not of_its_own:
            raise ConfigError(
                f"the target {escape_controls(target.name)!r} is called like a column that it is not; give it another "
                "name"
            )


def require_distinct(design: Design) -> None:
    """Make sure that no two columns of the features have one name.

    Parameters
    ----------
    design : Design
        With all that was fitted: what comes out has its name by then.

    Raises
    ------
    ConfigError
        If two have; the name is told, and how to change it.
    """
    named = [*design.ids, *PLACES, *(target.name for target in design.recipe.targets), *design.columns]
    twice = [name for name, n in Counter(named).items() if n > 1]
    if twice:
        raise ConfigError(
            f"two columns of the features are called {escape_controls(twice[0])!r}, among ids, targets and blocks; "
            "give a block another `prefix`, or a target another name"
        )
