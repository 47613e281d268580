"""Progress to stderr: a bar on a terminal, one plain line every so often without one."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tahoe_engine.cli.output import count, duration
from tahoe_engine.errors import escape_controls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tahoe_engine.cells import Progress

    Show = Callable[[Progress], None]

WORDS = {
    "footers": "reading footers",
    "cells": "scanning shards",
    "genes": "merging genes",
    "groups": "summing groups",
    "contrasts": "testing contrasts",
    "fitting": "fitting, passes over the table",
    "features": "making features",
    "fits": "fitting models",
    "predictions": "predicting",
    "judging": "judging predictions",
    "choosing": "choosing cells",
    "export": "writing parts",
}
UNITS = {
    "groups": "rows",
    "contrasts": "contrasts",
    "features": "rows",
    "predictions": "rows",
}  # what is counted, where it is not cells
DRAINING = "stopping: {0} units under way may end; stop once more to leave them"
REDRAW_SECONDS = 0.1


@contextmanager
def show_progress(*, quiet: bool, every: float) -> Iterator[Show]:
    """Show progress while a stage runs.

    Parameters
    ----------
    quiet : bool
        Show nothing.
    every : float
        Seconds between two lines where there is no terminal.

    Yields
    ------
    callable
        Takes a `Progress`.
    """
    if quiet:
        yield lambda progress: None  # noqa: ARG005 - shows nothing
    elif sys.stderr.isatty():
        with _bar() as show:
            yield show
    else:
        yield _lines(every)


def tell_unknown(unknown: dict[str, dict[str, list[str]]], whose: str = "the joined tables have") -> None:
    """Say before the work which wanted names nobody knows.

    Parameters
    ----------
    unknown : dict
        For each filter: names, each with the nearest that are known.
    whose : str
        Who does not know them.
    """
    for key, names in unknown.items():
        for name, near in names.items():
            meant = f"; the nearest: {', '.join(near)}" if near else ""
            text = f"tahoe: {whose} no {name!r} among their {key.replace('_', ' ')}{meant}"
            sys.stderr.write(escape_controls(text) + "\n")


def describe_progress(progress: Progress) -> str:
    """Write progress in one line.

    Parameters
    ----------
    progress : Progress
        How far it is.

    Returns
    -------
    str
        Units done, cells/s, time left, quarantined.
    """
    if progress.doing == "draining":
        return DRAINING.format(count(progress.total))
    of = f" of {count(progress.total)}" if progress.total else ""
    parts = [f"{WORDS[progress.doing]}: {count(progress.done)}{of}"]
    if progress.rows_total and progress.seconds and progress.rows:
        rate = progress.rows / progress.seconds
        left = (progress.rows_total - progress.rows) / rate
        parts += [f"{count(round(rate))} {UNITS.get(progress.doing, 'cells')}/s", f"{duration(left)} left"]
        if progress.doing == "cells":
            parts.append(f"{progress.quarantined} quarantined")
    return ", ".join(parts)


def _lines(every: float) -> Show:
    last = time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= every or progress.doing == "draining":
            last = time.monotonic()
            sys.stderr.write(describe_progress(progress) + "\n")
            sys.stderr.flush()

    return show


@contextmanager
def _bar() -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (BarColumn(bar_width=30), TextColumn("{task.description}", markup=False))
    with Bars(*columns, console=Console(stderr=True), transient=True, refresh_per_second=1 / REDRAW_SECONDS) as bars:
        task = bars.add_task("starting", total=None)

        def show(progress: Progress) -> None:
            bars.update(
                task, description=describe_progress(progress), completed=progress.done, total=progress.total or None
            )

        yield show
