"""Shards on S3, played by moto on loopback: the same tables as from the folder."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import pytest

import tahoe_engine as te
from runs import quarantined, scan
from tahoe_engine.config import load_settings
from tahoe_engine.errors import ConfigError, FetchError, SourceError
from tahoe_engine.source import find_shards

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from tahoe_engine.cells import Progress
    from tahoe_engine.config import Settings

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")

SECRET = "canary-secret-key"  # noqa: S105 - planted, to be looked for


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    pytest.importorskip("s3fs", reason="the extra `s3` is not installed")
    server = pytest.importorskip("moto.server", reason="moto is not installed").ThreadedMotoServer("127.0.0.1", port=0)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(endpoint: str, atlas: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "canary-key-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    import boto3

    from tahoe_engine.source.s3 import open_s3

    open_s3.cache_clear()
    made = boto3.resource("s3", endpoint_url=endpoint).create_bucket(Bucket="atlas")
    for path in sorted((atlas / "data").iterdir()):
        made.upload_file(str(path), f"v1/data/{path.name}")
    return made


def settings(endpoint: str, *overrides: str) -> Settings:
    return load_settings(overrides=[f"source.s3_endpoint={endpoint}", "source.retry_budget_s=2", *overrides])


def digest(run: Path) -> Any:
    return te.Run(run).manifest["cells"]["digest"]


def test_a_prefix_a_pattern_and_a_key_give_what_the_folder_gives(
    bucket: Any, endpoint: str, atlas: Path, run: Path, tmp_path: Path
) -> None:
    assert bucket.name == "atlas"
    for number, source in enumerate(["s3://atlas/v1", "s3://atlas/v1/data/train-*.parquet"]):
        report = scan(source, tmp_path / f"run-{number}", settings=settings(endpoint))
        assert digest(tmp_path / f"run-{number}") == digest(run)
        assert all(entry["version"].startswith("etag:") for entry in report.manifest["inputs"])
    name = min(path.name for path in (atlas / "data").iterdir())
    (shard,) = find_shards(f"s3://atlas/v1/data/{name}", settings(endpoint).source)
    assert (shard.name, shard.size) == (name.removesuffix(".parquet"), (atlas / "data" / name).stat().st_size)
    for path in (tmp_path / "run-0").rglob("*"):
        assert not path.is_file() or b"canary" not in path.read_bytes(), path


def test_an_object_that_changes_in_mid_read_is_named(bucket: Any, endpoint: str, tmp_path: Path) -> None:
    keys = sorted(entry.key for entry in bucket.objects.all())

    def change(progress: Progress) -> None:
        if progress.doing == "footers" and progress.done == len(keys):
            content = bucket.Object(keys[1]).get()["Body"].read()
            bucket.put_object(Key=keys[1], Body=content[:-8] + b"\0" + content[-7:])

    report = scan(
        "s3://atlas/v1",
        tmp_path / "run",
        settings=settings(endpoint, "source.footer_threads=1"),
        on_progress=change,
    )
    name = keys[1].rpartition("/")[2].removesuffix(".parquet")
    assert quarantined(report) == {name: "E_INPUT_CHANGED"}


def test_what_is_not_there_is_said_and_what_does_not_answer_is_tried_again(
    bucket: Any, endpoint: str, tmp_path: Path
) -> None:
    assert bucket.name == "atlas"
    for source in ("s3://atlas/v2", "s3://nobody/v1", "s3://atlas/v1/data/none.parquet"):
        with pytest.raises(SourceError, match="no such object"):
            scan(source, tmp_path / "run", settings=settings(endpoint))
    with pytest.raises(FetchError, match="run the same command again"):
        scan("s3://atlas/v1", tmp_path / "run", settings=settings("http://127.0.0.1:9", "source.retries=1"))


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ConfigError, match=r"pip install 'tahoe-engine\[s3\]'"):
        scan("s3://bucket/x", tmp_path / "run", settings=settings("http://127.0.0.1:1"))
