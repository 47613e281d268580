"""Names and numbers as a figure shows them: short, on one line, and in letters that the typeface has."""

from __future__ import annotations

import math
from functools import cache
from typing import Final

from tahoe_engine.errors import escape_controls

LONGEST: Final = 36  # letters of a name
ELLIPSIS: Final = "…"


def clean_name(text: str, longest: int = LONGEST) -> str:
    r"""Make a name fit for a figure.

    Parameters
    ----------
    text : str
        A name from data, also hostile.
    longest : int
        Letters; the middle of a longer one is cut out, since long names differ at their ends.

    Returns
    -------
    str
        On one line; letters that the typeface lacks are shown as their number.

    Examples
    --------
    >>> clean_name("two\nlines"), clean_name("a" * 30 + "b" * 30, 11)
    ('two\\nlines', 'aaaaa…bbbbb')
    """
    known = _list_letters()
    shown = "".join(
        letter if ord(letter) in known else letter.encode("unicode_escape").decode("ascii")
        for letter in escape_controls(text)
    )
    if len(shown) <= longest:
        return shown or "(empty)"
    head = longest // 2
    return shown[:head] + ELLIPSIS + shown[len(shown) - (longest - head - 1) :]


def format_number(value: float | None) -> str:
    """Show a number with four digits.

    Parameters
    ----------
    value : float, optional
        Any.

    Returns
    -------
    str
        The word none where there is none.

    Examples
    --------
    >>> format_number(0.123456), format_number(None), format_number(float("nan"))
    ('0.1235', 'none', 'none')
    """
    if value is None or not math.isfinite(value):
        return "none"
    return f"{value:.4g}"


def tell_some(shown: int, every: int, what: str) -> str:
    """Say that not everything is shown.

    Parameters
    ----------
    shown, every : int
        How many.
    what : str
        Of what, in the plural.

    Returns
    -------
    str
        Empty where all is shown.

    Examples
    --------
    >>> tell_some(2, 5, "models"), tell_some(5, 5, "models")
    (' The best 2 of 5 models are shown.', '')
    """
    return f" The best {shown} of {every} {what} are shown." if every > shown else ""


@cache
def _list_letters() -> frozenset[int]:
    from tahoe_engine.figures.canvas import load_matplotlib

    load_matplotlib()
    from matplotlib.font_manager import findfont, get_font

    from tahoe_engine.figures.style import FONT

    return frozenset(get_font(findfont(FONT, fallback_to_default=False)).get_charmap())
