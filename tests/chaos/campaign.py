"""One campaign: its seed, its trials one by one, and what they found."""

from __future__ import annotations

import contextlib
import random
import shutil
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST_FAILURES = 3  # after so many a campaign is over: each may cost its whole time limit


class BrokenError(Exception):
    """What has to hold did not."""


class SkippedError(Exception):
    """It cannot be tried on this machine."""


@dataclass
class Trial:
    """One disturbance: everything that is random in it comes from `rng`, so that its number and the seed replay it."""

    number: int
    rng: random.Random
    place: Path  # a folder of its own; kept if the trial fails


@dataclass
class Campaign:
    """What a campaign is given, and what it hands back."""

    name: str
    seed: int
    full: bool
    cache: Path  # atlases, kept from call to call
    place: Path  # scratch, empty at the start
    only: int | None = None  # replay this trial alone
    keep_going: bool = False  # count all failures
    trials: int = 0
    figures: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def pick(self, short: int, full: int) -> int:
        """Give the number for this size."""
        return full if self.full else short

    def count(self, what: str, n: int = 1) -> None:
        """Add to a figure."""
        self.figures[what] = self.figures.get(what, 0) + n

    def at_most(self, what: str, value: float) -> None:
        """Keep the largest value of a figure."""
        self.figures[what] = round(max(self.figures.get(what, 0.0), value), 2)

    def say(self, text: str) -> None:
        """Tell people how it goes."""
        print(f"  {text}", flush=True)

    def generator(self, what: object) -> random.Random:
        """Give random numbers that depend on the seed, the campaign and a name, and on nothing else."""
        return random.Random(f"{self.seed}/{self.name}/{what}")

    def repeat(self, n: int, attempt: Callable[[Trial], None], *, first: int = 0) -> None:
        """Run trials `first` to `first + n`; one that breaks is told, and its folder is kept."""
        for number in range(first, first + n):
            if len(self.failures) >= MOST_FAILURES and not self.keep_going:
                if not self.figures.get("stopped early"):
                    self.say(f"stopped after {MOST_FAILURES} failures")
                self.figures["stopped early"] = True
                return
            if self.only is not None and number != self.only:
                continue
            self.attempt(number, attempt)

    def attempt(self, number: int, attempt: Callable[[Trial], None]) -> None:
        """Run one trial."""
        trial = Trial(number, self.generator(number), self.place / str(number))
        shutil.rmtree(trial.place, ignore_errors=True)
        trial.place.mkdir(parents=True)
        self.trials += 1
        try:
            attempt(trial)
        except SkippedError:
            raise
        except Exception as error:  # noqa: BLE001 - a trial that breaks must not hide the others
            text = str(error) if isinstance(error, BrokenError) else traceback.format_exc()
            self.failures.append(f"trial {number}: {text}")
            self.say(f"BROKEN {self.name}, trial {number}: {text}")
            self.say(f"  replay: python -m chaos {self.name} {self.size} --seed {self.seed} --trial {number}")
            self.say(f"  its folder is kept: {trial.place}")
            return
        with contextlib.suppress(OSError):
            shutil.rmtree(trial.place)

    @property
    def size(self) -> str:
        """The option that gave this size."""
        return f"--size {'full' if self.full else 'short'}"
