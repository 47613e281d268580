"""The keeper of local workers: those that are gone are replaced, those that are deaf are ended."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tahoe_engine.workers.link import hush

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK_SECONDS = 2.0
DEAF_SECONDS = 45.0  # without a heartbeat, of two a second: its process was stopped, or holds the interpreter's lock


class Supervisor:
    """Keep a number of workers.

    Parameters
    ----------
    cluster : distributed.LocalCluster
        Without workers yet. Its nannies live in this process, on its event loop.
    n_workers : int
        How many it shall have.
    """

    def __init__(self, cluster: Any, n_workers: int) -> None:  # noqa: ANN401 - distributed has no types
        self._cluster = cluster
        self._n_workers = n_workers
        self._correcting: set[asyncio.Future[Any]] = set()
        self._ended = False
        self._heard: dict[int, tuple[float, float]] = {}
        self._looked = time.monotonic()

    def start(self) -> None:
        """Start the workers and begin to look, on the cluster's own loop."""
        self._cluster.loop.add_callback(self._watch)

    @property
    def starting(self) -> bool:
        """Whether workers are just starting; to end, such a one would be waited for."""
        return bool(self._correcting)

    def end(self) -> None:
        """Look no more."""
        self._ended = True

    def kill_all(self) -> None:
        """End every worker process that is left, for good."""
        for nanny, pid in self._processes():
            nanny.close_gracefully()  # its word for: start no other
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def _watch(self) -> None:
        hush()
        while not self._ended:
            try:
                self._end_the_deaf()
                self._replace_the_gone()
            except Exception:
                logging.getLogger(__name__).debug("looking after the workers failed", exc_info=True)
            await asyncio.sleep(LOOK_SECONDS)

    def _replace_the_gone(self) -> None:
        """Start others for nannies that gave up: their worker was killed while it started (RELIABILITY.md, fact 6)."""
        from distributed.core import Status

        workers = self._cluster.workers
        gone = [name for name, nanny in workers.items() if nanny.status in (Status.closed, Status.failed)]
        for name in gone:
            del workers[name]
        if len(workers) >= self._n_workers or self._correcting or self._ended:
            return
        while len(self._cluster.worker_spec) < self._n_workers:
            self._cluster.worker_spec.update(self._cluster.new_worker_spec())
        # What `scale` does, but a worker that is killed while it starts is no error to be printed: see above.
        starting = asyncio.ensure_future(self._cluster._correct_state())  # noqa: SLF001
        self._correcting.add(starting)
        starting.add_done_callback(self._forget)

    def _forget(self, starting: asyncio.Future[Any]) -> None:
        self._correcting.discard(starting)
        if not starting.cancelled() and starting.exception() is not None:
            logging.getLogger(__name__).debug("starting workers failed: %s", starting.exception())

    def _end_the_deaf(self) -> None:
        """Kill what does not beat: its nanny starts another, and the scheduler tells whose unit it was."""
        now = time.monotonic()
        if now - self._looked > 5 * LOOK_SECONDS:
            # This process was stopped itself: who spoke meanwhile was not heard.
            self._heard = {pid: (seen, now) for pid, (seen, _) in self._heard.items()}
        self._looked = now
        heard: dict[int, tuple[float, float]] = {}
        for nanny, pid in self._processes():
            known = self._cluster.scheduler.workers.get(nanny.worker_address)
            # The value only has to change: clocks are set, also backwards. A process that starts has none yet.
            seen = known.last_seen if known is not None else 0.0
            before = self._heard.get(pid)
            heard[pid] = before if before is not None and before[0] == seen else (seen, now)
            if now - heard[pid][1] > DEAF_SECONDS:
                logging.getLogger(__name__).debug("worker process %d is deaf and is ended", pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._heard = heard

    def _processes(self) -> Iterator[tuple[Any, int]]:
        # Also those that are just started and stand in no other list yet.
        for nanny in {*self._cluster._created, *self._cluster.workers.values()}:  # noqa: SLF001
            pid = nanny.pid
            if pid is not None:
                yield nanny, pid
