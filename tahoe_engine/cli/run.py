"""``tahoe run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tahoe_engine.cli import cells, contrasts, features, groups, options, train
from tahoe_engine.cli.cells import QUARANTINED
from tahoe_engine.cli.output import print_json
from tahoe_engine.cli.progress import show_progress, tell_unknown

JobFile = Annotated[Path, typer.Argument(metavar="JOB.toml", help="The job file.", show_default=False)]

SourceInstead = Annotated[list[str] | None, typer.Option("--source", help="In place of the job's own; repeatable.")]
IntoInstead = Annotated[Path | None, typer.Option("--into", help="Run folder in place of the job's own.")]

PRINTERS: dict[str, Any] = {
    "cells": cells.print_report,
    "groups": groups.print_report,
    "contrasts": contrasts.print_report,
    "features": features.print_report,
    "models": train.print_report,
}


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command("run", epilog="Example: tahoe run jobs/demo.toml --set cells.min_genes=10")(run)


def run(
    job: JobFile,
    source: SourceInstead = None,
    into: IntoInstead = None,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    insecure_cluster: options.InsecureCluster = False,
    profile: options.Profile = None,
    set_: options.Set = None,
    strict: options.Strict = False,
    new: options.New = False,
    accept_changed_inputs: options.AcceptChangedInputs = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> int:
    """Run the stages a job names, in order; only what is missing."""
    from tahoe_engine.config import load_settings
    from tahoe_engine.pipeline import run_job

    overrides = list(set_ or ())
    overrides += [] if workers is None else [f"workers.count={workers}"]
    overrides += [] if scheduler is None else [f'workers.scheduler="{scheduler}"']
    overrides += ["workers.insecure=true"] if insecure_cluster else []
    overrides += ["run.strict=true"] if strict else []
    every = load_settings(profile=profile, job=job, overrides=overrides).run.progress_s
    with show_progress(quiet=quiet, every=every) as show:
        reports = run_job(
            job,
            overrides,
            source=tuple(source) if source else None,
            into=into,
            profile=profile,
            new=new,
            accept_changed_inputs=accept_changed_inputs,
            on_progress=show,
            on_unknown=tell_unknown,
        )
    if json:
        print_json({stage: report.describe() for stage, report in reports.items()})
    else:
        for stage, report in reports.items():
            PRINTERS[stage.partition("/")[0]](report, as_json=False)
    return QUARANTINED if any(getattr(report, "n_quarantined", 0) for report in reports.values()) else 0
