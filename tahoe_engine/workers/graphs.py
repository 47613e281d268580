"""A graph of dask's on the scheduler: listened for, never waited for, and computed again where a worker died."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import StageError, StoppedError

if TYPE_CHECKING:
    from tahoe_engine.config import WorkersSettings
    from tahoe_engine.workers.link import Link

MAX_DEATHS = 3  # of workers over one graph, after which it is not chance any more
CALM_PULSES = 2  # that must have seen a worker: one that is killed while it starts is not replaced at once


class Graphs:
    """What computes for dask.

    Parameters
    ----------
    link : Link
        To the scheduler.
    settings : WorkersSettings
        How long to wait for it.
    """

    def __init__(self, link: Link, settings: WorkersSettings) -> None:
        self._link, self._settings = link, settings
        self._client = link._client  # noqa: SLF001 - of this package
        self._n_deaths = 0

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        # A worker that replaces another is started with a copy of dask's settings, this among them: there it is none.
        return str, ("synchronous",)

    def __call__(self, graph: Any, keys: Any, **options: Any) -> Any:  # noqa: ANN401 - dask hands on whatever there is
        """Compute some keys of a graph; what dask calls a ``get``.

        Parameters
        ----------
        graph, keys, **options
            As for `distributed.Client.get`.

        Returns
        -------
        object
            The results, nested as the keys are.

        Raises
        ------
        StoppedError
            If the workers or the scheduler are lost, or too many workers died.
        StageError
            If a worker cannot load what it shall do.
        """
        from distributed.client import futures_of
        from distributed.comm.core import CommClosedError
        from distributed.scheduler import NoValidWorkerError, NoWorkerError

        self._n_deaths = 0
        lost = (CommClosedError, NoValidWorkerError, NoWorkerError, CancelledError, asyncio.CancelledError)
        try:
            packed = self._client.get(graph, keys, sync=False, **options)
            futures = futures_of(packed)
            # Known to the link, so that its end does not wait for them: also after an error or Ctrl-C.
            out = self._link._futures  # noqa: SLF001 - of this package
            out.update({str(future.key): future for future in futures})
            results = self._gather(packed, futures)
        except lost as error:
            told = f"{type(error).__name__}: {error}"
            raise StoppedError(f"the workers are lost ({told}); run the same command again to resume") from error
        except (ImportError, AttributeError) as error:
            if getattr(error, "__notes__", None):
                raise  # raised by what was loaded: see `run_here`
            told = f"{type(error).__name__}: {error}"
            raise StageError(f"a worker cannot load what it shall do ({told}); install the same there") from error
        for future in futures:
            out.pop(str(future.key), None)
        return results

    def _gather(self, packed: Any, futures: list[Any]) -> Any:  # noqa: ANN401 - distributed has no types
        from distributed import KilledWorker

        while True:
            try:
                return self._wait(self._client._gather(packed))  # noqa: SLF001 - what `gather` awaits
            except KilledWorker as error:
                self._count_death(error)
                n_pulses = self._link.n_pulses
                while not self._link.threads or self._link.n_pulses < n_pulses + CALM_PULSES:
                    self._look()
                # The rest of the graph is still there; only what died is computed again.
                self._wait(self._retry({future.key for future in futures}))

    async def _retry(self, keys: set[Any]) -> None:
        # The client's own way falls over tasks that are no futures of it (KeyError, distributed 2026.8).
        known = self._client.futures
        for key in await self._client.scheduler.retry(keys=list(keys), client=self._client.id):
            if key in known:
                known[key].retry()

    def _wait(self, question: Any) -> Any:  # noqa: ANN401 - whatever was asked for
        """Wait for a coroutine on the client's loop, and look meanwhile whether anybody is still there."""
        asked = asyncio.run_coroutine_threadsafe(question, self._client.loop.asyncio_loop)
        # Ends the next look early.
        asked.add_done_callback(lambda _: self._link._arrivals.put(("", None)))  # noqa: SLF001 - of this package
        try:
            while not asked.done():
                self._look()
        finally:
            asked.cancel()
        return asked.result()

    def _look(self) -> None:
        """Let a fifth of a second pass; raise if nobody is there any more."""
        self._link.take()
        wait_s = self._settings.wait_s
        if self._link.silent_s > wait_s:
            raise StoppedError(
                f"the scheduler has not answered for {wait_s} s; see to it, then run the same command again to resume"
            )
        if self._link.deserted_s > wait_s:
            raise StoppedError(
                f"there was no worker for {wait_s} s; start workers, then run the same command again to resume"
            )

    def _count_death(self, error: Exception) -> None:
        """Raise if too many workers died over one graph."""
        self._n_deaths += 1
        if self._n_deaths < MAX_DEATHS:
            return
        raise StoppedError(
            f"{self._n_deaths} workers died over one computation; perhaps a slice needs more memory than a worker may "
            f"take (workers.memory_mib={self._settings.memory_mib}): give it more, then run the same command again to "
            "resume"
        ) from error
