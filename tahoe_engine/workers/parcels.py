"""What goes to a worker with a graph of dask's: arguments as they are, and errors that travel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from tahoe_engine.outcomes import run_here

if TYPE_CHECKING:
    from collections.abc import Callable

Partial = TypeVar("Partial")


class Parcel:
    """Something that dask shall hand on as it is: it looks into tuples, lists and texts for tasks.

    Parameters
    ----------
    content : object
        Picklable.
    """

    __slots__ = ("content",)

    def __init__(self, content: object) -> None:
        self.content: Any = content

    def __reduce__(self) -> tuple[type[Parcel], tuple[object]]:
        return Parcel, (self.content,)


def call_safely(function: Callable[[Any], Partial], parcel: Parcel) -> Partial:
    """Call a function in a worker; what it raises always travels.

    Parameters
    ----------
    function : callable
        Takes what is in the parcel.
    parcel : Parcel
        With its argument.

    Returns
    -------
    object
        What it gives.

    Raises
    ------
    Exception
        What it raises, or a RuntimeError that tells it.

    Examples
    --------
    >>> call_safely(len, Parcel("abc"))
    3
    """
    outcome = run_here(function, parcel.content)
    if outcome.error is not None:
        raise outcome.error
    result: Partial = outcome.receipt  # type: ignore[assignment]
    return result
