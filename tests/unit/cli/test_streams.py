"""Standard streams that are closed, or whose reader goes away: no traceback, and a code that says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runs import published
from tahoe_engine.cli import streams

if TYPE_CHECKING:
    from collections.abc import Iterator

TAHOE = [sys.executable, "-m", "tahoe_engine"]


# However this process was started, those buffer their output as they do for most people.
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
UNBUFFERED = {**BUFFERED, "PYTHONUNBUFFERED": "1"}


def in_shell(command: str, *args: object) -> subprocess.CompletedProcess[bytes]:
    words = ["bash", "-c", f'"$@" {command}', "bash", *TAHOE, *map(str, args)]
    return subprocess.run(words, capture_output=True, check=False, timeout=60, env=BUFFERED)


@pytest.fixture
def unread() -> Iterator[int]:
    """The end of a pipe that nobody reads."""
    theirs, ours = os.pipe()
    os.close(theirs)
    yield ours
    os.close(ours)


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_what_asks_for_no_output_gets_none_and_no_traceback(run: Path, closed: str) -> None:
    done = in_shell(closed, "inspect", run)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_closed_stream_changes_no_exit_code(tmp_path: Path) -> None:
    assert in_shell(">&- 2>&-", "inspect", tmp_path).returncode == 64
    assert in_shell(">&- 2>&-", "--help").returncode == 0


def test_work_whose_result_is_on_disk_is_done_without_any_stream(atlas: Path, run: Path, tmp_path: Path) -> None:
    into = tmp_path / "run"
    done = in_shell("<&- >&- 2>&-", "cells", atlas, "--into", into, "--workers", 1)
    assert done.returncode == 0
    assert published(into) == published(run)


def test_no_file_takes_the_number_of_a_closed_stream() -> None:
    code = (
        "import os, sys; from tahoe_engine.cli import streams; streams.Streams();"
        "print('lost'); sys.stderr.write('lost');"
        "sys.exit(os.open('/dev/null', os.O_RDONLY))"
    )
    words = ["bash", "-c", '"$@" <&- >&- 2>&-', "bash", sys.executable, "-c", code]
    assert subprocess.run(words, check=False, timeout=60).returncode > 2


@pytest.mark.parametrize("env", [BUFFERED, UNBUFFERED], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("words", [["inspect", "RUN"], ["inspect", "RUN", "--json"], ["--help"], ["cells", "--help"]])
def test_a_reader_that_went_away_is_told_as_the_signal_would(
    run: Path, unread: int, words: list[str], env: dict[str, str]
) -> None:
    command = [*TAHOE, *(str(run) if word == "RUN" else word for word in words)]
    done = subprocess.run(command, stdout=unread, stderr=subprocess.PIPE, check=False, timeout=60, env=env)
    assert (done.returncode, done.stderr) == (141, b"")


def test_more_than_a_buffer_for_nobody_is_told_the_same(unread: int) -> None:
    code = (
        "import sys; from tahoe_engine.cli import main; import tahoe_engine.run as run;"
        "run.describe_run = lambda path: {'much': 'x' * 100_000};"
        "sys.exit(main(['inspect', 'x', '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=unread, stderr=subprocess.PIPE, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (141, b"")


def test_an_error_that_nobody_reads_is_told_the_same(tmp_path: Path, unread: int) -> None:
    done = subprocess.run([*TAHOE, "inspect", tmp_path], stdout=unread, stderr=unread, check=False, timeout=60)
    assert done.returncode == 141


def test_a_pipe_that_is_not_ours_keeps_its_traceback() -> None:
    code = (
        "import sys; from tahoe_engine.cli import main; import tahoe_engine.run as run\n"
        "def broken(path): raise BrokenPipeError(32, 'another pipe')\n"
        "run.describe_run = broken\n"
        "sys.exit(main(['inspect', 'x']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "BrokenPipeError" in done.stderr
    assert "another pipe" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_behind_stdout_is_one_line(run: Path) -> None:
    done = in_shell("> /dev/full", "inspect", run)
    assert done.returncode == 75
    assert done.stderr == b"tahoe: stdout cannot be written (No space left on device)\n"


def test_the_code_is_that_of_the_signal() -> None:
    assert streams.BROKEN_PIPE == 141
