from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tahoe_engine.errors import HeldError
from tahoe_engine.models.kept import Kept
from tahoe_engine.run import Layout

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path, epoch=1)
    layout.make_state()
    (layout.epochs / "000001").touch()
    return layout


def files_of(layout: Layout) -> list[Path]:
    return sorted(path for path in layout.kept("models/a").iterdir() if path.is_file())


def test_what_is_kept_is_found_by_another_launch(layout: Layout) -> None:
    Kept(layout, "models/a").keep("sgd, pass 3", b"weights")
    (layout.epochs / "000002").touch()
    later = Layout(layout.root, epoch=2)
    assert Kept(later, "models/a").find("sgd, pass 3") == b"weights"


def test_the_last_one_counts(layout: Layout) -> None:
    kept = Kept(layout, "models/a")
    kept.keep("key", b"one")
    kept.keep("key", b"two")
    assert kept.find("key") == b"two"
    assert len(files_of(layout)) == 1


def test_other_keys_and_other_stages_do_not_find_it(layout: Layout) -> None:
    Kept(layout, "models/a").keep("key", b"one")
    assert Kept(layout, "models/a").find("key2") is None
    assert Kept(layout, "models/b").find("key") is None


def test_a_key_may_be_any_text(layout: Layout) -> None:
    kept = Kept(layout, "models/a")
    for key in ("../../escape", "a/b", "", "ö" * 5000, "\0"):
        kept.keep(key, key.encode())
    assert [kept.find(key) for key in ("../../escape", "a/b", "")] == [b"../../escape", b"a/b", b""]
    assert len(files_of(layout)) == 5


@pytest.mark.parametrize("at", [0, 31, 32, -1])
def test_a_changed_byte_is_as_if_nothing_was_kept(layout: Layout, at: int) -> None:
    kept = Kept(layout, "models/a")
    kept.keep("key", b"weights")
    (path,) = files_of(layout)
    damaged = bytearray(path.read_bytes())
    damaged[at] ^= 1
    path.write_bytes(damaged)
    assert kept.find("key") is None


@pytest.mark.parametrize("left", [0, 10, 32, 38])
def test_a_file_that_was_cut_is_as_if_nothing_was_kept(layout: Layout, left: int) -> None:
    kept = Kept(layout, "models/a")
    kept.keep("key", b"weights")
    (path,) = files_of(layout)
    path.write_bytes(path.read_bytes()[:left])
    assert kept.find("key") is None


def test_a_file_under_the_name_of_another_key_is_not_taken(layout: Layout) -> None:
    kept = Kept(layout, "models/a")
    kept.keep("one", b"weights")
    (path,) = files_of(layout)
    kept.keep("two", b"")
    (other,) = [file for file in files_of(layout) if file != path]
    other.write_bytes(path.read_bytes())
    assert kept.find("two") is None


def test_a_folder_in_its_place_is_as_if_nothing_was_kept(layout: Layout) -> None:
    kept = Kept(layout, "models/a")
    kept.keep("key", b"weights")
    (path,) = files_of(layout)
    path.unlink()
    path.mkdir()
    assert kept.find("key") is None


def test_what_is_forgotten_is_gone_and_the_rest_is_there(layout: Layout) -> None:
    kept = Kept(layout, "models/a")
    kept.keep("one", b"1")
    kept.keep("two", b"2")
    kept.forget("one")
    kept.forget("never kept")
    assert (kept.find("one"), kept.find("two")) == (None, b"2")


def test_clearing_leaves_other_stages_alone(layout: Layout) -> None:
    kept, other = Kept(layout, "models/a"), Kept(layout, "models/b")
    kept.keep("key", b"1")
    other.keep("key", b"2")
    kept.clear()
    kept.clear()
    assert (kept.find("key"), other.find("key")) == (None, b"2")
    assert not layout.kept("models/a").exists()


def test_a_launch_that_was_overtaken_changes_nothing(layout: Layout) -> None:
    kept = Kept(layout, "models/a")
    kept.keep("key", b"1")
    (layout.epochs / "000002").touch()
    with pytest.raises(HeldError):
        kept.keep("key", b"2")
    with pytest.raises(HeldError):
        kept.forget("key")
    with pytest.raises(HeldError):
        kept.clear()
    assert kept.find("key") == b"1"
