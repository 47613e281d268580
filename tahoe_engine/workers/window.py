"""Units go out in a bounded window and come back as they finish; here attempts are counted and blame is given."""

from __future__ import annotations

import asyncio
import time
from bisect import insort
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from tahoe_engine.errors import StageError, StoppedError
from tahoe_engine.outcomes import Outcome, Receipt, Unit
from tahoe_engine.workers.attempt import Attempt, Order, run_attempt
from tahoe_engine.workers.died import WorkerDiedError
from tahoe_engine.workers.link import WorkerGoneError
from tahoe_engine.workers.sacrifice import START_SECONDS, run_sacrificed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from tahoe_engine.config import WorkersSettings
    from tahoe_engine.workers.interrupts import Interrupts
    from tahoe_engine.workers.link import Link

SLOW = 20  # times the median: a unit that takes longer hangs
MAX_LOST = 3  # receipts that were lost with their worker, after which the unit is a suspect
MAX_HOSTS = 20  # workers that were killed while they waited for a sacrificed process
STALL_SECONDS = 15.0  # beyond all limits of units, for workers that start again
SAMPLE_SECONDS = 10.0  # in which a living worker is heard of


@dataclass
class Ticket(Generic[Unit]):
    """A unit and what happened to it so far."""

    unit: Unit
    sacrificed: bool = False
    n_lost: int = 0
    n_hosts: int = 0


