"""A disk that fails under HDF5: the library closes in peace, and the first error is told."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from tahoe_engine.export.guarded import GuardedFile

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = bytes(range(256)) * 16


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes three writes."""
    taken = iter(range(3))
    write = os.pwrite

    def some(*given: Any) -> int:
        if next(taken, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*given)

    monkeypatch.setattr(os, "pwrite", some)


@pytest.mark.usefixtures("full")
def test_what_the_disk_does_not_take_is_read_back_all_the_same(tmp_path: Path) -> None:
    file, expected = GuardedFile(tmp_path / "a"), bytearray(20_000)
    for place in (0, 9_000, 4_000, 100, 16_000, 15_000):
        file.seek(place)
        assert file.write(memoryview(BLOCK)) == len(BLOCK)
        expected[place : place + len(BLOCK)] = BLOCK
    assert file.seek(0, os.SEEK_END) == 16_000 + len(BLOCK) == file.tell()
    expected += bytes(16_000 + len(BLOCK) - len(expected))
    file.seek(0)
    assert file.read(1 << 20) == bytes(expected)
    file.seek(150)
    assert file.read(5_000) == bytes(expected[150:5_150])
    with pytest.raises(OSError, match="No space left"):
        file.check()
    file.close()


@pytest.mark.usefixtures("full")
def test_hdf5_reads_its_own_file_on_a_full_disk(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra `export` is not installed")
    import numpy as np

    file = GuardedFile(tmp_path / "a.h5")
    values = np.arange(400_000)
    with h5py.File(file, "w", rdcc_nbytes=0) as root:
        for name in "abcd":
            root.create_dataset(name, data=values, chunks=(10_000,), compression="gzip")
        assert (root["a"][:] == values).all()
    with pytest.raises(OSError, match="No space left"):
        file.check()
    file.close()


def test_a_file_that_is_there_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    with pytest.raises(FileExistsError):
        GuardedFile(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "mine"
