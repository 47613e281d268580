"""``tahoe inspect``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tahoe_engine.cli import options
from tahoe_engine.cli.output import count, print_facts, print_json, print_table, size

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command("inspect", epilog="Example: tahoe inspect demo/run")(inspect)


def inspect(run: RunFolder, json: options.Json = False) -> int:
    """Say what is in a run: stages, settings, row accounting, versions."""
    from tahoe_engine.run import describe_run

    facts = describe_run(run)
    if json:
        print_json(facts)
        return 0
    for stage, found in facts["stages"].items():
        _print_stage(stage, found)
    for stage, found in facts["unfinished"].items():
        bad = found["quarantined"]
        if "refused" in found:
            sys.stdout.write(f"{stage}: refused by the leak guard; change the recipe, or say --allow-leaks\n")
            continue
        done = f"{count(found['done'])} of {count(found['shards'])} shards done, {len(bad)} quarantined"
        sys.stdout.write(f"{stage}: not finished, {done}; run the same command again to resume\n")
        _print_quarantined(bad)
    return 0


NONE: tuple[object, ...] = ([], "")  # settings that say nothing
COUNTED = ("n_groups", "n_cells", "n_contrasts", "n_without_control")


def _print_stage(stage: str, found: dict[str, Any]) -> None:
    sys.stdout.write(f"{stage}\n")
    # A table that comes of another stage, as that of the genes, has the settings of that one.
    given = found.get("settings", {})
    tellers = {"features": _tell_recipe, "models": _tell_task}
    named = next((name for name in tellers if name in given), None)
    settings = tellers[named](given[named]) if named else given.get(stage, given.get("cells", {}))
    print_facts(
        [
            ("  parts", f"{count(found['parts'])}, {count(found['table_rows'])} rows, {size(found['bytes'])}"),
            ("  digest", found["digest"]),
            ("  core", found.get("core")),
            ("  format", found["format_version"]),
            (
                "  settings",
                ", ".join(f"{name}={_spell(value)}" for name, value in settings.items() if value not in ([], "")),
            ),
            *(
                (f"  {name.replace('_', ' ')}", found.get(name))
                for name in ("n_groups", "n_cells", "n_contrasts", "n_without_control")
            ),
            ("  split", found.get("split", {}).get("hash")),
            *((f"  rows to {name}", number) for name, number in found.get("split", {}).get("rows", {}).items()),
            *((f"  leak allowed: {leak['column']}", leak["kind"]) for leak in found.get("leaks", ())),
            *((f"  of {needed}", digest) for needed, digest in found.get("needs", {}).items()),
            *((f"  flagged {name}", number) for name, number in found.get("flags", {}).items()),
            *((f"  rows {name}", number) for name, number in found.get("rows", {}).items()),
            *((f"  filtered by {name}", number) for name, number in found.get("filtered", {}).items()),
            *((f"  rejected for {name}", number) for name, number in found.get("rejected", {}).items()),
            *((f"  {name}", number) for name, number in found.get("warnings", {}).items()),
        ]
    )
    _print_quarantined(found.get("quarantined", []))


def _tell_recipe(given: dict[str, Any]) -> dict[str, Any]:
    """Tell of a recipe what it is about; all of it stands in the manifest."""
    recipe = given["recipe"]
    names = {key: [part["name"] for part in recipe[key]] for key in ("targets", "features")}
    return {"mode": given["mode"], "table": recipe["table"], "split by": recipe["split"]["by"] or "row", **names}


def _tell_task(given: dict[str, Any]) -> dict[str, Any]:
    """Tell of a task what it is about; all of it stands in the manifest."""
    task = given["task"]
    names = {
        "features": task["features"],
        "targets": task["targets"],
        "models": [one["name"] for one in task["models"]],
    }
    return {"mode": given["mode"], **names}


def _spell(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _print_quarantined(records: list[dict[str, Any]]) -> None:
    keys = ("shard", "row", "code", "reason")
    # A row is not always known, and an older journal has no reasons.
    rows = [["-" if record[key] is None else record[key] for key in keys] for record in records]
    print_table("  quarantined", keys, rows)
