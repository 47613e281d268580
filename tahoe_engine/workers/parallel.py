"""joblib on our workers, with an end: its own way waits for ever for what a lost worker had."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK_SECONDS = 0.5


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


def _make_backend(client: Any) -> Any:  # noqa: ANN401 - neither has types
    from joblib._dask import DaskDistributedBackend

    class Watched(DaskDistributedBackend):  # type: ignore[misc]
        """Looks whether all workers are still there: what one has died with never comes back (joblib 1.6)."""

        def start_call(self) -> None:
            super().start_call()
            self.client.loop.add_callback(self._watch)

        def __reduce__(self) -> tuple[Any, ...]:
            return DaskDistributedBackend, ()

        async def _watch(self) -> None:
            before = set(await self.client.scheduler.ncores())
            while self._continue:
                await asyncio.sleep(LOOK_SECONDS)
                lost = before - set(await self.client.scheduler.ncores())
                for future, waiting in list(self._results.items()) if lost else ():
                    self._results.pop(future, None)
                    if not waiting.done():
                        waiting.set_exception(StoppedError("a worker was lost; run the same command again to resume"))

    return Watched(client=client)
