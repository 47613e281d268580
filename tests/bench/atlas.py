"""The shards that are measured: made once by `tahoe synth`, kept beside the results, linked to under many names."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from measure import run_tahoe

if TYPE_CHECKING:
    from pathlib import Path

ROWS_OF_A_SHARD = 28_224  # of Tahoe-100M, but for its first 1,422 shards, which have one more


@dataclass(frozen=True)
class Atlas:
    """A folder made by `tahoe synth`."""

    folder: Path
    rows: int  # of each shard

    @property
    def shards(self) -> list[Path]:
        """Its shards, in order."""
        return sorted(self.folder.glob("data/train-*.parquet"))

    @property
    def gene_metadata(self) -> Path:
        """The gene table it was made with."""
        return self.folder / "metadata" / "gene_metadata.parquet"


def make_atlas(
    cache: Path, *, shards: int, rows: int, name: str = "atlas", design: tuple[str, ...] = ("--plates", "4,6")
) -> Atlas:
    """Make shards of so many rows, or take those an earlier run made."""
    atlas = Atlas(cache / f"{name}-{shards}x{rows}", rows)
    if len(atlas.shards) != shards:
        shutil.rmtree(atlas.folder, ignore_errors=True)
        unfinished = atlas.folder.with_name(atlas.folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        made = run_tahoe(
            *("synth", unfinished),
            *(*design, "--seed", "1", "--cells", str(shards * rows), "--shard-rows", str(rows)),
            timeout=7200,
        )
        if made.code != 0:
            raise SystemExit(f"tahoe synth ended with {made.code}:\n{made.stderr}")
        unfinished.rename(atlas.folder)
    if len(atlas.shards) != shards:
        raise SystemExit(f"{atlas.folder} has {len(atlas.shards)} shards, {shards} were asked for")
    return atlas


def link_shards(real: list[Path], folder: Path, n: int) -> Path:
    """Make a folder of so many names in Tahoe's style, linked in turn to a few files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for i in range(n):
        os.link(real[i % len(real)], folder / f"train-{i:05d}-of-{n:05d}.parquet")
    return folder
