from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tahoe_engine.errors import StageError
from tahoe_engine.run import Journal, Layout, Ledger, hash_file, hold_run, keep_receipt, read_journal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEYS = {"a": "key-a", "b": "key-b"}


@contextmanager
def launch(root: Path, keys: dict[str, str] = KEYS, **options: Any) -> Iterator[tuple[Layout, Ledger]]:
    with hold_run(root) as layout, Journal(layout, "cells") as journal:
        for folder in (layout.stage("cells"), layout.gene_parts):
            folder.mkdir(exist_ok=True)
        yield layout, Ledger(layout, "cells", journal, keys, **options)


def make(layout: Layout, name: str, content: bytes = b"part") -> dict[str, Any]:
    """Write the files of a unit as a worker would; give its receipt."""
    receipt = {}
    for entry, path in layout.unit_files("cells", name).items():
        path.write_bytes(content + entry.encode())
        receipt[entry] = {"size": path.stat().st_size, "sha256": hash_file(path)}
    keep_receipt(layout, "cells", name, KEYS[name], receipt)
    return receipt


def finish(root: Path) -> dict[str, Any]:
    with launch(root) as (layout, ledger):
        receipts = {name: make(layout, name) for name in KEYS}
        for name, receipt in receipts.items():
            ledger.record_receipt(name, receipt)
    return receipts


def set_aside(root: Path) -> list[str]:
    return sorted(path.name for path in (root / ".tahoe/old").rglob("*") if path.is_file())


def test_what_was_recorded_is_finished_for_the_next_launch(tmp_path: Path) -> None:
    receipts = finish(tmp_path)
    with launch(tmp_path) as (_, ledger):
        assert ledger.receipts == receipts
        assert (ledger.missing(), ledger.adopted) == ([], 0)


def test_a_part_whose_line_was_lost_is_taken_over_and_written_down(tmp_path: Path) -> None:
    receipts = finish(tmp_path)
    for path in Layout(tmp_path).journals.iterdir():
        path.unlink()
    with launch(tmp_path) as (_, ledger):
        assert (ledger.receipts, ledger.adopted) == (receipts, 2)
    assert [record["shard"] for record in read_journal(Layout(tmp_path), "cells")] == ["a", "b"]
    with launch(tmp_path) as (_, ledger):
        assert (ledger.receipts, ledger.adopted) == (receipts, 0)


@pytest.mark.parametrize("entry", ["cells", "genes"])
@pytest.mark.parametrize("damage", ["gone", "short", "flipped"])
def test_a_part_without_a_line_must_be_whole_every_byte(tmp_path: Path, entry: str, damage: str) -> None:
    finish(tmp_path)
    layout = Layout(tmp_path)
    for journal in layout.journals.iterdir():
        journal.unlink()
    path = layout.unit_files("cells", "a")[entry]
    if damage == "gone":
        path.unlink()
    else:
        content = path.read_bytes()
        path.write_bytes(content[:-1] if damage == "short" else bytes([content[0] ^ 1]) + content[1:])
    with launch(tmp_path) as (_, ledger):
        assert ledger.missing() == ["a"]
    assert not any(path.exists() for path in layout.unit_files("cells", "a").values())
    assert len(set_aside(tmp_path)) == (1 if damage == "gone" else 2)


@pytest.mark.parametrize("entry", ["cells", "genes"])
@pytest.mark.parametrize("damage", ["gone", "short"])
def test_a_line_without_its_files_is_void(tmp_path: Path, entry: str, damage: str) -> None:
    finish(tmp_path)
    path = Layout(tmp_path).unit_files("cells", "b")[entry]
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"x")
    with launch(tmp_path) as (_, ledger):
        assert ledger.missing() == ["b"]
    assert not path.exists()


def test_a_part_that_nothing_vouches_for_is_set_aside(tmp_path: Path) -> None:
    with launch(tmp_path) as (layout, _):
        layout.part("cells", "a").write_bytes(b"whose?")
    with launch(tmp_path) as (_, ledger):
        assert ledger.missing() == ["a", "b"]
    assert set_aside(tmp_path) == ["a.parquet"]


def test_what_another_plan_made_is_void(tmp_path: Path) -> None:
    finish(tmp_path)
    with launch(tmp_path, {"a": "key-a", "b": "other"}) as (_, ledger):
        assert ledger.missing() == ["b"]
    assert set_aside(tmp_path) == ["b.parquet", "b.parquet"]


def test_two_attempts_with_the_same_bytes_are_one(tmp_path: Path) -> None:
    with launch(tmp_path) as (layout, ledger):
        receipt = make(layout, "a")
        ledger.record_receipt("a", receipt)
        ledger.record_receipt("a", {**receipt, "seconds": 2})
    assert len(read_journal(Layout(tmp_path), "cells")) == 1


def test_two_attempts_with_different_bytes_stop_the_run(tmp_path: Path) -> None:
    with launch(tmp_path) as (layout, ledger):
        receipt = make(layout, "a")
        ledger.record_receipt("a", receipt)
        other = {**receipt, "genes": {**receipt["genes"], "sha256": "0" * 64}}
        with pytest.raises(StageError, match="E_NONDETERMINISM: a: two attempts gave different genes"):
            ledger.record_receipt("a", other)
    with hold_run(tmp_path) as layout, Journal(layout, "cells") as journal:
        journal.append({"shard": "a", "key": "key-a", "receipt": other})
    with pytest.raises(StageError, match="E_NONDETERMINISM"), launch(tmp_path):
        pass


def test_the_last_word_on_a_unit_counts(tmp_path: Path) -> None:
    finish(tmp_path)
    with launch(tmp_path) as (_, ledger):
        ledger.record_defect("a", {"code": "E_FOOTER"})
    with launch(tmp_path) as (_, ledger):
        assert ledger.missing() == ["a"]
    assert set_aside(tmp_path) == ["a.parquet", "a.parquet"]


def test_a_receipt_that_will_not_do_leaves_its_files_for_the_second_attempt(tmp_path: Path) -> None:
    finish(tmp_path)
    with launch(tmp_path, accept=lambda _: False) as (layout, ledger):
        assert ledger.missing() == ["a", "b"]
        assert layout.part("cells", "a").is_file()
    assert set_aside(tmp_path) == []
