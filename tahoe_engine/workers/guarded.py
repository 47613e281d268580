"""Units in this very process: one that once took its process along gets a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from tahoe_engine.workers.attempt import Order
from tahoe_engine.workers.dask_config import is_here
from tahoe_engine.workers.sacrifice import run_sacrificed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tahoe_engine.config import WorkersSettings
    from tahoe_engine.outcomes import Unit


class Remembers(Protocol):
    """What knows which units were begun and not ended: `tahoe_engine.run.Ledger`."""

    suspects: set[str]

    def record_begin(self, name: str) -> None:
        """Record that this process begins a unit."""


def guard_units(
    function: Callable[[Unit], dict[str, Any]],
    ledger: Remembers,
    name: Callable[[Unit], Sequence[str]],
    settings: WorkersSettings,
    *,
    slack_s: float = 0.0,
) -> Callable[[Unit], dict[str, Any]]:
    """Give what `run_units` is to run: where that is in this process, the unit is written down before.

    Parameters
    ----------
    function : callable
        As in `run_units`.
    ledger : Remembers
        Of the stage. The next launch finds in it what this one died under.
    name : callable
        Gives the names that a unit has there.
    settings : WorkersSettings
        Memory and wall limit of a unit that is run apart.
    slack_s : float
        As in `run_units`.

    Returns
    -------
    callable
        Takes a unit, gives its receipt, raises what the unit raised. The function itself where workers run it.
    """
    if not is_here(settings):
        return function

    def guarded(unit: Unit) -> dict[str, Any]:
        names = name(unit)
        if ledger.suspects.isdisjoint(names):
            for one in names:
                ledger.record_begin(one)
            return function(unit)
        outcome = run_sacrificed(Order(function, unit, settings.unit_s + slack_s, settings.memory_mib)).outcome
        if outcome.error is not None:
            raise outcome.error
        return outcome.receipt or {}

    return guarded
