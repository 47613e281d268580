"""The command line: ``tahoe VERB``. Each verb is a file here; none holds logic of its own."""

from __future__ import annotations


def main(args: list[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    args : list of str, optional
        Without the program's name; default: those of this process.

    Returns
    -------
    int
        The exit code.
    """
    from tahoe_engine.cli.app import run_app

    return run_app(args)
