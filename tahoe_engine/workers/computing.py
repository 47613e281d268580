"""Dask collections on our workers: what a fit computes, also where dask-ml computes it by itself.

Units go out one by one (`run_units`); a reduction over thousands of slices is one graph, which the scheduler walks.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from tahoe_engine.outcomes import Outcome, Receipt, Unit, run_here
from tahoe_engine.workers.cluster import open_link
from tahoe_engine.workers.dask_config import is_here
from tahoe_engine.workers.gate import pass_gate
from tahoe_engine.workers.graphs import Graphs
from tahoe_engine.workers.interrupts import Interrupts
from tahoe_engine.workers.parcels import Parcel, call_safely
from tahoe_engine.workers.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from tahoe_engine.config import WorkersSettings
    from tahoe_engine.workers.link import Link

FAN_IN = 8  # partial results that are put together at once: so many are in the memory of one worker

Item = TypeVar("Item")
Partial = TypeVar("Partial")


@contextmanager
def open_computing(
    settings: WorkersSettings, n_tasks: int, *, gate: Callable[[], object] | None = None
) -> Iterator[Computing]:
    """Hold workers, for units and for what dask computes, while the block runs.

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
    with open_workers(settings, n_tasks, gate=gate) as computing, computing.serving():
        yield computing


@contextmanager
def open_workers(
    settings: WorkersSettings, n_tasks: int, *, gate: Callable[[], object] | None = None
) -> Iterator[Computing]:
    """Hold workers for units while the block runs; what dask computes is not their business.

    Parameters
    ----------
    settings, n_tasks, gate
        As in `open_computing`.

    Yields
    ------
    Computing
        For its `run_units`.

    Raises
    ------
    StoppedError, StageError, ConfigError, KeyboardInterrupt
        As there.
    """
    interrupts = Interrupts()
    with interrupts.watched():
        if is_here(settings):
            yield Computing(settings, interrupts)
        else:
            with open_link(settings, max(1, n_tasks), interrupts) as link:
                passed = (gate, pass_gate(link, gate)) if gate is not None and settings.scheduler else None
                yield Computing(settings, interrupts, link, passed)
        interrupts.check()


class Computing:
    """Who computes; made by `open_computing`.

    Parameters
    ----------
    settings : WorkersSettings
        How many processes, or which scheduler.
    interrupts : Interrupts
        Watched.
    link : Link, optional
        To workers; without it this process computes.
    passed : tuple of (callable, object), optional
        The gate, and what it gave here.
    """

    def __init__(
        self,
        settings: WorkersSettings,
        interrupts: Interrupts,
        link: Link | None = None,
        passed: tuple[Callable[[], object], object] | None = None,
    ) -> None:
        self._settings, self._interrupts, self._link, self._passed = settings, interrupts, link, passed

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Let dask compute on these workers while the block runs, also where it is not asked by us."""
        import dask

        # A function of ours, not the client itself: dask would wait for a lost worker as long as it takes.
        scheduler = "synchronous" if self._link is None else Graphs(self._link, self._settings)
        with dask.config.set(scheduler=scheduler):
            yield

    def run_units(
        self,
        function: Callable[[Unit], Receipt],
        units: Sequence[Unit],
        *,
        slack_s: float = 0.0,
        on_drain: Callable[[int], object] | None = None,
    ) -> Generator[tuple[Unit, Outcome[Receipt]]]:
        """Run a function over units of work and yield each as it completes; see `tahoe_engine.workers.run_units`.

        Parameters
        ----------
        function, units, slack_s, on_drain
            As there.

        Yields
        ------
        unit, Outcome
            Each unit once.
        """
        # From here on the first request to stop lets end what is under way.
        self._interrupts.patient = True
        if self._link is None:
            yield from self._run_in_turn(function, units, on_drain)
            return
        window = Window(self._link, function, units, self._settings, slack_s, on_drain, self._passed, self._interrupts)
        with closing(window.run()) as outcomes:
            yield from outcomes

    def _run_in_turn(
        self,
        function: Callable[[Unit], Receipt],
        units: Sequence[Unit],
        on_drain: Callable[[int], object] | None,
    ) -> Generator[tuple[Unit, Outcome[Receipt]]]:
        """Run the units in this process, one after the other."""
        for unit in units:
            # Here no code of ours is under way that could be interrupted in the middle of a line.
            with self._interrupts.telling(None if on_drain is None else lambda: on_drain(1)):
                outcome = run_here(function, unit)
            yield unit, outcome
            self._interrupts.check()

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

    @staticmethod
    def defer(function: Callable[[Item], object], item: Item, n_results: int = 0) -> list[Any]:
        """Give what a function will give on a worker, for whoever computes with dask.

        Parameters
        ----------
        function : callable
            Picklable; takes an item.
        item : object
            Small and picklable; handed on as it is.
        n_results : int
            It gives a tuple of so many; 0 = one thing.

        Returns
        -------
        list of dask.delayed.Delayed
            One for each result; nothing is computed yet, and each only once.

        Examples
        --------
        >>> from tahoe_engine.config import WorkersSettings
        >>> with open_computing(WorkersSettings(count=0), 2) as computing:
        ...     computing.compute(computing.defer(str.split, "a b", n_results=2))
        ['a', 'b']
        """
        from dask.delayed import delayed

        whole = delayed(call_safely, pure=False)(function, Parcel(item))
        return [whole[at] for at in range(n_results)] if n_results else [whole]

    @contextmanager
    def joblib(self) -> Iterator[None]:
        """Let joblib work on these workers while the block runs, as scikit-learn does with ``n_jobs=-1``.

        Where there are no workers it works in this process, one task after the other.

        Raises
        ------
        StoppedError
            If a worker is lost: joblib itself would wait for ever.
        """
        from joblib import parallel_config

        if self._link is None:
            with parallel_config(backend="sequential"):
                yield
            return
        from tahoe_engine.workers.parallel import lend_to_joblib

        with lend_to_joblib(self._link._client):  # noqa: SLF001 - of this package
            yield

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
