from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tahoe_engine.errors import HeldError, StageError
from tahoe_engine.run import Journal, Layout, read_journal

if TYPE_CHECKING:
    from pathlib import Path


def write(root: Path, epoch: int, *shards: str) -> Path:
    layout = Layout(root, epoch)
    layout.make_state()
    for older in layout.epochs.iterdir():
        older.unlink()
    (layout.epochs / f"{epoch:06}").touch()
    with Journal(layout, "cells") as journal:
        for shard in shards:
            journal.append({"shard": shard, "n": 1})
    return layout.journal("cells")


def shards(root: Path) -> list[str]:
    return [record["shard"] for record in read_journal(Layout(root), "cells")]


def test_what_is_written_is_read_back_in_the_order_of_the_launches(tmp_path: Path) -> None:
    write(tmp_path, 9, "a", "b\n\x1bü\u2028")
    write(tmp_path, 10, "c")
    assert shards(tmp_path) == ["a", "b\n\x1bü\u2028", "c"]


def test_a_journal_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read_journal(Layout(tmp_path), "cells") == []


def test_a_launch_that_does_nothing_leaves_no_file(tmp_path: Path) -> None:
    assert not write(tmp_path, 1).exists()


def test_a_stage_reads_its_own_journals_only(tmp_path: Path) -> None:
    path = write(tmp_path, 1, "a")
    path.with_name("cells-more-000001.jsonl").write_bytes(path.read_bytes())
    path.with_name("cells-000001.jsonl.old").write_bytes(path.read_bytes())
    assert shards(tmp_path) == ["a"]


def test_a_last_line_torn_anywhere_is_dropped_and_cut_off(tmp_path: Path) -> None:
    write(tmp_path / "a", 1, "a")
    whole = (tmp_path / "a/.tahoe/journal/cells-000001.jsonl").stat().st_size
    path = write(tmp_path, 1, "a", "b")
    content = path.read_bytes()
    for cut in range(whole, len(content)):
        path.write_bytes(content[:cut])
        assert shards(tmp_path) == ["a"], cut
    write(tmp_path, 2, "c")
    assert shards(tmp_path) == ["a", "c"]
    assert path.stat().st_size == whole


def test_many_lines_that_a_power_cut_left_empty_are_dropped(tmp_path: Path) -> None:
    path = write(tmp_path, 1, "a")
    path.write_bytes(path.read_bytes() + b"\0" * 40 + b"\n" + b"\0" * 500)
    assert shards(tmp_path) == ["a"]


def test_a_damaged_line_before_a_whole_one_is_not_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path, 1, "a", "b")
    path.write_bytes(path.read_bytes().replace(b'"a"', b'"x"'))
    with pytest.raises(StageError, match="line 1: E_JOURNAL"):
        shards(tmp_path)


def test_a_launch_that_was_taken_over_writes_no_line(tmp_path: Path) -> None:
    layout = Layout(tmp_path, 1)
    layout.make_state()
    (layout.epochs / "000001").touch()
    with Journal(layout, "cells") as journal:
        journal.append({"shard": "a"})
        (layout.epochs / "000002").write_text('{"pid": 7, "host": "other"}')
        with pytest.raises(HeldError, match="taken over by process 7 on host other"):
            journal.append({"shard": "b"})
    assert shards(tmp_path) == ["a"]
