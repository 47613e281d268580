"""What dask is told before anything of it starts: every setting of it in one place."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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


def allowed_memory(settings: WorkersSettings) -> int:
    """Give the bytes a process that works may take.

    Parameters
    ----------
    settings : WorkersSettings
        Its section.

    Returns
    -------
    int
        Of a worker; of this machine, where this process works alone.
    """
    if count_workers(settings):
        return settings.memory_mib << 20
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def is_here(settings: WorkersSettings) -> bool:
    """Tell whether this process does the work itself, without a cluster.

    Parameters
    ----------
    settings : WorkersSettings
        Its section.

    Returns
    -------
    bool
        True for no workers and no scheduler.
    """
    return not settings.scheduler and count_workers(settings) == 0


def configure_dask(settings: WorkersSettings) -> dict[str, object]:
    """Give dask's own settings for a run.

    Parameters
    ----------
    settings : WorkersSettings
        Its section.

    Returns
    -------
    dict
        For `dask.config.set`. A foreign scheduler keeps its own: only what concerns the client has an effect there.
    """
    config: dict[str, object] = {
        # Without it a run whose workers are all gone waits for ever (RELIABILITY.md, fact 6).
        "distributed.scheduler.no-workers-timeout": f"{settings.wait_s} s",
        # One unit on a worker and nothing waiting behind it: whoever dies with a worker was being worked on.
        "distributed.scheduler.worker-saturation": 1.0,
        # The first death is told at once; what happens then is decided here, not by the scheduler.
        "distributed.scheduler.allowed-failures": 0,
        # Our own supervisor looks for silent workers: this one would also restart all of them after this process was
        # stopped for a while, because none of them was heard.
        "distributed.scheduler.worker-ttl": None,
        # The cluster would close a nanny that is just replacing its worker for the second time; see supervise.py.
        "distributed.deploy.lost-worker-timeout": "24 h",
        **{f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in MALLOC_ENVIRONMENT.items()},
        # A unit is one call into the core: looking a hundred times a second where it is tells nothing and costs 2 %.
        "distributed.worker.profile.interval": "200ms",
        # A fitted forest goes out with the function that asks it, once: nothing that a user could do better.
        "distributed.admin.large-graph-warning-threshold": "1 TB",
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
