"""Dask collections on our workers: what a fit computes, also where dask-ml computes it by itself.

Units go out one by one (`run_units`); a reduction over thousands of slices is one graph, which the scheduler walks.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from tahoe_engine.workers.cluster import open_link
from tahoe_engine.workers.dask_config import is_here
from tahoe_engine.workers.gate import pass_gate
from tahoe_engine.workers.graphs import Graphs
from tahoe_engine.workers.interrupts import Interrupts
from tahoe_engine.workers.parcels import Parcel, call_safely

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tahoe_engine.config import WorkersSettings

FAN_IN = 8  # partial results that are put together at once: so many are in the memory of one worker

Item = TypeVar("Item")
Partial = TypeVar("Partial")


@contextmanager
def open_computing(
    settings: WorkersSettings, n_tasks: int, *, gate: Callable[[], object] | None = None
) -> Iterator[Computing]:
    """Let dask compute on our workers while the block runs.

    Parameters
    ----------
    settings : WorkersSettings
        How many processes, or which scheduler. Without any, this process computes.
    n_tasks : int
        No more workers than that are started.
    gate : callable, optional
        Run here and on every worker of a foreign scheduler; all must give the same.

    Yields
    ------
    Computing
        Everything of dask that computes inside the block uses it, also what computes without being asked.

    Raises
    ------
    StoppedError
        If workers or the scheduler are lost: run again to resume.
    StageError
        If the gate differs: another version is installed there.
    ConfigError
        If the scheduler cannot be reached, or could be by strangers.
    KeyboardInterrupt
        If this process was asked to stop; nothing is waited for.

    Examples
    --------
    >>> from tahoe_engine.config import WorkersSettings
    >>> with open_computing(WorkersSettings(count=0), 4) as computing:
    ...     computing.reduce(len, max, ["a", "abc", "ab"])
    3
    """
    import dask

    interrupts = Interrupts()
    if is_here(settings):
        with interrupts.watched(), dask.config.set(scheduler="synchronous"):
            yield Computing()
        return
    with interrupts.watched(), open_link(settings, max(1, n_tasks), interrupts) as link:
        if gate is not None and settings.scheduler:
            pass_gate(link, gate)
        # A function of ours, not the client itself: dask would wait for a lost worker as long as it takes.
        with dask.config.set(scheduler=Graphs(link, settings)):
            yield Computing()


class Computing:
    """Who computes; made by `open_computing`."""

    def compute(self, tasks: Sequence[Any]) -> list[Any]:
        """Compute tasks.

        Parameters
        ----------
        tasks : sequence of dask.delayed.Delayed
            Or other collections of dask.

        Returns
        -------
        list
            Their results, in order; what a task raises is raised.

        Examples
        --------
        >>> from dask.delayed import delayed
        >>> from tahoe_engine.config import WorkersSettings
        >>> with open_computing(WorkersSettings(count=0), 2) as computing:
        ...     computing.compute([delayed(len)("abc"), delayed(len)("a")])
        [3, 1]
        """
        from dask.base import compute

        return list(compute(*tasks, traverse=False))  # type: ignore[no-untyped-call]

    def reduce(
        self, function: Callable[[Item], Partial], combine: Callable[[list[Partial]], Partial], items: Sequence[Item]
    ) -> Partial:
        """Apply a function to each item and put the results together, as a tree in the order of the items.

        The tree depends on the number of items alone, so that the bits of a sum do not depend on who was first.

        Parameters
        ----------
        function : callable
            Picklable; takes an item.
        combine : callable
            Picklable; takes up to eight results, or what came of such.
        items : sequence
            At least one. Small and picklable.

        Returns
        -------
        object
            What is left at the top; of one item what `combine` makes of its result alone.
        """
        from dask._task_spec import Alias, DataNode, List, Task, TaskRef
        from dask.delayed import Delayed

        name = uuid4().hex
        # A function may carry what was fitted so far: it stands once in the graph, not in every task.
        layer: dict[Any, Any] = {f"function-{name}": DataNode(f"function-{name}", function)}
        keys: list[Any] = [(f"map-{name}", number) for number in range(len(items))]
        for key, item in zip(keys, items, strict=True):
            layer[key] = Task(key, call_safely, TaskRef(f"function-{name}"), Parcel(item))
        level = 0
        while len(keys) > 1 or level == 0:
            groups = [keys[first : first + FAN_IN] for first in range(0, len(keys), FAN_IN)]
            keys = [(f"combine-{level}-{name}", number) for number in range(len(groups))]
            for key, group in zip(keys, groups, strict=True):
                layer[key] = Task(key, _call_combine, Parcel(combine), List(*map(TaskRef, group)))
            level += 1
        layer[f"top-{name}"] = Alias(f"top-{name}", keys[0])
        top = Delayed(f"top-{name}", layer)  # type: ignore[no-untyped-call]
        result: Partial = self.compute([top])[0]
        return result


def _call_combine(combine: Parcel, partials: list[Partial]) -> Partial:
    result: Partial = call_safely(combine.content, Parcel(partials))
    return result
