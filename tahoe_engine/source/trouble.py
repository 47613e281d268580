"""What can come of asking another machine for bytes: to be tried again, or not; and how long to wait."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0


class Trouble(Exception):  # noqa: N818 - the base of the kinds below
    """Something is wrong with a remote file; the text holds no address and no secret.

    Parameters
    ----------
    reason : str
        In a few words.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PassingError(Trouble):
    """It may go better next time: 429, 5xx, resets, time-outs, short bodies.

    Parameters
    ----------
    reason : str
        In a few words.
    wait_s : float, optional
        How long the server asks to wait.
    """

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class ExhaustedError(Trouble):
    """It did not go better within the attempts and the time that the settings allow."""


class ChangedError(Trouble):
    """The file is not the one that was planned."""


class MissingError(Trouble):
    """There is no such file."""


class RefusedError(Trouble):
    """The server will not give it: no access, no byte ranges, an answer that makes no sense."""


class DeniedError(RefusedError):
    """401 or 403: it is given to others, or to nobody."""


class NoRangesError(RefusedError):
    """The whole file would come in place of a range."""


class Patience:
    """How often and how long requests are tried again: attempts a request, and a waiting time they all share.

    Parameters
    ----------
    retries : int
        Further attempts at one request.
    budget_s : float
        Seconds of waiting for all requests together: before an attempt, and for answers that did not come.
    sleep, dice : callable, optional
        For tests: how to wait, and a number in [0, 1).

    Examples
    --------
    >>> patience = Patience(2, 60, sleep=print, dice=lambda: 1.0)
    >>> answers = iter([PassingError("HTTP 503", wait_s=7.0), PassingError("reset")])
    >>> def ask():
    ...     for answer in answers:
    ...         raise answer
    ...     return "bytes"
    >>> patience.ask(ask)
    7.0
    1.0
    'bytes'
    """

    def __init__(
        self,
        retries: int,
        budget_s: float,
        *,
        sleep: Callable[[float], object] = time.sleep,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._retries, self._left = retries, budget_s
        self._sleep, self._dice = sleep, dice
        self._lock = threading.Lock()

    def ask(self, request: Callable[[], Result]) -> Result:
        """Make a request until it succeeds.

        Parameters
        ----------
        request : callable
            Raises `PassingError` where it may be tried again.

        Returns
        -------
        object
            What the request gave.

        Raises
        ------
        ExhaustedError
            After the last attempt, or when the next wait is longer than what is left of the budget.
        """
        for attempt in range(self._retries + 1):
            begun = time.monotonic()
            try:
                return request()
            except PassingError as error:
                if attempt == self._retries:
                    raise ExhaustedError(f"{error.reason}, {attempt + 1} times") from None
                self._wait(error, attempt, time.monotonic() - begun)
        raise AssertionError("the loop ends in a return or a raise")

    def _wait(self, error: PassingError, attempt: int, spent: float) -> None:
        # Full jitter: a thousand workers that failed together must not come back together. Half of the wait is
        # kept, so that a server in need is not asked again at once.
        wait = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**attempt) * (0.5 + self._dice() / 2)
        # What the server asks for is the least; coming earlier would prolong a ban.
        wait = max(wait, error.wait_s or 0.0)
        with self._lock:
            self._left -= spent
            if wait > self._left:
                raise ExhaustedError(f"{error.reason}; the waiting time of source.retry_budget_s is used up") from None
            self._left -= wait
        self._sleep(wait)
