"""Who computes: the only module that knows the scheduler.

Units go out in a bounded window and come back as they finish. A worker process runs one unit at a time, so that a unit
that kills its process takes no other with it (measured: 4 threads a process, 4 of 6 innocent units lost).
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from contextlib import ExitStack, contextmanager
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tahoe_engine.errors import ConfigError, StageError, StoppedError, TahoeError
from tahoe_engine.outcomes import Outcome, Receipt, Unit, run_here

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from tahoe_engine.config import WorkersSettings

# One thread a process everywhere: the processes are what fills the cores.
WORKER_ENVIRONMENT = {
    "POLARS_MAX_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
# Read by malloc before a process runs any Python. distributed tells it to give all memory beyond 64 kB back at once,
# which costs a third of the work of a shard in page faults; what a shard needed is kept for the next.
MALLOC_ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
}
REFRESH_SECONDS = 5.0  # how often a growing or shrinking cluster is looked at
WATCH_SECONDS = 2.0  # how often dead nannies are looked for
FETCH_SECONDS = 30  # for one small receipt
MAX_FETCHES = 3  # attempts at a unit whose receipt was lost with its worker
CLOSE_SECONDS = 5.0  # how long closing may take before it is given up


class WorkerDiedError(TahoeError):
    """A unit whose worker process died under it, each time it was tried."""

    exit_code = 75


def count_workers(settings: WorkersSettings) -> int:
    """Give the number of local worker processes; 0 means this process alone.

    Parameters
    ----------
    settings : WorkersSettings
        Its section.

    Returns
    -------
    int
        The cores this process may use, where the settings leave it open.
    """
    if settings.count >= 0:
        return settings.count
    return max(1, len(os.sched_getaffinity(0)))


def run_units(
    function: Callable[[Unit], Receipt],
    units: Sequence[Unit],
    settings: WorkersSettings,
    *,
    gate: Callable[[], object] | None = None,
) -> Generator[tuple[Unit, Outcome[Receipt]]]:
    """Run a function over units of work and yield each as it completes, in any order.

    Parameters
    ----------
    function : callable
        Importable by name; takes a unit, gives a small picklable receipt. What it raises comes back as an outcome.
    units : sequence
        Small and picklable. Handed out one by one, a few more than there are threads.
    settings : WorkersSettings
        How many processes, or which scheduler.
    gate : callable, optional
        Run here and on every worker of a foreign scheduler before the first unit; all must give the same.

    Yields
    ------
    unit, Outcome
        Closing the generator stops the workers.

    Raises
    ------
    StoppedError
        If the workers or the scheduler are lost: run again to resume.
    StageError
        If the gate differs: another version is installed there.
    ConfigError
        If the scheduler cannot be reached.
    """
    if not units:
        return
    if not settings.scheduler and count_workers(settings) == 0:
        for unit in units:
            yield unit, run_here(function, unit)
        return
    with _open_client(settings, len(units)) as client:
        if gate is not None and settings.scheduler:
            _pass_gate(client, gate)
        yield from _run_window(client, function, iter(units), settings)


def _run_window(
    client: Any,  # noqa: ANN401 - distributed has no types
    function: Callable[[Unit], Receipt],
    units: Iterator[Unit],
    settings: WorkersSettings,
) -> Iterator[tuple[Unit, Outcome[Receipt]]]:
    from distributed import as_completed

    running: dict[str, tuple[Unit, int]] = {}
    suspects: list[Unit] = []
    alone = False
    # Results are fetched below, not here: an error while this fetches one is swallowed, and the unit never comes back.
    completed = as_completed()
    again: list[tuple[Unit, int]] = []
    window, looked = 0, 0.0
    while True:
        if time.monotonic() - looked > REFRESH_SECONDS:
            window = settings.window * max(1, sum(client.nthreads().values()))
            looked = time.monotonic()
        while len(running) < (1 if alone else window):
            unit, attempt = again.pop() if again else (next(units, None), 1)
            if unit is None:
                break
            # A key of its own for every attempt: equal keys give old results, silently. No retries: we count attempts.
            future = client.submit(run_here, function, unit, key=f"unit-{uuid4().hex}", pure=False, retries=0)
            running[future.key] = (unit, attempt)
            completed.add(future)
        if not running:
            if alone or not suspects:
                return
            # A dying process is blamed on every unit that was with it: those that are left go one at a time.
            units, alone = iter(suspects), True
            continue
        future = next(completed)
        unit, attempt = running.pop(future.key)
        outcome = _fetch(future)
        future.release()
        del future
        if outcome is None and attempt < MAX_FETCHES:
            again.append((unit, attempt + 1))
            continue
        if outcome is not None and isinstance(outcome.error, WorkerDiedError) and not alone:
            suspects.append(unit)
            continue
        yield unit, outcome or Outcome(error=WorkerDiedError(f"its receipt was lost {attempt} times"))


def _fetch(future: Any) -> Outcome[Any] | None:  # noqa: ANN401 - distributed has no types
    """Give the outcome of a completed future; None if it was lost with its worker."""
    from distributed import KilledWorker

    try:
        result = future.result(timeout=FETCH_SECONDS)
    except KilledWorker:
        return Outcome(error=WorkerDiedError("its worker process died each time it was tried, perhaps out of memory"))
    except TimeoutError:
        return None
    except Exception as error:
        # Cancelled, no valid worker, scheduler gone: nothing the unit did.
        kind = type(error).__name__
        raise StoppedError(f"the workers are lost ({kind}: {error}); run the same command again to resume") from error
    return result if isinstance(result, Outcome) else None


@contextmanager
def _open_client(settings: WorkersSettings, n_units: int) -> Iterator[Any]:
    import dask
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        stack.enter_context(dask.config.set(_scheduler_config(settings)))
        if settings.scheduler:
            try:
                client = stack.enter_context(Client(settings.scheduler, timeout=f"{settings.wait_s} s"))
            except (OSError, ValueError) as error:
                raise ConfigError(
                    f"no scheduler at {settings.scheduler} ({error}); start one or leave it out"
                ) from error
            _wait_for_workers(client, settings.wait_s)
            yield client
            return
        with _interrupts_held():
            cluster = LocalCluster(
                n_workers=min(count_workers(settings), n_units),
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                # Without a host the pages are served to the whole network (RELIABILITY.md, fact 9).
                dashboard_address=settings.dashboard or None,
                memory_limit=settings.memory_mib << 20,
                env=WORKER_ENVIRONMENT,
                silence_logs=logging.CRITICAL,
            )
            stack.callback(_close_quietly, cluster)
        stack.enter_context(_keep_alive(cluster))
        yield stack.enter_context(Client(cluster))


@contextmanager
def _keep_alive(cluster: Any) -> Iterator[None]:  # noqa: ANN401 - distributed has no types
    """Replace nannies that are gone: one whose worker is killed while it starts gives up (RELIABILITY.md, fact 6)."""
    from distributed.core import Status

    def revive() -> None:
        gone = [name for name, nanny in cluster.workers.items() if nanny.status in (Status.closed, Status.failed)]
        for name in gone:
            del cluster.workers[name]
        if gone:
            cluster.scale(len(cluster.worker_spec))

    def watch() -> None:
        while not ended.wait(WATCH_SECONDS):
            cluster.loop.add_callback(revive)

    ended = threading.Event()
    watcher = threading.Thread(target=watch, name="keep-workers-alive", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _close_quietly(cluster: Any) -> None:  # noqa: ANN401 - distributed has no types
    """Close a cluster; what goes wrong while a nanny is just replacing its worker must not hide the real error."""
    try:
        # Closing that is broken off is tried again at exit, and waits 10 s there.
        with _interrupts_held():
            cluster.close(timeout=CLOSE_SECONDS)
    except Exception:
        logging.getLogger(__name__).debug("closing the cluster failed", exc_info=True)


def _scheduler_config(settings: WorkersSettings) -> dict[str, object]:
    config: dict[str, object] = {
        # Without it a run whose workers are all gone waits for ever (RELIABILITY.md, fact 6).
        "distributed.scheduler.no-workers-timeout": f"{settings.wait_s} s",
        # Units that were with a dying process get a second chance alone, so two deaths are enough to suspect one.
        "distributed.scheduler.allowed-failures": 1,
        # The cluster would close a nanny that is just replacing its worker for the second time; see _keep_alive.
        "distributed.deploy.lost-worker-timeout": "24 h",
        **{f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in MALLOC_ENVIRONMENT.items()},
        # A unit is one call into the core: looking a hundred times a second where it is tells nothing and costs 2 %.
        "distributed.worker.profile.interval": "200ms",
        # Nobody reads the logs kept in memory.
        "distributed.admin.log-length": 0,
    }
    if settings.scheduler:
        config["distributed.comm.retry.count"] = 3
    else:
        # A receipt that died with its worker is asked for until the connection times out, and then computed again:
        # on loopback a refused connection stays refused, so 30 s a time and three tries would be waiting for nothing.
        config["distributed.comm.timeouts.connect"] = "5 s"
    return config


def _wait_for_workers(client: Any, seconds: int) -> None:  # noqa: ANN401 - distributed has no types
    try:
        client.wait_for_workers(1, timeout=seconds)
    except TimeoutError as error:
        raise StoppedError(f"the scheduler has no worker after {seconds} s; start workers and run again") from error


def _pass_gate(client: Any, gate: Callable[[], object]) -> None:  # noqa: ANN401 - distributed has no types
    here = gate()
    for address, there in sorted(client.run(gate, on_error="return").items()):
        if there != here:
            raise StageError(f"worker {address} has {there!r}, this process {here!r}; install the same version there")


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C and a polite kill back while workers start or end, and let them start deaf to Ctrl-C.

    Ctrl-C reaches the whole group, and only this process shall answer (else it prints 144 lines). A blocked signal
    stays blocked in the threads and programs started meanwhile, also in workers that replace others later; here it
    waits. A kill must reach the workers, so it is only put off. Either would leave a half-made cluster behind.
    """
    # Starting the tracker would unblock the signal in the middle; it is started once a process.
    resource_tracker.ensure_running()
    in_main = threading.current_thread() is threading.main_thread()
    late: list[int] = []
    terminate = signal.signal(signal.SIGTERM, lambda number, _: late.append(number)) if in_main else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if in_main:
            signal.signal(signal.SIGTERM, terminate)
        for number in late:
            signal.raise_signal(number)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
