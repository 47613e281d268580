"""One shard in 200 takes its process with it: it is set aside by name, and all others are done."""

from __future__ import annotations

import json
import os
import shutil
import signal
from typing import TYPE_CHECKING

from chaos.atlases import run_undisturbed
from chaos.campaign import BrokenError
from chaos.injection import Injection
from chaos.judge import (
    describe_differences,
    hash_published,
    require_closed,
    require_same,
    require_verified,
    require_whole_parts,
)
from chaos.processes import scan
from tahoe_engine import scan_cells

if TYPE_CHECKING:
    from pathlib import Path

    from chaos.campaign import Campaign, Trial
    from chaos.judge import Undisturbed

SHARDS = 200
MOST_RESTARTS = 2
QUARANTINED = 2
MOST_RESUMES = 2
# What it may be called: memory that runs out in a process with a limit is an error like others, and has its own code.
KINDS = {
    "abort": {"E_WORKER_CRASH"},
    "memory": {"E_WORKER_CRASH", "E_LIMIT_MEMORY"},
    "panic": {"E_WORKER_CRASH", "E_PANIC"},
}
SMALL_MEMORY = ("--set", "workers.memory_mib=512")  # a worker's; the default's gigabytes take others' memory too


def run(campaign: Campaign) -> None:
    """Spoil a random shard in each way."""
    shards = campaign.pick(40, SHARDS)
    wanted = run_undisturbed(campaign.cache, shards)
    for number, kind in enumerate(KINDS):
        campaign.repeat(
            campaign.pick(1, 5),
            lambda trial, kind=kind: poison_workers(campaign, trial, wanted, kind),  # type: ignore[misc]
            first=100 * number,
        )
    campaign.repeat(campaign.pick(1, 3), lambda trial: poison_this_process(campaign, trial, wanted), first=900)


def choose(trial: Trial, wanted: Undisturbed) -> str:
    """Choose a shard."""
    return trial.rng.choice(sorted(path.stem for path in (wanted.atlas / "data").glob("*.parquet")))


def poison_workers(campaign: Campaign, trial: Trial, wanted: Undisturbed, kind: str) -> None:
    """Run with two workers; what the shard costs is counted where it is begun."""
    shard, run = choose(trial, wanted), trial.place / "run"
    injection = Injection(trial.place / "marks", kind, shard)
    ended = scan(wanted.atlas, run, "--workers", 2, *SMALL_MEMORY, env=injection.env).require(QUARANTINED)
    # Each process that began it as a worker is gone; the one that is sacrificed is a child of a worker, and no worker.
    drivers = {parent for _, parent, name in injection.calls() if name != shard}
    restarts = sum(injection.calls_of(shard, driver) for driver in drivers) if kind != "panic" else 0
    begun = injection.calls_of(shard)
    campaign.at_most(f"{kind}: worker restarts", restarts)
    campaign.at_most(f"{kind}: seconds", ended.seconds)
    if restarts > MOST_RESTARTS or begun > MOST_RESTARTS + 1:
        raise BrokenError(f"{shard} ({kind}) was begun {begun} times and cost {restarts} worker restarts")
    campaign.figures[f"{kind}: told"] = require_quarantined(run, shard, kind)
    require_others(trial, run, wanted, shard)
    # Mended: the same command does what is missing.
    if (finished := scan_cells(wanted.atlas, run, workers=0)).units_found_done != len(wanted.sums) - 1:
        raise BrokenError(f"the resume found {finished.units_found_done} of {len(wanted.sums) - 1} shards done")
    require_same(run, wanted)


def require_quarantined(run: Path, shard: str, kind: str) -> str:
    """Insist that this shard and no other was set aside, by its name and with the right code."""
    records = json.loads((run / "cells/_MANIFEST.json").read_bytes())["quarantined"]
    if [record["shard"] for record in records] != [shard]:
        raise BrokenError(f"{shard} is spoilt, set aside are {records}")
    if records[0]["code"] not in KINDS[kind]:
        raise BrokenError(f"{shard} ({kind}) is set aside as {records[0]}")
    return f"{records[0]['code']}: {records[0]['reason']}"


def require_others(trial: Trial, run: Path, wanted: Undisturbed, shard: str) -> None:
    """Insist that all others are as a run without this shard has them, the table of genes included."""
    without = trial.place / "without"
    shutil.copytree(wanted.atlas, without / "atlas", copy_function=os.link)
    (without / f"atlas/data/{shard}.parquet").unlink()
    scan_cells(without / "atlas", without / "run", workers=0)
    # The manifests differ, as they must: one tells of a shard that is set aside, the other has never heard of it.
    found, expected = (
        {name: sha256 for name, sha256 in hash_published(folder).items() if not name.endswith("_MANIFEST.json")}
        for folder in (run, without / "run")
    )
    if differing := describe_differences(found, expected):
        raise BrokenError(f"beside {shard}: {differing}")
    require_verified(run)
    require_closed(run)


def poison_this_process(campaign: Campaign, trial: Trial, wanted: Undisturbed) -> None:
    """Without workers the shard kills the run itself; resumed it must end, if need be with a worker."""
    shard, run = choose(trial, wanted), trial.place / "run"
    injection = Injection(trial.place / "marks", "abort", shard)
    codes = []
    for _ in range(1 + MOST_RESUMES):
        codes.append(
            scan(wanted.atlas, run, "--workers", 0, env=injection.env).require(-signal.SIGABRT, QUARANTINED).code
        )
        if codes[-1] == QUARANTINED:
            break
        require_whole_parts(run, wanted)
    campaign.figures["without workers: codes of the launches"] = codes
    if codes[-1] != QUARANTINED:
        scan(wanted.atlas, run, "--workers", 1, env=injection.env).require(QUARANTINED)
    require_quarantined(run, shard, "abort")
    require_others(trial, run, wanted, shard)
