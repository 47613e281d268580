"""Ctrl-C and a polite kill while units run: the first waits for what is under way, the second does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mishaps import children, command_of, is_alive

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
# A launch as the command line makes it: it says what happens, and ends with 130.
PROGRAM = """
import sys, time
from mishaps import act
from tahoe_engine.config import WorkersSettings
from tahoe_engine.workers import run_units

def tell(*words):
    print(*words, round(time.monotonic(), 2), flush=True)

if __name__ == "__main__":
    kind, count, seconds, grace_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4])
    settings = WorkersSettings(count=count, grace_s=grace_s)
    units = [(kind, seconds + n / 1e6) for n in range(50)]
    tell("begin")
    try:
        for _, outcome in run_units(act, units, settings, on_drain=lambda n: tell("drain", n)):
            tell("unit", outcome.error)
    except KeyboardInterrupt:
        sys.exit(130)
"""


class Launch:
    """A process that runs units, and what it said."""

    def __init__(self, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        )
        self.said: list[list[str]] = []

    def wait_for(self, word: str) -> None:
        assert self.process.stdout is not None
        while not self.said or self.said[-1][0] != word:
            line = self.process.stdout.readline()
            assert line, f"it ended before it said {word}: {self.end()}"
            self.said.append(line.split())

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        """As a terminal does it: to the whole group, workers included; a polite kill is sent to one."""
        (os.killpg if number == signal.SIGINT else os.kill)(self.process.pid, number)

    def end(self) -> str:
        try:
            rest, errors = self.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()
            raise
        self.said += [line.split() for line in rest.splitlines()]
        return errors

    def count(self, word: str) -> int:
        return sum(line[0] == word for line in self.said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "polite kill"])
def test_the_first_request_waits_for_what_is_under_way(number: signal.Signals) -> None:
    launch = Launch("sleep", 2, 1.5, 10)
    launch.wait_for("unit")
    time.sleep(0.5)
    launch.interrupt(number)
    assert launch.end() == ""
    assert launch.process.returncode == 130
    drains = [line for line in launch.said if line[0] == "drain"]
    assert [line[1] for line in drains] in (["1"], ["2"])
    after = launch.said[launch.said.index(drains[0]) + 1 :]
    assert [line[:2] for line in after] == [["unit", "None"]] * int(drains[0][1])


def test_the_first_request_does_not_wait_longer_than_the_grace() -> None:
    launch = Launch("sleep", 1, 20.0, 1)
    time.sleep(4)
    launch.interrupt()
    start = time.monotonic()
    assert launch.end() == ""
    assert 0.9 < time.monotonic() - start < 15
    assert (launch.process.returncode, launch.count("drain"), launch.count("unit")) == (130, 1, 0)


def test_the_second_request_waits_for_nothing() -> None:
    launch = Launch("sleep", 2, 20.0, 30)
    time.sleep(4)
    launch.interrupt()
    launch.wait_for("drain")
    below = children(launch.process.pid)
    launch.interrupt()
    start = time.monotonic()
    assert launch.end() == ""
    assert time.monotonic() - start < 15
    assert launch.process.returncode == 130
    end = time.monotonic() + 5
    while any(map(is_alive, below)) and time.monotonic() < end:
        time.sleep(0.05)
    assert [command_of(pid) for pid in below if is_alive(pid)] == []


def test_in_this_process_the_unit_under_way_is_finished() -> None:
    launch = Launch("sleep", 0, 0.7, 10)
    launch.wait_for("unit")
    time.sleep(0.2)
    launch.interrupt()
    assert launch.end() == ""
    assert launch.process.returncode == 130
    assert [line[0] for line in launch.said] == ["begin", "unit", "drain", "unit"]


def test_in_this_process_the_second_request_ends_the_unit() -> None:
    launch = Launch("sleep", 0, 20.0, 10)
    launch.wait_for("begin")
    time.sleep(0.5)
    launch.interrupt()
    launch.wait_for("drain")
    launch.interrupt()
    start = time.monotonic()
    assert launch.end() == ""
    assert time.monotonic() - start < 5
    assert (launch.process.returncode, launch.count("unit")) == (130, 0)


@pytest.mark.parametrize("seconds", [0.2, 0.6, 1.0, 1.4])
def test_a_request_while_workers_start_is_heard(seconds: float) -> None:
    launch = Launch("sleep", 2, 20.0, 1)
    # Before that nobody listens: where CI starts its jobs in the background, they are born deaf to Ctrl-C.
    launch.wait_for("begin")
    time.sleep(seconds)
    launch.interrupt()
    errors = launch.end()
    assert launch.process.returncode in (130, -signal.SIGINT)
    assert "distributed" not in errors
