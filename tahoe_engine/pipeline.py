"""The order of the stages: the only place that knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tahoe_engine.config import Settings, load_job, load_settings
from tahoe_engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tahoe_engine.cells import CellsReport, Progress
    from tahoe_engine.config import Job
    from tahoe_engine.contrasts import ContrastsReport
    from tahoe_engine.features import FeaturesReport
    from tahoe_engine.groups import GroupsReport
    from tahoe_engine.models import ModelsReport

    Report = CellsReport | GroupsReport | ContrastsReport | FeaturesReport | ModelsReport

# Later stages are entered here, each after those whose tables it reads.
ORDER = ("cells", "groups", "contrasts", "features", "models")


def run_job(  # noqa: PLR0913 - the keywords are the options of the command
    job: str | Path,
    overrides: Iterable[str] = (),
    *,
    source: str | tuple[str, ...] | None = None,
    into: str | Path | None = None,
    profile: str | None = None,
    new: bool = False,
    accept_changed_inputs: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_unknown: Callable[[dict[str, dict[str, list[str]]]], None] | None = None,
) -> dict[str, Report]:
    """Run the stages a job names, in order; what is finished is not done again.

    Parameters
    ----------
    job : str or Path
        A job file: a table ``[job]`` with source, into and stages, and settings. Its paths are taken from the working
        folder.
    overrides : iterable of str
        ``section.key=value``; they have the last word.
    source, into : str, optional
        In place of the job's own.
    profile : str, optional
        Likewise.
    new, accept_changed_inputs : bool
        As in `tahoe_engine.cells.scan_cells`, for every stage the job names.
    on_progress, on_unknown : callable, optional
        As in `tahoe_engine.cells.scan_cells`.

    Returns
    -------
    dict
        Report of each stage, by its name: ``cells``, …, ``features/RECIPE``, ``models/TASK``.

    Raises
    ------
    ConfigError
        If the job is wrong; and what its stages raise.

    Examples
    --------
    >>> run_job("jobs/demo.toml", ["workers.count=0"])  # doctest: +SKIP
    """
    asked = load_job(job)
    given = {"source": source or None, "into": None if into is None else str(into)}
    asked = asked.model_copy(update={name: value for name, value in given.items() if value is not None})
    settings = load_settings(profile=profile, job=job, overrides=overrides)
    unknown = [stage for stage in asked.stages if stage not in ORDER]
    if unknown or not asked.stages:
        named = f"unknown stage {unknown[0]!r}" if unknown else "no stage is named"
        raise ConfigError(f"{job}: {named}; there is {', '.join(ORDER)}")
    options = {
        "new": new,
        "accept_changed_inputs": accept_changed_inputs,
        "on_progress": on_progress,
        "on_unknown": on_unknown,
    }
    reports: dict[str, Report] = {}
    for stage in ORDER:
        if stage in asked.stages:
            reports |= _run_stage(stage, asked, settings, options)
    return reports


def _run_stage(stage: str, job: Job, settings: Settings, options: dict[str, Any]) -> dict[str, Report]:
    if stage == "cells":
        from tahoe_engine.cells import scan_cells

        return {stage: scan_cells(job.source, job.into, settings=settings, **options)}
    own = {name: options[name] for name in ("new", "on_progress")}
    if stage == "groups":
        from tahoe_engine.groups import sum_groups

        return {stage: sum_groups(job.into, settings=settings, **own)}
    if stage == "features":
        return _make_features(job, settings, own)
    if stage == "models":
        from tahoe_engine.models import train_models

        return {
            f"models/{report.name}": report
            for report in (train_models(job.into, name, settings=settings, **own) for name in settings.models.task)
        }
    from tahoe_engine.contrasts import compute_contrasts

    return {stage: compute_contrasts(job.into, settings=settings, **own)}


def _make_features(job: Job, settings: Settings, options: dict[str, Any]) -> dict[str, Report]:
    """Make the features of the recipe that the job names, and of those that its tasks need."""
    from tahoe_engine.features import make_features

    wanted: list[tuple[str, str, bool]] = [
        (settings.features.recipe, settings.features.mode, settings.features.allow_leaks)
    ]
    if settings.models.task and "models" in job.stages:
        from tahoe_engine.models import name_recipe

        chosen = settings.models
        named = [(*name_recipe(name, chosen.mode), chosen.allow_leaks) for name in chosen.task]
        wanted = [*(wanted if settings.features.recipe else ()), *named]
    reports: dict[str, Report] = {}
    done: set[tuple[str, str]] = set()
    for recipe, mode, allow_leaks in wanted:
        if (recipe, mode) not in done:
            done.add((recipe, mode))
            report = make_features(
                job.into, recipe or None, mode=mode, allow_leaks=allow_leaks, settings=settings, **options
            )
            reports[f"features/{report.name}"] = report
    return reports
