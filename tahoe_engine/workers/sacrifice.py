"""A unit whose worker died, tried once more in a process of its own that nobody will miss.

What dies there is the unit's own doing: the process has nothing else to do, its limits are its own, and the worker
that waits for it lives on. Only bytes of our own making go through the pipes.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tahoe_engine.outcomes import Outcome, run_here
from tahoe_engine.workers.attempt import Attempt, Order, die_after, refuse
from tahoe_engine.workers.died import WorkerDiedError

if TYPE_CHECKING:
    from typing import BinaryIO

# Anybody may send SIGKILL, also the kernel when memory is short: only several in a row are the unit's own.
MAX_KILLED = 3
START_SECONDS = 15.0  # for Python and the imports, before the child's own limit begins
SPARE = 2  # address space is not memory: threads, arenas and mapped files take more than they use
PR_SET_PDEATHSIG = 1
# The child finds modules where its parent does, however that one was started.
PROGRAM = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from tahoe_engine.workers.sacrifice import serve; serve(sys.stdin.buffer)"
)


def run_sacrificed(order: Order) -> Attempt:
    """Run one unit in a child process with limits.

    Parameters
    ----------
    order : Order
        The unit, its wall limit and its memory.

    Returns
    -------
    Attempt
        With a `WorkerDiedError` if the child died.
    """
    from distributed.protocol.pickle import dumps

    refused = refuse(order)
    if refused:
        return Attempt(refused=refused)
    start = time.monotonic()
    request = pickle.dumps(sys.path) + pickle.dumps(os.getpid()) + dumps(order)
    died = ""
    for _ in range(MAX_KILLED):
        code, answer = _run_child(request, order.limit_s)
        outcome = _read(answer)
        if outcome is not None:
            return Attempt(outcome, time.monotonic() - start)
        died = _describe(code, order.limit_s)
        if code != -signal.SIGKILL:
            break
    return Attempt(Outcome(error=WorkerDiedError(died)), time.monotonic() - start)


def _run_child(request: bytes, limit_s: float) -> tuple[int, bytes]:
    """Give the exit code, negative for a signal, and what the child answered."""
    # Its words are not kept: a panic names its thread's number, and a verdict must not differ between two runs.
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        try:
            # Longer than the child's own limit: this is for one that was stopped.
            answer, _ = child.communicate(request, timeout=limit_s + START_SECONDS if limit_s else None)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            return -signal.SIGALRM, b""
        return child.returncode, answer


def _read(answer: bytes) -> Outcome[object] | None:
    """Give the outcome, if it came whole; a child that died after that has done its work."""
    try:
        outcome = pickle.loads(answer)  # noqa: S301 - our own bytes
    except Exception:  # noqa: BLE001 - a torn pickle raises anything
        return None
    if not isinstance(outcome, Outcome):
        return None
    if isinstance(outcome.error, MemoryError):
        return Outcome(error=WorkerDiedError(_twice("ran out of memory")))
    return outcome


def _describe(code: int, limit_s: float) -> str:
    if code == -signal.SIGALRM:
        return f"it took longer than {limit_s:.0f} s: first its worker was lost, then a process of its own was ended"
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"number {-code}"
        killed = ", each time it was tried; perhaps out of memory" if code == -signal.SIGKILL else ""
        return _twice(f"died with signal {name}{killed}")
    return _twice(f"ended with exit status {code}")


def _twice(how: str) -> str:
    return f"its process died twice: first its worker, then a process of its own {how}"


def serve(requests: BinaryIO) -> None:
    """Run the one unit that is asked for; this is the child.

    Parameters
    ----------
    requests : binary file
        The pickled number of the parent, and the order.
    """
    # What the unit prints must not get between the bytes of the answer.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _die_with(pickle.load(requests))  # noqa: S301 - our own bytes
    order: Order = pickle.load(requests)  # noqa: S301 - our own bytes
    _limit_memory(order.memory_mib)
    with die_after(order.limit_s):
        outcome: Outcome[object] = run_here(order.function, order.unit)
        answers.write(pickle.dumps(outcome))
        answers.flush()


def _die_with(parent: int) -> None:
    """End when the worker ends: nobody would read the answer, and the unit may be tried elsewhere by then."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _limit_memory(mib: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + SPARE * (mib << 20)
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
