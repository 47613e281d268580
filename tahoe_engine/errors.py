"""The errors a caller can act on, defined once; the Rust core raises these very classes.

A `TahoeError` is something the caller can mend, and its `exit_code` is what the command line ends with.
Anything that is not a `TahoeError` is a bug and keeps its traceback.
"""

from __future__ import annotations

import re


class TahoeError(Exception):
    """The base of every error that its reader can do something about.

    Parameters
    ----------
    message : str
        One sentence that names the thing and says what to do.

    Examples
    --------
    >>> str(TahoeError("the run folder is missing"))
    'the run folder is missing'
    """

    exit_code: int = 64


class ConfigError(TahoeError):
    """Wrong settings, usage or plan: mend them and start again."""

    exit_code = 64


class StageError(TahoeError):
    """An earlier stage is missing, stale, or was run with other settings."""

    exit_code = 64


class ConflictError(StageError):
    """A part has other bytes than the one that stands under its name already."""


class BadDataError(TahoeError):
    """Bad data under ``--strict``, or more bad shards than a run may have."""

    exit_code = 65


class LeakError(TahoeError):
    """What the leak guard refuses: a feature that knows the target, or the test rows."""

    exit_code = 4


class SourceError(TahoeError):
    """There is no such source, or not in a form that is read: mend the path."""

    exit_code = 66


class HeldError(TahoeError):
    """Another launch holds the run folder."""

    exit_code = 73


class StoppedError(TahoeError):
    """Something temporary (a full disk, lost workers): run the same command again to resume."""

    exit_code = 75


class FetchError(StoppedError):
    """A file that lies elsewhere cannot be had for now: nothing is known against its data, so it is no bad shard."""


class ShardError(TahoeError):
    """One shard is broken, foreign or hostile.

    Parameters
    ----------
    shard : str
        Name of the shard (not its path).
    row_group : int or None
        Row group of the defect, where it is known.
    row : int or None
        Row within the shard, where it is known.
    code : str
        Stable code, ``E_...``.
    reason : str
        What was found and what was expected.

    Examples
    --------
    >>> str(ShardError("train-7", 2, 2041, "E_NONFINITE", "expression is NaN"))
    'train-7: row group 2, row 2041: E_NONFINITE: expression is NaN'
    """

    exit_code = 65

    def __init__(self, shard: str, row_group: int | None, row: int | None, code: str, reason: str) -> None:
        # All five are handed on, so that plain pickle builds the same error on the other side.
        super().__init__(shard, row_group, row, code, reason)
        self.shard = shard
        self.row_group = row_group
        self.row = row
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        place = [
            f"{word} {number}"
            for word, number in (("row group", self.row_group), ("row", self.row))
            if number is not None
        ]
        parts = [self.shard, ", ".join(place), self.code, self.reason]
        return escape_controls(": ".join(part for part in parts if part))


class TahoeWarning(UserWarning):
    """Something was taken for granted that the caller may want otherwise; the work goes on."""


def hide_secrets(text: str) -> str:
    """Cut what may be secret out of the web addresses in a text: user names, passwords, queries.

    Parameters
    ----------
    text : str
        A message that may repeat what a user gave.

    Returns
    -------
    str
        The text with addresses one may show.

    Examples
    --------
    >>> hide_secrets("no such command 'https://me:pass@example.org/a?sig=abc'")
    "no such command 'https://example.org/a'"
    """
    return re.sub(r"(?i)\b(https?://)(?:[^\s/'\"@]*@)?([^\s?#'\"]*)(?:[?#][^\s'\"]*)?", r"\1\2", text)


def escape_controls(text: str) -> str:
    r"""Show control and other unprintable characters as escapes.

    File contents end up in messages; a terminal must never obey them.

    Parameters
    ----------
    text : str
        Any text, also hostile.

    Returns
    -------
    str
        The text on one line, printable.

    Examples
    --------
    >>> print(escape_controls("a\x1b[2Jb\n"))
    a\x1b[2Jb\n
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )
