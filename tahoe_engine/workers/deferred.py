"""Units whose shards could not be fetched: nothing is wrong with them, so they are tried again at the end."""

from __future__ import annotations

from typing import Generic, TypeVar

from tahoe_engine.errors import FetchError

Unit = TypeVar("Unit")

# Each has waited as long as the settings allow: so many in a row mean that the other side is gone, not slow.
MOST_IN_A_ROW = 8


class Deferred(Generic[Unit]):
    """The units that wait for a second try.

    Examples
    --------
    >>> deferred = Deferred[str]()
    >>> deferred.add("unit", FetchError("HTTP 503"))
    >>> deferred.take()
    ['unit']
    >>> deferred.add("unit", FetchError("HTTP 503"))
    >>> deferred.take()
    Traceback (most recent call last):
    tahoe_engine.errors.FetchError: 1 shards could not be fetched, also when tried again; run the same command again ...
    """

    def __init__(self) -> None:
        self._units: list[Unit] = []
        self._in_a_row = 0
        self._error: FetchError | None = None
        self._last_round = False

    def add(self, unit: Unit, error: FetchError) -> None:
        """Put a unit aside.

        Parameters
        ----------
        unit : object
            Which.
        error : FetchError
            Why.

        Raises
        ------
        FetchError
            If nothing else has come for a while: the run stops, and a resume goes on from here.
        """
        self._units.append(unit)
        self._error = error
        self._in_a_row += 1
        if self._in_a_row >= MOST_IN_A_ROW:
            raise FetchError(
                f"the source cannot be reached, {self._in_a_row} shards in a row; run the same command again to "
                f"resume. The last: {error}"
            )

    def reached(self) -> None:
        """Note that a shard came through."""
        self._in_a_row = 0

    def take(self) -> list[Unit]:
        """Give the units for the second round.

        Returns
        -------
        list of object
            Empty if all came through.

        Raises
        ------
        FetchError
            After the second round, if some still did not.
        """
        units, self._units, self._in_a_row = self._units, [], 0
        if units and self._last_round:
            raise FetchError(
                f"{len(units)} shards could not be fetched, also when tried again; run the same command again to "
                f"resume. The last: {self._error}"
            )
        self._last_round = True
        return units
