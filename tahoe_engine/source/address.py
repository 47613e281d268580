"""Addresses of files that lie elsewhere: their parts, and what of them may be shown."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from tahoe_engine.errors import SourceError, escape_controls

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
WEB = ("https", "http")
SCHEMES = (*WEB, "hf", "s3")
MAX_ADDRESS = 8192


def scheme_of(text: str) -> str | None:
    """Give the scheme of an address; None for a path of this machine.

    Parameters
    ----------
    text : str
        What the user named.

    Returns
    -------
    str or None
        In lower case.

    Examples
    --------
    >>> scheme_of("S3://bucket/key"), scheme_of("data/train.parquet")
    ('s3', None)
    """
    match = SCHEME.match(text)
    return match[1].lower() if match else None


def split_secret(text: str) -> tuple[str, str]:
    """Split an address into what may be shown and what may not.

    Parameters
    ----------
    text : str
        With ``://``.

    Returns
    -------
    address : str
        Without query and fragment: it stands in messages, plans and logs.
    secret : str
        The query of an ``https://`` address, which may be a signature; it is only ever sent to its server.

    Raises
    ------
    SourceError
        If the scheme is not read, or the address holds a user name or password.

    Examples
    --------
    >>> split_secret("https://example.org/a.parquet?sig=abc")
    ('https://example.org/a.parquet', 'sig=abc')
    """
    scheme = scheme_of(text)
    shown = show_address(text)
    if scheme not in SCHEMES:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise SourceError(f"{shown}: no source is read from {scheme}://; use {known} or a path")
    if len(text) > MAX_ADDRESS or not text.isprintable():
        raise SourceError(f"{shown[:200]}: not an address: too long, or with control characters")
    if scheme not in WEB:
        if "@" in text.partition("://")[2].partition("/")[0]:
            raise SourceError(f"{shown}: a user name or password in an address ends up in logs; set them as variables")
        # Keys of S3 and paths of the hub may hold ? and #.
        return text, ""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise SourceError(f"{shown}: not an address") from None
    if "@" in parts.netloc:
        raise SourceError(f"{shown}: a user name or password in an address ends up in logs; use a signed address")
    if not host:
        raise SourceError(f"{shown}: the address has no host")
    return f"{scheme}://{parts.netloc}{parts.path}", parts.query


def show_address(text: str) -> str:
    """Give an address without user name, password, query and fragment, on one line.

    Parameters
    ----------
    text : str
        Any address.

    Returns
    -------
    str
        What a message may hold.

    Examples
    --------
    >>> show_address("https://me:pass@example.org/a.parquet?sig=abc")
    'https://example.org/a.parquet'
    """
    match = SCHEME.match(text)
    if match is None:
        return escape_controls(text)
    rest = text[match.end() :]
    if match[1].lower() not in ("hf", "s3"):
        rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    place, slash, path = rest.partition("/")
    # On the hub and in keys an @ after the first slash is part of the name: hf://datasets/OWNER/NAME@REV.
    return escape_controls(f"{match[0]}{place.rpartition('@')[2]}{slash}{path}")


def is_open(url: str) -> bool:
    """Tell whether what is sent to an address can be read on the way: ``http://`` that leaves this machine.

    Parameters
    ----------
    url : str
        With its scheme.

    Returns
    -------
    bool
        False for ``https://`` and for loopback.

    Examples
    --------
    >>> is_open("http://minio:9000"), is_open("https://minio:9000"), is_open("http://127.0.0.1:9000")
    (True, False, False)
    """
    try:
        parts = urlsplit(url)
        if parts.scheme != "http":
            return False
        host = parts.hostname or ""
    except ValueError:
        return True
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"
