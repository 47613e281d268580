"""What many tests need: a small made-up atlas, the shared files, and a way to run the command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two plates of three wells, 1,200 cells in six shards; read it, never write it."""
    pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")
    from tahoe_engine.synth import write_atlas

    out = tmp_path_factory.mktemp("atlas") / "atlas"
    write_atlas(out, plates=(4, 6), wells=3, lines=6, cells=1_200, seed=7, shard_rows=200, row_group_rows=50)
    return out


@pytest.fixture(scope="session")
def run(atlas: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run in one process; read it, never write it."""
    import tahoe_engine as te

    into = tmp_path_factory.mktemp("run") / "run"
    te.scan_cells(atlas, into, workers=0)
    return into


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real files beside the repository."""
    if not SHARED.is_dir():
        pytest.skip("the folder `shared` beside the repository is not there")
    return SHARED


@pytest.fixture
def tahoe() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``tahoe`` in a process of its own."""

    def run(*args: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tahoe_engine", *map(str, args)],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
