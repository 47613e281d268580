"""What the status and the failure of a request mean: to be tried again, or not."""

from __future__ import annotations

import ssl
import time
from email.utils import parsedate_to_datetime
from typing import NoReturn

from tahoe_engine.source.trouble import DeniedError, MissingError, PassingError, RefusedError

PASSING = (408, 425, 429, 500, 502, 503, 504, 509, 520, 521, 522, 523, 524, 529)
MISSING, DENIED = (404, 410), (401, 403)
OK, PARTIAL, CHANGED, NO_SUCH_RANGE = 200, 206, 412, 416


def raise_status(status: int, retry_after: str | None) -> NoReturn:
    """Raise what a status that brings no bytes means.

    Parameters
    ----------
    status : int
        Neither 200 nor 206.
    retry_after : str or None
        What the server asks for.

    Raises
    ------
    PassingError, MissingError, DeniedError, RefusedError
        Always one of them.
    """
    if status in PASSING:
        raise PassingError(f"HTTP {status}", parse_retry_after(retry_after))
    if status in MISSING:
        raise MissingError(f"HTTP {status}: there is no such file")
    if status in DENIED:
        raise DeniedError(f"HTTP {status}: no access; give an address that is signed, or sign it anew")
    raise RefusedError(f"HTTP {status}")


def parse_retry_after(text: str | None) -> float | None:
    """Read how long a server asks to wait.

    Parameters
    ----------
    text : str or None
        Seconds, or a date.

    Returns
    -------
    float or None
        Seconds; None if it does not say, or not in a form that is known.

    Examples
    --------
    >>> parse_retry_after("7"), parse_retry_after("soon")
    (7.0, None)
    """
    text = (text or "").strip()
    if text.isascii() and text.isdigit() and len(text) < 10:  # noqa: PLR2004 - more is no number of seconds
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def name_error(error: BaseException) -> str:
    """Name an error of the network without its text, which may hold an address.

    Parameters
    ----------
    error : BaseException
        As the socket or the parser of answers raised it.

    Returns
    -------
    str
        A few words.
    """
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'failed'}"
    if isinstance(error, OSError) and error.strerror and not isinstance(error, TimeoutError):
        return f"{type(error).__name__} ({error.strerror})"
    return "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
