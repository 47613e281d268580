"""joblib on our workers, with an end: its own way waits for ever for what a lost worker had."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK_SECONDS = 0.5  # between two looks at who is still there
SHORT_SECONDS = 0.01


@contextmanager
def lend_to_joblib(client: Any) -> Iterator[None]:  # noqa: ANN401 - distributed has no types
    """Make the workers of a client those of joblib while the block runs.

    Parameters
    ----------
    client : distributed.Client
        Connected.

    Yields
    ------
    None
        What asks joblib for ``n_jobs=-1`` has all workers.

    Raises
    ------
    StoppedError
        From within: if a worker is lost while joblib computes.
    """
    from joblib import parallel_config

    with parallel_config(backend=_make_backend(client), n_jobs=-1):
        yield


@dataclass(frozen=True)
class Lost:
    """What stands for the result of a task that will never come."""

    why: str


def _make_backend(client: Any) -> Any:  # noqa: ANN401, C901 - neither has types; the class is known only here
    from joblib._dask import DaskDistributedBackend

    class Watched(DaskDistributedBackend):  # type: ignore[misc]
        """Tells joblib of a task that was lost: the original calls back for results only (joblib 1.6)."""

        def start_call(self) -> None:
            super().start_call()
            self.client.loop.add_callback(self._watch)

        def __reduce__(self) -> tuple[Any, ...]:
            return DaskDistributedBackend, ()

        def retrieve_result_callback(self, out: Any) -> Any:  # noqa: ANN401 - whatever a task gives
            if isinstance(out, Lost):
                raise StoppedError(f"a worker was lost ({out.why}); run the same command again to resume")
            return super().retrieve_result_callback(out)

        async def _collect(self) -> None:
            while self._continue:
                async for future, result in self.waiting_futures:
                    if future.status == "finished":
                        self._end(future, result)
                    else:
                        self._end(future, Lost(str(result[1])[:200] if result else str(future.status)))
                await asyncio.sleep(SHORT_SECONDS)

        async def _watch(self) -> None:
            before = set(await self.client.scheduler.ncores())
            while self._continue:
                await asyncio.sleep(LOOK_SECONDS)
                if before - set(await self.client.scheduler.ncores()):
                    # Tasks may wait for rows that were on it; nobody knows which.
                    for future in list(self._results):
                        self._end(future, Lost("it is gone"))

        def _end(self, future: Any, result: Any) -> None:  # noqa: ANN401 - whatever a task gives
            waiting, call = self._results.pop(future, None), self._callbacks.pop(future, None)
            if waiting is not None and call is not None and not waiting.done():
                waiting.set_result(result)
                call(result)

    return Watched(client=client)
