"""What must be equal on all workers, compared before the first unit goes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tahoe_engine.errors import StageError, StoppedError
from tahoe_engine.outcomes import Outcome
from tahoe_engine.workers.attempt import describe_difference

if TYPE_CHECKING:
    from collections.abc import Callable

    from tahoe_engine.workers.link import Link

GATE_SECONDS = 30.0  # importing the package on a busy worker takes a few


def pass_gate(link: Link, gate: Callable[[], object]) -> object:
    """Run the gate here and on all workers that are there; those that come later meet it with their first unit.

    Parameters
    ----------
    link : Link
        To a foreign scheduler with workers.
    gate : callable
        Importable by name.

    Returns
    -------
    object
        What it gave here.

    Raises
    ------
    StageError
        If a worker gives something else or cannot run it; it is named.
    StoppedError
        If not all answer.
    """
    here = gate()
    found = link.run_everywhere(gate, GATE_SECONDS)
    if found is None:
        raise StoppedError(
            f"not every worker of the scheduler told its versions within {GATE_SECONDS:.0f} s; "
            "restart the one that hangs, then run the same command again"
        )
    for address, there in sorted(found.items()):
        outcome: Outcome[object] = Outcome(error=there) if isinstance(there, BaseException) else Outcome(receipt=there)
        if outcome != Outcome(receipt=here):
            raise StageError(describe_difference(address, outcome, here))
    return here
