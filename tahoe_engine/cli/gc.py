"""``tahoe gc``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from tahoe_engine.cli import options
from tahoe_engine.cli.inspect import RunFolder
from tahoe_engine.cli.output import count, print_json
from tahoe_engine.errors import escape_controls

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only list what would be removed.")]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command("gc", epilog="Example: tahoe gc demo/run --dry-run")(gc)


def gc(run: RunFolder, dry_run: DryRun = False, json: options.Json = False) -> int:
    """Remove what a run set aside and no longer needs: replaced or damaged parts, unfinished files of dead launches."""
    from tahoe_engine.run import collect_garbage

    garbage = collect_garbage(run, dry_run=dry_run)
    size = sum(item.size for item in garbage)
    if json:
        print_json({"run": str(run), "removed": not dry_run, "bytes": size, "files": [asdict(g) for g in garbage]})
        return 0
    for item in garbage if dry_run else ():
        sys.stdout.write(escape_controls(f"{item.file}: {count(item.size)} bytes") + "\n")
    done = "would be removed" if dry_run else "removed"
    sys.stdout.write(f"{count(len(garbage))} files, {count(size)} bytes {done}\n")
    return 0
