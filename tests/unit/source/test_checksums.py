from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from tahoe_engine.errors import ConfigError, ShardError
from tahoe_engine.source import Checksum, Shard, find_checksums, load_checksums, verify_checksum
from tahoe_engine.source import checksums as module

if TYPE_CHECKING:
    from pathlib import Path

A, B = "aa" * 32, "bb" * 32


def code_of(path: Path, expected: Checksum | None) -> str:
    with pytest.raises(ShardError) as caught:
        verify_checksum(str(path), "s", expected)
    return caught.value.code


def test_lines_of_sha256sum_are_read_with_and_without_sizes(tmp_path: Path) -> None:
    path = tmp_path / "sums"
    path.write_text(f"# made by hand\n{A}  data/a b.parquet\n{B} *./c.parquet\n{A.upper()}  123  d.parquet\n\n")
    sums = load_checksums(path)
    assert sums.find("/x/data/a b.parquet") == Checksum(A)
    assert sums.find("/x/c.parquet") == Checksum(B)
    assert sums.find("d.parquet") == Checksum(A, 123)
    assert sums.find("e.parquet") is None
    # The list was written one folder up, and the copy has only the file.
    assert sums.find("/copy/a b.parquet") == Checksum(A)


def test_a_list_that_an_editor_gave_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sums"
    path.write_text(f"{A}  a.parquet\n", encoding="utf-8-sig")
    assert load_checksums(path).find("a.parquet") == Checksum(A)


def test_the_longest_end_of_a_path_wins(tmp_path: Path) -> None:
    path = tmp_path / "sums"
    path.write_text(f"{A}  x/a.parquet\n{B}  y/a.parquet\n")
    sums = load_checksums(path)
    assert sums.find("/data/y/a.parquet") == Checksum(B)
    assert sums.find("/data/z/a.parquet") is None


@pytest.mark.parametrize("text", ["hello\n", f"{A}\n", f"{A[:-1]}  a\n", f"{A}  a\n{B}  a\n"])
def test_a_wrong_line_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sums"
    path.write_text(text)
    with pytest.raises(ConfigError, match="line"):
        load_checksums(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_checksums(tmp_path / "none")


def test_a_file_is_what_it_should_be_or_its_code_says_why_not(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    content = b"PAR1" + b"x" * 1000 + b"PAR1"
    whole = hashlib.sha256(content).hexdigest()
    path.write_bytes(content)
    assert verify_checksum(str(path), "s", Checksum(whole, 1008)) == whole
    assert code_of(path, Checksum(whole, 1007)) == "E_SIZE_MISMATCH"
    assert code_of(path, Checksum(A)) == "E_CHECKSUM"
    assert code_of(path, None) == "E_CHECKSUM"
    path.write_bytes(content[:500] + b"y" + content[501:])
    assert code_of(path, Checksum(whole)) == "E_CHECKSUM"


@pytest.mark.parametrize("chunk", [1, 3, 7, 1 << 20])
def test_a_file_with_something_appended_is_of_the_wrong_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    path = tmp_path / "a.parquet"
    content = b"PAR1" + b"xPAR" * 5 + b"PAR1PAR1"
    path.write_bytes(content + content)
    expected = Checksum(hashlib.sha256(content).hexdigest())
    assert code_of(path, expected) == "E_SIZE_MISMATCH"
    path.write_bytes(content)
    assert verify_checksum(str(path), "s", expected) == expected.sha256


def test_the_sums_of_a_source_are_found_beside_its_shards(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    shards = [Shard("a", str(tmp_path / "data/a.parquet"))]
    assert find_checksums(shards) is None
    (tmp_path / "SHA256SUMS").write_text("")
    assert find_checksums(shards) == tmp_path / "SHA256SUMS"
