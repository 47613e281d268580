"""Start local workers or join a running scheduler, and leave both without hanging."""

from __future__ import annotations

import logging
import queue
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import ConfigError, StoppedError
from tahoe_engine.workers.dask_config import WORKER_ENVIRONMENT, configure_dask, count_workers
from tahoe_engine.workers.exposure import require_private
from tahoe_engine.workers.link import Link
from tahoe_engine.workers.supervise import Supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tahoe_engine.config import WorkersSettings
    from tahoe_engine.workers.interrupts import Interrupts

CLOSE_SECONDS = 5.0  # how long closing may take before it is given up


@contextmanager
def open_link(settings: WorkersSettings, n_units: int, interrupts: Interrupts) -> Iterator[Link]:
    """Give a link to workers; those of our own end with the block.

    Parameters
    ----------
    settings : WorkersSettings
        How many processes, or which scheduler.
    n_units : int
        No more workers than that are started.
    interrupts : Interrupts
        Held while processes start and end.

    Yields
    ------
    Link
        To a scheduler that has a worker.

    Raises
    ------
    ConfigError
        If the scheduler cannot be reached, or by too many.
    StoppedError
        If no worker shows up.
    """
    require_private(settings)
    import dask
    from distributed import Client
    from distributed.utils import silence_logging_cmgr

    with ExitStack() as stack:
        # What it prints about connections that end is told in our own words; until the last of them has ended.
        stack.enter_context(silence_logging_cmgr(logging.CRITICAL))
        stack.enter_context(dask.config.set(configure_dask(settings)))
        supervisor = None
        if settings.scheduler:
            client = _join(settings)
        else:
            cluster = _start(settings, interrupts)
            supervisor = Supervisor(cluster, min(count_workers(settings), n_units))
            stack.callback(_end, cluster, supervisor, interrupts)
            supervisor.start()
            with interrupts.held():
                client = Client(cluster, set_as_default=False)
        stack.callback(_close_quietly, client)
        link = Link(client, foreign=supervisor is None)
        if supervisor is not None:
            stack.callback(_let_go, link, supervisor)
        stack.callback(link.end)
        _wait_for_workers(link, settings.wait_s)
        yield link


def _join(settings: WorkersSettings) -> Any:  # noqa: ANN401 - distributed has no types
    from distributed import Client

    found: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def connect() -> None:
        try:
            found.put(Client(settings.scheduler, timeout=f"{settings.wait_s} s", set_as_default=False))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            found.put(error)

    # A client that is interrupted half-made hangs for 20 s when it is thrown away; so this is left to a thread.
    threading.Thread(target=connect, name="join-scheduler", daemon=True).start()
    try:
        client = found.get(timeout=settings.wait_s + CLOSE_SECONDS)
    except queue.Empty:
        client = TimeoutError(f"no answer for {settings.wait_s} s")
    if isinstance(client, (OSError, ValueError, TypeError)):
        raise ConfigError(f"no scheduler at {settings.scheduler} ({client}); start one or leave it out") from client
    if isinstance(client, BaseException):
        raise client
    return client


def _start(settings: WorkersSettings, interrupts: Interrupts) -> Any:  # noqa: ANN401 - distributed has no types
    from distributed import LocalCluster

    with interrupts.held():
        return LocalCluster(
            # The supervisor starts them: one that is killed while it starts would else end everything.
            n_workers=0,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            # Without a host the pages are served to the whole network (RELIABILITY.md, fact 9).
            dashboard_address=settings.dashboard or None,
            memory_limit=settings.memory_mib << 20,
            env=WORKER_ENVIRONMENT,
            silence_logs=logging.CRITICAL,
        )


def _end(cluster: Any, supervisor: Supervisor, interrupts: Interrupts) -> None:  # noqa: ANN401 - distributed has no types
    supervisor.end()
    # Closing that is broken off is tried again at exit, and waits 10 s there.
    with interrupts.held():
        if supervisor.starting:
            supervisor.kill_all()
        if not _close_quietly(cluster):
            supervisor.kill_all()
            _close_quietly(cluster)


def _let_go(link: Link, supervisor: Supervisor) -> None:
    """Do not wait for units that nobody waits for any more."""
    if link.busy:
        supervisor.end()
        supervisor.kill_all()


def _close_quietly(thing: Any) -> bool:  # noqa: ANN401 - distributed has no types
    """Close a client or a cluster; what goes wrong while a nanny just replaces its worker must not hide the error."""
    try:
        thing.close(timeout=CLOSE_SECONDS)
    except Exception:
        logging.getLogger(__name__).debug("closing %r failed", type(thing), exc_info=True)
        return False
    return True


def _wait_for_workers(link: Link, seconds: int) -> None:
    while not link.threads:
        link.take()
        if max(link.deserted_s, link.silent_s) > seconds:
            raise StoppedError(f"the scheduler has no worker after {seconds} s; start workers and run again")
