"""Random workers and the driver are killed, again and again; the same command resumes until all shards are done."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from chaos.atlases import run_undisturbed
from chaos.campaign import BrokenError
from chaos.injection import keep_pace
from chaos.judge import require_journalled_parts, require_same, require_whole_parts
from chaos.processes import launch_scan, send, wait_until

if TYPE_CHECKING:
    from chaos.campaign import Campaign, Trial
    from chaos.judge import Undisturbed
    from chaos.processes import Launched

WORKERS = 2
PACE = 0.05  # seconds a shard at least, so that the run lasts as long as the kills
STOPPED = 75


def run(campaign: Campaign) -> None:
    """Kill as often as the size says, in as many runs as that takes."""
    wanted = run_undisturbed(campaign.cache, campaign.pick(60, 2200))
    kills = ["worker"] * campaign.pick(8, 200) + ["driver"] * campaign.pick(3, 50)
    campaign.repeat(1, lambda trial: Killing(campaign, trial, wanted).kill_all(kills))


class Killing:
    """A run under fire, and the next one when it is done before its kills are."""

    def __init__(self, campaign: Campaign, trial: Trial, wanted: Undisturbed) -> None:
        self.campaign, self.trial, self.wanted = campaign, trial, wanted
        self.pace = keep_pace(trial.place, PACE)
        self.run_number = 0
        self.launched = self.start()

    def start(self) -> Launched:
        """Start, or resume by the same command."""
        self.campaign.count("launches")
        self.run = self.trial.place / f"run-{self.run_number}"
        return launch_scan(self.wanted.atlas, self.run, "--workers", WORKERS, env=self.pace.env)

    def kill_all(self, kills: list[str]) -> None:
        """Kill in random order at random moments, then let it finish."""
        self.trial.rng.shuffle(kills)
        try:
            for number, kind in enumerate(kills, start=1):
                time.sleep(self.trial.rng.expovariate(1 / 0.6))
                if kind == "worker":
                    self.kill_worker()
                else:
                    self.kill_driver()
                self.campaign.count(f"kills of a {kind}")
                if number % 50 == 0:
                    self.campaign.say(f"{number} of {len(kills)} kills, run {self.run_number}")
            while not self.conclude():
                self.launched = self.start()
        finally:
            self.launched.end()

    def kill_worker(self) -> None:
        """Kill one, perhaps one that is just starting."""
        while True:
            if not self.launched.workers():
                if not wait_until(lambda: self.launched.workers() or not self.launched.running(), 120):
                    raise BrokenError(f"no worker for 120 s:\n{self.launched.errors()}")
                # Not always the moment it appears.
                time.sleep(self.trial.rng.choice([0.0, self.trial.rng.uniform(0, 2)]))
            if not self.launched.running():
                self.go_on()
            elif (found := self.launched.workers()) and send(self.trial.rng.choice(sorted(found)), signal.SIGKILL):
                return

    def kill_driver(self) -> None:
        """Kill it, look at what is there, and start the same again, perhaps beside workers that are still dying."""
        while not self.launched.running():
            self.go_on()
        self.launched.send(signal.SIGKILL)
        self.launched.process.wait(30)
        if self.trial.rng.random() < 0.5:
            self.campaign.count("resumed beside dying workers", int(bool(self.launched.session())))
        else:
            begun = time.monotonic()
            if not wait_until(lambda: not self.launched.session(), 60):
                raise BrokenError("workers are still there 60 s after their driver was killed")
            self.campaign.at_most("workers outlive their driver by at most, s", time.monotonic() - begun)
        if self.run.exists():
            require_whole_parts(self.run, self.wanted)
            require_journalled_parts(self.run)
        self.launched = self.start()

    def go_on(self) -> None:
        """Judge a launch that came to its end, and start what comes next."""
        if self.conclude():
            self.run_number += 1
        self.launched = self.start()

    def conclude(self) -> bool:
        """Wait for a launch to end; tell whether the run is done, or it stopped and asks to be started again."""
        ended = self.launched.wait()
        self.launched.end()
        ended.require(0, STOPPED)
        if ended.code == STOPPED:
            self.campaign.count("stopped with 75")
            return False
        require_same(self.run, self.wanted)
        self.campaign.count("runs finished and equal")
        return True
