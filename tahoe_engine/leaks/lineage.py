"""What the lineage of a column says: that it was made of what the target was made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import StageError
from tahoe_engine.leaks.leak import Leak

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OUT_OF_FOLD: Final = frozenset({"out_of_fold", "folds", "leave_one_out"})


def find_lineage_leaks(lineage: Mapping[str, Any], target: str) -> list[Leak]:
    """Find features that share a source with a target, or have it as an ancestor that is not out of fold.

    Parameters
    ----------
    lineage : mapping
        As in ``lineage.json``. ``targets``: by name, each with ``value_columns`` (what its value is computed of) and
        ``key_columns`` (strata: they may be features). ``columns``: by name, each with ``sources`` (columns of the
        table), ``steps`` and ``ancestor_targets``; a step ``out_of_fold``, ``folds`` or ``leave_one_out``, or
        ``"out_of_fold": true``, means that no row sees its own target. ``derived``, where it is there: columns that
        are formulas of others, each with a list of those.
    target : str
        Which target.

    Returns
    -------
    list of Leak
        Of kind lineage, in the order of the columns.

    Raises
    ------
    StageError
        If the lineage does not know the target.

    Examples
    --------
    >>> lineage = {
    ...     "targets": {"delta": {"value_columns": ["mean"], "key_columns": ["plate"]}},
    ...     "columns": {
    ...         "mean^2": {"sources": ["mean"], "steps": ["polynomial"], "ancestor_targets": []},
    ...         "plate_1": {"sources": ["plate"], "steps": [], "ancestor_targets": []},
    ...     },
    ... }
    >>> for leak in find_lineage_leaks(lineage, "delta"):
    ...     print(leak)
    mean^2: lineage: mean^2 is made of mean, and so is the target delta (polynomial)
    """
    targets = lineage.get("targets", {})
    if target not in targets:
        raise StageError(f"the lineage knows no target {target!r}; it has {', '.join(targets) or 'none'}")
    derived = lineage.get("derived", {})
    values = _trace(targets[target].get("value_columns", ()), derived)
    found = []
    for name, told in lineage.get("columns", {}).items():
        sources = _trace(told.get("sources", ()), derived)
        steps = [str(step.get("do", step)) if hasattr(step, "get") else str(step) for step in told.get("steps", ())]
        # The target's own name among the sources is the target itself, unless a table's column has that name.
        shared = sorted(sources & values)
        if shared:
            how = f" ({', '.join(steps)})" if steps else ""
            says = f"{name} is made of {' and '.join(shared)}, and so is the target {target}{how}"
            found.append(Leak(name, "lineage", says, (name, *shared), {"sources": shared, "steps": steps}))
        elif target in told.get("ancestor_targets", ()) and not (told.get("out_of_fold") or OUT_OF_FOLD & set(steps)):
            says = f"{name} is made of the target {target}, and not out of fold: a row sees its own target"
            found.append(Leak(name, "lineage", says, (name,), {"ancestor": target, "steps": steps}))
    return found


def _trace(names: Iterable[str], derived: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """Follow formulas down to columns of the table; a derived column counts itself, too."""
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(derived.get(name, ()))
    return frozenset(seen)
