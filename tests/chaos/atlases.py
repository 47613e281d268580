"""The shards that are read: many and small, made once; and the undisturbed run over them."""

from __future__ import annotations

import functools
import shutil
from typing import TYPE_CHECKING

from chaos.judge import Undisturbed, look_at
from tahoe_engine import scan_cells
from tahoe_engine.synth import write_atlas

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 8  # of a shard: what is tried is the protocol, not the kernels
SEED = 1  # of the atlas: what a campaign's own seed varies is the disturbance


def make_atlas(cache: Path, shards: int, rows: int = ROWS) -> Path:
    """Make an atlas of so many small shards, or take the one that an earlier call made."""
    folder = cache / f"atlas-{shards}x{rows}"
    if not folder.is_dir():
        unfinished = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        write_atlas(
            unfinished,
            plates=(4, 6),
            wells=3,
            lines=6,
            seed=SEED,
            cells=shards * rows,
            shard_rows=rows,
            row_group_rows=rows,
        )
        unfinished.rename(folder)
    return folder.absolute()


@functools.cache
def run_undisturbed(cache: Path, shards: int, rows: int = ROWS, **options: str | int) -> Undisturbed:
    """Run over such an atlas in this process, once a call of the tool: the engine may have changed since the last."""
    atlas = make_atlas(cache, shards, rows)
    told = "".join(f"-{name}-{value}" for name, value in sorted(options.items()))
    run = cache / "scratch" / f"undisturbed-{shards}x{rows}{told}"
    shutil.rmtree(run, ignore_errors=True)
    scan_cells(atlas, run, **{"workers": 0, **options})  # type: ignore[arg-type]
    return look_at(atlas, run.absolute())
