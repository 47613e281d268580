"""``tahoe groups``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tahoe_engine.cli import options
from tahoe_engine.cli.output import count, duration, print_facts, print_json, size
from tahoe_engine.cli.progress import show_progress

if TYPE_CHECKING:
    from tahoe_engine.config import Settings
    from tahoe_engine.groups import GroupsReport

By = Annotated[str | None, typer.Option(help="Columns of the cells table, comma-separated (sample,cell_line_id).")]
WellsABlock = Annotated[
    int | None, typer.Option(help="Wells summed at once by a worker (default: as many as memory holds, at most 16).")
]
Moved = Annotated[
    list[str] | None, typer.Option("--source", help="Where the shards are now, if they have moved; may be repeated.")
]
NewStage = Annotated[
    bool, typer.Option("--new", help="Start anew, also with other settings; what the run has of it is set aside.")
]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command("groups", epilog="Example: tahoe groups --into demo/run --by sample,cell_line_id")(groups)


def make_groups_settings(
    by: By = None,
    wells_a_block: WellsABlock = None,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    insecure_cluster: options.InsecureCluster = False,
    profile: options.Profile = None,
    set_: options.Set = None,
) -> Settings:
    """Resolve the settings of `tahoe groups`.

    Returns
    -------
    Settings
        Options have the last word.
    """
    return options.make_settings(
        profile,
        set_,
        by=by,
        wells_a_block=wells_a_block,
        workers=workers,
        scheduler=scheduler,
        insecure_cluster=insecure_cluster,
    )


@options.with_settings_from(make_groups_settings)
def groups(
    into: options.Into,
    *,
    source: Moved = None,
    settings: Settings,
    new: NewStage = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> int:
    """Sum the kept cells of a run group by group: exact moments of every gene in every well and line (pseudobulk)."""
    from tahoe_engine.groups import sum_groups

    with show_progress(quiet=quiet, every=settings.run.progress_s) as show:
        report = sum_groups(into, source=source, settings=settings, new=new, on_progress=show)
    return print_report(report, as_json=json)


def print_report(report: GroupsReport, *, as_json: bool) -> int:
    """Print what a launch did.

    Parameters
    ----------
    report : GroupsReport
        Of the stage.
    as_json : bool
        JSON in place of lines.

    Returns
    -------
    int
        Exit code.
    """
    facts = report.describe()
    if as_json:
        print_json(facts)
        return 0
    before = f" ({count(report.parts_found_done)} were done before)" if report.parts_found_done else ""
    rate = f", {count(facts['rows_per_second'])} rows read/s" if report.rows_read and facts["rows_per_second"] else ""
    by = ", ".join(facts["settings"]["groups"]["by"])
    print_facts(
        [
            ("groups", f"{count(facts['n_groups'])} by {by}"),
            ("cells", facts["n_cells"]),
            ("moments", f"{count(facts['table_rows'] - facts['n_groups'])} rows, {size(facts['bytes'])}"),
            ("parts", f"{count(report.parts_done + report.parts_found_done)}{before}"),
            ("time", duration(report.seconds) + rate),
            ("tables", f"{report.into}/groups/index.parquet, {report.into}/groups/moments"),
        ]
    )
    return 0
