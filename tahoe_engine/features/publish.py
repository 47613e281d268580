"""Make the features visible: the small files, then the manifests."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tahoe_engine.run import publish_stage
from tahoe_engine.schema import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tahoe_engine.features.launch import Launch
    from tahoe_engine.leaks import Leak


def publish(launch: Launch, leaks: Sequence[tuple[str, Leak]]) -> dict[str, Any]:
    """Write what was decided and fitted, and the manifests: of the stage first, of the run last.

    Parameters
    ----------
    launch : Launch
        With all receipts.
    leaks : sequence of (str, Leak)
        What the guard found, and was told to let pass.

    Returns
    -------
    dict
        Manifest of the stage. If it stands there already, with all its parts, nothing is written.
    """
    prepared, receipts = launch.prepared, launch.ledger.receipts
    stage = launch.plan.stage
    counted: dict[str, Counter[str]] = {}
    for receipt in receipts.values():
        for what, numbers in receipt["counted"].items():
            counted.setdefault(what, Counter()).update(numbers)
    rows = dict.fromkeys(SPLITS, 0)
    for name, receipt in receipts.items():
        rows[name.partition("/")[0]] += receipt[stage]["rows"]
    kept = sum(rows.values())
    table = launch.plan.table
    facts = launch.semantic | {
        "rows": {
            "in": table.n_rows,
            "kept": kept,
            "filtered": table.n_rows - kept,
            "rejected": 0,
            "quarantined": 0,
        },
        "filtered": prepared.filtered,
        "wanted": prepared.wanted,
        "split": {"hash": prepared.design.split.hash, "rows": rows},
        "targets": {
            target.name: {"missing": counted.get("missing", Counter())[target.name]}
            for target in launch.plan.recipe.targets
        },
        "counted": {what: dict(sorted(numbers.items())) for what, numbers in sorted(counted.items())},
        "imputed": _tell_imputed(launch),
        "n_features": prepared.design.n_features,
        "columns": launch.columns,
        "leaks": [
            {"target": target, "column": leak.column, "kind": leak.kind, "evidence": leak.evidence}
            for target, leak in leaks
        ],
        "leaks_allowed": bool(leaks),
        "notes": [*prepared.warnings, *_tell_empty(launch)],
        **table.told,
    }
    return publish_stage(launch.layout, stage, launch.files, receipts, facts)


def _tell_empty(launch: Launch) -> Iterator[str]:
    """Tell of splits in which a target has no value at all: nothing can be trained or tried there."""
    stage = launch.plan.stage
    for target in launch.plan.recipe.targets:
        rows, missing = Counter[str](), Counter[str]()
        for name, receipt in launch.ledger.receipts.items():
            split = name.partition("/")[0]
            rows[split] += receipt[stage]["rows"]
            missing[split] += receipt["counted"].get("missing", {}).get(target.name, 0)
        for split in SPLITS:
            if 0 < rows[split] == missing[split]:
                why = (
                    "; no control cell trains in their strata, or they have no value: split by something else, take a "
                    "coarser `by`, or write baseline = 'all' and say so"
                    if target.kind == "delta"
                    else ""
                )
                yield f"{split}: none of its {rows[split]:,} rows has the target {target.name!r}{why}"


def _tell_imputed(launch: Launch) -> dict[str, int]:
    """Tell how many numbers of the rows fitted on were missing, by column."""
    told: dict[str, int] = {}
    for name, chain in sorted(launch.prepared.design.chains.items()):
        for step in chain.steps:
            if step.do == "impute":
                counts = zip(step.columns_in, step.facts["n_imputed"], strict=True)
                told |= {f"{name}.{column}": int(n) for column, n in counts if n}
    return told
