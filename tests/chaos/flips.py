"""Single bits of our own files and of inputs are flipped; none may pass in silence."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING

from chaos.atlases import run_undisturbed
from chaos.campaign import BrokenError
from tahoe_engine import load_settings, scan_cells
from tahoe_engine.errors import TahoeError
from tahoe_engine.run import verify_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from chaos.campaign import Campaign, Trial
    from chaos.judge import Undisturbed

SHARDS = 6  # every flip is followed by a look at all of them
# What says who holds a run, and which launch that was, is not part of a result.
NOT_OWN = (".tahoe/lock", ".tahoe/epoch/", ".tahoe/tmp/")


def run(campaign: Campaign) -> None:
    """Flip own files first, then inputs."""
    wanted = run_undisturbed(campaign.cache, SHARDS)
    if (found := verify_run(wanted.run, deep=True))[1]:
        raise BrokenError(f"before any flip verify --deep finds {found[1]}")
    files = sort_files(wanted.run)
    flips = campaign.pick(60, 1000)
    campaign.repeat(flips, lambda trial: flip_own(campaign, trial, wanted, files))
    source = make_source(campaign, wanted)
    campaign.repeat(campaign.pick(15, 1000), lambda trial: flip_input(campaign, trial, source), first=10_000)


def sort_files(run: Path) -> dict[str, list[Path]]:
    """Give the files of a run by kind, so that small kinds get their share of flips."""
    kinds: dict[str, list[Path]] = {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if path.is_file() and path.stat().st_size and not name.startswith(NOT_OWN):
            kind = str(path.parent.relative_to(run)) + ("/manifest" if path.name == "_MANIFEST.json" else "")
            kinds.setdefault("plan" if path.name.startswith("plan-") else kind, []).append(path)
    return kinds


def flip(path: Path, trial: Trial) -> str:
    """Flip one random bit of a file; say which."""
    content = bytearray(path.read_bytes())
    bit = trial.rng.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    # In a new file: the old one may be linked elsewhere.
    flipped = path.with_name(path.name + ".flipped")
    flipped.write_bytes(content)
    flipped.replace(path)
    return f"{path}, byte {bit // 8}, bit {bit % 8}"


def flip_own(campaign: Campaign, trial: Trial, wanted: Undisturbed, files: dict[str, list[Path]]) -> None:
    """Flip one bit of a finished run."""
    kind = trial.rng.choice(sorted(files))
    path = trial.rng.choice(files[kind])
    content = path.read_bytes()
    where = flip(path, trial)
    campaign.count(f"own, {kind}")
    try:
        require_told(where, lambda: verify_run(wanted.run, deep=True)[1])
    finally:
        path.write_bytes(content)


def require_told(where: str, look: Callable[[], object]) -> None:
    """Insist that something is found, or refused in plain words."""
    try:
        found = look()
    except TahoeError:
        return
    if not found:
        raise BrokenError(f"nobody noticed: {where}")


def make_source(campaign: Campaign, wanted: Undisturbed) -> Path:
    """Make a source of one shard with its checksum beside it."""
    source = campaign.place / "source"
    shutil.copytree(wanted.atlas, source, copy_function=os.link)
    shards = sorted((source / "data").glob("*.parquet"))
    for shard in shards[1:]:
        shard.unlink()
    sha256 = hashlib.sha256(shards[0].read_bytes()).hexdigest()
    (source / "data/SHA256SUMS").write_text(f"{sha256}  {shards[0].name}\n")
    settings = load_settings(overrides=["source.verify_inputs=true"])
    if scan_cells(source, campaign.place / "unflipped", workers=0, settings=settings).n_quarantined:
        raise BrokenError("the shard is set aside before any flip")
    return source


def flip_input(campaign: Campaign, trial: Trial, source: Path) -> None:
    """Flip one bit of a shard, then read it with `--verify-inputs`."""
    flipped = trial.place / "source"
    shutil.copytree(source, flipped, copy_function=os.link)
    where = flip(next((flipped / "data").glob("*.parquet")), trial)
    settings = load_settings(overrides=["source.verify_inputs=true"])
    campaign.count("inputs")

    def look() -> int:
        report = scan_cells(flipped, trial.place / "run", workers=0, settings=settings)
        for record in report.manifest["quarantined"]:
            campaign.count(f"inputs told as {record['code']}")
        return report.n_quarantined

    require_told(where, look)
