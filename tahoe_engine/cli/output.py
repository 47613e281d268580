"""Facts to stdout: as JSON, as a table on a terminal, as plain lines without one."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import escape_controls

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def print_json(value: object) -> None:
    """Print a value as JSON.

    Parameters
    ----------
    value : object
        JSON-able.
    """
    sys.stdout.write(json.dumps(value, indent=1, sort_keys=False) + "\n")


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Print named facts, one a line.

    Parameters
    ----------
    facts : iterable of (str, object)
        Name and value; None is left out.
    """
    kept = [(name, _text(value)) for name, value in facts if value is not None]
    width = max((len(name) for name, _ in kept), default=0)
    for name, text in kept:
        sys.stdout.write(f"{name:<{width}}  {text}\n")


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; nothing if it has no rows.

    Parameters
    ----------
    title : str
        Above it.
    header : sequence of str
        Names of the columns.
    rows : sequence of sequences
        Cells of the table.
    """
    if not rows:
        return
    texts = [[_text(value) for value in row] for row in rows]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(title=title, title_justify="left")
        for number, name in enumerate(header):
            right = all(isinstance(row[number], (int, float)) for row in rows)
            table.add_column(name, justify="right" if right else "left", overflow="fold")
        for row in texts:
            # As text, not markup: a name in brackets is a name.
            table.add_row(*(Text(cell) for cell in row))
        Console().print(table)
        return
    sys.stdout.write(f"{title}\n" + "\t".join(header) + "\n")
    for row in texts:
        sys.stdout.write("\t".join(row) + "\n")


def count(number: float) -> str:
    """Write a number with separators.

    Parameters
    ----------
    number : float
        Any.

    Returns
    -------
    str
        Whole numbers without a fraction.

    Examples
    --------
    >>> count(1234567)
    '1,234,567'
    """
    return f"{number:,}" if isinstance(number, int) else f"{number:,.1f}"


def size(number: int) -> str:
    """Write a number of bytes.

    Parameters
    ----------
    number : int
        Bytes.

    Returns
    -------
    str
        In the largest unit that leaves at least one.

    Examples
    --------
    >>> size(512), size(3_400_000), size(338_000_000_000)
    ('512 B', '3.4 MB', '338.0 GB')
    """
    value = float(number)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":  # noqa: PLR2004 - the next prefix
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError(number)


def duration(seconds: float) -> str:
    """Write a time span.

    Parameters
    ----------
    seconds : float
        Not negative.

    Returns
    -------
    str
        Seconds, or minutes and seconds, or hours and minutes.

    Examples
    --------
    >>> duration(4.25), duration(125), duration(7260)
    ('4.2 s', '2 min 05 s', '2 h 01 min')
    """
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return count(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    return escape_controls(str(value))
