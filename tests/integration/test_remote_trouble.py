"""Servers that change, vanish, stall, lead astray or refuse: each is named, and no token goes where it should not."""

from __future__ import annotations

import datetime as dt
import ipaddress
import shutil
import ssl
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest

from runs import quarantined, scan
from server import Server
from tahoe_engine.config import load_settings
from tahoe_engine.errors import ConfigError, FetchError, SourceError, StageError
from tahoe_engine.source.trouble import Patience

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tahoe_engine.cells import Progress
    from tahoe_engine.config import Settings

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")


@pytest.fixture
def server(atlas: Path, tmp_path: Path) -> Iterator[Server]:
    """Three shards."""
    (tmp_path / "served/data").mkdir(parents=True)
    for path in sorted((atlas / "data").iterdir())[:3]:
        shutil.copy(path, tmp_path / "served/data")
    with Server(tmp_path / "served") as server:
        yield server


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nothing between attempts."""
    monkeypatch.setattr("tahoe_engine.source.remote.Patience", partial(Patience, sleep=lambda _: None))


@pytest.fixture
def _token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tahoe_engine.source.hub.find_token", lambda: "canary-token")


def settings(*overrides: str) -> Settings:
    return load_settings(overrides=["source.retries=1", "source.footer_threads=1", "source.connections=1", *overrides])


def names(server: Server) -> list[str]:
    return sorted(path.stem for path in (server.folder / "data").iterdir())


def source_of(server: Server) -> list[str]:
    return [f"{server.url}/data/{name}.parquet" for name in names(server)]


def test_a_file_that_is_another_one_at_the_next_launch_is_refused(server: Server, tmp_path: Path) -> None:
    source, path = source_of(server), f"data/{names(server)[1]}.parquet"
    scan(source, tmp_path / "run", stats="summary", settings=settings())
    assert scan(source, tmp_path / "run", stats="summary", settings=settings()).units_found_done == 3
    server.etags[path] = '"another"'
    with pytest.raises(StageError, match=names(server)[1]):
        scan(source, tmp_path / "run", stats="summary", settings=settings())


def test_a_server_that_tells_no_version_is_believed_its_bytes_alone(server: Server, tmp_path: Path) -> None:
    source = source_of(server)
    paths = [f"data/{name}.parquet" for name in names(server)]
    server.etags = dict.fromkeys(paths, "")
    scan(source, tmp_path / "run", stats="summary", settings=settings())
    assert scan(source, tmp_path / "run", stats="summary", settings=settings()).units_found_done == 3
    shutil.copy(server.folder / paths[2], server.folder / paths[1])
    with pytest.raises(StageError, match=names(server)[1]):
        scan(source, tmp_path / "run", stats="summary", settings=settings())


def test_a_file_that_vanishes_is_named(server: Server, tmp_path: Path) -> None:
    source, name = source_of(server), names(server)[1]

    def remove(progress: Progress) -> None:
        if progress.doing == "footers" and progress.done == len(source):
            (server.folder / f"data/{name}.parquet").unlink()

    report = scan(source, tmp_path / "run", stats="summary", settings=settings(), on_progress=remove)
    assert quarantined(report) == {name: "E_INPUT_CHANGED"}
    with pytest.raises(SourceError, match=rf"{name}\.parquet: HTTP 404"):
        scan(source, tmp_path / "run", stats="summary", settings=settings())


def test_bytes_that_change_behind_an_address_of_the_hub_are_noticed(server: Server, tmp_path: Path) -> None:
    name = names(server)[1]
    asked = []

    class Etags(dict[str, str]):
        """The ETag of one file is another one at each request but the first."""

        def get(self, path: str, default: str = "") -> str:  # type: ignore[override]
            if path != f"data/{name}.parquet":
                return default
            asked.append(path)
            return f'"{len(asked)}"'

    server.etags = Etags()
    # Two ranges of one address: the second is of something else.
    chosen = settings(f"source.hub={server.url}", "source.gap_bytes=0")
    report = scan("hf://datasets/o/n", tmp_path / "run", stats="summary", settings=chosen)
    assert quarantined(report) == {name: "E_INPUT_CHANGED"}


def test_a_commit_that_is_another_one_is_named(server: Server, tmp_path: Path) -> None:
    def change(progress: Progress) -> None:
        if progress.doing == "footers" and progress.done == len(names(server)):
            server.commit = "f" * 40

    chosen = settings(f"source.hub={server.url}")
    report = scan("hf://datasets/o/n", tmp_path / "run", stats="summary", settings=chosen, on_progress=change)
    assert quarantined(report) == dict.fromkeys(names(server), "E_INPUT_CHANGED")
    assert "another commit" in report.manifest["quarantined"][0]["reason"]


def test_redirects_end(server: Server, tmp_path: Path) -> None:
    path = f"/data/{names(server)[0]}.parquet"
    for target, said in (
        (path, "more than 5 redirects"),
        ("ftp://127.0.0.1/a.parquet", "leads off https"),
        ("http://me:canary@127.0.0.1/a.parquet", "a user name or password"),
    ):
        server.moved[path] = target
        with pytest.raises(SourceError, match=said) as caught:
            scan(server.url + path, tmp_path / "run", settings=settings())
        assert "canary" not in str(caught.value)


STALLS = {
    "mute": "no answer in time",
    "headers": "HTTPException",
    "garbage": "BadStatusLine",
    "drip": "too slowly",
}


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("fault", STALLS)
def test_a_server_that_never_ends_is_given_up(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr("tahoe_engine.source.web.SLOWEST", 1 << 20)
    server.always = fault
    begun = time.monotonic()
    with pytest.raises(FetchError, match=f"{STALLS[fault]}, 2 times; run the same command again") as caught:
        scan(source_of(server)[0], tmp_path / "run", settings=settings("source.timeout_s=0.3"))
    assert caught.value.exit_code == 75
    assert time.monotonic() - begun < 3


def test_answers_that_do_not_come_use_the_waiting_time_up(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tahoe_engine.source.trouble.FIRST_WAIT_S", 0.0)
    server.always = "mute"
    chosen = settings("source.timeout_s=0.3", "source.retries=20", "source.retry_budget_s=1")
    begun = time.monotonic()
    with pytest.raises(FetchError, match=r"retry_budget_s is used up; run the same command again"):
        scan(source_of(server)[0], tmp_path / "run", settings=chosen)
    assert time.monotonic() - begun < 4
    assert len(server.requests) <= 4


@pytest.mark.parametrize("status", ["401", "403"])
def test_no_access_says_what_gives_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    server.locked = status
    monkeypatch.setattr("tahoe_engine.source.hub.find_token", lambda: "")
    with pytest.raises(SourceError, match=f"HTTP {status}: no access.*set HF_TOKEN or run `hf auth login`"):
        scan("hf://datasets/o/n", tmp_path / "run", settings=settings(f"source.hub={server.url}"))
    monkeypatch.setattr("tahoe_engine.source.hub.find_token", lambda: "canary-token")
    with pytest.raises(SourceError, match=f"HTTP {status}: no access.*your token does not open it") as caught:
        scan("hf://datasets/o/n", tmp_path / "run", settings=settings(f"source.hub={server.url}"))
    assert "canary" not in str(caught.value)
    with pytest.raises(SourceError, match=f"HTTP {status}: no access; give an address that is signed"):
        scan(source_of(server)[0], tmp_path / "run", settings=settings())


@pytest.mark.usefixtures("_token")
def test_a_listing_that_goes_on_elsewhere_gets_no_token_and_is_not_taken_for_whole(
    server: Server, tmp_path: Path
) -> None:
    with Server(server.folder) as other:
        # The second begins like the hub's own address.
        for place in (other.url, f"{server.url}.localhost/x", f"{server.url}@127.0.0.1:{other.url[17:]}/x"):
            server.more = f'<{place}/api/datasets/o/n/tree/{"0" * 40}/data>; rel="next"'
            with pytest.raises(SourceError, match="goes on at another host"):
                scan("hf://datasets/o/n", tmp_path / "run", settings=settings(f"source.hub={server.url}"))
        assert other.requests == []


@pytest.mark.usefixtures("_token")
def test_a_token_is_not_sent_in_clear(tmp_path: Path) -> None:
    # The address is one for documentation: nothing is sent to it, and nobody answers.
    chosen = ["source.hub=http://192.0.2.1", "source.timeout_s=0.2", "source.retry_budget_s=0"]
    with pytest.raises(ConfigError, match=r"your token would be sent in clear.*source\.insecure_http"):
        scan("hf://datasets/o/n", tmp_path / "run", settings=settings(*chosen))
    with pytest.raises(FetchError, match="no connection"):
        scan("hf://datasets/o/n", tmp_path / "run", settings=settings(*chosen, "source.insecure_http=true"))


def test_proxies_of_the_environment_are_not_used_and_it_is_said(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    assert scan(source_of(server), tmp_path / "run", stats="summary", settings=settings()).n_quarantined == 0
    with pytest.raises(FetchError, match=r"no connection: ConnectionRefusedError.*; proxies are not used"):
        scan("http://127.0.0.1:9/a.parquet", tmp_path / "other", settings=settings("source.retries=0"))


def certify(folder: Path) -> Path:
    """Write a certificate of this machine, and its key."""
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(1)).not_valid_after(now + dt.timedelta(1))
    signed = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_https_is_not_left_and_strangers_are_not_trusted(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = certify(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ExitStack() as stack:
        safe = stack.enter_context(Server(server.folder, tls=context))
        source = source_of(safe)
        with pytest.raises(SourceError, match="its TLS certificate is not trusted"):
            scan(source, tmp_path / "run", settings=settings())
        assert safe.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert scan(source, tmp_path / "run", stats="summary", settings=settings()).units_done == 3
        safe.moved[f"/data/{names(server)[0]}.parquet"] = source_of(server)[0]
        with pytest.raises(SourceError, match="a redirect that leads off https"):
            scan(source[0], tmp_path / "other", settings=settings())
        assert server.requests == []
