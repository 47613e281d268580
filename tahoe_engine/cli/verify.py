"""``tahoe verify``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from tahoe_engine.cli import options
from tahoe_engine.cli.inspect import RunFolder
from tahoe_engine.cli.output import count, print_json
from tahoe_engine.errors import escape_controls

MISMATCH = 3
Deep = Annotated[bool, typer.Option("--deep", help="Read every byte: hashes, rows, values, and what is in .tahoe.")]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command("verify", epilog="Example: tahoe verify demo/run --deep")(verify)


def verify(run: RunFolder, deep: Deep = False, json: options.Json = False) -> int:
    """Check every part of a run against its manifests: names, sizes; with --deep, every byte. Exit 3 on a mismatch."""
    from tahoe_engine.run import verify_run

    n_files, mismatches = verify_run(run, deep=deep)
    if json:
        print_json({"run": str(run), "files": n_files, "mismatches": [asdict(item) for item in mismatches]})
    else:
        for item in mismatches:
            sys.stdout.write(escape_controls(f"{item.file}: {item.reason}") + "\n")
        sys.stdout.write(f"{count(n_files)} files checked, {len(mismatches)} differ\n")
        if mismatches:
            sys.stdout.write("Remove what differs and run the same command again: it is made anew.\n")
    return MISMATCH if mismatches else 0
