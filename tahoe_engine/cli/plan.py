"""``tahoe plan VERB``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tahoe_engine.cli import options
from tahoe_engine.cli.contrasts import make_contrasts_settings
from tahoe_engine.cli.features import make_features_settings
from tahoe_engine.cli.groups import Moved, make_groups_settings
from tahoe_engine.cli.output import count, duration, print_facts, print_json, print_table, size
from tahoe_engine.cli.progress import show_progress, tell_unknown
from tahoe_engine.cli.train import make_models_settings
from tahoe_engine.errors import escape_controls

if TYPE_CHECKING:
    from tahoe_engine.cells import CellsPlan
    from tahoe_engine.config import Settings

MaybeInto = Annotated[Path | None, typer.Option("--into", help="The run folder, to see whether its disk has room.")]


def register(app: typer.Typer) -> None:
    """Add the verb to the app."""
    verbs = typer.Typer(help="Say what a command would do: units, bytes, memory, output.", no_args_is_help=True)
    verbs.command("cells", epilog="Example: tahoe plan cells demo/atlas --into demo/run --samples smp_1783")(plan_verb)
    verbs.command("groups", epilog="Example: tahoe plan groups --into demo/run")(plan_groups_verb)
    verbs.command("contrasts", epilog="Example: tahoe plan contrasts --into demo/run --method welch")(
        plan_contrasts_verb
    )
    verbs.command("features", epilog="Example: tahoe plan features --into demo/run --recipe biospark-m3")(
        plan_features_verb
    )
    verbs.command("train", epilog="Example: tahoe plan train --into demo/run --task biospark-m3")(plan_train_verb)
    app.add_typer(verbs, name="plan", epilog="Example: tahoe plan cells demo/atlas")


@options.with_cells_settings
def plan_verb(
    source: options.Source,
    *,
    into: MaybeInto = None,
    settings: Settings,
    quiet: options.Quiet = False,
    json: options.Json = False,
) -> int:
    """Say what `tahoe cells` would do with the same options; refused (exit 64) if it cannot fit. Writes nothing."""
    from tahoe_engine.cells import Progress, plan_cells
    from tahoe_engine.source import find_shards

    given = source if len(source) > 1 else source[0]
    shards = find_shards(given, settings.source)
    with show_progress(quiet=quiet, every=settings.run.progress_s) as show:
        plan = plan_cells(
            given, settings=settings, shards=shards, on_footer=lambda n: show(Progress("footers", n, len(shards)))
        )
    if json:
        print_json(plan.describe())
    else:
        _print_lines(plan)
    tell_unknown(plan.wanted.unknown)
    plan.require_fit(into)
    return 0


@options.with_settings_from(make_groups_settings)
def plan_groups_verb(
    into: options.Into, *, source: Moved = None, settings: Settings, json: options.Json = False
) -> int:
    """Say what `tahoe groups` would do with the same options; refused (exit 64) if it cannot fit. Writes nothing."""
    from tahoe_engine.groups import plan_groups

    plan = plan_groups(into, settings=settings, source=source)
    facts = plan.describe()
    if json:
        print_json(facts)
    else:
        print_facts(
            [
                ("groups", f"{count(facts['groups'])} by {', '.join(facts['by'])}"),
                ("cells", facts["cells"]),
                ("parts", f"{count(facts['parts'])}, one a {facts['part_of']}"),
                ("units", f"{count(facts['units'])}, up to {facts['parts_a_unit']} parts each"),
                ("rows to read", facts["rows_to_read"]),
                ("read amplification", facts["read_amplification"]),
                ("bytes to read", f"{size(facts['bytes_to_read'])} in about {count(facts['requests'])} ranges"),
                ("output", f"about {count(facts['output_rows'])} rows, {size(facts['output_bytes'])}"),
                ("workers", f"{facts['workers']}, about {size(facts['memory_a_worker'])} each"),
                ("time", f"about {duration(facts['cpu_seconds'])} of one core"),
            ]
        )
    plan.require_fit()
    return 0


@options.with_settings_from(make_contrasts_settings)
def plan_contrasts_verb(into: options.Into, *, settings: Settings, json: options.Json = False) -> int:
    """Say what `tahoe contrasts` would do with the same options; refused (exit 64) if it cannot fit. Writes nothing."""
    from tahoe_engine.contrasts import plan_contrasts

    plan = plan_contrasts(into, settings=settings)
    facts = plan.describe()
    if json:
        print_json(facts)
    else:
        print_facts(
            [
                ("contrasts", f"{count(facts['contrasts'])} by {facts['method']}"),
                ("without control", facts["without_control"]),
                ("units", f"{count(facts['units'])}, up to {facts['groups_a_unit']} groups each"),
                ("output", f"about {count(facts['output_rows'])} rows, {size(facts['output_bytes'])}"),
                ("workers", f"{facts['workers']}, about {size(facts['memory_a_worker'])} each"),
            ]
        )
    plan.require_fit()
    return 0


@options.with_settings_from(make_features_settings)
def plan_features_verb(into: options.Into, *, settings: Settings, json: options.Json = False) -> int:
    """Say what `tahoe features` would do with the same options; refused (exit 64) if it cannot fit. Writes nothing."""
    from tahoe_engine.features import plan_features

    plan = plan_features(into, settings=settings)
    facts = plan.describe()
    if json:
        print_json(facts)
    else:
        rule = facts["split"]
        print_facts(
            [
                ("features", escape_controls(facts["name"])),
                ("rows", f"{count(facts['rows'])} of the table, in {count(facts['units'])} units"),
                ("split", f"by {' x '.join(rule['by']) or 'rows'}, {rule['test']:.0%} for test, {rule['folds']} folds"),
                ("targets", escape_controls(", ".join(facts["targets"]))),
                ("blocks", escape_controls(", ".join(facts["blocks"]))),
                ("output", f"about {size(facts['output_bytes'])}"),
                ("workers", f"{facts['workers']}, about {size(facts['memory_a_worker'])} each"),
            ]
        )
    plan.require_fit()
    return 0


@options.with_settings_from(make_models_settings)
def plan_train_verb(into: options.Into, *, settings: Settings, json: options.Json = False) -> int:
    """Say what `tahoe train` would do with the same options; refused (exit 64) if it cannot fit. Writes nothing."""
    from tahoe_engine.models import plan_models

    plan = plan_models(into, settings=settings)
    facts = plan.describe()
    if json:
        print_json(facts)
    else:
        print_facts(
            [
                ("models", escape_controls(facts["name"])),
                ("features", escape_controls(f"{facts['features']}, split by {facts['split_by']}")),
                ("targets", f"{escape_controls(', '.join(facts['targets'][:5]))}, {facts['kind']}"),
                *((f"rows to {split}", count(n)) for split, n in facts["rows"].items() if n),
                ("to fit", escape_controls(", ".join(facts["models"]))),
                ("fits", f"{count(facts['fits'])}, candidates and folds included"),
                ("leaks", f"{count(facts['leaks'])} that are not allowed" if facts["leaks"] else "none"),
                ("output", f"about {size(facts['output_bytes'])}"),
                ("workers", f"{facts['workers']}, about {size(facts['memory_a_worker'])} each"),
            ]
        )
    plan.require_fit()
    return 0


def _print_lines(plan: CellsPlan) -> None:
    facts = plan.describe()
    read = facts["bytes_to_read"]
    print_facts(
        [
            ("shards", facts["shards"]),
            ("units", facts["units"]),
            ("rows", facts["rows"]),
            ("row groups", f"{facts['row_groups_read']} of {facts['row_groups']} are read"),
            ("read amplification", facts["read_amplification"]),
            ("bytes to read", f"{size(read['total'])} of {size(facts['bytes_of_shards'])}"),
            ("tables joined", facts["metadata"]),
            ("output", f"about {size(facts['output_bytes'])}"),
            ("workers", f"{facts['workers']}, about {size(facts['memory_a_worker'])} each"),
        ]
    )
    print_table("bytes by column", ("column", "bytes"), [(k, v) for k, v in read.items() if k != "total"])
    print_table(
        "bad shards", ("shard", "code", "reason"), [(b["shard"], b["code"], b["reason"]) for b in facts["bad_shards"]]
    )
