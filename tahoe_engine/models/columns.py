"""Which columns a model sees: of the blocks of a recipe, without some."""

from __future__ import annotations

import difflib
from functools import lru_cache
from typing import TYPE_CHECKING

from tahoe_engine.errors import ConfigError, StageError, escape_controls
from tahoe_engine.features.loaded import Features, load_features
from tahoe_engine.features.matrix import plan_spreads
from tahoe_engine.run.manifest import digest_of
from tahoe_engine.schema import FOLD

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tahoe_engine.features.matrix import Spread


@lru_cache(maxsize=4)  # asked for with every piece
def open_features(root: str, name: str, manifest: str) -> Features:
    """Load features, once a process.

    Parameters
    ----------
    root : str
        The run folder.
    name : str
        Of the features.
    manifest : str
        Digest of their manifest.

    Returns
    -------
    Features
        These.

    Raises
    ------
    StageError
        If they are not there, or not those of the digest.
    """
    features = load_features(root, name)
    if digest_of(features.manifest) != manifest:
        raise StageError(f"features {name!r} were made anew while models were trained; run the same command again")
    return features


def list_ids(features: Features) -> tuple[str, ...]:
    """Name the stored columns that are neither fold nor target nor feature.

    Parameters
    ----------
    features : Features
        Whose.

    Returns
    -------
    tuple of str
        In order.
    """
    other = {FOLD, *features.lineage["targets"], *features.lineage["columns"]}
    return tuple(name for name, _ in features.manifest["columns"] if name not in other)


def select_columns(
    features: Features, target: str, blocks: Sequence[str], without: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Choose columns of the matrix.

    Parameters
    ----------
    features : Features
        Whose.
    target : str
        Blocks that are not for it are left out, also where they are named.
    blocks : sequence of str
        Of the recipe; none: all.
    without : sequence of str
        Blocks, stored columns, or columns of the matrix that are left out.

    Returns
    -------
    columns : tuple of str
        Of the matrix, in order.
    sources : tuple of str
        The stored column that each is from.

    Raises
    ------
    ConfigError
        If there is no such block or column, or none is left.
    """
    told = features.lineage["columns"]
    stored = [name for name, _ in features.manifest["columns"] if name in told]
    barred = set(features.lineage["targets"][target]["without"])
    levels = {name: tuple(told[name].get("names", (name,))) for name in stored}
    known = dict.fromkeys(told[name]["block"] for name in stored)
    for name in blocks:
        if name not in known:
            raise ConfigError(_refuse(features, "block", name, known))
    matrix = {level for of in levels.values() for level in of}
    for name in without:
        if name not in known and name not in levels and name not in matrix:
            raise ConfigError(_refuse(features, "block or column", name, [*known, *levels, *sorted(matrix)]))
    left_out = set(without)
    pairs = [
        (level, name)
        for name in stored
        if told[name]["block"] not in barred | left_out
        and (not blocks or told[name]["block"] in blocks)
        and name not in left_out
        for level in levels[name]
        if level not in left_out
    ]
    if not pairs:
        raise ConfigError(f"features {features.name!r}: no column is left for the target {target!r}; leave fewer out")
    return tuple(level for level, _ in pairs), tuple(name for _, name in pairs)


@lru_cache(maxsize=64)  # asked for with every piece
def plan_columns(
    root: str, name: str, manifest: str, columns: tuple[str, ...], sources: tuple[str, ...]
) -> list[Spread]:
    """Give every stored column its place in the matrix.

    Parameters
    ----------
    root, name, manifest
        As in `open_features`.
    columns, sources : tuple of str
        As `select_columns` gives them.

    Returns
    -------
    list of Spread
        In order.
    """
    told = open_features(root, name, manifest).lineage["columns"]
    wanted: dict[str, set[str]] = {}
    for column, source in zip(columns, sources, strict=True):
        wanted.setdefault(source, set()).add(column)
    return plan_spreads([(source, told[source].get("names"), frozenset(of)) for source, of in wanted.items()])


def _refuse(features: Features, what: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(names[:20])}"
    return escape_controls(f"features {features.name!r} have no {what} {name!r}; {hint}")
