"""Footers of shards on a web server say what those of the same files on disk say, also of broken ones."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runs import quarantined, scan
from server import Server
from tahoe_engine.config import Settings
from tahoe_engine.errors import ShardError
from tahoe_engine.source import describe_source, find_shards, read_footers

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")

LIMITS = Settings().limits.model_dump()


@pytest.fixture
def folder(atlas: Path, tmp_path: Path) -> Path:
    """Two good shards, one with a long footer, and what else a server may send in place of one."""
    folder = tmp_path / "served"
    folder.mkdir()
    first, second = sorted((atlas / "data").iterdir())[:2]
    shutil.copy(first, folder / "good.parquet")
    table = pq.read_table(second)
    pq.write_table(table.replace_schema_metadata({"long": "x" * 200_000}), folder / "long.parquet", row_group_size=9)
    whole = first.read_bytes()
    foreign = folder / "foreign.parquet"
    pq.write_table(pa.table({"genes": ["text"]}), foreign)
    for name, content in {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "end": b"x" + whole[1:],
        "footer": whole[:-8] + b"\xff\xff\xff\x7fPAR1",
        "html": b"<html>" + b" " * 100_000 + b"</html>",
        "json": b'{"error": "rate limited"}',
        "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
        "magic": b"PAR1",
        "zero": whole[:-8] + b"\0\0\0\0PAR1",
    }.items():
        (folder / f"{name}.parquet").write_bytes(content)
    return folder


def test_footers_and_codes_are_those_of_the_files(folder: Path, tmp_path: Path) -> None:
    here = read_footers(find_shards(folder), LIMITS)
    with Server(folder) as server:
        source = [f"{server.url}/{path.name}" for path in sorted(folder.iterdir())]
        there = read_footers(find_shards(source), LIMITS, kept=tmp_path / "kept")
        sent = len(server.requests)
        again = read_footers(find_shards(source), LIMITS, kept=tmp_path / "kept")
        # One byte of each, to learn whether it is still the same file.
        assert {request.range for request in server.requests[sent:] if "empty" not in request.path} == {"bytes=0-0"}
        assert len(server.requests) == 2 * sent - 3
    for local, remote, kept in zip(here, there, again, strict=True):
        if isinstance(local, ShardError) and local.shard == "end":
            continue
        if isinstance(local, ShardError):
            assert isinstance(remote, ShardError)
            assert isinstance(kept, ShardError)
            assert (remote.shard, remote.code, kept.code) == (local.shard, local.code, local.code)
        elif not isinstance(remote, ShardError) and not isinstance(kept, ShardError):
            assert (remote.size, remote.digest, remote.row_groups) == (local.size, local.digest, local.row_groups)
            assert (kept.shard, kept.digest) == (remote.shard, remote.digest)
    bad = {error.shard for error in here if isinstance(error, ShardError)}
    assert bad == {"cut", "empty", "end", "footer", "foreign", "html", "json", "lfs", "magic", "zero"}


def test_values_are_read_from_the_text_columns_alone(folder: Path) -> None:
    path = folder / "good.parquet"
    here = describe_source(read_footers(find_shards(path), LIMITS, values=True))
    with Server(folder) as server:
        there = describe_source(read_footers(find_shards(f"{server.url}/good.parquet"), LIMITS, values=True))
        assert server.sent < path.stat().st_size / 2
    assert there == here


def test_a_beginning_that_is_wrong_is_found_when_the_shard_is_scanned(folder: Path, tmp_path: Path) -> None:
    (local,) = read_footers(find_shards(folder / "end.parquet"), LIMITS)
    assert isinstance(local, ShardError)
    with Server(folder) as server:
        report = scan(f"{server.url}/end.parquet", tmp_path / "run")
    assert quarantined(report) == {"end": local.code}
