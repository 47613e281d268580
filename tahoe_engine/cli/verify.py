"""``tahoe verify``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tahoe_engine.cli import options
from tahoe_engine.cli.inspect import RunFolder
from tahoe_engine.cli.output import count, print_json, print_table
from tahoe_engine.errors import escape_controls

if TYPE_CHECKING:
    from tahoe_engine.cells.totals import Totals

MISMATCH = 3
SHOWN = 5  # conditions printed of each kind
Deep = Annotated[bool, typer.Option("--deep", help="Read every byte: hashes, rows, values, and what is in .tahoe.")]

Tahoe = Annotated[
    bool,
    typer.Option("--against-tahoe", help="Compare cells by plate and condition with what Tahoe publishes."),
]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command("verify", epilog="Example: tahoe verify demo/run --deep")(verify)


def verify(run: RunFolder, deep: Deep = False, against_tahoe: Tahoe = False, json: options.Json = False) -> int:
    """Check every part of a run against its manifests: names, sizes; with --deep, every byte. Exit 3 on a mismatch."""
    from tahoe_engine.cells.totals import compare_totals
    from tahoe_engine.run import verify_run

    n_files, mismatches = verify_run(run, deep=deep)
    totals = compare_totals(run) if against_tahoe else None
    if json:
        facts = {"run": str(run), "files": n_files, "mismatches": [asdict(item) for item in mismatches]}
        print_json(facts | ({"totals": asdict(totals)} if totals is not None else {}))
    else:
        for item in mismatches:
            sys.stdout.write(escape_controls(f"{item.file}: {item.reason}") + "\n")
        sys.stdout.write(f"{count(n_files)} files checked, {len(mismatches)} differ\n")
        stale = [item for item in mismatches if item.reason.startswith("stale")]
        if stale:
            sys.stdout.write("What is stale is made anew by the same command with --new.\n")
        if len(stale) < len(mismatches):
            sys.stdout.write("Remove what differs and run the same command again: it is made anew.\n")
        if totals is not None:
            _print_totals(totals)
    return MISMATCH if mismatches or (totals is not None and totals.n_mismatches) else 0


def _print_totals(totals: Totals) -> None:
    print_table(
        "cells by plate",
        ("plate", "cells", "published", "verdict"),
        [(p["plate"], p["cells"], p["published"], p["verdict"]) for p in totals.plates],
    )
    found = totals.conditions
    sys.stdout.write(
        f"{count(found['compared'])} conditions (plate, drug, dose, line): {count(found['more'])} with more cells than "
        f"published, {count(found['unknown'])} that are not published, {count(found['missing'])} missing of complete "
        "plates\n"
    )
    for kind in ("more", "unknown", "missing"):
        for row in found[f"first_{kind}"][:SHOWN]:
            names = ", ".join(str(row[key]) for key in row if key not in {"cells", "published"})
            line = f"  {kind}: {names}: {row['cells']} cells, {row['published']} published"
            sys.stdout.write(escape_controls(line) + "\n")
