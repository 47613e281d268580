"""The scheduler as the main thread sees it: never waited for, only listened to.

Everything that could hang (a scheduler that was stopped, a worker that was cut off) happens on the client's own event
loop. The main thread takes what arrives from a queue, and wakes often enough to look at the clock.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import time
from concurrent.futures import TimeoutError as NotInTimeError
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from tahoe_engine.workers.attempt import Attempt, Order

PULSE_SECONDS = 2.0  # how often the scheduler is asked for its workers
PULSE_PATIENCE = 10.0  # a question that was not answered by then is asked again
WAKE_SECONDS = 0.2
ASK_SECONDS = 3.0  # for a question that need not be answered
JUMP_SECONDS = 5.0  # a longer step of the clock means that this process was stopped itself


class WorkerGoneError(Exception):
    """The worker of an order is gone, and its scheduler has given the order to another."""


class Link:
    """A client whose answers come through a queue.

    Parameters
    ----------
    client : distributed.Client
        Connected; closed by its owner.
    foreign : bool
        The scheduler is not ours: it tries an order on four workers before it tells of a death, so deaths are
        looked for.
    """

    def __init__(self, client: Any, *, foreign: bool) -> None:  # noqa: ANN401 - distributed has no types
        self._client = client
        self._foreign = foreign
        self._where: dict[str, str] = {}
        self._futures: dict[str, Any] = {}
        self._arrivals: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._ended = False
        self.threads: dict[str, int] = {}
        self.n_pulses = 0
        # Seconds this process was awake since the scheduler answered, and since it had a worker.
        self.silent_s = 0.0
        self.deserted_s = 0.0
        self._looked = time.monotonic()
        self._heard = 0
        client.loop.add_callback(self._feel_pulse)

    def submit(self, task: Callable[[Order], Attempt], order: Order) -> str:
        """Hand out one order; its key comes back with what became of it.

        Parameters
        ----------
        task : callable
            Importable by name.
        order : Order
            Its argument.

        Returns
        -------
        str
            The key.
        """
        # A key of its own for every attempt: equal keys give old results, silently. No retries: we count attempts.
        key = f"unit-{uuid4().hex}"
        future = self._client.submit(task, order, key=key, pure=False, retries=0)
        self._futures[key] = future
        self._client.loop.add_callback(self._follow, key, future)
        return key

    def take(self) -> tuple[str, Any] | None:
        """Give the next key that came back, with the attempt, the error, or None if the receipt was lost.

        Returns
        -------
        tuple of (str, object), or None
            None if nothing came within a fifth of a second.
        """
        self._look_at_the_clock()
        try:
            key, value = self._arrivals.get(timeout=WAKE_SECONDS)
        except queue.Empty:
            return None
        self._futures.pop(key, None)
        return key, value

    @property
    def busy(self) -> bool:
        """Whether orders are out."""
        return bool(self._futures)

    def end(self) -> None:
        """Stop asking."""
        self._ended = True

    def cancel(self, keys: Iterable[str]) -> None:
        """Take back orders, as far as they did not start.

        Parameters
        ----------
        keys : iterable of str
            As `submit` gave them.
        """
        futures = [future for key in keys if (future := self._futures.pop(key, None)) is not None]
        self.ask(self._client.cancel, futures, default=None)

    def running(self) -> set[str]:
        """Give the keys that are with a worker or on their way back; all, if the scheduler does not answer."""
        found = self.ask(self._client.processing, default=None)
        if found is None:
            return set(self._futures)
        done = {key for key, future in self._futures.items() if future.done()}
        return {str(key) for keys in found.values() for key in keys} & set(self._futures) | done

    def last_seen(self) -> dict[str, float]:
        """Give when each worker was last heard of, by the scheduler's clock; empty without an answer."""
        identity = self.ask(self._client.scheduler.identity, n_workers=-1, default={})
        return {address: worker["last_seen"] for address, worker in identity.get("workers", {}).items()}

    def run_everywhere(self, function: Callable[[], object], seconds: float) -> dict[str, object] | None:
        """Run a function on every worker.

        Parameters
        ----------
        function : callable
            Importable by name.
        seconds : float
            How long to wait for the last.

        Returns
        -------
        dict or None
            What it gave or raised, by address; None if not all answered in time.
        """
        found: dict[str, object] | None = self.ask(
            self._client.run, function, on_error="return", default=None, seconds=seconds
        )
        return found

    def ask(
        self,
        question: Callable[..., Coroutine[Any, Any, Any]],
        *arguments: object,
        default: Any,  # noqa: ANN401 - whatever stands for no answer
        seconds: float = ASK_SECONDS,
        **options: object,
    ) -> Any:  # noqa: ANN401 - whatever was asked for
        """Ask on the event loop.

        Parameters
        ----------
        question : callable
            Gives an awaitable when it is called there.
        *arguments, **options
            What it is called with.
        default : object
            What stands for no answer in time, or an error.
        seconds : float
            How long to wait.

        Returns
        -------
        object
            The answer.
        """

        async def put() -> object:
            return await asyncio.wait_for(question(*arguments, **options), seconds)

        asked = asyncio.run_coroutine_threadsafe(put(), self._client.loop.asyncio_loop)
        try:
            return asked.result(seconds + 1)
        except (Exception, asyncio.CancelledError, NotInTimeError):
            logging.getLogger(__name__).debug("the scheduler did not answer", exc_info=True)
            return default

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        step, self._looked = now - self._looked, now
        if step > JUMP_SECONDS:
            # Nobody can be blamed for not answering a process that did not listen.
            step = 0.0
        heard = self.n_pulses != self._heard
        self._heard = self.n_pulses
        self.silent_s = 0.0 if heard else self.silent_s + step
        self.deserted_s = 0.0 if self.threads else self.deserted_s + step

    async def _follow(self, key: str, future: Any) -> None:  # noqa: ANN401 - distributed has no types
        try:
            await future.exception()
            if future.status == "finished":
                # Asked for once: the client's own way asks until it gets it, and a unit whose worker dies each time
                # it has finished would be computed for ever.
                answer = await self._client.scheduler.gather(keys=[key])
                value = answer["data"].get(key) if answer["status"] == "OK" else None
            else:
                value = await future.result()
        except BaseException as error:  # noqa: BLE001 - cancelled futures raise one that is no Exception
            value = error.with_traceback(None)
        future.release()
        self._arrivals.put((key, value))

    async def _feel_pulse(self) -> None:
        hush()
        while not self._ended and self._client.status not in ("closing", "closed"):
            try:
                self.threads = await asyncio.wait_for(self._client.scheduler.ncores(), PULSE_PATIENCE)
                self.n_pulses += 1
                if self._foreign:
                    self._find_moved(await asyncio.wait_for(self._client.processing(), PULSE_PATIENCE))
            except (Exception, asyncio.CancelledError):
                logging.getLogger(__name__).debug("no pulse", exc_info=True)
                if self._client.scheduler is None:
                    return
            await asyncio.sleep(PULSE_SECONDS if self.threads else WAKE_SECONDS)

    def _find_moved(self, processing: dict[str, list[object]]) -> None:
        """Take back an order that goes from worker to worker, because they die: a second one it will not kill."""
        now = {str(key): address for address, keys in processing.items() for key in keys}
        out = list(self._futures)
        for key in out:
            before, here = self._where.get(key), now.get(key)
            future = self._futures.get(key)
            # One that was only moved left a worker that is still there.
            if future is not None and before and here and before != here and before not in self.threads:
                self._arrivals.put((key, WorkerGoneError(before)))
                self._client.loop.add_callback(self._client.cancel, [future])
        self._where = {key: address for key in out if (address := now.get(key) or self._where.get(key))}


def hush() -> None:
    """Keep errors off the terminal that nobody waits for on this event loop: of workers that died, mostly."""
    log = logging.getLogger(__name__)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: log.debug("on the event loop: %s", context))
