"""``tahoe export``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tahoe_engine.cli import options
from tahoe_engine.cli.inspect import RunFolder
from tahoe_engine.cli.output import count, duration, print_facts, print_json, size
from tahoe_engine.cli.progress import show_progress, tell_unknown
from tahoe_engine.errors import ConfigError

if TYPE_CHECKING:
    from tahoe_engine.export import ExportReport

What = Annotated[
    str,
    typer.Option(help="groups (pseudobulk), cells (their table), or raw (counts from the shards).", show_default=False),
]
File = Annotated[Path, typer.Option("--into", help="The file to write, *.h5ad.", show_default=False)]
PerGroup = Annotated[int | None, typer.Option(help="raw: so many cells of every group, all of a smaller one.")]
By = Annotated[str | None, typer.Option(help="raw: what a group is (sample,cell_line_id), with --per-group.")]
Seed = Annotated[int | None, typer.Option(help="raw: another seed takes other cells (0), with --per-group.")]
Moved = Annotated[list[str] | None, typer.Option("--source", help="raw: where the shards are now, if they moved.")]
Flavor = Annotated[
    str | None,
    typer.Option(help="groups, raw: select among genes with counts, in var: seurat or cell_ranger."),
]
NTopGenes = Annotated[int | None, typer.Option(help="groups, raw: how many genes are selected, with --flavor.")]
Compression = Annotated[str, typer.Option(help="gzip, lzf (fast, h5py alone reads it) or none.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an older file.")]

# Options that not every kind of export has.
KINDS = {
    "groups": ("flavor", "n_top_genes"),
    "cells": (),
    "raw": ("flavor", "n_top_genes", "per_group", "by", "seed", "source", "settings"),
}


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    example = "Example: tahoe export demo/run --what raw --per-group 20 --into demo/small.h5ad"
    app.command("export", epilog=example)(export)


def export(
    run: RunFolder,
    what: What,
    into: File,
    format: Annotated[str, typer.Option(help="h5ad (AnnData).")] = "h5ad",  # noqa: A002 - the option's name
    plates: options.Plates = None,
    drugs: options.Drugs = None,
    cell_lines: options.CellLines = None,
    samples: options.Samples = None,
    per_group: PerGroup = None,
    by: By = None,
    seed: Seed = None,
    source: Moved = None,
    flavor: Flavor = None,
    n_top_genes: NTopGenes = None,
    compression: Compression = "gzip",
    force: Force = False,
    profile: options.Profile = None,
    set_: options.Set = None,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> int:
    """Write groups, cells, or the counts of chosen cells as an AnnData file."""
    if what not in KINDS:
        raise ConfigError(f"--what {what!r}: there is {', '.join(KINDS)}")
    if format != "h5ad":
        raise ConfigError(f"--format {format!r}: there is h5ad")
    if per_group is None and (by is not None or seed is not None):
        raise ConfigError("--by and --seed choose cells of groups: say how many with --per-group")
    settings = options.make_settings(profile, set_)
    # Apart from the settings: what a profile wants of `tahoe cells` is no filter here.
    asked = options.make_settings(None, None, plates=plates, drugs=drugs, cell_lines=cell_lines, samples=samples).cells
    filters = {name: getattr(asked, name) for name in options.NAME_LISTS}
    given: dict[str, Any] = {
        "per_group": per_group,
        "by": None if by is None else tuple(part.strip() for part in by.split(",") if part.strip()),
        "seed": seed,
        "source": source,
        "flavor": flavor,
        "n_top_genes": n_top_genes,
    }
    given = {name: value for name, value in given.items() if value is not None}
    foreign = [name for name in given if name not in KINDS[what]]
    if foreign:
        raise ConfigError(f"--{foreign[0].replace('_', '-')}: not with --what {what}")
    if what == "raw":
        given["settings"] = settings
    from tahoe_engine import export as stage

    write = {"groups": stage.export_groups, "cells": stage.export_cells, "raw": stage.export_raw}[what]
    tell = partial(tell_unknown, whose="the run has")
    with show_progress(quiet=quiet, every=settings.run.progress_s) as show:
        report = write(
            run, into, compression=compression, force=force, on_progress=show, on_unknown=tell, **filters, **given
        )
    if json:
        print_json(report.describe())
    else:
        _print_lines(report)
    return 0


def _print_lines(report: ExportReport) -> None:
    few = f"{count(report.short)} groups have fewer cells than were asked for" if report.short else None
    print_facts(
        [
            ("file", f"{report.into}, {size(report.size)}"),
            ("groups" if report.what == "groups" else "cells", report.shape[0]),
            ("genes", report.shape[1] or None),
            ("values", report.nnz or None),
            ("read", size(report.bytes_read) if report.bytes_read else None),
            ("short", few),
            ("time", duration(report.seconds)),
        ]
    )
