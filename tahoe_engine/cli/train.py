"""``tahoe train``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tahoe_engine.cli import options
from tahoe_engine.cli.features import Mode, show_shelf
from tahoe_engine.cli.groups import NewStage
from tahoe_engine.cli.output import count, duration, print_facts, print_json, print_table
from tahoe_engine.cli.progress import show_progress
from tahoe_engine.errors import escape_controls

if TYPE_CHECKING:
    from tahoe_engine.config import Settings
    from tahoe_engine.models import ModelsReport

TaskName = Annotated[str | None, typer.Option(help="Name of a task (--list shows them), or path of a TOML file.")]
AllowLeaks = Annotated[
    bool, typer.Option("--allow-leaks", help="Train on features that leak (else exit 4); the card says so.")
]
List = Annotated[bool, typer.Option("--list", help="List the tasks, and do nothing else.")]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command("train", epilog="Example: tahoe train --into demo/run --task biospark-m3")(train)


def make_models_settings(
    task: TaskName = None,
    mode: Mode = None,
    allow_leaks: AllowLeaks = False,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    insecure_cluster: options.InsecureCluster = False,
    profile: options.Profile = None,
    set_: options.Set = None,
) -> Settings:
    """Resolve the settings of `tahoe train`.

    Returns
    -------
    Settings
        Options have the last word.
    """
    given = [*(set_ or ()), *(["models.allow_leaks=true"] if allow_leaks else [])]
    return options.make_settings(
        profile,
        given,
        task=task,
        models_mode=mode,
        workers=workers,
        scheduler=scheduler,
        insecure_cluster=insecure_cluster,
    )


@options.with_settings_from(make_models_settings)
def train(
    into: options.IntoOrNone = None,
    *,
    settings: Settings,
    new: NewStage = False,
    list_: List = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> int:
    """Fit, tune and judge the models of a task; refuses features that leak (exit 4). Only what is missing is done."""
    if list_:
        from tahoe_engine.models.tasks import TASKS

        show_shelf(TASKS, json=json)
        return 0
    if into is None:
        from tahoe_engine.errors import ConfigError

        raise ConfigError("name the run folder: tahoe train --into RUN --task NAME")
    from tahoe_engine.models import train_models

    with show_progress(quiet=quiet, every=settings.run.progress_s) as show:
        report = train_models(into, settings=settings, new=new, on_progress=show)
    return print_report(report, as_json=json)


def print_report(report: ModelsReport, *, as_json: bool) -> int:
    """Print what was trained, each number beside its baseline.

    Parameters
    ----------
    report : ModelsReport
        Of a launch.
    as_json : bool
        JSON in place of lines.

    Returns
    -------
    int
        Exit code.
    """
    told = report.describe()
    if as_json:
        print_json(told)
        return 0
    found = told["fits_found_done"]
    facts: list[tuple[str, object]] = [
        ("models", escape_controls(report.name)),
        ("fits", f"{count(told['fits_done'])} made" + (f", {count(found)} were done already" if found else "")),
        ("features", escape_controls(f"{told['features']}, split by {told['split_by']}")),
        ("judged on", f"{told['judged_on']}, {count(told['n'])} rows"),
        ("time", duration(report.seconds)),
        ("card", escape_controls(f"{report.into}/models/{report.name}/card.md")),
    ]
    print_facts(facts)
    print_table(
        told["metric"],
        ("model", told["metric"], "95 % interval", "baseline", "folds", "better than the baseline"),
        [_line(row) for row in told["models"]],
    )
    for note in told["notes"]:
        sys.stderr.write(escape_controls(f"tahoe: note: {note}") + "\n")
    return 0


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    folds = "" if row["folds_mean"] is None else f"{_number(row['folds_mean'])} ± {_number(row['folds_sd'])}"
    better = row.get("better") or ""
    interval = "" if row["low"] is None else f"{_number(row['low'])} … {_number(row['high'])}"
    return escape_controls(row["model"]), _number(row["value"]), interval, _number(row["baseline"]), folds, better


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
