"""What a unit of work came back with, wherever it ran: always something that pickles."""

from __future__ import annotations

import pickle
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from tahoe_engine.errors import TahoeError

if TYPE_CHECKING:
    from collections.abc import Callable

Unit = TypeVar("Unit")
Receipt = TypeVar("Receipt")


@dataclass(frozen=True)
class Outcome(Generic[Receipt]):
    """What a unit came back with: a receipt, or an error (never both).

    Parameters
    ----------
    receipt : object
        What the function returned; small.
    error : BaseException, optional
        What it raised instead.
    """

    receipt: Receipt | None = None
    error: BaseException | None = None


def run_here(function: Callable[[Unit], Receipt], unit: Unit) -> Outcome[Receipt]:
    """Run one unit in this process and catch what it raises.

    Parameters
    ----------
    function : callable
        As in `run_units`.
    unit : object
        One unit.

    Returns
    -------
    Outcome
        Always picklable. A `KeyboardInterrupt` is not caught.
    """
    try:
        return Outcome(receipt=function(unit))
    except (KeyboardInterrupt, SystemExit):
        raise
    # A panic of a Rust extension is a BaseException, and a task that raises one never returns (RELIABILITY.md, fact 1).
    except BaseException as error:  # noqa: BLE001 - see above
        return Outcome(error=_picklable(error))


def _picklable(error: BaseException) -> BaseException:
    trace = "".join(traceback.format_exception(error))
    # Where distributed is loaded, pickle takes along what an error came of; that may not travel where the error would.
    error = error.with_traceback(None)
    error.__cause__ = error.__context__ = None
    if not _travels(error):
        error = RuntimeError(f"{type(error).__name__}: {error}")
    if not isinstance(error, (TahoeError, OSError)):
        # The traceback itself does not travel; a note does, and Python prints it.
        error.add_note(f"raised by a worker:\n{trace}")
    return error


def _travels(error: BaseException) -> bool:
    """Tell whether an error survives plain pickle and is an ordinary one."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    except Exception:  # noqa: BLE001 - whatever an error's own code raises
        return False
    return isinstance(error, Exception)
