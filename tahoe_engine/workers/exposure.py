"""Who may be talked to: whoever reaches a scheduler or a worker without TLS can run any code on it."""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tahoe_engine.errors import ConfigError

if TYPE_CHECKING:
    from tahoe_engine.config import WorkersSettings

WITHIN = ("inproc", "unix", "tls")  # this process, this machine, and with certificates of both sides


def require_private(settings: WorkersSettings) -> None:
    """Refuse a scheduler or a dashboard that others could reach, unless the settings allow it.

    Parameters
    ----------
    settings : WorkersSettings
        Its section.

    Raises
    ------
    ConfigError
        If the scheduler is neither on loopback nor spoken to by TLS, or the dashboard would be open to the network.
    """
    if settings.insecure:
        return
    scheme, host = _split(settings.scheduler)
    if settings.scheduler and scheme not in WITHIN and not _is_loopback(host):
        raise ConfigError(
            f"scheduler {settings.scheduler} is not on this machine and has no TLS: whoever reaches it can run any "
            "code there and here; use tls://, or accept that with --insecure-cluster (workers.insecure=true)"
        )
    if settings.dashboard and not settings.scheduler and not _is_loopback(_split(settings.dashboard)[1]):
        raise ConfigError(
            f"dashboard {settings.dashboard} would be open to the network without a password; "
            "write 127.0.0.1:PORT, or accept that with --insecure-cluster (workers.insecure=true)"
        )


def _split(address: str) -> tuple[str, str]:
    """Give scheme and host; dask takes an address without a scheme for tcp."""
    try:
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
    except ValueError as error:
        raise ConfigError(f"{address} is no address ({error}); write tcp://HOST:PORT or tls://HOST:PORT") from error
    return parts.scheme, parts.hostname or ""


def _is_loopback(host: str) -> bool:
    """Tell whether a host is this machine alone, whatever of its addresses is taken."""
    if not host:
        return False  # all interfaces
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in found)
