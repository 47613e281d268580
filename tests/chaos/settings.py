"""Every kind of changed setting or input is refused by name, and done when it is asked for."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from chaos.atlases import make_atlas
from chaos.campaign import BrokenError
from chaos.judge import describe_differences, hash_everything, hash_published, require_closed, require_verified
from tahoe_engine import load_settings, scan_cells
from tahoe_engine.errors import StageError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from chaos.campaign import Campaign, Trial

SHARDS = 12
USAGE = 64
Keywords = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """One thing that is other than before."""

    named: str  # what the refusal must say
    keywords: Keywords = field(default_factory=dict)  # of the second launch
    overrides: tuple[str, ...] = ()  # settings of the second launch
    mend: Callable[[Path], None] | None = None  # of the source's folder
    is_input: bool = False


def run(campaign: Campaign) -> None:
    """Try each change on a finished run and on one that is under way; in the short size on one of the two."""
    atlas = make_atlas(campaign.cache, SHARDS)
    changes = list_changes(atlas)
    names = list(changes)
    numbers: Sequence[int] = range(2 * len(names))
    if not campaign.full:
        either = campaign.generator("either")
        numbers = [2 * number + either.randrange(2) for number in range(len(names))]
    for number in numbers:
        change = changes[names[number // 2]]
        campaign.repeat(
            1,
            lambda trial, change=change: try_change(campaign, trial, atlas, change),  # type: ignore[misc]
            first=number,
        )
    campaign.figures["kinds"] = names


def list_changes(atlas: Path) -> dict[str, Change]:
    """Give the kinds by name."""
    cells = pl.read_parquet(sorted((atlas / "data").glob("*.parquet")), columns=["sample", "drug", "cell_line_id"])
    return {
        "stats": Change("stats", {"stats": "qc"}),
        "cell lines": Change("cell_lines", {"cell_lines": [cells["cell_line_id"][0]]}),
        "drugs": Change("drugs", {"drugs": [cells["drug"][0]]}),
        "plates": Change("plates", {"plates": [4]}),
        "samples": Change("samples", {"samples": [cells["sample"][0]]}),
        "min genes": Change("min_genes", {"min_genes": 900}),
        "rows": Change("rows", {"rows": "5:70"}),
        "bad rows": Change("bad_rows", {"bad_rows": "reject"}),
        "limits": Change("list_length", overrides=("limits.list_length=100000",)),
        "metadata table": Change("drug", mend=change_table("drug_metadata.parquet", "moa-fine")),
        "vocabulary": Change("gene", mend=change_table("gene_metadata.parquet", "gene_symbol")),
        "shard removed": Change("train-00003", mend=remove_shard, is_input=True),
        "shard added": Change("train-00099", mend=add_shard, is_input=True),
        "shard changed": Change("train-00003", mend=change_shard, is_input=True),
        "shard renamed": Change("train-00003", mend=rename_shard, is_input=True),
    }


def change_table(name: str, column: str) -> Callable[[Path], None]:
    """Give one text of a joined table another spelling."""

    def mend(source: Path) -> None:
        table = pl.read_parquet(path := source / "metadata" / name)
        path.unlink()  # it is a link
        first = pl.int_range(pl.len()) == 0
        table.with_columns(
            pl.when(first).then(pl.lit("another")).otherwise(pl.col(column)).alias(column)
        ).write_parquet(path)

    return mend


def find_shard(source: Path, number: int) -> Path:
    """Give a shard by its number."""
    return sorted((source / "data").glob("*.parquet"))[number]


def remove_shard(source: Path) -> None:
    """Take one away."""
    find_shard(source, 3).unlink()


def add_shard(source: Path) -> None:
    """Put one more."""
    shutil.copy(find_shard(source, 5), source / "data/train-00099-of-00012.parquet")


def change_shard(source: Path) -> None:
    """Give one the cells of another."""
    path, other = find_shard(source, 3), find_shard(source, 5)
    path.unlink()
    shutil.copy(other, path)


def rename_shard(source: Path) -> None:
    """Give one another name."""
    path = find_shard(source, 3)
    path.rename(path.with_name("train-00042-of-00012.parquet"))


def try_change(campaign: Campaign, trial: Trial, atlas: Path, change: Change) -> None:
    """Start, change, be refused by name with nothing changed on disk, then insist."""
    source, into = trial.place / "source", trial.place / "run"
    shutil.copytree(atlas, source, copy_function=os.link)
    if trial.number % 2:
        start_and_stop(trial, source, into)
    else:
        scan_cells(source, into, workers=0)
    before = hash_everything(into)
    if change.mend is not None:
        change.mend(source)
    changed: Keywords = {"workers": 0, "settings": load_settings(overrides=change.overrides), **change.keywords}
    told = require_refused(source, into, change, changed)
    campaign.count("refused with 64, the difference named")
    require_untouched(into, before)
    scan_cells(source, fresh := trial.place / "fresh", **changed)
    for number, way in enumerate(["accept_changed_inputs", "new"] if change.is_input else ["new"]):
        tried = trial.place / f"tried-{number}"
        shutil.copytree(into, tried)
        scan_cells(source, tried, **(changed | {way: True}))
        if differing := describe_differences(hash_published(tried), hash_published(fresh)):
            raise BrokenError(f"{way} differs from a fresh run: {differing} (refused before with: {told})")
        require_verified(tried)
        require_closed(tried)
        campaign.count(f"{way}: as a fresh run")


def start_and_stop(trial: Trial, source: Path, into: Path) -> None:
    """Run until a random shard is done."""
    last = trial.rng.randrange(1, SHARDS)

    def stop(progress: Any) -> None:
        if progress.doing == "cells" and progress.done >= last:
            raise StoppedError("enough")

    try:
        scan_cells(source, into, workers=0, on_progress=stop)
    except StoppedError:
        return
    raise BrokenError("it was not stopped")


def require_refused(source: Path, into: Path, change: Change, changed: Keywords) -> str:
    """Insist on 64 and on the name of what differs."""
    try:
        scan_cells(source, into, **changed)
    except StageError as error:
        if error.exit_code != USAGE or change.named not in str(error):
            raise BrokenError(f"{change.named!r} is not named: {error}") from error
        option = "--accept-changed-inputs" if change.is_input else "--new"
        if option not in str(error):
            raise BrokenError(f"{option} is not named: {error}") from error
        return str(error)
    raise BrokenError(f"{change.named}: it was not refused")


def require_untouched(into: Path, before: dict[str, str]) -> None:
    """Insist that a refusal changed no file; that a launch was here may be seen, in its epoch and an empty journal."""
    after = hash_everything(into)
    traces = {name for name in after.keys() | before.keys() if name.startswith((".tahoe/epoch/", ".tahoe/lock"))}
    new = {name for name in after.keys() - before.keys() if name.startswith(".tahoe/journal/")}
    for name in traces | {name for name in new if not (into / name).stat().st_size}:
        after.pop(name, None)
        before.pop(name, None)
    if differing := describe_differences(after, before):
        raise BrokenError(f"a refused launch changed {differing}")
