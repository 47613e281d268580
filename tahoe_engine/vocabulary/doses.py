"""Doses: the text of `drugname_drugconc`, parsed and never evaluated."""

from __future__ import annotations

import re
from typing import Final

from tahoe_engine.errors import SourceError, escape_controls

# A list of a few tuples; no drug has a name of even 100 characters.
LONGEST_TEXT: Final = 4_096
_NUMBER: Final = r"\d{1,12}(?:\.\d{1,17})?(?:[eE][+-]?\d{1,2})?"
_PLAIN: Final = rf"""\(\s*(?:'[^'\\]*'|"[^"\\]*")\s*,\s*{_NUMBER}\s*,\s*'[^'\\]*'\s*\)"""
_WHOLE: Final = re.compile(rf"\s*\[\s*{_PLAIN}(?:\s*,\s*{_PLAIN})*\s*\]\s*")
_ENTRY: Final = re.compile(rf"""\(\s*(?:'([^'\\]*)'|"([^"\\]*)")\s*,\s*({_NUMBER})\s*,\s*'([^'\\]*)'\s*\)""")
_MICROMOLAR: Final = {"uM": 1.0, "µM": 1.0, "nM": 1e-3, "mM": 1e3}


def parse_dose(text: str) -> list[tuple[str, float, str]]:
    """Read the drugs, doses and units of a well.

    Parameters
    ----------
    text : str
        As in `sample_metadata.drugname_drugconc`.

    Returns
    -------
    list of tuple of (str, float, str)
        Drug (without blanks at its ends), dose, unit; one a drug of the well.

    Raises
    ------
    SourceError
        If the text has any other form.

    Examples
    --------
    >>> parse_dose("[('Erdafitinib ', 0.05, 'uM')]")
    [('Erdafitinib', 0.05, 'uM')]
    """
    if len(text) <= LONGEST_TEXT and _WHOLE.fullmatch(text):
        entries = (match.groups(default="") for match in _ENTRY.finditer(text))
        return [((single or double).strip(), float(dose), unit) for single, double, dose, unit in entries]
    shown = escape_controls(text if len(text) <= 80 else text[:80] + "…")  # noqa: PLR2004 -- a line of a terminal
    raise SourceError(f"a dose must read like [('Infigratinib', 0.05, 'uM')], found {shown}")


def to_micromolar(text: str) -> float | None:
    """Read the dose of a well in micromole a litre.

    Parameters
    ----------
    text : str
        As for `parse_dose`.

    Returns
    -------
    float or None
        None for a well of several drugs, or a unit that is no concentration.

    Examples
    --------
    >>> to_micromolar("[('Infigratinib', 0.05, 'uM')]")
    0.05
    """
    entries = parse_dose(text)
    if len(entries) != 1:
        return None
    _, dose, unit = entries[0]
    scale = _MICROMOLAR.get(unit)
    return None if scale is None else dose * scale
