from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tahoe_engine.errors import ConfigError, HeldError
from tahoe_engine.run import hold_run

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
