"""Names of the parts of a table that lies in a folder a plate: made of data, and safe all the same."""

from __future__ import annotations

import hashlib
from urllib.parse import quote, unquote

KEY = "plate="
NOTHING = "__HIVE_DEFAULT_PARTITION__"  # as Hive, and whoever reads its folders, spells null
EMPTY = "%"  # quoting never gives a lone percent sign
LONGEST = 80  # of a quoted name: two of them, hashes and a suffix stay below the 255 bytes that file systems allow


def name_part(plate: str | None, name: str | None) -> str:
    """Name a part of a partitioned table.

    Parameters
    ----------
    plate : str or None
        Whose folder; None where the rows of the part are of several.
    name : str or None
        What the part is of: a well, a cell line, any text.

    Returns
    -------
    str
        ``plate=PLATE/NAME``, percent-encoded: neither a slash nor a dot can lead elsewhere.

    Examples
    --------
    >>> name_part("plate4", "smp_1783"), name_part(None, "Sacubitril/Valsartan"), name_part("..", "")
    ('plate=plate4/smp_1783', 'plate=__HIVE_DEFAULT_PARTITION__/Sacubitril%2FValsartan', 'plate=../%')
    """
    return f"{KEY}{NOTHING if plate is None else _quote(plate)}/{_quote(name or '')}"


def read_plate(part: str) -> str | None:
    """Give the plate of a part.

    Parameters
    ----------
    part : str
        A name that holds a folder ``plate=…``.

    Returns
    -------
    str or None
        None where the part is of several plates, or of none that is told; of a name that was cut, what is left of it.

    Examples
    --------
    >>> read_plate("moments/plate=plate4/smp_1783.parquet"), read_plate("moments/plate=__HIVE_DEFAULT_PARTITION__/a")
    ('plate4', None)
    """
    folders = [folder for folder in part.split("/")[:-1] if folder.startswith(KEY)]
    found = folders[-1].removeprefix(KEY) if folders else NOTHING
    return None if found == NOTHING else "" if found == EMPTY else unquote(found)


def _quote(text: str) -> str:
    quoted = quote(text, safe="") or EMPTY
    if quoted == NOTHING or len(quoted) > LONGEST:
        # Cut, and told apart by a hash: the rows themselves say what they are of.
        return f"{quoted[:LONGEST].rsplit('%', 1)[0]}~{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return quoted
