"""`tahoe groups` where the shards lie on a web server: the same tables, and only the lists of wanted row groups."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

import tahoe_engine as te
from runs import published
from server import Server
from tahoe_engine.config import load_settings
from tahoe_engine.errors import ConfigError, FetchError, StageError
from tahoe_engine.groups import sum_groups

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")


@pytest.fixture
def server(atlas: Path, tmp_path: Path) -> Iterator[Server]:
    shutil.copytree(atlas / "data", tmp_path / "served/data")
    with Server(tmp_path / "served") as server:
        yield server


def settings(*overrides: str) -> Any:
    return load_settings(overrides=["workers.count=0", "source.gap_bytes=0", "groups.wells_a_block=6", *overrides])


def list_of(server: Server, query: str = "") -> list[str]:
    return [f"{server.url}/data/{path.name}{query}" for path in sorted((server.folder / "data").iterdir())]


def parts_of(run: Path) -> dict[str, bytes]:
    return {n: c for n, c in published(run).items() if n.startswith("groups/") and n.endswith(".parquet")}


def test_remote_shards_give_the_groups_of_local_ones_and_send_only_lists(
    server: Server, run: Path, tmp_path: Path
) -> None:
    local, into = tmp_path / "local", tmp_path / "remote"
    shutil.copytree(run, local)
    sum_groups(local, settings=settings())
    te.scan_cells(list_of(server), into, settings=settings())
    sent = server.sent
    sum_groups(into, settings=settings())
    assert parts_of(into) == parts_of(local)
    lists = 0
    for path in (server.folder / "data").iterdir():
        footer = pq.read_metadata(path)
        columns = [footer.row_group(i).column(j) for i in range(footer.num_row_groups) for j in range(2)]
        lists += sum(column.total_compressed_size for column in columns)
    # The footers were kept by the cells; the first 48 bytes of a shard are looked at again.
    assert 0 < server.sent - sent <= lists + 48 * len(list_of(server))


def test_a_signed_address_is_not_kept_and_asked_for_again(server: Server, tmp_path: Path) -> None:
    into = tmp_path / "run"
    te.scan_cells(list_of(server, "?token=SECRET-7"), into, settings=settings())
    assert not [path for path in into.rglob("*") if path.is_file() and b"SECRET-7" in path.read_bytes()]
    with pytest.raises(ConfigError, match="--source"):
        sum_groups(into, settings=settings())
    assert sum_groups(into, source=list_of(server, "?token=SECRET-7"), settings=settings()).parts_done == 6
    assert not [path for path in into.rglob("*") if path.is_file() and b"SECRET-7" in path.read_bytes()]


def test_a_remote_shard_that_changed_is_refused_and_one_out_of_reach_is_waited_for(
    server: Server, tmp_path: Path
) -> None:
    into = tmp_path / "run"
    te.scan_cells(list_of(server), into, settings=settings())
    shards = sorted((server.folder / "data").iterdir())
    whole = shards[0].read_bytes()
    shutil.copy(shards[1], shards[0])
    with pytest.raises(StageError, match="E_INPUT_CHANGED"):
        sum_groups(into, settings=settings())
    shards[0].write_bytes(whole)
    server.always = "503"
    with pytest.raises(FetchError):
        sum_groups(into, settings=settings("source.retries=0", "source.retry_budget_s=0.1", "source.timeout_s=1.0"))
    assert "groups" not in te.Run(into).stages
