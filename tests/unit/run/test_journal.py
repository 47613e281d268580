from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tahoe_engine.errors import StageError
from tahoe_engine.run import Journal
from tahoe_engine.run.journal import read_journal

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, *shards: str) -> None:
    with Journal(path) as journal:
        for shard in shards:
            journal.append({"shard": shard, "n": 1})


def test_what_is_written_is_read_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "j"
    write(path, "a", "b\n\x1bü")
    write(path, "c")
    records, whole = read_journal(path)
    assert [record["shard"] for record in records] == ["a", "b\n\x1bü", "c"]
    assert whole == path.stat().st_size


def test_a_journal_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read_journal(tmp_path / "none") == ([], 0)


def test_a_last_line_torn_anywhere_is_dropped_and_written_over(tmp_path: Path) -> None:
    path = tmp_path / "j"
    write(path, "a")
    whole = path.stat().st_size
    write(path, "b")
    content = path.read_bytes()
    for cut in range(whole, len(content)):
        path.write_bytes(content[:cut])
        assert [record["shard"] for record in read_journal(path)[0]] == ["a"], cut
    write(path, "c")
    assert [record["shard"] for record in read_journal(path)[0]] == ["a", "c"]


def test_a_damaged_line_before_the_last_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "j"
    write(path, "a", "b")
    path.write_bytes(path.read_bytes().replace(b'"a"', b'"x"'))
    with pytest.raises(StageError, match="line 1 is damaged"):
        read_journal(path)
