from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tahoe_engine.errors import ConfigError, HeldError, StoppedError
from tahoe_engine.run import hold_run, replace_file, require_free, require_newest

if TYPE_CHECKING:
    from pathlib import Path


def test_a_second_launch_is_told_who_holds_the_run(tmp_path: Path) -> None:
    with hold_run(tmp_path / "run") as layout:
        holder = json.loads(layout.lock.read_text())
        assert holder == {"pid": os.getpid(), "host": socket.gethostname()}
        with (
            pytest.raises(HeldError, match=f"process {os.getpid()} on host {socket.gethostname()}"),
            hold_run(tmp_path / "run"),
        ):
            pass
    with hold_run(tmp_path / "run"):
        pass


def test_a_launch_that_dies_lets_go(tmp_path: Path) -> None:
    code = (
        "import os, sys; from tahoe_engine.run import hold_run\n"
        "with hold_run(sys.argv[1]):\n    os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], check=False).returncode == -9
    with hold_run(tmp_path / "run"):
        pass


def test_a_folder_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be a run folder"), hold_run(tmp_path / "file"):
        pass


def test_looking_whether_a_run_is_free_changes_nothing(tmp_path: Path) -> None:
    require_free(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with hold_run(tmp_path / "run"), pytest.raises(HeldError, match=f"process {os.getpid()}"):
        require_free(tmp_path / "run")
    require_free(tmp_path / "run")


def test_a_full_disk_is_no_wrong_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(StoppedError, match="No space left"), hold_run(tmp_path / "run"):
        pass


def test_every_launch_has_its_own_epoch(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        with hold_run(tmp_path / "run") as layout:
            assert layout.epoch == number
            require_newest(layout)
            assert [path.name for path in layout.epochs.iterdir()] == [f"{number:06}"]


def test_a_launch_that_lost_its_lock_is_told_who_took_over(tmp_path: Path) -> None:
    with hold_run(tmp_path / "run") as old:
        old.lock.unlink()
        with hold_run(tmp_path / "run") as new:
            require_newest(new)
            with pytest.raises(HeldError, match=f"taken over by process {os.getpid()}"):
                require_newest(old)
            with pytest.raises(HeldError):
                replace_file(old, old.root / "file", b"late")
            assert not (old.root / "file").exists()


def test_a_launch_whose_folder_was_removed_is_told(tmp_path: Path) -> None:
    with hold_run(tmp_path / "run") as layout:
        shutil.rmtree(layout.state)
        with pytest.raises(HeldError, match=r"\.tahoe was removed"):
            require_newest(layout)
