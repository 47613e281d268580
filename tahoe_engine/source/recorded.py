"""Where shards were found, written down for the stages that read them again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import ConfigError, SourceError, StageError
from tahoe_engine.schema import EXPRESSIONS, GENES_LIST
from tahoe_engine.source.address import scheme_of
from tahoe_engine.source.fetched import fetch_pieces
from tahoe_engine.source.images import build_image
from tahoe_engine.source.shard import Shard, Slice
from tahoe_engine.source.shards import find_shards

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from tahoe_engine.sections import SourceSettings
    from tahoe_engine.source.footers import Footer
    from tahoe_engine.source.kept import KeptTails


@dataclass(frozen=True)
class Recorded:
    """A shard as a run has recorded it.

    Parameters
    ----------
    shard : Shard
        Where it is; without the query of a signed address.
    size : int
        Bytes of the file.
    footer_digest : str
        With the size, its identity.
    row_groups : tuple of int
        Rows of each row group.
    list_bytes : int
        Compressed bytes of its two list columns.
    signed : bool
        It was read through a signed address, which is not kept.
    """

    shard: Shard
    size: int
    footer_digest: str
    row_groups: tuple[int, ...]
    list_bytes: int
    signed: bool = False

    @property
    def n_rows(self) -> int:
        """Rows of the shard."""
        return sum(self.row_groups)


def describe_footers(footers: Iterable[Footer]) -> dict[str, Any]:
    """Give what must be known of shards to read them again, without anything secret.

    Parameters
    ----------
    footers : iterable of Footer
        As they were planned.

    Returns
    -------
    dict
        JSON-able; by the name of the shard.
    """
    found = {}
    for footer in footers:
        shard = footer.shard
        lists = [c["compressed_bytes"] for c in footer.columns if c["name"] in {GENES_LIST, EXPRESSIONS}]
        runs: list[list[int]] = []
        for rows in footer.row_groups:
            if runs and runs[-1][0] == rows:
                runs[-1][1] += 1
            else:
                runs.append([rows, 1])
        found[shard.name] = {
            "path": shard.path if scheme_of(shard.path) else str(Path(shard.path).absolute()),
            "version": shard.version,
            "slice": None if shard.slice is None else asdict(shard.slice),
            "signed": bool(shard.secret),
            "size": footer.size,
            "footer_digest": footer.digest,
            "row_groups": runs,
            "list_bytes": sum(lists),
        }
    return found


def restore_shards(recorded: Mapping[str, Any]) -> dict[str, Recorded]:
    """Give back what `describe_footers` wrote.

    Parameters
    ----------
    recorded : mapping
        As it stands in the file.

    Returns
    -------
    dict
        By the name of the shard.

    Raises
    ------
    StageError
        If it is damaged.
    """
    try:
        return {
            name: Recorded(
                shard=Shard(
                    name=name,
                    path=entry["path"],
                    size=entry["size"] if scheme_of(entry["path"]) else None,
                    version=entry["version"],
                    slice=None if entry["slice"] is None else Slice(**entry["slice"]),
                ),
                size=entry["size"],
                footer_digest=entry["footer_digest"],
                row_groups=tuple(rows for rows, times in entry["row_groups"] for _ in range(times)),
                list_bytes=entry["list_bytes"],
                signed=entry["signed"],
            )
            for name, entry in recorded.items()
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StageError(f"the list of where shards are is damaged ({error}); run `tahoe cells` again") from error


def read_recorded(
    path: Path,
    cells: Mapping[str, Any],
    settings: SourceSettings,
    source: str | os.PathLike[str] | Sequence[str] | None = None,
) -> dict[str, Recorded]:
    """Give the shards whose cells a run has, and where they are.

    Parameters
    ----------
    path : Path
        The file that `describe_footers` went to.
    cells : mapping
        Manifest of the cells.
    settings : SourceSettings
        How remote shards are asked.
    source : str, path or list of them, optional
        Where the shards are now, if they have moved; whether they are the same files is seen when they are read.

    Returns
    -------
    dict of str to Recorded
        By name; those that were set aside are not among them.

    Raises
    ------
    StageError
        If the run does not say, or says it of other files.
    SourceError
        If a shard is not in the source that was named.
    ConfigError
        If a shard was read through a signed address: a run keeps no secrets.
    """
    try:
        known = restore_shards(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise StageError(
            f"{path}: cannot be read, so that nobody knows where the shards are ({error}); run `tahoe cells` again "
            "with the same options: what is finished is not done again"
        ) from error
    inputs = {entry["name"]: entry for entry in cells["inputs"]}
    names = [part["name"].removesuffix(".parquet") for part in cells["parts"]]
    for name in names:
        one, entry = known.get(name), inputs[name]
        if one is None or (one.size, one.footer_digest) != (entry["size"], entry["footer_digest"]):
            raise StageError(f"{path} and the manifest of the cells disagree about {name}; run `tahoe cells` again")
    if source is not None:
        return _move({name: known[name] for name in names}, find_shards(source, settings))
    signed = [name for name in names if known[name].signed]
    if signed:
        raise ConfigError(
            f"{signed[0]} was read through a signed address, and a run keeps no secrets; name the source again with "
            "--source"
        )
    return {name: known[name] for name in names}


def _move(recorded: Mapping[str, Recorded], shards: Sequence[Shard]) -> dict[str, Recorded]:
    there = {shard.name: shard for shard in shards}
    missing = [name for name in recorded if name not in there]
    if missing:
        raise SourceError(f"{len(missing)} shards of this run are not in the source that was named, first {missing[0]}")
    return {
        name: Recorded(there[name], one.size, one.footer_digest, one.row_groups, one.list_bytes)
        for name, one in recorded.items()
    }


def fetch_rows(  # noqa: PLR0913 - each is one thing that reading depends on
    one: Recorded, rows: bytes, source: SourceSettings, kept: KeptTails, limits: Mapping[str, int], *, reject: bool
) -> tuple[int, str, list[tuple[int, bytes]] | None]:
    """Give what the core needs to read rows of a shard, wherever it lies.

    Parameters
    ----------
    one : Recorded
        Which.
    rows : bytes
        Rows of the shard, ascending, 64-bit little-endian: what is fetched holds them.
    source : SourceSettings
        How remote shards are asked.
    kept : KeptTails
        Where footers are kept.
    limits : mapping
        The ``[limits]`` section.
    reject : bool
        Lines that are no cells were rejected, not fatal.

    Returns
    -------
    size, footer_digest, pieces
        As `_rust.read_counts` takes them; no pieces: the core reads the file itself.

    Raises
    ------
    ShardError
        E_INPUT_CHANGED if it is another file now.
    FetchError
        If it cannot be had for now.
    """
    if scheme_of(one.shard.path):
        pieces = fetch_pieces(one.shard, source, kept, limits, stats="counts", rows=rows)
        return one.size, one.footer_digest, pieces
    if one.shard.slice is None:
        return one.size, one.footer_digest, None
    image = build_image(one.shard, limits, reject=reject)
    return len(image.content), image.digest, image.pieces
