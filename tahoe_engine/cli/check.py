"""``tahoe check``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from tahoe_engine.cli import options
from tahoe_engine.cli.output import print_facts, print_json, print_table, size
from tahoe_engine.cli.progress import show_progress

QUARANTINED, STRICT = 2, 65
NoValues = Annotated[bool, typer.Option("--no-values", help="Footers alone: do not read which plates, lines, drugs.")]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    app.command("check", epilog="Example: tahoe check demo/atlas --json")(check)


def check(
    source: options.Source,
    no_values: NoValues = False,
    profile: options.Profile = None,
    set_: options.Set = None,
    strict: options.Strict = False,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> int:
    """Say what a source is: shards, rows, schema, encodings, identity, values, and which shards are bad (exit 2)."""
    settings = options.make_settings(profile, set_, strict=strict)
    from tahoe_engine.cells import Progress
    from tahoe_engine.source import choose_metadata, describe_source, find_shards, read_footers

    given = source if len(source) > 1 else source[0]
    shards = find_shards(given, settings.source)
    metadata = choose_metadata(given, shards, settings.source.metadata)
    metadata.warn()
    with show_progress(quiet=quiet, every=settings.run.progress_s) as show:
        footers = read_footers(
            shards,
            settings.limits.model_dump(),
            threads=settings.source.footer_threads,
            values=not no_values,
            on_footer=lambda n: show(Progress("footers", n, len(shards))),
            source=settings.source,
        )
    facts = {**describe_source(footers), "metadata": metadata.describe()}
    if json:
        print_json(facts)
    else:
        _print_lines(facts)
    if not facts["bad"]:
        return 0
    return STRICT if settings.run.strict else QUARANTINED


def _print_lines(facts: dict[str, Any]) -> None:
    print_facts(
        [
            ("shards", f"{facts['shards']}, {len(facts['bad'])} bad"),
            ("bytes", size(facts["bytes"])),
            ("rows", facts["rows"]),
            ("rows a shard", _span(facts["rows_a_shard"])),
            ("row groups", f"{facts['row_groups']} of {_span(facts['rows_a_row_group'])} rows"),
            ("written by", ", ".join(f"{name} ({number})" for name, number in facts["written_by"].items())),
            ("huggingface", f"{facts['huggingface']} shards carry the key"),
            ("identity", facts["identity"]),
            ("tables to join", facts["metadata"]),
            *((f"{key}", f"{len(values)}: {_some(values)}") for key, values in facts["values"].items()),
        ]
    )
    keys = ("name", "type", "shards", "codecs", "encodings")
    print_table(
        "columns",
        ("column", "type", "shards", "codecs", "encodings", "compressed", "uncompressed"),
        [
            (*(c[key] for key in keys), size(c["compressed_bytes"]), size(c["uncompressed_bytes"]))
            for c in facts["columns"]
        ],
    )
    bad = [(record["shard"], record["code"], record["reason"]) for record in facts["bad"]]
    print_table("bad shards", ("shard", "code", "what is wrong"), bad)


def _span(span: list[int]) -> str:
    if not span:
        return "-"
    return f"{span[0]:,}" if span[0] == span[1] else f"{span[0]:,} to {span[1]:,}"


def _some(values: list[str], shown: int = 8) -> str:
    return ", ".join(value or "''" for value in values[:shown]) + (", …" if len(values) > shown else "")
