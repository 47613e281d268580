"""``tahoe cells``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from tahoe_engine.cli import options
from tahoe_engine.cli.output import count, duration, print_facts, print_json
from tahoe_engine.cli.progress import show_progress, tell_unknown
from tahoe_engine.errors import escape_controls

if TYPE_CHECKING:
    from tahoe_engine.cells import CellsReport
    from tahoe_engine.config import Settings

QUARANTINED = 2
SHOWN = 10  # quarantined shards printed one by one


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command("cells", epilog="Example: tahoe cells demo/atlas --into demo/run --plates 4 --min-genes 10")(cells)


@options.with_cells_settings
def cells(
    source: options.Source,
    into: options.Into,
    *,
    settings: Settings,
    new: options.New = False,
    accept_changed_inputs: options.AcceptChangedInputs = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> int:
    """Scan shards into exact tables: one row a cell, one a gene. The same command again does only what is missing."""
    from tahoe_engine.cells import scan_cells

    with show_progress(quiet=quiet, every=settings.run.progress_s) as show:
        report = scan_cells(
            source if len(source) > 1 else source[0],
            into,
            settings=settings,
            new=new,
            accept_changed_inputs=accept_changed_inputs,
            on_progress=show,
            on_unknown=tell_unknown,
        )
    return print_report(report, as_json=json)


def print_report(report: CellsReport, *, as_json: bool) -> int:
    """Print what a scan did.

    Parameters
    ----------
    report : CellsReport
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
        _print_lines(report, facts["cells_per_second"])
    _tell_absent(report)
    return QUARANTINED if report.n_quarantined else 0


def _print_lines(report: CellsReport, rate: int | None) -> None:
    manifest = report.manifest
    rows = manifest["rows"]
    reasons = {"filtered": manifest["filtered"], "rejected": manifest["rejected"]}
    time = duration(report.seconds) + (f", {count(rate)} cells/s" if report.rows_done and rate else "")
    before = [f"{count(report.units_found_done)} were done before"] if report.units_found_done else []
    before += [f"{count(report.units_taken_over)} of them without a journal line"] if report.units_taken_over else []
    before += ["the end of the journal was torn by a crash and cut off"] if report.journals_torn else []
    found = f" ({', '.join(before)})" if before else ""
    tables = ["cells"] + (["genes"] if manifest["settings"]["cells"]["stats"] == "all" else [])
    print_facts(
        [
            ("rows in", rows["in"]),
            ("kept", rows["kept"]),
            *((name, _with_reasons(rows[name], why)) for name, why in reasons.items()),
            ("quarantined", f"{count(rows['quarantined'])} in {report.n_quarantined} shards"),
            ("warnings", _with_reasons(None, manifest["warnings"]) if manifest["warnings"] else None),
            ("shards", f"{len(manifest['parts'])}{found}"),
            ("time", time),
            ("tables", ", ".join(f"{report.into}/{table}" for table in tables)),
        ]
    )
    for record in manifest["quarantined"][:SHOWN]:
        place = "" if record["row"] is None else f", row {record['row']}"
        line = f"  {record['shard']}{place}: {record['code']}: {record['reason']}"
        sys.stdout.write(escape_controls(line) + "\n")
    if report.n_quarantined > SHOWN:
        sys.stdout.write(f"  and {report.n_quarantined - SHOWN} more, see {report.into}/cells/_MANIFEST.json\n")


def _tell_absent(report: CellsReport) -> None:
    for key, found in report.manifest["wanted"].items():
        for name, near in found["absent"].items():
            meant = f"; the nearest: {', '.join(near)}" if near else ""
            text = f"tahoe: no row that was read has {name!r} among its {key.replace('_', ' ')}{meant}"
            sys.stderr.write(escape_controls(text) + "\n")
        for name in found["elsewhere"]:
            text = f"tahoe: the source has {name!r} among its {key.replace('_', ' ')}, but no row that was read: "
            sys.stderr.write(escape_controls(f"{text}other filters, --rows or bad shards leave it out") + "\n")


def _with_reasons(number: int | None, reasons: dict[str, int]) -> str:
    why = ", ".join(f"{name} {count(rows)}" for name, rows in reasons.items())
    if number is None:
        return why
    return count(number) + (f" ({why})" if why else "")
