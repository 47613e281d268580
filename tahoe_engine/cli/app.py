"""All verbs together, and what an error becomes: one line and an exit code."""

from __future__ import annotations

import signal
import sys
import warnings
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from tahoe_engine.cli import (
    cells,
    check,
    contrasts,
    export,
    features,
    gc,
    groups,
    inspect,
    plan,
    predict,
    run,
    synth,
    train,
    verify,
)
from tahoe_engine.cli.streams import Streams, flush_stdout
from tahoe_engine.errors import LeakError, TahoeError, TahoeWarning, escape_controls, hide_secrets

if TYPE_CHECKING:
    from types import FrameType
    from typing import TextIO

USAGE, INTERRUPTED = 64, 130
_show_warning = warnings.showwarning

app = typer.Typer(
    name="tahoe",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Tahoe-100M shards to exact tables of cells and genes, on Dask, through a Rust core.",
    epilog="Example: tahoe synth demo/atlas && tahoe cells demo/atlas --into demo/run",
)
for verb in (synth, check, plan, cells, groups, contrasts, features, train, predict, run, inspect, verify, export, gc):
    verb.register(app)


def _print_version(asked: bool) -> None:
    if asked:
        import tahoe_engine

        typer.echo(f"tahoe-engine {tahoe_engine.__version__}")
        raise typer.Exit


Version = typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_print_version)


@app.callback()
def _tahoe(version: Annotated[bool, Version] = False) -> None:
    """Hold the options that stand before a verb."""


def run_app(args: list[str] | None) -> int:
    """Run the app and turn its errors into exit codes.

    Parameters
    ----------
    args : list of str, optional
        As in `tahoe_engine.cli.main`.

    Returns
    -------
    int
        As in CONTRACT.md; 141 if whoever read the output went away, as for any program that SIGPIPE ends. A bug is not
        caught: Python prints its traceback and ends with 1.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    with Streams() as streams, warnings.catch_warnings():
        warnings.simplefilter("always", TahoeWarning)
        warnings.showwarning = _tell_warning
        try:
            return _run(args)
        except (OSError, SystemExit) as error:
            return streams.judge(error)


def _run(args: list[str] | None) -> int:
    try:
        try:
            code = typer.main.get_command(app)(args, prog_name="tahoe", standalone_mode=False)
        finally:
            # Also what was printed before an error: else Python flushes it at its end, and complains.
            flush_stdout()
    except LeakError as error:
        # A line a finding; each is escaped by itself.
        for line in f"tahoe: {error}".splitlines():
            _say(line)
        return error.exit_code
    except TahoeError as error:
        # A finding a line; in all other messages a line break is somebody else's.
        for line in f"tahoe: {error}".split("\n") if isinstance(error, LeakError) else [f"tahoe: {error}"]:
            _say(line)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except (OSError, SystemExit):
        raise
    except Exception as error:  # noqa: BLE001 - what is not about usage is raised again
        return _usage(error)
    if code == INTERRUPTED:
        _say("tahoe: interrupted; run the same command again to resume")
    return code if isinstance(code, int) else 0


def _usage(error: Exception) -> int:
    """Say what is wrong with the command line; raise what is not about it."""
    format_message: Any = getattr(error, "format_message", None)
    if format_message is None:
        raise error
    context: Any = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        # Its message is the help page, and to ask for nothing is no mistake.
        typer.echo(format_message(), err=True)
        return USAGE
    where = context.command_path if context is not None else "tahoe"
    _say(f"{where}: {format_message()} Try: {where} --help")
    return USAGE


def _say(text: str) -> None:
    sys.stderr.write(escape_controls(hide_secrets(text)) + "\n")


def _tell_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show our own warnings as one line, without the place in the code that others need."""
    if issubclass(category, TahoeWarning):
        _say(f"tahoe: {message}")
    else:
        _show_warning(message, category, filename, lineno, file, line)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
