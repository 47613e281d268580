"""Options that several verbs have, and how they become settings."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from tahoe_engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tahoe_engine.config import Settings

Source = Annotated[
    list[str],
    typer.Argument(
        help="A folder (also one saved by `datasets`), a glob, a list (.txt), a .parquet or .jsonl file, "
        "hf://datasets/OWNER/NAME[@REV]/data/*.parquet, s3://… or https://…; or several.",
        show_default=False,
    ),
]
Into = Annotated[Path, typer.Option("--into", help="The run folder.", show_default=False)]
IntoOrNone = Annotated[Path | None, typer.Option("--into", help="The run folder.", show_default=False)]
Stats = Annotated[
    str | None,
    typer.Option(help="summary (expressions column alone), qc (all cell columns) or all (genes too; the default)."),
]
CellLines = Annotated[
    list[str] | None, typer.Option(help="Keep these lines only: ids or names, comma-separated or @file.")
]
Drugs = Annotated[list[str] | None, typer.Option(help="Keep these drugs only, comma-separated or @file.")]
Plates = Annotated[list[str] | None, typer.Option(help="Keep these plates only, for example 4,6.")]
Samples = Annotated[list[str] | None, typer.Option(help="Keep these wells only, comma-separated or @file.")]
MinGenes = Annotated[int | None, typer.Option(help="Keep cells with at least so many genes (0; Bio-Spark says 10).")]
Rows = Annotated[str | None, typer.Option(help="A:B over the source in shard order, B not included.")]
BadRows = Annotated[str | None, typer.Option(help="quarantine (condemns its shard; default) or reject (drop, count).")]
Vocabulary = Annotated[str | None, typer.Option(help="Gene table of a sister data set.")]
VerifyInputs = Annotated[bool, typer.Option("--verify-inputs", help="Hash every shard and compare.")]
Checksums = Annotated[str | None, typer.Option(help="Checksum file of --verify-inputs, as sha256sum writes it.")]
Workers = Annotated[int | None, typer.Option(help="Processes (default: the cores; 0 = this one, no cluster).")]
Scheduler = Annotated[str | None, typer.Option(help="Use a running scheduler, tcp://HOST:PORT.")]
Profile = Annotated[str | None, typer.Option(help="Settings: a name in config/ or a TOML file.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="One setting, section.key=value; may be repeated.")]
Strict = Annotated[bool, typer.Option("--strict", help="Publish nothing if any shard or row is bad (exit 65).")]
New = Annotated[
    bool, typer.Option("--new", help="Start anew, also with other settings; what the run has is set aside (tahoe gc).")
]
AcceptChangedInputs = Annotated[
    bool,
    typer.Option("--accept-changed-inputs", help="Take shards that changed, came or went; do only these anew."),
]
InsecureCluster = Annotated[
    bool, typer.Option("--insecure-cluster", help="Allow a scheduler beyond this machine without TLS.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Json = Annotated[bool, typer.Option("--json", help="Facts as JSON on stdout.")]

NAME_LISTS = ("cell_lines", "drugs", "plates", "samples")


def make_settings(profile: str | None, overrides: list[str] | None, **given: object) -> Settings:
    """Resolve the settings of a command.

    Parameters
    ----------
    profile : str, optional
        As in `tahoe_engine.config.load_settings`.
    overrides : list of str, optional
        As there.
    **given : object
        Options by the names of `PLACES`; None and False mean: not given.

    Returns
    -------
    Settings
        Options have the last word.
    """
    from tahoe_engine.config import change_settings, load_settings

    changes: dict[str, dict[str, Any]] = {}
    for name, value in given.items():
        section, key = PLACES[name]
        if value is not None and value is not False:
            option = f"--{name.replace('_', '-')}"
            changes.setdefault(section, {})[key] = _read_names(value, option) if name in NAME_LISTS else value
    return change_settings(load_settings(profile=profile, overrides=overrides or ()), changes, "the options")


PLACES = {
    **{name: ("cells", name) for name in (*NAME_LISTS, "stats", "min_genes", "rows", "bad_rows", "vocabulary")},
    "verify_inputs": ("source", "verify_inputs"),
    "checksums": ("source", "checksums"),
    "workers": ("workers", "count"),
    "scheduler": ("workers", "scheduler"),
    "insecure_cluster": ("workers", "insecure"),
    "strict": ("run", "strict"),
    **{name: ("groups", name) for name in ("by", "wells_a_block")},
    **{name: ("features", name) for name in ("recipe", "mode", "table", "obs")},
    "task": ("models", "task"),
    "models_mode": ("models", "mode"),
    **{name: ("contrasts", name) for name in ("method", "treatment", "within", "block", "reference", "min_cells")},
}


def make_cells_settings(
    stats: Stats = None,
    cell_lines: CellLines = None,
    drugs: Drugs = None,
    plates: Plates = None,
    samples: Samples = None,
    min_genes: MinGenes = None,
    rows: Rows = None,
    bad_rows: BadRows = None,
    vocabulary: Vocabulary = None,
    verify_inputs: VerifyInputs = False,
    checksums: Checksums = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    insecure_cluster: InsecureCluster = False,
    profile: Profile = None,
    set_: Set = None,
    strict: Strict = False,
) -> Settings:
    """Resolve the settings of `tahoe cells`; its parameters are the options of every verb that takes the same ones.

    Returns
    -------
    Settings
        Options have the last word.
    """
    return make_settings(
        profile,
        set_,
        stats=stats,
        cell_lines=cell_lines,
        drugs=drugs,
        plates=plates,
        samples=samples,
        min_genes=min_genes,
        rows=rows,
        bad_rows=bad_rows,
        vocabulary=vocabulary,
        verify_inputs=verify_inputs or checksums is not None,
        checksums=checksums,
        workers=workers,
        scheduler=scheduler,
        insecure_cluster=insecure_cluster,
        strict=strict,
    )


def make_run_settings(
    workers: Workers = None,
    scheduler: Scheduler = None,
    insecure_cluster: InsecureCluster = False,
    profile: Profile = None,
    set_: Set = None,
) -> Settings:
    """Resolve the settings of a verb that has no options of its own; the parameters are those of every stage.

    Returns
    -------
    Settings
        Options have the last word.
    """
    return make_settings(profile, set_, workers=workers, scheduler=scheduler, insecure_cluster=insecure_cluster)


def with_settings_from(make: Callable[..., Settings]) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a verb the options of a function that makes settings, in place of its parameter `settings`.

    Parameters
    ----------
    make : callable
        Its parameters become options.

    Returns
    -------
    callable
        A decorator. What typer registers has the verb's own options, and the shared ones where `settings` stood.
    """

    def decorate(verb: Callable[..., int]) -> Callable[..., int]:
        # Typer reads the signature. The name is given here: to import the settings would slow `tahoe --help` down.
        own = _parameters(verb)
        shared = _parameters(make)
        place = list(own).index("settings")
        names = [*list(own)[:place], *shared, *list(own)[place + 1 :]]
        parameters = [(own | shared)[name].replace(kind=inspect.Parameter.KEYWORD_ONLY) for name in names]

        @functools.wraps(verb)
        def with_settings(**given: Any) -> int:  # noqa: ANN401 - whatever the options hold
            settings = make(**{name: given.pop(name) for name in shared})
            return verb(settings=settings, **given)

        with_settings.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        with_settings.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return with_settings

    return decorate


with_cells_settings = with_settings_from(make_cells_settings)


def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    hints = get_type_hints(function, localns={"Settings": object}, include_extras=True)
    found = inspect.signature(function).parameters
    return {name: parameter.replace(annotation=hints[name]) for name, parameter in found.items()}


def _read_names(given: Any, option: str) -> list[str]:  # noqa: ANN401 - any option's value
    """Read names: comma-separated, or one a line of an @file (the place for names that hold commas)."""
    names: list[str] = []
    for item in given:
        if item.startswith("@"):
            try:
                lines = Path(item[1:]).read_text(encoding="utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"{option} {item}: cannot be read ({error})") from error
            names.extend(line.strip() for line in lines if line.strip() and not line.startswith("#"))
        else:
            names.extend(part.strip() for part in item.split(",") if part.strip())
    if not names:
        raise ConfigError(f"{option}: no name is given")
    return names
