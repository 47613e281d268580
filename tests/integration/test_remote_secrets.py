"""Planted tokens, keys, signatures and passwords stand in no log, file, error, output or title of a process."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runs import scan
from server import Server
from tahoe_engine.config import load_settings
from tahoe_engine.errors import ConfigError, TahoeError
from tahoe_engine.source import find_shards
from tahoe_engine.source.trouble import Patience

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tahoe_engine.config import Settings

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")

PLANTED = {
    "HF_TOKEN": "canary-hf",
    "AWS_ACCESS_KEY_ID": "canary-id",
    "AWS_SECRET_ACCESS_KEY": "canary-secret",
    "AWS_SESSION_TOKEN": "canary-session",
    "AWS_DEFAULT_REGION": "us-east-1",
}
MOST_SEEN = 200
TROUBLES = ("403", "404", "503", "418", "reset", "garbage", "")
WEB, HUB, S3 = "?X-Amz-Signature=canary-signature", "hf://datasets/o/n", "s3://secrets/v1"


@pytest.fixture
def server(atlas: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Two shards, and everything planted."""
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tahoe_engine.source.remote.Patience", partial(Patience, sleep=lambda _: None))
    (tmp_path / "served/data").mkdir(parents=True)
    for path in sorted((atlas / "data").iterdir())[:2]:
        shutil.copy(path, tmp_path / "served/data")
    with Server(tmp_path / "served") as server:
        yield server


@pytest.fixture
def moto(server: Server) -> Iterator[Server]:
    """The same, but for S3."""
    pytest.importorskip("s3fs", reason="the extra `s3` is not installed")
    there = pytest.importorskip("moto.server", reason="moto is not installed").ThreadedMotoServer("127.0.0.1", port=0)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    there.start()
    host, port = there.get_host_and_port()
    import boto3

    from tahoe_engine.source.s3 import open_s3

    open_s3.cache_clear()
    bucket = boto3.resource("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="secrets")
    for path in (server.folder / "data").iterdir():
        bucket.upload_file(str(path), f"v1/data/{path.name}")
    server.upstream = f"http://{host}:{port}"
    yield server
    there.stop()


def settings(server: Server) -> Settings:
    places = [f"source.hub={server.url}", f"source.s3_endpoint={server.url}"]
    few = ["source.retries=1", "source.connections=1", "source.footer_threads=1"]
    return load_settings(overrides=[*places, *few])


def told_by(error: BaseException | None) -> str:
    """Everything of an error that anyone may print."""
    notes = getattr(error, "__notes__", [])
    return f"{error} {error!r} {notes} {getattr(error, 'args', '')}" + "".join(traceback.format_exception(error))


def look(source: Any, server: Server, folder: Path, caplog: pytest.LogCaptureFixture) -> list[TahoeError]:
    """Run through troubles of every kind, then to the end; look for what was planted in all that is left."""
    errors: list[TahoeError] = []
    shards = find_shards(source, settings(server).source)
    for trouble in TROUBLES:
        for when in ("first", "later"):
            # At the listing, and after it.
            server.locked = trouble if when == "first" else ""
            meet = partial(setattr, server, "locked")
            into = folder / f"run-{trouble}-{when}"
            try:
                scan(
                    source,
                    into,
                    stats="summary",
                    settings=settings(server),
                    on_progress=lambda _, meet=meet, trouble=trouble: meet(trouble),
                )
            except TahoeError as error:
                errors.append(error)
    for text in [*map(told_by, errors), caplog.text, repr(shards), repr(settings(server))]:
        assert "canary" not in text
    assert Path("/proc/self/cmdline").read_bytes().find(b"canary") < 0
    for path in folder.rglob("*"):
        assert "canary" not in str(path)
        assert not path.is_file() or b"canary" not in path.read_bytes(), path
    assert len(errors) >= len(TROUBLES)
    assert (folder / "run--first/cells/_MANIFEST.json").is_file()
    return errors


def test_a_signed_address(server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    source = [f"{server.url}/data/{path.name}{WEB}" for path in (server.folder / "data").iterdir()]
    look(source, server, tmp_path / "runs", caplog)
    assert all("canary" in request.path for request in server.requests)


def test_a_token_of_the_hub(server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")
    caplog.set_level("DEBUG")
    look(HUB, server, tmp_path / "runs", caplog)
    got = {request.headers.get("authorization") for request in server.requests if request.path.startswith("/api/")}
    assert got == {"Bearer canary-hf"}
    assert not [r for r in server.requests if r.path.startswith("/cdn/") and "authorization" in r.headers]


def test_keys_of_s3(moto: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    errors = look(S3, moto, tmp_path / "runs", caplog)
    assert any("AWS_ACCESS_KEY_ID" in str(error) for error in errors)
    assert all("canary-session" in request.headers["x-amz-security-token"] for request in moto.requests)


def test_keys_of_s3_are_not_sent_in_clear(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs", reason="the extra `s3` is not installed")
    from tahoe_engine.source.s3 import open_s3

    open_s3.cache_clear()
    assert server.requests == []
    # Addresses for documentation: nobody answers.
    few = ["source.timeout_s=0.2", "source.retries=0"]
    there = [*few, "source.s3_endpoint=http://192.0.2.1"]
    with pytest.raises(ConfigError, match=r"would be sent in clear.*source\.insecure_http"):
        scan(S3, tmp_path / "run", settings=load_settings(overrides=there))
    for setting in ("source.insecure_http=true", "source.s3_anonymous=true"):
        with pytest.raises(TahoeError, match="run the same command again"):
            scan(S3, tmp_path / "run", settings=load_settings(overrides=[*there, setting]))
    # Where boto finds it is no other case.
    open_s3.cache_clear()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://192.0.2.1")
    with pytest.raises(ConfigError, match="would be sent in clear"):
        scan(S3, tmp_path / "run", settings=load_settings(overrides=few))
    open_s3.cache_clear()


@pytest.mark.slow
def test_the_command_and_its_workers(server: Server, tmp_path: Path) -> None:
    source = [f"{server.url}/data/{path.name}{WEB}" for path in (server.folder / "data").iterdir()]
    (tmp_path / "list.txt").write_text("\n".join(source))
    seen: list[bytes] = []

    class Watch(list[str]):
        """Look at the titles of all processes while a request is under way."""

        def pop(self, *_: object) -> str:
            if len(seen) > MOST_SEEN:
                return ""
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.append(path.read_bytes() + path.with_name("comm").read_bytes())
                except OSError:
                    continue
            return ""

        def __bool__(self) -> bool:
            return True

    server.faults = Watch()
    command = [sys.executable, "-m", "tahoe_engine", "cells", "list.txt", "--into", "run", "--workers", "2"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr
    server.faults = []
    server.locked = "403"
    failed = subprocess.run(
        [*command[:-1], "0", "--stats", "qc", "--into", "other"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ,
        check=False,
    )
    assert failed.returncode == 66
    assert "canary" not in done.stdout + done.stderr + failed.stdout + failed.stderr
    assert len(seen) > MOST_SEEN
    assert not [title for title in seen if b"canary" in title]
    for path in (tmp_path / "run").rglob("*"):
        assert not path.is_file() or b"canary" not in path.read_bytes(), path
