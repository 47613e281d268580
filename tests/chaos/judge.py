"""The judge of every campaign: what readers see equals what an undisturbed run gives, byte for byte."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from chaos.campaign import BrokenError
from tahoe_engine.run import verify_run

if TYPE_CHECKING:
    from collections.abc import Iterator

STATE = ".tahoe"
SHOWN = 5


@dataclass(frozen=True)
class Undisturbed:
    """An atlas, and what a run over it gives that nobody disturbs."""

    atlas: Path
    run: Path
    published: dict[str, str]  # sha256 by path in the run
    sums: dict[str, str]  # likewise of the gene sums in .tahoe


def look_at(atlas: Path, run: Path) -> Undisturbed:
    """Record what an undisturbed run has."""
    return Undisturbed(atlas, run, hash_published(run), dict(hash_files(run / STATE / "genes")))


def hash_file(path: Path) -> str:
    """Give the sha256 of a file, without the engine."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def hash_files(folder: Path) -> Iterator[tuple[str, str]]:
    """Give name and sha256 of the files below a folder, sorted."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), hash_file(path)


def hash_published(run: Path) -> dict[str, str]:
    """Give the sha256 of every file a reader sees."""
    return {name: sha256 for name, sha256 in hash_files(run) if Path(name).parts[0] != STATE}


def require_same(run: Path, wanted: Undisturbed) -> None:
    """Insist that a finished run equals the undisturbed one, verifies, and that its rows close."""
    require_equal(hash_published(run), wanted.published)
    require_verified(run)
    require_closed(run)


def require_equal(found: dict[str, str], wanted: dict[str, str]) -> None:
    """Insist on equal files."""
    if differing := describe_differences(found, wanted):
        raise BrokenError(f"differs from the undisturbed run: {differing}")


def describe_differences(found: dict[str, str], wanted: dict[str, str]) -> str:
    """Name some files that differ; nothing if none does."""
    names = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))
    kinds = [
        f"{name} ({'missing' if name not in found else 'extra' if name not in wanted else 'other bytes'})"
        for name in names
    ]
    return ", ".join(kinds[:SHOWN]) + (f" and {len(kinds) - SHOWN} more" if len(kinds) > SHOWN else "")


def require_verified(run: Path) -> None:
    """Insist that `tahoe verify --deep` finds nothing."""
    _, mismatches = verify_run(run, deep=True)
    if mismatches:
        told = "; ".join(f"{one.file}: {one.reason}" for one in mismatches[:SHOWN])
        raise BrokenError(f"verify --deep finds {len(mismatches)} mismatches: {told}")


def require_closed(run: Path) -> None:
    """Insist that rows in = kept + filtered + rejected + quarantined, and that the parts hold the kept, each once."""
    rows = json.loads((run / "cells" / "_MANIFEST.json").read_bytes())["rows"]
    if rows["in"] != rows["kept"] + rows["filtered"] + rows["rejected"] + rows["quarantined"]:
        raise BrokenError(f"the rows do not close: {rows}")
    held = sum(pq.read_metadata(part).num_rows for part in (run / "cells").glob("*.parquet"))
    if held != rows["kept"]:
        raise BrokenError(f"the parts hold {held} rows, the manifest keeps {rows['kept']}")


def require_whole_parts(run: Path, wanted: Undisturbed) -> int:
    """Insist that every part under its final name is whole, in an unfinished run too; give how many there are."""
    found = {f"cells/{name}": sha256 for name, sha256 in hash_files(run / "cells")}
    found |= {f"genes/{name}": sha256 for name, sha256 in hash_files(run / "genes")}
    torn = sorted(name for name, sha256 in found.items() if wanted.published.get(name) != sha256)
    sums = dict(hash_files(run / STATE / "genes"))
    torn += [f"{STATE}/genes/{name}" for name, sha256 in sums.items() if wanted.sums.get(name) != sha256]
    if torn:
        raise BrokenError(f"torn under their final names: {', '.join(torn[:SHOWN])}")
    return len(found) + len(sums)


def read_journals(run: Path) -> Iterator[dict[str, Any]]:
    """Give the valid records of all journals, by this reader's own rules: a line counts if its CRC is right."""
    for path in sorted((run / STATE).glob("journal*/*.jsonl")) + sorted((run / STATE).glob("journal*.jsonl")):
        for line in path.read_bytes().split(b"\n"):
            checksum, _, text = line.partition(b" ")
            if checksum == f"{zlib.crc32(text):08x}".encode():
                yield json.loads(text)


def require_journalled_parts(run: Path) -> int:
    """Insist that every part a journal knows is there, of its size and hash; give how many it knows."""
    known = 0
    for record in read_journals(run):
        receipt = record.get("receipt")
        if not receipt:
            continue
        name = f"{record['shard']}.parquet"
        for place, part in ((run / "cells" / name, receipt["cells"]), (run / STATE / "genes" / name, receipt["genes"])):
            if part is None:
                continue
            known += 1
            if not place.is_file():
                raise BrokenError(f"{place} stands in the journal and is gone")
            if place.stat().st_size != part["size"] or hash_file(place) != part["sha256"]:
                raise BrokenError(f"{place} stands in the journal and is torn ({place.stat().st_size} bytes)")
    return known


def hash_everything(run: Path) -> dict[str, str]:
    """Give the sha256 of every file of a run, the protocol's own too."""
    return dict(hash_files(run))
