from __future__ import annotations

import socket

import pytest

from tahoe_engine.config import WorkersSettings
from tahoe_engine.errors import ConfigError
from tahoe_engine.workers.exposure import require_private


@pytest.mark.parametrize(
    "address",
    [
        "tcp://127.0.0.1:8786",
        "127.0.0.1:8786",
        "tcp://127.9.9.9:1",
        "tcp://[::1]:8786",
        "localhost:8786",
        "ws://localhost:1",
        "inproc://10.0.0.1/1/1",
        "unix:///run/scheduler",
        "tls://10.0.0.1:8786",
    ],
)
def test_this_machine_and_certificates_are_private(address: str) -> None:
    require_private(WorkersSettings(scheduler=address))


@pytest.mark.parametrize(
    "address",
    ["tcp://10.0.0.1:8786", "10.0.0.1:8786", "0.0.0.0:8786", "tcp://[::]:8786", "ws://192.168.0.1:1", "tcp://:8786"],
)
def test_what_others_can_reach_is_refused_unless_it_is_wanted(address: str) -> None:
    with pytest.raises(ConfigError, match=r"--insecure-cluster \(workers.insecure=true\)"):
        require_private(WorkersSettings(scheduler=address))
    require_private(WorkersSettings(scheduler=address, insecure=True))


def test_a_name_is_private_if_all_its_addresses_are(monkeypatch: pytest.MonkeyPatch) -> None:
    # Only the resolver is played: no name of both kinds exists everywhere.
    known = {"loop": ["127.0.0.1", "::1"], "both": ["127.0.0.1", "10.0.0.1"]}

    def resolve(host: str, *_: object) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        if host not in known:
            raise socket.gaierror(-2, "Name or service not known")
        return [(0, 0, 0, "", (address, 0)) for address in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    require_private(WorkersSettings(scheduler="tcp://loop:1"))
    for name in ("both", "nowhere"):
        with pytest.raises(ConfigError, match=name):
            require_private(WorkersSettings(scheduler=f"tcp://{name}:1"))


@pytest.mark.parametrize("dashboard", [":8787", "0.0.0.0:8787", "10.0.0.1:0"])
def test_a_dashboard_for_everybody_must_be_wanted(dashboard: str) -> None:
    with pytest.raises(ConfigError, match="without a password"):
        require_private(WorkersSettings(dashboard=dashboard))
    require_private(WorkersSettings(dashboard=dashboard, insecure=True))
    # That of somebody else's scheduler is not ours to place.
    require_private(WorkersSettings(dashboard=dashboard, scheduler="tcp://127.0.0.1:1"))


def test_no_address_is_an_error_of_the_settings() -> None:
    with pytest.raises(ConfigError, match="is no address"):
        require_private(WorkersSettings(scheduler="tcp://[1:2"))
