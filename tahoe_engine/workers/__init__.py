"""Who computes: the only package that knows the scheduler.

Units go out in a bounded window and come back as they finish. A worker process runs one unit at a time, so that a unit
that kills its process takes no other with it (measured: 4 threads a process, 4 of 6 innocent units lost).

``cluster`` starts and ends, ``supervise`` keeps alive, ``link`` listens, ``window`` hands out and blames, ``attempt``
and ``sacrifice`` run in the workers; ``computing`` lends them to dask for a while, with ``graphs`` to listen, and
``slices`` and ``pairs`` make the arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tahoe_engine.workers.computing import Computing, open_computing, open_workers
from tahoe_engine.workers.dask_config import allowed_memory, count_workers, is_here
from tahoe_engine.workers.deferred import Deferred
from tahoe_engine.workers.died import WorkerDiedError
from tahoe_engine.workers.guarded import guard_units
from tahoe_engine.workers.pairs import stack_pairs
from tahoe_engine.workers.slices import stack_slices

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from tahoe_engine.config import WorkersSettings
    from tahoe_engine.outcomes import Outcome, Receipt, Unit

__all__ = [
    "Computing",
    "Deferred",
    "WorkerDiedError",
    "allowed_memory",
    "count_workers",
    "guard_units",
    "is_here",
    "open_computing",
    "run_units",
    "stack_pairs",
    "stack_slices",
]


def run_units(  # noqa: PLR0913 - the keywords are what a stage may leave out
    function: Callable[[Unit], Receipt],
    units: Sequence[Unit],
    settings: WorkersSettings,
    *,
    gate: Callable[[], object] | None = None,
    slack_s: float = 0.0,
    on_drain: Callable[[int], object] | None = None,
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
        Run here and on every worker of a foreign scheduler before its first unit; all must give the same.
    slack_s : float
        Added to the wall limit of every unit, for what it may wait for others.
    on_drain : callable, optional
        Called once with the number of units under way, when this process was asked to stop (Ctrl-C, SIGTERM).

    Yields
    ------
    unit, Outcome
        Each unit once. A unit that takes its process with it, or does not end, comes back with a `WorkerDiedError`.
        Closing the generator stops the workers.

    Raises
    ------
    StoppedError
        If the workers or the scheduler are lost: run again to resume.
    StageError
        If the gate differs: another version is installed there.
    ConfigError
        If the scheduler cannot be reached, or could be by strangers.
    KeyboardInterrupt
        If this process was asked to stop: what was under way has been yielded. A second request does not wait.
    """
    if not units:
        return
    with open_workers(settings, len(units), gate=gate) as computing:
        yield from computing.run_units(function, units, slack_s=slack_s, on_drain=on_drain)
