"""The card of a model: what it is, what it was made of, what it is worth, and what it must not be used for."""

from __future__ import annotations

from importlib.metadata import version
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.models.launch import PACKAGES
from tahoe_engine.run.manifest import FORMAT_VERSION
from tahoe_engine.schema import MODEL, SPLIT, SPLITS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from tahoe_engine.models.fits import FittedModel
    from tahoe_engine.models.labels import Fit
    from tahoe_engine.models.plan import ModelsPlan

FEW_GROUPS: Final = 8  # with fewer, the bootstrap gives intervals that are too short
LARGE: Final = ("levels", "names")  # of a lineage: as long as the vocabulary, and in the lineage of the features


def make_card(plan: ModelsPlan, fitted: FittedModel, tables: Mapping[str, pl.DataFrame]) -> dict[str, Any]:
    """Tell everything about a model that is needed to judge it, or to make it again.

    Parameters
    ----------
    plan : ModelsPlan
        Of the stage.
    fitted : FittedModel
        The model.
    tables : mapping
        Of the stage, by name.

    Returns
    -------
    dict
        JSON-able; without times, hosts or paths, so that equal models have equal cards.
    """
    fit, material, told = fitted.fit, fitted.fit.material, plan.features.manifest
    return {
        "format_version": FORMAT_VERSION,
        "model": fit.label,
        "task": plan.name,
        "mode": plan.mode,
        "description": plan.task.description,
        "target": material.target,
        "kind": material.kind,
        "classes": list(material.classes),
        "estimator": {
            "name": fit.entry.name,
            "way": fit.entry.way,
            "parameters": _as_plain(fitted.parameters),
            "searched": {name: list(values) for name, values in fit.model.search.items()},
            "seed": plan.task.seed,
        },
        "file": {"name": fitted.file, "sha256": fitted.sha256, "size": len(fitted.content)},
        "trained_on": {"rows": fitted.n_rows, "of": material.count_rows()},
        "features": _describe_features(plan, fit),
        "data": {"features": told["digest"], **told["needs"]},
        "split": {
            "by": material.split_by,
            "hash": material.split_hash,
            "rows": {split: material.count_rows([split]) for split in SPLITS},
            "without_target": dict(material.missing),
        },
        "leaks_allowed": [dict(leak) for leak in told["leaks"] if leak["target"] in {"", None, material.target}],
        "versions": {"tahoe-engine": version("tahoe-engine"), **{name: version(name) for name in PACKAGES}},
        "metrics": _list_metrics(fit.label, tables["metrics"]),
        "tests": _list_rows(fit.label, tables.get("tests")),
        "verdict": next(iter(_list_rows(fit.label, tables.get("verdicts"))), None),
        "notes": list(fitted.notes),
        "limits": list_limits(plan, fitted, tables),
    }


def list_limits(plan: ModelsPlan, fitted: FittedModel, tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """Say in words what a model must not be taken for.

    Parameters
    ----------
    plan, fitted, tables
        As in `make_card`.

    Returns
    -------
    list of str
        Sentences.
    """
    fit, material = fitted.fit, fitted.fit.material
    held_out = [split for split in SPLITS[1:] if material.count_rows([split])]
    if not held_out:
        limits = ["No rows were held out: only the folds tell what it is worth."]
    elif not material.cluster_columns:
        limits = [
            "Tested on rows of the groups (wells, drugs, lines) that it was trained on: of new groups it says nothing."
        ]
    else:
        limits = [f"Tested on values of {material.split_by} that it was not trained on; of nothing else that is new."]
    leaks = [leak for leak in plan.features.manifest["leaks"] if leak["target"] in {"", None, material.target}]
    if leaks:
        limits.append(
            f"Its features know the target or the test rows ({len(leaks)} findings of the leak guard were allowed): "
            "its numbers are no measure of skill."
        )
    if fit.is_baseline:
        limits.append("It looks at no feature: it is what other models are compared with.")
    elif material.kind == "regression":
        limits.append("It was not tried on values of features, or of the target, beyond those it was trained on.")
    if material.strange:
        limits.append(f"It cannot tell {len(material.strange)} classes that only rows held out have.")
    if fitted.n_rows < material.count_rows():
        limits.append(f"It was trained on {fitted.n_rows} of {material.count_rows()} rows.")
    if sum(material.missing.values()):
        limits.append(f"{sum(material.missing.values())} rows have no target; they were left out, also of the test.")
    tests = [row for row in _list_rows(fit.label, tables.get("tests")) if row["beats_baseline"] is False]
    limits += [f"On {row[SPLIT]} it is not shown to be better than the baseline {row['baseline']}." for row in tests]
    few = [row["n_groups"] for row in _list_rows(fit.label, tables.get("tests")) if row["n_groups"] < FEW_GROUPS]
    if few:
        limits.append(f"It was tested on {min(few)} groups: with so few, intervals are rough.")
    return limits


def _describe_features(plan: ModelsPlan, fit: Fit) -> dict[str, Any]:
    lineage = plan.features.lineage["columns"]
    sources = list(dict.fromkeys(() if fit.is_baseline else fit.material.sources))
    return {
        "name": plan.features.name,
        "digest": plan.features.manifest["digest"],
        "set": fit.set_name,
        "blocks": list(plan.task.sets[fit.set_name]) if fit.set_name else [],
        "without": list(fit.model.without),
        "columns": 0 if fit.is_baseline else len(fit.material.columns),
        "lineage": {name: {key: value for key, value in lineage[name].items() if key not in LARGE} for name in sources},
    }


def _list_metrics(label: str, metrics: pl.DataFrame) -> dict[str, dict[str, dict[str, Any]]]:
    """Give what holds for all rows of a split, by split and metric."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in _list_rows(label, metrics):
        if row["group"] is None:
            named = ("value", "low", "high", "n", "baseline")
            found.setdefault(row[SPLIT], {})[row["metric"]] = {name: row[name] for name in named}
    return found


def _list_rows(label: str, table: pl.DataFrame | None) -> list[dict[str, Any]]:
    import polars as pl

    if table is None:
        return []
    rows = table.filter(pl.col(MODEL) == label).drop(MODEL).to_dicts()
    return [{name: _as_plain(value) for name, value in row.items()} for row in rows]


def _as_plain(value: Any) -> Any:  # noqa: ANN401 - of tables and parameters
    """Give a value as JSON can have it."""
    if isinstance(value, dict):
        return {str(name): _as_plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_plain(one) for one in value]
    if hasattr(value, "item"):
        return _as_plain(value.item())
    if isinstance(value, float) and not isfinite(value):
        return None
    return value if value is None or isinstance(value, (str, int, float)) else str(value)
