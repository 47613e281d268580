"""``tahoe synth``."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tahoe_engine.cli import options
from tahoe_engine.cli.output import count, duration, print_facts, print_json, size
from tahoe_engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

Out = Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make.", show_default=False)]
Plates = Annotated[str, typer.Option(help="Plates, 1 to 14, comma-separated, in the order of their blocks.")]
Lines = Annotated[str, typer.Option(help="How many of the 50 lines, or their ids or names, comma-separated.")]
TablesOnly = Annotated[
    int | None, typer.Option(help="Write a cells table of so many rows, without expression.", metavar="ROWS")
]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command("synth", epilog="Example: tahoe synth demo/atlas --plates 4,6 --wells 8 --cells 20000 --seed 1")(synth)


def synth(
    out: Out,
    plates: Plates = "4",
    wells: Annotated[int, typer.Option(help="Wells a plate, 1 to 96.")] = 96,
    lines: Lines = "50",
    cells: Annotated[int, typer.Option(help="Cells in all.")] = 28_224,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes everywhere.")] = 0,
    line_effect: Annotated[float, typer.Option(help="Size of the lines' effect; 0 = none.")] = 0.8,
    drug_effect: Annotated[float, typer.Option(help="Size of the drugs' effect; 0 = none.")] = 1.0,
    well_effect: Annotated[float, typer.Option(help="Size of the wells' effect; 0 = none.")] = 0.1,
    drug_genes: Annotated[float, typer.Option(help="Share of the genes that a drug moves.")] = 0.05,
    median_counts: Annotated[float, typer.Option(help="Median of the counts a cell.")] = 1_950.0,
    counts_spread: Annotated[float, typer.Option(help="Standard deviation of the log of the counts a cell.")] = 0.55,
    shard_rows: Annotated[int, typer.Option(help="Rows a shard.")] = 28_224,
    row_group_rows: Annotated[int, typer.Option(help="Rows a row group.")] = 1_000,
    sublibrary_cells: Annotated[int, typer.Option(help="Cells of a full sublibrary.")] = 54_000,
    marker: Annotated[bool, typer.Option(help="Start rows with the marker entry, as Tahoe does.")] = True,
    vocabulary: options.Vocabulary = None,
    tables_only: TablesOnly = None,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> int:
    """Make up an atlas in Tahoe's schema, with planted and recorded truth."""
    from tahoe_engine.synth import write_atlas, write_tables

    common: dict[str, Any] = {
        "plates": _numbers(plates),
        "wells": wells,
        "lines": int(lines) if _is_number(lines.strip()) else tuple(part.strip() for part in lines.split(",")),
        "seed": seed,
        "line_effect": line_effect,
        "drug_effect": drug_effect,
        "well_effect": well_effect,
        "drug_genes": drug_genes,
        "median_counts": median_counts,
        "counts_spread": counts_spread,
        "sublibrary_cells": sublibrary_cells,
        "vocabulary": vocabulary,
        "on_progress": None if quiet else _show(),
    }
    if tables_only is None:
        written = write_atlas(
            out, cells=cells, shard_rows=shard_rows, row_group_rows=row_group_rows, marker=marker, **common
        )
    else:
        written = write_tables(out, tables_only, **common)
    if json:
        print_json(written.as_dict())
        return 0
    rate = f", {count(round(written.cells / written.seconds))} cells/s" if written.written and written.seconds else ""
    print_facts(
        [
            ("folder", written.out),
            ("cells", written.cells),
            ("shards", written.shards),
            ("bytes", size(written.bytes)),
            ("wells", ", ".join(f"{plate}: {len(wells_)}" for plate, wells_ in written.wells.items())),
            ("lines", len(written.lines)),
            ("time", f"{duration(written.seconds)}{rate}" if written.written else "everything was there"),
        ]
    )
    return 0


def _numbers(text: str) -> tuple[int, ...]:
    parts = [part.strip().removeprefix("plate") for part in text.split(",") if part.strip()]
    if not parts or not all(map(_is_number, parts)):
        raise ConfigError(f"--plates {text!r}: write numbers from 1 to 14, for example 4,6")
    return tuple(int(part) for part in parts)


def _is_number(text: str) -> bool:
    # Python refuses to read thousands of digits, with an error of its own.
    return text.isascii() and text.isdigit() and len(text) <= 18  # noqa: PLR2004 - as many as fit 64 bits


def _show(every: float = 10.0) -> Callable[[int, int], None]:
    begun = last = time.monotonic()
    terminal = sys.stderr.isatty()

    def show(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < (0.2 if terminal else every) and done < total:
            return
        last = now
        rate = round(done / max(1e-9, now - begun))
        line = f"making cells: {count(done)} of {count(total)}, {count(rate)} cells/s"
        if terminal:
            sys.stderr.write(f"\r{line}" + ("\n" if done >= total else ""))
        elif done < total or now - begun > every:
            sys.stderr.write(f"{line}\n")

    return show
