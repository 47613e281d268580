"""Wanted cell lines, drugs, plates and wells: which ids they are, and which of them no row has that was read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tahoe_engine.schema import CELL_LINE_ID, CELL_NAME, CELLOSAURUS_ID, DRUG, PLATE, SAMPLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tahoe_engine.config import CellsSettings
    from tahoe_engine.vocabulary.joined import Joined

# Settings and receipts use the plural, shards have the column.
KEYS = {"cell_lines": CELL_LINE_ID, "drugs": DRUG, "plates": PLATE, "samples": SAMPLE}
LOOKED_AT = 8  # shards whose values are read to say what is near a name that had no row


@dataclass(frozen=True)
class Wanted:
    """What was asked for by name.

    Parameters
    ----------
    values : dict of str to tuple of str
        For each filter that is set: the values the core compares with, sorted. Names that Tahoe does not know are
        among them as they are: a sister data set may have them.
    unknown : dict of str to dict
        For each filter: names that the tables do not know, with the nearest that they do.
    """

    values: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unknown: dict[str, dict[str, list[str]]] = field(default_factory=dict)


def resolve_wanted(cells: CellsSettings, folder: str | Path | None) -> Wanted:
    """Turn ids and names into the values that stand in the shards.

    Parameters
    ----------
    cells : CellsSettings
        Its section.
    folder : str or Path, optional
        The source's own metadata; without it Tahoe's.

    Returns
    -------
    Wanted
        Empty if nothing is filtered.
    """
    from tahoe_engine import vocabulary

    resolve = {
        "cell_lines": vocabulary.resolve_cell_lines,
        "drugs": vocabulary.resolve_drugs,
        "plates": vocabulary.resolve_plates,
        "samples": vocabulary.resolve_samples,
    }
    values: dict[str, tuple[str, ...]] = {}
    unknown: dict[str, dict[str, list[str]]] = {}
    for key, find in resolve.items():
        asked: tuple[str, ...] = getattr(cells, key)
        if asked:
            found, absent = find(asked, folder)
            values[key] = tuple(sorted({*found, *absent}))
            unknown[key] = dict(sorted(absent.items()))
    return Wanted(values, unknown)


def describe_wanted(
    wanted: Wanted, rows: Mapping[str, Mapping[str, int]], joined: Joined, there: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """Say of each wanted value whether a row that was read has it.

    What other filters, the row range and bad shards leave out is not read: a value may well stand there.

    Parameters
    ----------
    wanted : Wanted
        What was asked for.
    rows : mapping
        For each filter and value: rows that were read and have it.
    joined : Joined
        For the names of cell lines.
    there : mapping
        For each filter: values that some of the shards have.

    Returns
    -------
    dict
        For each filter: ``present`` (values of rows that were read), ``elsewhere`` (no row that was read has them, but
        one of the shards that were looked at does) and ``absent`` (found in neither, each with the nearest values).
    """
    from tahoe_engine.vocabulary import nearest

    names = dict(joined.cell_lines.select(CELLOSAURUS_ID, CELL_NAME).rows())
    result: dict[str, dict[str, Any]] = {}
    for key, values in sorted(wanted.values.items()):
        present = [value for value in values if rows.get(key, {}).get(value, 0) > 0]
        elsewhere = [value for value in values if value not in present and value in there.get(key, ())]
        absent = {}
        for value in values:
            if value in present or value in elsewhere:
                continue
            near = wanted.unknown[key].get(value) or nearest(value, sorted(there.get(key, ())))
            absent[value] = [_label(name, names) if key == "cell_lines" else name for name in near]
        result[key] = {"present": present, "elsewhere": elsewhere, "absent": absent}
    return result


def _label(value: str, names: Mapping[str, str]) -> str:
    return f"{names[value]} ({value})" if value in names else value
