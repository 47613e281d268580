"""Where tasks are, and how one is read in one of its two modes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tahoe_engine.models.task import Task
from tahoe_engine.named import HONEST, Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TASKS: Final = Shelf("task", "tasks", Task)


def load_task(name: str, mode: str = HONEST) -> tuple[str, Task]:
    """Read a task.

    Parameters
    ----------
    name : str
        Path of a TOML file, or the name of one in ``config/tasks/`` of the working folder, else of the package's own.
    mode : {"honest", "bug-compat"}
        As it should be, or as the published project did it, mistakes and all: for comparison.

    Returns
    -------
    name : str
        Of the models: that of the file, with ``-bug-compat`` in that mode.
    task : Task
        Checked.

    Raises
    ------
    ConfigError
        If there is no such task or mode, or something in it is wrong; unknown keys are named with the nearest real
        one.

    Examples
    --------
    >>> load_task("biospark-m3")[0]
    'biospark-m3'
    """
    return TASKS.load(name, mode)


def list_tasks() -> Iterator[Path]:
    """List the tasks that have a name, those of the working folder first.

    Yields
    ------
    Path
        Of a file; a name that is there twice is the first one's.
    """
    yield from TASKS.list()
