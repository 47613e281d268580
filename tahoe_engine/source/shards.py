"""Find the shards of a source and give each a name that can stand in a file name, a log line and a manifest."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tahoe_engine.errors import SourceError, escape_controls

if TYPE_CHECKING:
    from collections.abc import Sequence

# Paths stay text throughout: pathlib would change what the user wrote ("./a", "a//b"), and names are compared as given.
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
LATER = "is not supported yet; give a folder, a glob, a list of files (.txt) or a Parquet file on this machine"
MAX_LIST_BYTES = 64 << 20
METADATA_TABLES = ("gene_metadata", "sample_metadata", "drug_metadata", "cell_line_metadata")


@dataclass(frozen=True, order=True)
class Shard:
    """One file of a source.

    Parameters
    ----------
    name : str
        Unique within the source and safe: ``[A-Za-z0-9._-]``, at most 200 characters. The stem of the file where that
        is both.
    path : str
        Where the file is.
    """

    name: str
    path: str


def find_shards(source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Shard]:
    """List the shards of a source, sorted by name.

    Parameters
    ----------
    source : str, path, or sequence of them
        A folder (its ``data/*.parquet``, or where there are none its ``*.parquet``; folders below are not entered),
        a glob (``**`` enters folders), a list of files (a ``.txt`` with a path a line, relative to itself; ``#`` starts
        a comment), a single file, or several of these.

    Returns
    -------
    list of Shard
        Sorted by name, then path. Two files of one name get a hash of their place appended.

    Raises
    ------
    SourceError
        If there is nothing, if a file is named twice, or for a kind of source that is not read yet.
    """
    items = [source] if isinstance(source, (str, os.PathLike)) else source
    given = [os.fspath(item) for item in items]
    if not given:
        raise SourceError("no source is named; give a folder, a glob, a list of files (.txt) or a Parquet file")
    paths = [path for item in given for path in _expand(item)]
    twice = [path for path, number in Counter(map(os.path.abspath, paths)).items() if number > 1]
    if twice:
        raise SourceError(f"{escape_controls(twice[0])} is named twice; its cells would be counted twice")
    return _name_shards(paths)


def find_metadata(source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> Path | None:
    """Find the metadata tables a source brings along.

    Parameters
    ----------
    source : str, path, or sequence of them
        As in `find_shards`.

    Returns
    -------
    Path or None
        ``SOURCE/metadata`` where the source is one folder and has all four tables there.
    """
    if not isinstance(source, (str, os.PathLike)) or not os.path.isdir(source):  # noqa: PTH112 - paths are text here
        return None
    folder = Path(source) / "metadata"
    return folder if all((folder / f"{name}.parquet").is_file() for name in METADATA_TABLES) else None


def safe_name(stem: str) -> str:
    """Make a shard name of a file's stem.

    Parameters
    ----------
    stem : str
        File name without ``.parquet``; any text.

    Returns
    -------
    str
        The stem itself if it is safe; else cleaned, cut, and with eight digits of its hash.

    Examples
    --------
    >>> safe_name("train-00042-of-03388"), safe_name("zwei Wörter")
    ('train-00042-of-03388', 'zwei_W_rter-64353079')
    """
    if SAFE_NAME.fullmatch(stem):
        return stem
    cleaned = re.sub(r"[^A-Za-z0-9._-]", "_", stem).lstrip("._-")[:180]
    return f"{cleaned or 'shard'}-{_short_hash(stem)}"


def _short_hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _expand(item: str) -> list[str]:
    shown = escape_controls(item)
    if "\0" in item:
        raise SourceError(f"{shown}: a path cannot hold a NUL character")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", item):
        raise SourceError(f"{shown}: reading from {item.partition(':')[0]}:// {LATER}")
    if os.path.isdir(item):  # noqa: PTH112 - paths are text here
        return _list_folder(Path(item))
    # A file of this very name comes before a glob: names may hold brackets.
    if os.path.lexists(item):
        if item.endswith((".jsonl", ".jsonl.gz", ".json", ".arrow")):
            raise SourceError(f"{shown}: a {Path(item).suffix} source {LATER}")
        return _read_list(Path(item)) if item.endswith(".txt") else [item]
    if glob.has_magic(item):
        found = sorted(path for path in glob.glob(item, recursive=True) if not os.path.isdir(path))  # noqa: PTH112, PTH207 - paths are text here
        if not found:
            raise SourceError(f"{shown}: no file matches this pattern")
        return found
    raise SourceError(f"{shown}: there is no such file or folder")


def _list_folder(folder: Path) -> list[str]:
    shown = escape_controls(str(folder))
    for place in (folder / "data", folder):
        try:
            found = sorted(
                entry.path
                for entry in os.scandir(place)
                # A dangling link stays in the list: a shard that cannot be read must be named, not skipped.
                if entry.name.endswith(".parquet") and not entry.name.startswith(".") and not _is_folder(entry)
            )
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise SourceError(f"{escape_controls(str(place))}: cannot be listed ({error.strerror})") from error
        if found:
            return found
    if (folder / "dataset_info.json").is_file() or any(folder.glob("*.arrow")):
        raise SourceError(f"{shown}: a folder saved by `datasets` {LATER}")
    raise SourceError(f"{shown}: no shards; looked for data/*.parquet and *.parquet in this folder")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A loop of links: a shard that cannot be read, and no reason to see none of the others.
        return False


def _read_list(path: Path) -> list[str]:
    shown = escape_controls(str(path))
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise SourceError(f"{shown}: a list of files has at most {MAX_LIST_BYTES} bytes")
        lines = path.read_text(encoding="utf-8-sig", errors="surrogateescape").splitlines()
    except OSError as error:
        raise SourceError(f"{shown}: cannot be read ({error.strerror})") from error
    names = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not names:
        raise SourceError(f"{shown}: the list is empty; write one path a line")
    for name in names:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name):
            raise SourceError(f"{shown}: reading {escape_controls(name)} {LATER}")
    paths = [os.path.join(path.parent, name) for name in names]  # noqa: PTH118 - paths are text here
    missing = [name for name, place in zip(names, paths, strict=True) if not os.path.lexists(place)]
    if missing:
        raise SourceError(f"{shown}: {len(missing)} of its {len(names)} files are missing, first {missing[0]!r}")
    return paths


def _name_shards(paths: list[str]) -> list[Shard]:
    stems = [os.path.basename(path).removesuffix(".parquet") for path in paths]  # noqa: PTH119 - paths are text here
    names = [safe_name(stem) for stem in stems]
    # Compared without case, so that a run can be copied to a file system that does not know it.
    number = Counter(name.lower() for name in names)
    # Relative to what the files have in common: a copy of the source elsewhere gets the same names.
    absolute = [os.path.abspath(path) for path in paths]  # noqa: PTH100 - paths are text here
    root = os.path.commonpath([os.path.dirname(path) for path in absolute])  # noqa: PTH120 - paths are text here
    named = [
        name if number[name.lower()] == 1 else f"{name[:180]}-{_short_hash(os.path.relpath(path, root))}"
        for name, path in zip(names, absolute, strict=True)
    ]
    if len({name.lower() for name in named}) < len(named):
        raise SourceError("two shards have the same name even with a hash appended; rename one")
    return sorted(Shard(name, path) for name, path in zip(named, paths, strict=True))
