"""``tahoe features``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tahoe_engine.cli import options
from tahoe_engine.cli.groups import Moved, NewStage
from tahoe_engine.cli.output import count, duration, print_facts, print_json, print_table, size
from tahoe_engine.cli.progress import show_progress
from tahoe_engine.errors import escape_controls
from tahoe_engine.schema import SPLITS

if TYPE_CHECKING:
    from tahoe_engine.config import Settings
    from tahoe_engine.features import FeaturesReport
    from tahoe_engine.named import Shelf

SHOWN = 12  # leaks told one by one
Recipe = Annotated[str | None, typer.Option(help="Name of a recipe (--list shows them), or path of a TOML file.")]
Mode = Annotated[
    str | None,
    typer.Option(help="honest (the default), or bug-compat: as the published project did it, mistakes and all."),
]
Table = Annotated[
    Path | None, typer.Option(help="A file (Parquet, CSV) or folder of Parquet files in place of the run's own table.")
]
Obs = Annotated[Path | None, typer.Option(help="Tahoe's obs_metadata (Parquet), for recipes that join it.")]
AllowLeaks = Annotated[
    bool, typer.Option("--allow-leaks", help="Make features that the leak guard refuses (exit 4), and write it down.")
]
List = Annotated[bool, typer.Option("--list", help="List the recipes, and do nothing else.")]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command("features", epilog="Example: tahoe features --into demo/run --recipe biospark-m3")(features)


def make_features_settings(
    recipe: Recipe = None,
    mode: Mode = None,
    table: Table = None,
    obs: Obs = None,
    allow_leaks: AllowLeaks = False,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    insecure_cluster: options.InsecureCluster = False,
    profile: options.Profile = None,
    set_: options.Set = None,
) -> Settings:
    """Resolve the settings of `tahoe features`.

    Returns
    -------
    Settings
        Options have the last word.
    """
    given = [*(set_ or ()), *(["features.allow_leaks=true"] if allow_leaks else [])]
    return options.make_settings(
        profile,
        given,
        recipe=recipe,
        mode=mode,
        table=None if table is None else str(table),
        obs=None if obs is None else str(obs),
        workers=workers,
        scheduler=scheduler,
        insecure_cluster=insecure_cluster,
    )


@options.with_settings_from(make_features_settings)
def features(
    into: options.IntoOrNone = None,
    *,
    settings: Settings,
    source: Moved = None,
    new: NewStage = False,
    list_: List = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> int:
    """Make the tables models train on: split first, fitted on training rows only, guarded against leaks (exit 4)."""
    if list_:
        show_recipes(json=json)
        return 0
    if into is None:
        from tahoe_engine.errors import ConfigError

        raise ConfigError("name the run folder: tahoe features --into RUN --recipe NAME")
    from tahoe_engine.features import make_features

    with show_progress(quiet=quiet, every=settings.run.progress_s) as show:
        report = make_features(into, source=source, settings=settings, new=new, on_progress=show)
    return print_report(report, as_json=json)


def show_recipes(*, json: bool) -> None:
    """Print the recipes that have a name.

    Parameters
    ----------
    json : bool
        As JSON.
    """
    from tahoe_engine.features.recipes import RECIPES

    show_shelf(RECIPES, json=json)


def show_shelf(shelf: Shelf[Any], *, json: bool) -> None:
    """Print the files of a kind that have a name.

    Parameters
    ----------
    shelf : Shelf
        Recipes, or tasks.
    json : bool
        As JSON.
    """
    from tahoe_engine.config import read_toml

    rows: list[dict[str, Any]] = [
        {
            shelf.word: path.stem,
            "modes": list(shelf.list_modes(path)),
            "description": str(read_toml(path).get("description", "")),
        }
        for path in shelf.list()
    ]
    if json:
        print_json({f"{shelf.word}s": rows})
    else:
        print_table(
            f"{shelf.word}s",
            (shelf.word, "modes", "description"),
            [(row[shelf.word], ", ".join(row["modes"]), escape_controls(row["description"])) for row in rows],
        )


def print_report(report: FeaturesReport, *, as_json: bool) -> int:
    """Print what was made.

    Parameters
    ----------
    report : FeaturesReport
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
    rows, splits = told["rows"], told["split"]["rows"]
    found = told["parts_found_done"]
    facts: list[tuple[str, object]] = [
        ("features", escape_controls(report.name)),
        ("parts", f"{count(told['parts_done'])} made" + (f", {count(found)} were done already" if found else "")),
        ("rows", f"{count(rows['kept'])} of {count(rows['in'])}"),
        *((split, count(splits[split])) for split in SPLITS if splits[split]),
        ("columns", count(told["n_features"])),
        ("split", told["split"]["hash"][:12]),
        *((f"left out by {why}", count(n)) for why, n in report.manifest["filtered"].items()),
    ]
    for name, target in told["targets"].items():
        if target["missing"]:
            facts.append((f"without {name}", f"{count(target['missing'])} rows (no baseline, or no value)"))
    for column, values in report.manifest["wanted"].items():
        if values["absent"]:
            facts.append((f"{column} not there", escape_controls(", ".join(values["absent"]))))
    facts += [
        (
            "time",
            duration(report.seconds)
            + (f", {count(round(told['rows_per_second']))} rows/s" if told["rows_per_second"] else ""),
        ),
        ("bytes", size(told["bytes"])),
        ("tables", escape_controls(f"{report.into}/features/{report.name}")),
    ]
    print_facts(facts)
    for note in told["notes"]:
        sys.stderr.write(escape_controls(f"tahoe: note: {note}") + "\n")
    for leak in told["leaks"][:SHOWN]:
        text = f"tahoe: leak allowed: {leak['column']}: {leak['kind']}: {leak['evidence']}"
        sys.stderr.write(escape_controls(text) + "\n")
    if len(told["leaks"]) > SHOWN:
        sys.stderr.write(f"tahoe: and {count(len(told['leaks']) - SHOWN)} more leaks allowed; see `tahoe inspect`\n")
    return 0
