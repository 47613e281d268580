"""The passages of a card with what speaks against its numbers: leaks that were allowed, and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.models.markdown import escape_text, quote_name, quote_names, write_table
from tahoe_engine.models.results import find_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tahoe_engine.models.findings import Findings

FEW_GROUPS: Final = 10
SHOWN: Final = 30  # leaks, notes


def tell_leaks(facts: Mapping[str, Any], found: Findings) -> list[str]:
    """Say which leaks were allowed, and what they are worth.

    Parameters
    ----------
    facts, found
        As `write_page` has them.

    Returns
    -------
    list of str
        Lines.
    """
    leaks, allowed = facts.get("leaks", ()), facts.get("task", {}).get("allow", ())
    pairs = find_pairs(facts, found)
    lines = ["## Leaks", ""]
    if not leaks and not allowed:
        lines += ["The guard found nothing that was not mended.", ""]
    if allowed:
        lines += [f"The task accepts by name: {quote_names(allowed)}.", ""]
    if leaks:
        lines += [f"Trained all the same, with {count_leaks(leaks)} of the guard:", ""]
        told = [[quote_name(str(leak[key])) for key in ("column", "kind")] for leak in leaks[:SHOWN]]
        rows = [(*names, escape_text(str(leak["evidence"]))) for names, leak in zip(told, leaks, strict=False)]
        lines += write_table(("column", "kind", "evidence"), rows)
        lines += [f"And {len(leaks) - SHOWN} more.", ""] if len(leaks) > SHOWN else []
    if pairs:
        lines += ["What the columns are worth, with and without them:", ""]
        lines += write_table(("model", " with", " without", " baseline", "without them it is", "left out"), pairs)
    elif leaks or allowed:
        lines += [
            "No model was trained without these columns (`without = […]`), so what they are worth is not known.",
            "",
        ]
    return lines


def tell_limits(facts: Mapping[str, Any], found: Findings) -> list[str]:
    """Say what the numbers do not say.

    Parameters
    ----------
    facts, found
        As `write_page` has them.

    Returns
    -------
    list of str
        Lines.
    """
    told = [escape_text(str(limit)) for limit in facts.get("limits", ())]
    groups = found.n_groups()
    if groups is not None and groups < FEW_GROUPS:
        told.append(f"Only {groups} groups were tested: the intervals are rough.")
    elif groups is None:
        told.append("There are too few groups for a test; intervals are missing or rough.")
    told.append("Each metric is about the groups of this split, in this data set; another plate or donor may differ.")
    rows = facts.get("task", {}).get("rank_rows")
    if rows:
        told.append(f"Rank metrics, calibration and points are computed on at most {rows:,} rows of a split.")
    notes = facts.get("notes", ())
    told += [escape_text(str(note)) for note in notes[:SHOWN]]
    told += [f"And {len(notes) - SHOWN} notes more, in the manifest."] if len(notes) > SHOWN else []
    return ["## Limits and notes", "", *(f"- {line}" for line in told), ""]


def count_leaks(leaks: Sequence[Any]) -> str:
    """Count findings of the guard, in words."""
    return "1 finding" if len(leaks) == 1 else f"{len(leaks)} findings"
