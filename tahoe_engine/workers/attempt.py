"""One attempt at a unit, as it runs in a worker: with a wall limit, and only where the same version is installed."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tahoe_engine.outcomes import Outcome, run_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Order:
    """What a worker is asked to do.

    Parameters
    ----------
    function : callable
        As in `run_units`.
    unit : object
        One unit.
    limit_s : float
        Wall limit in seconds; 0 for none.
    memory_mib : int
        What a sacrificed process may take.
    gate : tuple of (callable, object), optional
        What must give what on the worker; None on workers of our own.
    """

    function: Callable[[Any], Any]
    unit: Any
    limit_s: float
    memory_mib: int
    gate: tuple[Callable[[], object], object] | None = None


@dataclass(frozen=True)
class Attempt:
    """What came of an order.

    Parameters
    ----------
    outcome : Outcome
        What the unit came back with.
    seconds : float
        What it took.
    refused : str
        Why this worker may not take the unit; empty when it did.
    """

    outcome: Outcome[Any] = field(default_factory=Outcome)
    seconds: float = 0.0
    refused: str = ""


def run_attempt(order: Order) -> Attempt:
    """Run one unit in this worker; the process ends when the time is over.

    Parameters
    ----------
    order : Order
        The unit and its limit.

    Returns
    -------
    Attempt
        Always picklable.
    """
    refused = refuse(order)
    if refused:
        return Attempt(refused=refused)
    start = time.monotonic()
    with die_after(order.limit_s):
        outcome = run_here(order.function, order.unit)
    return Attempt(outcome, time.monotonic() - start)


_deadlines: dict[int, float] = {}
_deadlines_lock = threading.Lock()


@contextmanager
def die_after(seconds: float) -> Iterator[None]:
    """End this process with SIGALRM if the block takes longer.

    Nothing that runs can be called back: not a thread, and not one that holds the interpreter's lock. The kernel's
    timer needs neither that lock nor a thread to watch.

    Parameters
    ----------
    seconds : float
        Of wall time; 0 for no limit.
    """
    if not seconds:
        yield
        return
    thread = threading.get_ident()
    # A worker of a foreign scheduler may have several threads, and a process has one such timer: the earliest counts.
    with _deadlines_lock:
        _deadlines[thread] = time.monotonic() + seconds
        _arm()
    try:
        yield
    finally:
        with _deadlines_lock:
            del _deadlines[thread]
            _arm()


def _arm() -> None:
    left = min(_deadlines.values()) - time.monotonic() if _deadlines else 0.0
    signal.setitimer(signal.ITIMER_REAL, max(left, 0.001) if _deadlines else 0.0)


_seen: dict[tuple[str, str], object] = {}


def refuse(order: Order) -> str:
    """Compare this worker with the process that sent the order.

    Parameters
    ----------
    order : Order
        Its gate is run once a process.

    Returns
    -------
    str
        What differs; empty if nothing does.
    """
    if order.gate is None:
        return ""
    gate, expected = order.gate
    name = (gate.__module__, gate.__qualname__)
    if name not in _seen:
        _seen[name] = run_here(lambda _: gate(), None)
    here = _seen[name]
    return "" if here == Outcome(receipt=expected) else describe_difference(_address(), here, expected)


def describe_difference(address: str, there: object, here: object) -> str:
    """Say how a worker differs.

    Parameters
    ----------
    address : str
        Of the worker.
    there : object
        What the gate gave on the worker: an `Outcome`.
    here : object
        What it gives in the process that hands out.

    Returns
    -------
    str
        One sentence.
    """
    error = there.error if isinstance(there, Outcome) else None
    if error is not None:
        return f"worker {address} cannot tell its versions ({type(error).__name__}: {error}); install the same there"
    found = there.receipt if isinstance(there, Outcome) else there
    return f"worker {address} has {found!r}, this process {here!r}; install the same version there"


def _address() -> str:
    from distributed import get_worker

    return str(get_worker().address)