class Window(Generic[Unit, Receipt]):
    """The units that are out.

    Parameters
    ----------
    link : Link
        To the scheduler.
    function, units, settings, slack_s, on_drain
        As in `run_units`.
    gate : tuple of (callable, object), optional
        What goes with every order, see `Order`.
    interrupts : Interrupts
        Patient from here on.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - the arguments of `run_units`, and what it made
        self,
        link: Link,
        function: Callable[[Unit], Receipt],
        units: Sequence[Unit],
        settings: WorkersSettings,
        slack_s: float,
        on_drain: Callable[[int], object] | None,
        gate: tuple[Callable[[], object], object] | None,
        interrupts: Interrupts,
    ) -> None:
        self._link, self._function, self._units, self._settings = link, function, iter(units), settings
        self._slack_s, self._on_drain, self._gate, self._interrupts = slack_s, on_drain, gate, interrupts
        self.out: dict[str, Ticket[Unit]] = {}
        self._again: list[Ticket[Unit]] = []
        self._seconds: list[float] = []
        self._in_a_row = 0
        self._quiet_s = 0.0
        self._silent: dict[str, float] = {}

    def run(self) -> Generator[tuple[Unit, Outcome[Receipt]]]:
        """Yield every unit once, with what came of it.

        Yields
        ------
        unit, Outcome
            In any order.

        Raises
        ------
        StoppedError
            If workers or scheduler are lost.
        StageError
            If a worker cannot run units.
        KeyboardInterrupt
            If this process was asked to stop, after what was under way has ended.
        """
        while not self._interrupts.count:
            self._fill()
            if not self.out:
                return
            yield from self._take()
        yield from self._drain()
        raise KeyboardInterrupt

    def _drain(self) -> Iterator[tuple[Unit, Outcome[Receipt]]]:
        """Let end what is under way, for a while, and take the rest back."""
        running = self._link.running()
        waiting = set(self.out) - running
        self._link.cancel(waiting)
        for key in waiting:
            del self.out[key]
        if self.out and self._on_drain is not None:
            self._on_drain(len(self.out))
        end = time.monotonic() + self._settings.grace_s
        while self.out and time.monotonic() < end:
            yield from self._take()

    def _take(self) -> Iterator[tuple[Unit, Outcome[Receipt]]]:
        """Yield what the next arrival leads to, if there is one soon."""
        before = time.monotonic()
        arrival = self._link.take()
        if arrival is None:
            self._quiet_s += min(1.0, time.monotonic() - before)
            self._require_life()
            return
        self._quiet_s, self._silent = 0.0, {}
        key, value = arrival
        ticket = self.out.pop(key, None)
        if ticket is None:
            return
        outcome = self._judge(ticket, value)
        if outcome is not None:
            yield ticket.unit, outcome
        elif not self._interrupts.count:
            self._again.append(ticket)

    def _fill(self) -> None:
        n_threads = max(1, sum(self._link.threads.values()))
        while True:
            if not self.out:
                self._in_a_row = 0
            # The scheduler keeps tasks back for idle workers only in groups of more than two a thread: until then it
            # would pile them up on workers, and a dying worker takes with it what is piled up there.
            primed = self._in_a_row > 2 * n_threads
            if len(self.out) >= (self._settings.window * n_threads if primed else n_threads):
                return
            ticket = self._again.pop() if self._again else next((Ticket(unit) for unit in self._units), None)
            if ticket is None:
                return
            order = Order(self._function, ticket.unit, self._limit_s(), self._settings.memory_mib, self._gate)
            try:
                key = self._link.submit(run_sacrificed if ticket.sacrificed else run_attempt, order)
            except Exception as error:
                raise _lost(error) from error
            self.out[key] = ticket
            self._in_a_row += 1

    def _limit_s(self) -> float:
        """Give the wall limit of the next attempt."""
        if self._settings.scheduler.startswith("inproc"):
            return 0.0  # its workers are threads of this process
        median = self._seconds[len(self._seconds) // 2] if self._seconds else 0.0
        return max(self._settings.unit_s, SLOW * median) + self._slack_s

    def _judge(self, ticket: Ticket[Unit], value: Attempt | BaseException | None) -> Outcome[Receipt] | None:
        """Give the outcome of a unit; None if it is to be tried again."""
        from distributed import KilledWorker

        if isinstance(value, Attempt):
            if value.refused:
                raise StageError(value.refused)
            if isinstance(value.outcome.error, MemoryError) and not ticket.sacrificed:
                # Perhaps others took it all; alone and with a limit of its own the unit shows what it needs.
                ticket.sacrificed = True
                return None
            insort(self._seconds, value.seconds)
            return value.outcome
        if value is None:
            ticket.n_lost += 1
            # Perhaps what it leaves behind kills the worker: in a process of its own that does no harm.
            ticket.sacrificed = ticket.sacrificed or ticket.n_lost >= MAX_LOST
        elif isinstance(value, (KilledWorker, WorkerGoneError)):
            # Whatever killed the worker: this unit was with it, so that it goes where it can harm nobody.
            ticket.n_hosts += ticket.sacrificed
            ticket.sacrificed = True
        elif not (_is_cancelled(value) and self._interrupts.count):
            raise _lost(value) from value
        if ticket.n_hosts + ticket.n_lost > MAX_HOSTS:
            return Outcome(error=WorkerDiedError(f"the worker it was with was killed {MAX_HOSTS} times; run it again"))
        return None

    def _require_life(self) -> None:
        """Raise if nobody is there any more who could send something."""
        wait_s = self._settings.wait_s
        if self._link.silent_s > wait_s:
            raise StoppedError(
                f"the scheduler has not answered for {wait_s} s; see to it, then run the same command again to resume"
            )
        if self._link.deserted_s > wait_s:
            raise StoppedError(
                f"there was no worker for {wait_s} s; start workers, then run the same command again to resume"
            )
        patience = self._limit_s() + START_SECONDS + STALL_SECONDS
        if not self._silent and self._quiet_s > patience:
            self._silent = self._link.last_seen()
        if self._silent and self._quiet_s > patience + SAMPLE_SECONDS:
            seen = self._link.last_seen()
            silent = sorted(address for address, when in self._silent.items() if seen.get(address) == when)
            # Workers of a foreign scheduler may be busy with the work of others.
            if silent or not self._settings.scheduler:
                names = f"; nothing is heard of {', '.join(silent)}" if silent else ""
                raise StoppedError(
                    f"no unit came back for {self._quiet_s:.0f} s{names}; run the same command again to resume"
                )
            self._quiet_s, self._silent = 0.0, {}


def _is_cancelled(error: BaseException) -> bool:
    return isinstance(error, asyncio.CancelledError)


def _lost(error: BaseException) -> StoppedError | StageError:
    """Tell workers that are gone from workers that cannot do the work."""
    told = f"{type(error).__name__}: {error}"
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, (ImportError, AttributeError)):
        cause = cause.__cause__
    if cause is not None:
        told = f"{type(cause).__name__}: {cause}"
        return StageError(f"a worker cannot load the function of the units ({told}); install the same version there")
    return StoppedError(f"the workers are lost ({told}); run the same command again to resume")
