"""Files that have a name and two modes: recipes and tasks, as they should be and as they were published."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import BaseModel

from tahoe_engine.config import PROFILES, read_toml, validate
from tahoe_engine.errors import ConfigError, escape_controls

if TYPE_CHECKING:
    from collections.abc import Iterator

HONEST, BUG_COMPAT = "honest", "bug-compat"
MODES = (HONEST, BUG_COMPAT)
OVERRIDES = "bug_compat"  # table of a file whose keys replace the honest ones
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

Content = TypeVar("Content", bound=BaseModel)


@dataclass(frozen=True)
class Shelf(Generic[Content]):
    """A kind of files: where they are, and what stands in them.

    Parameters
    ----------
    word : str
        What one of them is called.
    folder : str
        Of ``config/``, in the working folder and in the package.
    model : type
        Closed to unknown keys.
    """

    word: str
    folder: str
    model: type[Content]

    def list(self) -> Iterator[Path]:
        """List the files that have a name, those of the working folder first.

        Yields
        ------
        Path
            Of a file; a name that is there twice is the first one's.
        """
        seen = set()
        for place in (Path("config") / self.folder, PROFILES / self.folder):
            for path in sorted(place.glob("*.toml")):
                if path.stem not in seen:
                    seen.add(path.stem)
                    yield path

    def load(self, name: str, mode: str = HONEST) -> tuple[str, Content]:
        """Read a file in one of its modes.

        Parameters
        ----------
        name : str
            Path of a TOML file, or the name of one.
        mode : {"honest", "bug-compat"}
            As it should be, or as the published project did it, mistakes and all: for comparison.

        Returns
        -------
        name : str
            That of the file, with ``-bug-compat`` in that mode.
        content : pydantic.BaseModel
            Checked.

        Raises
        ------
        ConfigError
            If there is no such file or mode, or something in it is wrong; unknown keys are named with the nearest real
            one.
        """
        if mode not in MODES:
            raise ConfigError(f"no mode {escape_controls(mode)!r}; there is {' and '.join(MODES)}")
        path = self._find(name)
        if not NAME.fullmatch(path.stem):
            raise ConfigError(
                f"{path}: the name of a {self.word} has letters, digits, dots, dashes and underscores, at most 64"
            )
        tree = read_toml(path)
        changed = tree.pop(OVERRIDES, None)
        if changed is None and mode == BUG_COMPAT:
            raise ConfigError(f"{path}: the {self.word} has no table [{OVERRIDES}], hence no such mode")
        if not isinstance(changed, dict | None):
            raise ConfigError(f"{path}: {OVERRIDES} = {changed!r}: input should be a table")
        content = validate(self.model, tree, str(path))
        if changed is not None:
            # What is wrong in the other mode is said at once, and not when it is asked for.
            other = validate(self.model, tree | changed, f"{path}, with [{OVERRIDES}]")
            content = other if mode == BUG_COMPAT else content
        return path.stem if mode == HONEST else f"{path.stem}-{BUG_COMPAT}", content

    def list_modes(self, path: Path) -> tuple[str, ...]:
        """Tell the modes of a file.

        Parameters
        ----------
        path : Path
            Of the file.

        Returns
        -------
        tuple of str
            ``honest``, and ``bug-compat`` where it has a table of that name.
        """
        return MODES if OVERRIDES in read_toml(path) else (HONEST,)

    def _find(self, name: str) -> Path:
        if name.endswith(".toml") or "/" in name:
            return Path(name)
        known = {path.stem: path for path in self.list()}
        if name in known:
            return known[name]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        there = ", ".join(known) or "none"
        raise ConfigError(
            f"no {self.word} {escape_controls(name)!r}; {hint}There is {there}, or name a TOML file by its path"
        )
