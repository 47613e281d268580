from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tahoe_engine.errors import ShardError
from tahoe_engine.sections import LimitsSettings
from tahoe_engine.source import Footer, Shard, describe_source, find_shards, read_footers

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")
LIMITS = LimitsSettings().model_dump()


def test_footers_come_in_the_order_of_the_shards(atlas: Path) -> None:
    shards = find_shards(atlas)
    seen: list[int] = []
    footers = read_footers(shards, LIMITS, threads=3, on_footer=seen.append)
    assert [f.shard for f in footers if isinstance(f, Footer)] == shards
    assert seen == [1, 2, 3, 4, 5, 6]
    first = footers[0]
    assert isinstance(first, Footer)
    assert first.row_groups == (50, 50, 50, 50)
    assert first.n_rows == 200
    assert first.huggingface
    assert first.size == os.stat(first.shard.path).st_size  # noqa: PTH116


def test_a_bad_shard_is_an_error_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"")
    (tmp_path / "b.parquet").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "c.parquet")
    raw = os.path.join(os.fsencode(tmp_path), b"\xff.parquet")  # noqa: PTH118
    with open(raw, "wb"):  # noqa: PTH123
        pass
    footers = read_footers([Shard(f"s{n}", s.path) for n, s in enumerate(find_shards(tmp_path))], LIMITS)
    assert [f.code for f in footers if isinstance(f, ShardError)] == ["E_EMPTY_FILE", "E_IO", "E_IO", "E_IO"]
    assert not any(str(tmp_path) in str(footer) for footer in footers)


def test_a_source_is_summed_up(atlas: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    shards = [*find_shards(atlas), *find_shards(tmp_path)]
    facts = describe_source(read_footers(shards, LIMITS, values=True))
    assert (facts["shards"], facts["rows"], facts["row_groups"]) == (7, 1200, 24)
    assert facts["rows_a_row_group"] == [50, 50]
    assert facts["values"]["plate"] == ["plate4", "plate6"]
    assert len(facts["values"]["sample"]) == 6
    assert [c["name"] for c in facts["columns"]][:2] == ["genes", "expressions"]
    assert [(b["shard"], b["code"]) for b in facts["bad"]] == [("bad", "E_TOO_SHORT")]


def test_an_empty_list_of_footers_has_no_span() -> None:
    assert describe_source([])["rows_a_shard"] == []
