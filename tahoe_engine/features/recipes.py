"""Where recipes are, and how one is read in one of its two modes."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tahoe_engine.config import PROFILES, read_toml, validate
from tahoe_engine.errors import ConfigError, escape_controls
from tahoe_engine.features.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Iterator

HONEST, BUG_COMPAT = "honest", "bug-compat"
MODES = (HONEST, BUG_COMPAT)
OVERRIDES = "bug_compat"  # table of a recipe file whose keys replace the honest ones
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
FOLDERS = (Path("config/recipes"), PROFILES / "recipes")


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
    if mode not in MODES:
        raise ConfigError(f"no mode {escape_controls(mode)!r}; there is {' and '.join(MODES)}")
    path = _find(name)
    if not NAME.fullmatch(path.stem):
        raise ConfigError(f"{path}: the name of a recipe has letters, digits, dots, dashes and underscores, at most 64")
    tree = read_toml(path)
    changed = tree.pop(OVERRIDES, None)
    if changed is None and mode == BUG_COMPAT:
        raise ConfigError(f"{path}: the recipe has no table [{OVERRIDES}], hence no such mode")
    if not isinstance(changed, dict | None):
        raise ConfigError(f"{path}: {OVERRIDES} = {changed!r}: input should be a table")
    recipe = validate(Recipe, tree, str(path))
    if changed is not None:
        # What is wrong in the other mode is said at once, and not when it is asked for.
        other = validate(Recipe, tree | changed, f"{path}, with [{OVERRIDES}]")
        recipe = other if mode == BUG_COMPAT else recipe
    return path.stem if mode == HONEST else f"{path.stem}-{BUG_COMPAT}", recipe


def list_recipes() -> Iterator[Path]:
    """List the recipes that have a name, those of the working folder first.

    Yields
    ------
    Path
        Of a file; a name that is there twice is the first one's.
    """
    seen = set()
    for folder in FOLDERS:
        for path in sorted(folder.glob("*.toml")):
            if path.stem not in seen:
                seen.add(path.stem)
                yield path


def _find(name: str) -> Path:
    if name.endswith(".toml") or "/" in name:
        return Path(name)
    known = {path.stem: path for path in list_recipes()}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    there = ", ".join(known) or "none"
    raise ConfigError(f"no recipe {escape_controls(name)!r}; {hint}There is {there}, or name a TOML file by its path")
