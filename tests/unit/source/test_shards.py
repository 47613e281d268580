from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tahoe_engine.errors import SourceError
from tahoe_engine.sections import SourceSettings
from tahoe_engine.source import find_metadata, find_shards
from tahoe_engine.source.shards import SAFE_NAME, safe_name

if TYPE_CHECKING:
    from pathlib import Path


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(source: object) -> list[str]:
    return [shard.name for shard in find_shards(source)]  # type: ignore[arg-type]


def test_a_folder_gives_its_data_folder_first(tmp_path: Path) -> None:
    touch(tmp_path / "data/b.parquet", tmp_path / "data/a.parquet", tmp_path / "c.parquet")
    assert names(tmp_path) == ["a", "b"]


def test_a_folder_without_data_gives_its_own_files_and_enters_no_other(tmp_path: Path) -> None:
    touch(tmp_path / "b.parquet", tmp_path / "deep/a.parquet", tmp_path / "notes.txt", tmp_path / ".hidden.parquet")
    (tmp_path / "folder.parquet").mkdir()
    assert names(tmp_path) == ["b"]


def test_a_dangling_link_stays_a_shard_so_that_it_can_be_named(tmp_path: Path) -> None:
    touch(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").symlink_to(tmp_path / "gone.parquet")
    (tmp_path / "c.parquet").symlink_to(tmp_path / "a.parquet")
    assert names(tmp_path) == ["a", "b", "c"]


def test_a_glob_and_a_file_of_that_very_name(tmp_path: Path) -> None:
    touch(tmp_path / "x/a1.parquet", tmp_path / "x/a2.parquet", tmp_path / "x/b.parquet", tmp_path / "x/a[12].parquet")
    assert names(f"{tmp_path}/x/a?.parquet") == ["a1", "a2"]
    assert names(f"{tmp_path}/**/a*.parquet")[:2] == ["a1", "a2"]
    assert len(names(f"{tmp_path}/x/a[12].parquet")) == 1
    with pytest.raises(SourceError, match="no file matches"):
        names(f"{tmp_path}/x/z*.parquet")


def test_a_list_is_relative_to_itself_and_sorted(tmp_path: Path) -> None:
    touch(tmp_path / "x/b.parquet", tmp_path / "a b ü.parquet")
    listed = tmp_path / "list.txt"
    listed.write_text("# two\n\n  x/b.parquet\na b ü.parquet\n")
    assert [name.rpartition("-")[0] or name for name in names(listed)] == ["a_b__", "b"]
    listed.write_text("x/b.parquet\nx/c.parquet\nx/d.parquet\n")
    with pytest.raises(SourceError, match=r"2 of its 3 files are missing, first 'x/c.parquet'"):
        names(listed)
    listed.write_text("# nothing\n")
    with pytest.raises(SourceError, match="empty"):
        names(listed)


def test_several_sources_are_one_and_no_file_counts_twice(tmp_path: Path) -> None:
    touch(tmp_path / "a.parquet", tmp_path / "b.parquet")
    assert names([tmp_path / "b.parquet", tmp_path / "a.parquet"]) == ["a", "b"]
    with pytest.raises(SourceError, match="twice"):
        names([tmp_path / "a.parquet", tmp_path])
    with pytest.raises(SourceError, match="no source"):
        names([])


def test_equal_names_are_told_apart_the_same_way_in_every_copy(tmp_path: Path) -> None:
    for copy in ("one", "two"):
        touch(tmp_path / copy / "x/a.parquet", tmp_path / copy / "y/a.parquet", tmp_path / copy / "y/b.parquet")
    first, second = (names(f"{tmp_path}/{copy}/*/*.parquet") for copy in ("one", "two"))
    assert first == second
    assert len(set(first)) == 3
    assert first[2] == "b"
    assert all(name.startswith("a-") for name in first[:2])


def test_names_that_differ_in_case_only_are_told_apart(tmp_path: Path) -> None:
    touch(tmp_path / "a.parquet", tmp_path / "A.parquet")
    assert len({name.lower() for name in names(tmp_path)}) == 2


@pytest.mark.parametrize(
    "source",
    ["ftp://host/x.parquet", "gs://bucket/x", "file:///x.parquet", "FTP://x"],
)
def test_what_is_not_read_is_said_with_what_is(source: str) -> None:
    with pytest.raises(SourceError, match="use https://, http://, hf://, s3:// or a path"):
        find_shards(source)


def test_packed_lines_are_to_be_unpacked(tmp_path: Path) -> None:
    touch(tmp_path / "a.jsonl.gz")
    with pytest.raises(SourceError, match="unpack it"):
        find_shards(tmp_path / "a.jsonl.gz")


def test_lines_are_cut_into_shards_named_after_their_first_row(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"{}\n{}\n{}\n\n")
    cut = find_shards(tmp_path / "a.jsonl", SourceSettings(rows_a_unit=2))
    assert [shard.name for shard in cut] == ["a-row-0000000000", "a-row-0000000002"]
    assert [(part.first_row, part.last_row, part.start, part.end) for shard in cut if (part := shard.slice)] == [
        (0, 2, 0, 6),
        (2, 3, 6, 8),
    ]
    assert names(tmp_path / "a.jsonl") == ["a"]


def test_a_secret_of_an_address_is_kept_apart(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("https://host/x/a.parquet?sig=canary\nhttps://host/y/a.parquet?sig=canary\n")
    shards = find_shards(tmp_path / "list.txt")
    assert "canary" not in repr(shards)
    assert {shard.secret for shard in shards} == {"sig=canary"}
    assert len({shard.name for shard in shards}) == 2
    with pytest.raises(SourceError, match="twice") as caught:
        find_shards(["https://host/a.parquet?sig=canary", "https://host/a.parquet?sig=other"])
    assert "canary" not in str(caught.value)


def test_nothing_found_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"data/\*\.parquet and \*\.parquet"):
        find_shards(tmp_path)
    with pytest.raises(SourceError, match="no such file"):
        find_shards(tmp_path / "none")
    with pytest.raises(SourceError, match="NUL"):
        find_shards("a\0b")


@given(st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=300))
def test_every_name_is_safe(stem: str) -> None:
    assert SAFE_NAME.fullmatch(safe_name(stem))


def test_a_name_that_is_not_utf_8_is_safe_too(tmp_path: Path) -> None:
    raw = os.path.join(os.fsencode(tmp_path), b"\xff\xfe.parquet")  # noqa: PTH118
    with open(raw, "wb"):  # noqa: PTH123
        pass
    (shard,) = find_shards(tmp_path)
    assert SAFE_NAME.fullmatch(shard.name)


def test_metadata_of_a_source_is_used_only_whole(tmp_path: Path) -> None:
    assert find_metadata(tmp_path) is None
    for name in ("gene", "sample", "drug"):
        touch(tmp_path / f"metadata/{name}_metadata.parquet")
    with pytest.raises(SourceError, match=r"metadata lacks cell_line_metadata\.parquet; add what is missing"):
        find_metadata(tmp_path)
    touch(tmp_path / "metadata/cell_line_metadata.parquet")
    assert find_metadata(tmp_path) == tmp_path / "metadata"
    assert find_metadata([tmp_path]) is None
