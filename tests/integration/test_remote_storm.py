"""Whole jobs through a storm of faults, over the web, the hub and S3: the same bytes as from the folder."""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from runs import published, scan
from server import Server
from tahoe_engine.cells.plan import plan_cells
from tahoe_engine.config import load_settings
from tahoe_engine.source.kept import GUESS, HEAD
from tahoe_engine.source.trouble import Patience

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tahoe_engine.config import Settings

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")

KINDS = ("web", "hub", "s3")


@pytest.fixture
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nothing."""
    monkeypatch.setattr("tahoe_engine.source.remote.Patience", partial(Patience, sleep=lambda _: None))


@pytest.fixture(scope="module")
def moto(atlas: Path) -> Iterator[str]:
    """An S3 server with the atlas in it."""
    pytest.importorskip("s3fs", reason="the extra `s3` is not installed")
    server = pytest.importorskip("moto.server", reason="moto is not installed").ThreadedMotoServer("127.0.0.1", port=0)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        set_keys(patch)
        import boto3

        bucket = boto3.resource("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="storm")
        for path in sorted((atlas / "data").iterdir()):
            bucket.upload_file(str(path), f"v1/data/{path.name}")
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def local(atlas: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the folder gives."""
    into = tmp_path_factory.mktemp("local") / "run"
    scan(atlas / "data", into)
    return same(into)


def set_keys(patch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "canary-key-id",
        "AWS_SECRET_ACCESS_KEY": "canary-secret",
        "AWS_SESSION_TOKEN": "canary-session",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        patch.setenv(name, value)


@pytest.fixture
def server(atlas: Path, tmp_path: Path) -> Iterator[Server]:
    shutil.copytree(atlas / "data", tmp_path / "served/data")
    with Server(tmp_path / "served") as server:
        yield server


def source_of(kind: str, server: Server, request: pytest.FixtureRequest) -> tuple[Any, list[str]]:
    """Give a source of the kind, and the settings it needs."""
    if kind == "hub":
        return "hf://datasets/o/n", [f"source.hub={server.url}"]
    if kind == "web":
        return [f"{server.url}/data/{path.name}" for path in sorted((server.folder / "data").iterdir())], []
    server.upstream = request.getfixturevalue("moto")
    set_keys(request.getfixturevalue("monkeypatch"))
    from tahoe_engine.source.s3 import open_s3

    open_s3.cache_clear()
    return "s3://storm/v1", [f"source.s3_endpoint={server.url}"]


def settings(*overrides: str) -> Settings:
    return load_settings(overrides=["source.connections=3", "source.footer_threads=3", *overrides])


def same(run: Path) -> dict[str, Any]:
    """Every byte that is published, but for what tells where the shards lie."""
    files: dict[str, Any] = published(run)
    manifest = json.loads(files["cells/_MANIFEST.json"])
    for entry in manifest["inputs"]:
        assert entry.pop("version", "") is not None
    files["cells/_MANIFEST.json"] = manifest
    # That of the run holds a hash of that of the cells.
    whole = json.loads(files["_MANIFEST.json"])
    assert whole["stages"]["cells"].pop("manifest")
    files["_MANIFEST.json"] = whole
    return files


@pytest.mark.usefixtures("_patient")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", [4, 5])
def test_a_storm_changes_nothing_and_nothing_comes_twice(
    kind: str, seed: int, server: Server, local: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    source, overrides = source_of(kind, server, request)
    server.storm = seed
    report = scan(source, tmp_path / "run", settings=settings(*overrides, "source.timeout_s=5"))
    assert report.n_quarantined == 0
    assert same(tmp_path / "run") == local
    met = Counter(request.fault for request in server.requests)
    assert len(met) > 4, met
    # Only what failed was asked for again.
    whole = Counter(r.path + r.range for r in server.requests if r.status == 206 and r.fault in ("", "trickle"))
    assert set(whole.values()) == {1}


def needed(server: Server, source: Any, chosen: Settings) -> tuple[int, int]:
    """Give what the plan wants to read, and the bytes of the footers."""
    told = plan_cells(source, settings=chosen).describe()
    footers = sum(pq.read_metadata(path).serialized_size + 8 for path in (server.folder / "data").iterdir())
    return told["bytes_to_read"]["total"], footers


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_comes_than_the_plan_says(
    kind: str, server: Server, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    source, overrides = source_of(kind, server, request)
    chosen = settings(*overrides)
    planned, footers = needed(server, source, chosen)
    server.requests.clear()
    scan(source, tmp_path / "run", settings=chosen)
    sent = sum(request.sent for request in server.requests if request.range)
    assert planned + footers <= sent <= 1.05 * (planned + footers)


@pytest.mark.parametrize(("chosen", "share"), [("cells.plates=4", 0.6), ("cells.rows='150:250'", 0.2)])
def test_of_what_a_filter_leaves_out_only_the_ends_of_files_come(
    server: Server, tmp_path: Path, request: pytest.FixtureRequest, chosen: str, share: float
) -> None:
    source, _ = source_of("web", server, request)
    everything, _ = needed(server, source, settings())
    planned, _ = needed(server, source, settings(chosen))
    assert planned < share * everything
    server.requests.clear()
    scan(source, tmp_path / "run", settings=settings(chosen, "source.gap_bytes=0"))
    assert server.sent <= 1.05 * planned + len(source) * (GUESS + HEAD)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["web", "s3"])
def test_worker_processes_come_through_a_storm(
    kind: str, server: Server, local: dict[str, Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    source, overrides = source_of(kind, server, request)
    # Here the waits are real ones.
    server.storm, server.again = 3, 1
    report = scan(source, tmp_path / "run", workers=2, settings=settings(*overrides, "source.timeout_s=5"))
    assert report.n_quarantined == 0
    assert same(tmp_path / "run") == local
