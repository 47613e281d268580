"""Standard streams that are missing when a command starts, or break while it runs."""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
from typing import Self

from tahoe_engine.errors import StoppedError

# What a shell reports of any program that this signal ends: `tahoe inspect RUN | head -0` is like `cat FILE | head -0`.
BROKEN_PIPE = 128 + signal.SIGPIPE
STDOUT, STDERR = 1, 2


class Streams:
    """The standard streams of a command: all of them are there, and it is known which of them broke."""

    def __init__(self) -> None:
        _open_missing()
        self._own = sys.stdout, sys.stderr
        # Whoever meets a broken pipe first (rich) may put something else in its place; the copies still tell.
        self._copies = {number: os.dup(number) for number in (STDOUT, STDERR)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for copy in self._copies.values():
            os.close(copy)

    def judge(self, error: OSError | SystemExit) -> int:
        """Give the exit code of a command whose reader went away; whatever else happened is raised again.

        Parameters
        ----------
        error : OSError or SystemExit
            What ended the command. Typer and rich make SystemExit of every broken pipe.

        Returns
        -------
        int
            `BROKEN_PIPE`.
        """
        cause = error.__context__ if isinstance(error, SystemExit) else error
        if not isinstance(cause, OSError) or cause.errno != errno.EPIPE:
            raise error
        sys.stdout, sys.stderr = self._own
        broken = [number for number, copy in self._copies.items() if _has_no_reader(copy)]
        if not broken:
            raise cause
        for number in broken:
            _silence(number)
        return BROKEN_PIPE


def flush_stdout() -> None:
    """Bring what was printed to its reader.

    Raises
    ------
    StoppedError
        If it cannot be written there.
    BrokenPipeError
        If there is no reader any more.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _silence(STDOUT)
        raise StoppedError(f"stdout cannot be written ({error.strerror})") from error


def _open_missing() -> None:
    """Point the streams that the caller closed at nothing.

    Otherwise the next file that is opened gets their number, and what a worker prints would stand in a part.
    """
    for number, name, mode in ((0, "stdin", "r"), (STDOUT, "stdout", "w"), (STDERR, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one: those below it were just filled.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))


def _has_no_reader(number: int) -> bool:
    poll = select.poll()
    poll.register(number, 0)
    return bool(poll.poll(0))


def _silence(number: int) -> None:
    """Let Python's own flush at its end go nowhere: it must not complain."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, number)
    os.close(nothing)
