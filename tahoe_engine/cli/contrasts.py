"""``tahoe contrasts``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tahoe_engine.cli import options
from tahoe_engine.cli.groups import NewStage
from tahoe_engine.cli.output import count, duration, print_facts, print_json, print_table, size
from tahoe_engine.cli.progress import show_progress
from tahoe_engine.errors import escape_controls

if TYPE_CHECKING:
    from tahoe_engine.config import Settings
    from tahoe_engine.contrasts import ContrastsReport

Method = Annotated[
    str | None, typer.Option(help="limma (wells are compared; the default) or welch (cells are, from their moments).")
]
Treatment = Annotated[str | None, typer.Option(help="What is compared: drug,dose_um (default) or drug.")]
Within = Annotated[
    str | None,
    typer.Option(help="What both sides have in common: plate,cell_line_id (default), one of them, or '' for nothing."),
]
Block = Annotated[
    str | None, typer.Option(help="Further factors of the model: plate with --within cell_line_id pools plates.")
]
Reference = Annotated[
    list[str] | None, typer.Option(help="A drug that is the control (DMSO_TF); may be repeated: all are one control.")
]
MinCells = Annotated[int | None, typer.Option(help="Flag sides of fewer cells (10).")]
Plain = Annotated[bool, typer.Option("--plain", help="limma without robustness against hypervariable genes.")]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command("contrasts", epilog="Example: tahoe contrasts --into demo/run --method welch")(contrasts)


def make_contrasts_settings(
    method: Method = None,
    treatment: Treatment = None,
    within: Within = None,
    block: Block = None,
    reference: Reference = None,
    min_cells: MinCells = None,
    plain: Plain = False,
    workers: options.Workers = None,
    scheduler: options.Scheduler = None,
    insecure_cluster: options.InsecureCluster = False,
    profile: options.Profile = None,
    set_: options.Set = None,
) -> Settings:
    """Resolve the settings of `tahoe contrasts`.

    Returns
    -------
    Settings
        Options have the last word.
    """
    given = [*(set_ or ()), *(["contrasts.robust=false"] if plain else [])]
    return options.make_settings(
        profile,
        given,
        method=method,
        treatment=treatment,
        within=within,
        block=block,
        # As a list: names of drugs may hold commas.
        reference=list(reference) if reference else None,
        min_cells=min_cells,
        workers=workers,
        scheduler=scheduler,
        insecure_cluster=insecure_cluster,
    )


@options.with_settings_from(make_contrasts_settings)
def contrasts(
    into: options.Into,
    *,
    settings: Settings,
    new: NewStage = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> int:
    """Compare each treatment with the control of its own plate and line, gene by gene. Only what is missing is done."""
    from tahoe_engine.contrasts import compute_contrasts

    with show_progress(quiet=quiet, every=settings.run.progress_s) as show:
        report = compute_contrasts(into, settings=settings, new=new, on_progress=show)
    return print_report(report, as_json=json)


def print_report(report: ContrastsReport, *, as_json: bool) -> int:
    """Print what a launch did.

    Parameters
    ----------
    report : ContrastsReport
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
    else:
        _print_lines(report, facts)
    _tell_alone(report)
    return 0


def _print_lines(report: ContrastsReport, facts: dict[str, Any]) -> None:
    before = f" ({count(report.parts_found_done)} were done before)" if report.parts_found_done else ""
    rate = f", {count(facts['contrasts_per_second'])} contrasts/s" if report.contrasts_done and report.seconds else ""
    chosen = facts["settings"]["contrasts"]
    compared = f"{report.manifest['meaning']['compared']} are compared"
    flags = ", ".join(f"{name} {count(n)}" for name, n in facts["flags"].items())
    print_facts(
        [
            ("contrasts", f"{count(facts['n_contrasts'])} by {chosen['method']}: {compared}"),
            ("without control", facts["n_without_control"]),
            ("flags", flags or "none"),
            ("results", f"{count(facts['result_rows'])} rows, {size(facts['bytes'])}"),
            ("parts", f"{count(report.parts_done + report.parts_found_done)}{before}"),
            ("time", duration(report.seconds) + rate),
            ("tables", f"{report.into}/contrasts/index.parquet, {report.into}/contrasts/results"),
        ]
    )
    strongest = [[_text(value) for value in row.values()] for row in report.strongest]
    header = ["drug", "dose_um", "line", "plate", "genes"]
    print_table("strongest, by genes below a false discovery rate of 5 %", header, strongest)
    if "no_residual_df" in facts["flags"] and chosen["method"] == "limma":
        sys.stderr.write(
            "tahoe: where there is no residual degree of freedom there are fold changes but no P-values: pool plates "
            "(--within cell_line_id --block plate), or compare cells (--method welch)\n"
        )


def _tell_alone(report: ContrastsReport) -> None:
    """Say which treatments were compared with nothing."""
    n_alone = report.manifest["n_without_control"]
    if not n_alone:
        return
    shown = "; ".join(
        ", ".join(_text(value) for value in row.values() if value is not None) for row in report.without_control
    )
    more = f"; and {count(n_alone - len(report.without_control))} more" if n_alone > len(report.without_control) else ""
    text = f"tahoe: {count(n_alone)} contrasts have no control and no results, none was borrowed: {shown}{more}"
    sys.stderr.write(escape_controls(text) + "\n")


def _text(value: object) -> str:
    return "all" if value is None else str(value)
