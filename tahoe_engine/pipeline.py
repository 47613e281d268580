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

    Report = CellsReport | GroupsReport | ContrastsReport | FeaturesReport

# Later stages are entered here, each after those whose tables it reads.
ORDER = ("cells", "groups", "contrasts", "features")


def run_job(  # noqa: PLR0913 - the keywords are the options of the command
    job: str | Path,
    overrides: Iterable[str] = (),
    *,
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
    profile : str, optional
        In place of the job's own.
    new, accept_changed_inputs : bool
        As in `tahoe_engine.cells.scan_cells`, for every stage the job names.
    on_progress, on_unknown : callable, optional
        As in `tahoe_engine.cells.scan_cells`.

    Returns
    -------
    dict
        Report of each stage, by its name.

    Raises
    ------
    ConfigError
        If the job is wrong; and what its stages raise.

    Examples
    --------
    >>> run_job("jobs/demo.toml", ["workers.count=0"])  # doctest: +SKIP
    """
    asked = load_job(job)
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
    return {stage: _run_stage(stage, asked, settings, options) for stage in ORDER if stage in asked.stages}


def _run_stage(stage: str, job: Job, settings: Settings, options: dict[str, Any]) -> Report:
    if stage == "cells":
        from tahoe_engine.cells import scan_cells

        return scan_cells(job.source, job.into, settings=settings, **options)
    own = {name: options[name] for name in ("new", "on_progress")}
    if stage == "groups":
        from tahoe_engine.groups import sum_groups

        return sum_groups(job.into, settings=settings, **own)
    if stage == "features":
        from tahoe_engine.features import make_features

        return make_features(job.into, settings=settings, **own)
    from tahoe_engine.contrasts import compute_contrasts

    return compute_contrasts(job.into, settings=settings, **own)
