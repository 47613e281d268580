"""Make the models visible: tables, cards, figures and the page a person reads, then the manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.figures import Scores, draw_figures
from tahoe_engine.models.cards import make_card
from tahoe_engine.models.page import write_page
from tahoe_engine.run import encode_frame, publish_stage
from tahoe_engine.run.manifest import encode_manifest
from tahoe_engine.schema import MODEL, SPLIT, SPLITS

if TYPE_CHECKING:
    import polars as pl

    from tahoe_engine.models.judge import Judged
    from tahoe_engine.models.launch import Launch

CARD: Final = "card.json"
PAGE: Final = "card.md"
FIGURES: Final = "figures"
SHOWN: Final = 5  # targets on an axis


def publish(launch: Launch, judged: Judged) -> dict[str, Any]:
    """Write what was found, and the manifests: of the stage first, of the run last.

    Parameters
    ----------
    launch : Launch
        With all models and the receipts of their predictions.
    judged : Judged
        The tables.

    Returns
    -------
    dict
        Manifest of the stage. If it stands there already, with all its parts, nothing is written.
    """
    plan = launch.plan
    models = list_models(launch, judged)
    facts = launch.semantic | {
        "features": plan.features.name,
        "mode": plan.mode,
        "kind": plan.kind,
        "targets": list(plan.targets),
        "split_by": plan.fits[0].material.split_by,
        "split": plan.features.manifest["split"],
        "metric": judged.metric,
        "judged_on": judged.judged_on,
        "n": max((row["n"] for row in models), default=0),
        "models": models,
        "rows": count_rows(launch),
        "leaks": plan.list_leaks(),
        "notes": list_notes(launch, judged, models),
    }
    scores = Scores(judged.tables["metrics"], judged.metric, judged.judged_on, target=", ".join(plan.targets[:SHOWN]))
    figures = draw_figures(judged.tables, scores)
    page = {**facts, "name": plan.name, "task": plan.task.describe()}
    files = {f"{name}.parquet": encode_frame(table) for name, table in judged.tables.items()}
    files |= {f"{FIGURES}/{name}": content for name, content in figures.items()}
    files[PAGE] = write_page(page, judged.tables, sorted(figures)).encode()
    for label, fitted in launch.fitted.items():
        files[f"{label}/{fitted.file}"] = fitted.content
        files[f"{label}/{CARD}"] = encode_manifest(make_card(plan, fitted, judged.tables))
    receipts = {} if launch.ledger is None else launch.ledger.receipts
    return publish_stage(launch.layout, plan.stage, files, receipts, facts)


def list_models(launch: Launch, judged: Judged) -> list[dict[str, Any]]:
    """Tell what each model is worth, in one line each.

    Parameters
    ----------
    launch : Launch
        Whose models.
    judged : Judged
        The tables.

    Returns
    -------
    list of dict
        Baselines first.
    """
    import polars as pl

    metrics, folds = judged.tables["metrics"], judged.tables.get("comparison")
    whole = metrics.filter(
        (pl.col(SPLIT) == judged.judged_on) & pl.col("group").is_null() & (pl.col("metric") == judged.metric)
    )
    tests = judged.tables.get("tests")
    told = []
    for fit in launch.plan.fits:
        row = _first(whole.filter(pl.col(MODEL) == fit.label))
        fold = (
            {}
            if folds is None
            else _first(folds.filter((pl.col(MODEL) == fit.label) & (pl.col("metric") == judged.metric)))
        )
        test = {} if tests is None else _first(tests.filter(pl.col(MODEL) == fit.label))
        told.append(
            {
                "model": fit.label,
                "estimator": fit.model.estimator,
                **{name: row.get(name) for name in ("value", "low", "high", "baseline")},
                "n": row.get("n", 0),
                "folds_mean": fold.get("mean"),
                "folds_sd": fold.get("sd"),
                "beats_baseline": test.get("beats_baseline"),
            }
        )
    return told


def count_rows(launch: Launch) -> dict[str, int]:
    """Account for the rows of the features: those without the target are left out.

    Parameters
    ----------
    launch : Launch
        Whose rows.

    Returns
    -------
    dict
        They add up; for several targets, over all of them.
    """
    materials = {fit.material.target: fit.material for fit in launch.plan.fits}
    kept = sum(material.count_rows(SPLITS) for material in materials.values())
    missing = sum(sum(material.missing.values()) for material in materials.values())
    return {"in": kept + missing, "kept": kept, "filtered": missing, "rejected": 0, "quarantined": 0}


def list_notes(launch: Launch, judged: Judged, models: list[dict[str, Any]]) -> list[str]:
    """Tell what the user of the models should know.

    Parameters
    ----------
    launch : Launch
        Whose models.
    judged : Judged
        The tables.
    models : list of dict
        As `list_models` gives them.

    Returns
    -------
    list of str
        Sentences.
    """
    plan = launch.plan
    notes = list(plan.notes)
    notes += [f"{label}: {note}" for label, fitted in launch.fitted.items() for note in fitted.notes]
    for fit in plan.fits:
        strange = fit.material.strange
        if strange and not fit.is_baseline:
            notes.append(f"{fit.label}: {len(strange)} classes are not in the training rows, and cannot be told")
    leaks = plan.list_leaks()
    if leaks:
        notes.append(f"the features leak ({len(leaks)} findings were allowed): no number here is a measure of skill")
    tested = [row for row in models if row["beats_baseline"] is not None]
    if judged.judged_on == SPLITS[0]:
        notes.append("nothing was held out: the numbers are of rows that were trained on, and tell nothing of others")
    elif not tested and not all(fit.is_baseline for fit in plan.fits):
        notes.append("nothing was tested against the baseline: that takes two held-out groups, and bootstrap > 0")
    if tested and not any(row["beats_baseline"] for row in tested):
        notes.append(f"no model is better than the baseline on {judged.judged_on} (one-sided, Holm)")
    return notes


def _first(rows: pl.DataFrame) -> dict[str, Any]:
    return rows.row(0, named=True) if rows.height else {}
