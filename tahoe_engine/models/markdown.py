"""Markdown that reads well in a terminal, too, and in which names from data are nothing but names."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

from tahoe_engine.errors import escape_controls

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LONGEST: Final = 60  # letters of a name
MISSING: Final = "n/a"
_SPECIAL: Final = re.compile(r"[\\`*<>|$&~\[\]]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?=//)|@")
_OPENING: Final = re.compile(r"^(?:[#+=>-]|\d+(?=[.)]))")


def quote_name(text: str, longest: int = LONGEST) -> str:
    r"""Give a name as code: nothing in it is markup.

    Parameters
    ----------
    text : str
        From data, also hostile.
    longest : int
        Letters; the middle of a longer one is cut out.

    Returns
    -------
    str
        Also fit for the cell of a table.

    Examples
    --------
    >>> quote_name("a_b"), quote_name("a`b|c"), quote_name("")
    ('`a_b`', '``a`b\\|c``', '(empty)')
    """
    shown = escape_controls(text)
    if len(shown) > longest:
        head = longest // 2
        shown = shown[:head] + "…" + shown[len(shown) - (longest - head - 1) :]
    if not shown:
        return "(empty)"
    if shown.isspace():
        return f"({len(shown)} blanks)"
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    room = " " if "`" in (shown[0], shown[-1]) else ""
    # In the cell of a table a bar must be escaped even within code; the table's reader takes the backslash away.
    return f"{fence}{room}{shown}{room}{fence}".replace("|", "\\|")


def quote_names(names: Iterable[str], most: int = 12) -> str:
    """Give names as code, one after the other.

    Parameters
    ----------
    names : iterable of str
        From data.
    most : int
        More are counted.

    Returns
    -------
    str
        With commas.

    Examples
    --------
    >>> quote_names(["a", "b", "c"], 2)
    '`a`, `b` and 1 more'
    """
    every = list(names)
    rest = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(quote_name(name) for name in every[:most]) + rest


def escape_text(text: str) -> str:
    r"""Give a sentence in which nothing is markup.

    Parameters
    ----------
    text : str
        May hold names from data.

    Returns
    -------
    str
        On one line.

    Examples
    --------
    >>> print(escape_text("r2 of a_b is *0.5* [0.4, 0.6]\n<b>"))
    r2 of a_b is \*0.5\* \[0.4, 0.6\] \<b\>
    """
    line = escape_controls(" ".join(text.split()))
    return _OPENING.sub(_escape_opening, _SPECIAL.sub(lambda found: "\\" + found[0], line))


def format_value(value: float | None) -> str:
    """Give a number with four digits.

    Parameters
    ----------
    value : float, optional
        Any.

    Returns
    -------
    str
        ``n/a`` where there is none.

    Examples
    --------
    >>> format_value(0.123456), format_value(None), format_value(float("nan"))
    ('0.1235', 'n/a', 'n/a')
    """
    return MISSING if value is None or math.isnan(value) else f"{value:.4g}"


def format_interval(value: float | None, low: float | None, high: float | None) -> str:
    """Give a number with its interval, where it has one.

    Parameters
    ----------
    value, low, high : float, optional
        The number and its ends.

    Returns
    -------
    str
        As text.

    Examples
    --------
    >>> format_interval(0.5, 0.4, 0.6), format_interval(0.5, None, None)
    ('0.5 [0.4, 0.6]', '0.5')
    """
    told = format_value(value)
    return told if low is None or high is None else f"{told} [{format_value(low)}, {format_value(high)}]"


def format_spread(mean: float | None, sd: float | None) -> str:
    """Give a mean with its standard deviation, where it has one.

    Parameters
    ----------
    mean, sd : float, optional
        The numbers.

    Returns
    -------
    str
        As text.

    Examples
    --------
    >>> format_spread(0.5, 0.1), format_spread(None, None)
    ('0.5 ± 0.1', 'n/a')
    """
    return format_value(mean) if mean is None or sd is None else f"{format_value(mean)} ± {format_value(sd)}"


def write_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    r"""Write a table.

    Parameters
    ----------
    header : sequence of str
        Names of the columns. One that begins with a blank has numbers, and goes to the right.
    rows : sequence of sequences of str
        Cells, made by the functions above.

    Returns
    -------
    list of str
        Lines, aligned, and an empty one; no line without rows.

    Examples
    --------
    >>> print(*write_table(["model", " n"], [["`a`", "10"], ["`long`", "5"]]), sep="\n")
    | model  |  n |
    | :----- | -: |
    | `a`    | 10 |
    | `long` |  5 |
    <BLANKLINE>
    """
    if not rows:
        return []
    right = [name.startswith(" ") for name in header]
    cells = [[name.strip() for name in header], *([*row] for row in rows)]
    widths = [max(2, *(len(row[i]) for row in cells)) for i in range(len(header))]
    widths[-1] = widths[-1] if right[-1] else 2  # a last column of text, maybe of sentences, is not filled up
    lines = [
        [cell.rjust(width) if end else cell.ljust(width) for cell, width, end in zip(row, widths, right, strict=True)]
        for row in cells
    ]
    rule = [
        "-" * (width - 1) + ":" if end else ":" + "-" * (width - 1) for width, end in zip(widths, right, strict=True)
    ]
    return [f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:])] + [""]


def _escape_opening(found: re.Match[str]) -> str:
    # At the start of a line these would open a heading, a list, a quotation; a number is escaped at its end.
    return f"{found[0]}\\" if found[0][0].isdigit() else f"\\{found[0]}"
