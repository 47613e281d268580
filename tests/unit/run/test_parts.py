from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from tahoe_engine.errors import StageError
from tahoe_engine.run import Layout, commit_part, replace_file
from tahoe_engine.run.disk import hash_file
from tahoe_engine.run.parts import move_aside

if TYPE_CHECKING:
    from pathlib import Path


def make(path: Path, content: bytes = b"one") -> tuple[Path, str]:
    path.write_bytes(content)
    return path, hash_file(path)


@pytest.fixture(params=["links", "no links"])
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With hard links, and like a file system that has none."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    if request.param == "no links":
        monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("file_system")
def test_a_part_gets_its_name_and_the_temporary_file_is_gone(tmp_path: Path) -> None:
    temporary, sha256 = make(tmp_path / "tmp")
    commit_part(Layout(tmp_path), temporary, tmp_path / "part", sha256)
    assert (tmp_path / "part").read_bytes() == b"one"
    assert not temporary.exists()


@pytest.mark.usefixtures("file_system")
def test_a_second_attempt_with_the_same_bytes_is_fine(tmp_path: Path) -> None:
    make(tmp_path / "part")
    temporary, sha256 = make(tmp_path / "tmp")
    commit_part(Layout(tmp_path), temporary, tmp_path / "part", sha256)
    assert not temporary.exists()


@pytest.mark.usefixtures("file_system")
def test_other_bytes_are_never_replaced(tmp_path: Path) -> None:
    make(tmp_path / "part", b"two")
    temporary, sha256 = make(tmp_path / "tmp")
    with pytest.raises(StageError, match=r"E_NONDETERMINISM: .* exists with other bytes"):
        commit_part(Layout(tmp_path), temporary, tmp_path / "part", sha256)
    assert (tmp_path / "part").read_bytes() == b"two"


def test_another_refusal_is_not_hidden(tmp_path: Path) -> None:
    temporary, sha256 = make(tmp_path / "tmp")
    with pytest.raises(FileNotFoundError):
        commit_part(Layout(tmp_path), temporary, tmp_path / "none" / "part", sha256)


def test_a_small_file_is_replaced_whole(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.make_state()
    for content in (b"one", b"two, longer", b""):
        replace_file(layout, tmp_path / "final", content)
        assert (tmp_path / "final").read_bytes() == content
    assert list(layout.temporary.iterdir()) == []


def test_what_does_not_read_back_gets_no_name(tmp_path: Path) -> None:
    temporary, _ = make(tmp_path / "tmp")
    with pytest.raises(OSError, match="reads back as something else"):
        commit_part(Layout(tmp_path), temporary, tmp_path / "part", "0" * 64)
    assert not (tmp_path / "part").exists()


def test_what_is_set_aside_is_kept_even_twice(tmp_path: Path) -> None:
    layout = Layout(tmp_path, 3)
    layout.make_state()
    (layout.epochs / "000003").touch()
    for content in (b"one", b"two"):
        layout.stage("cells").mkdir(exist_ok=True)
        make(layout.part("cells", "a"), content)
        move_aside(layout, layout.part("cells", "a"))
        move_aside(layout, layout.part("cells", "a"))  # nothing there any more
    kept = sorted((layout.state / "old/000003/cells").iterdir())
    assert [path.read_bytes() for path in kept] == [b"one", b"two"]
