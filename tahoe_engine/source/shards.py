"""Find the shards of a source and give each a name that can stand in a file name, a log line and a manifest."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tahoe_engine.errors import SourceError, escape_controls
from tahoe_engine.sections import SourceSettings
from tahoe_engine.source.address import scheme_of, show_address
from tahoe_engine.source.lines import slice_lines
from tahoe_engine.source.remote import Remote
from tahoe_engine.source.saved import is_saved, list_saved, slice_arrow
from tahoe_engine.source.shard import Shard

if TYPE_CHECKING:
    from collections.abc import Sequence

# Paths stay text throughout: pathlib would change what the user wrote ("./a", "a//b"), and names are compared as given.
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
WHAT = "a folder, a glob, a list of files (.txt), a .parquet or .jsonl file, or an hf://, s3:// or https:// address"
MAX_LIST_BYTES = 64 << 20
CUTTERS = {".jsonl": slice_lines, ".arrow": slice_arrow}
METADATA_TABLES = ("gene_metadata", "sample_metadata", "drug_metadata", "cell_line_metadata")


def find_shards(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], settings: SourceSettings | None = None
) -> list[Shard]:
    """List the shards of a source, sorted by name.

    Parameters
    ----------
    source : str, path, or sequence of them
        A folder (its ``data/*.parquet``, or where there are none its ``*.parquet``; folders below are not entered),
        a glob (``**`` enters folders), a list of files (a ``.txt`` with a path a line, relative to itself; ``#`` starts
        a comment), a single file, a folder saved by `datasets`, an address (``hf://datasets/OWNER/NAME[@REV]/PATH`` or
        ``s3://BUCKET/KEY``, both with globs; ``https://`` of a file or a list), or several of these.
    settings : SourceSettings, optional
        How remote shards are asked, and how many rows of a ``.jsonl`` or Arrow file are one shard.

    Returns
    -------
    list of Shard
        Sorted by name, then path. Two files of one name get a hash of their place appended; a file of more rows than
        one shard may have gives several, each named after its first row.

    Raises
    ------
    SourceError
        If there is nothing, if a file is named twice, or for a kind of source that is not read.
    FetchError
        If a listing cannot be had for now.
    ConfigError
        If a package is missing that reads this kind of address.
    """
    settings = settings or SourceSettings()
    items = [source] if isinstance(source, (str, os.PathLike)) else source
    given = [os.fspath(item) for item in items]
    if not given:
        raise SourceError(f"no source is named; give {WHAT}")
    with Remote(settings) as remote:
        found = [one for item in given for one in _expand(item, remote)]
    twice = [path for path, number in Counter(map(_absolute, found)).items() if number > 1]
    if twice:
        raise SourceError(f"{escape_controls(twice[0])} is named twice; its cells would be counted twice")
    return _name_shards([part for one in found for part in _cut(one, settings.rows_a_unit)])


def find_metadata(source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> Path | None:
    """Find the metadata tables a source brings along.

    Parameters
    ----------
    source : str, path, or sequence of them
        As in `find_shards`.

    Returns
    -------
    Path or None
        ``SOURCE/metadata`` where the source is one folder and has all four tables there; None where it has none.

    Raises
    ------
    SourceError
        If it has some of them: to take the others from Tahoe-100M would mix two data sets.
    """
    if not isinstance(source, (str, os.PathLike)) or not os.path.isdir(source):  # noqa: PTH112 - paths are text here
        return None
    folder = Path(source) / "metadata"
    missing = [f"{name}.parquet" for name in METADATA_TABLES if not (folder / f"{name}.parquet").is_file()]
    if missing and len(missing) < len(METADATA_TABLES):
        raise SourceError(
            f"{escape_controls(str(folder))} lacks {', '.join(missing)}; add what is missing, "
            "or name a folder with all four tables: --set source.metadata=FOLDER"
        )
    return None if missing else folder


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


def _expand(item: str, remote: Remote) -> list[Shard]:
    shown = show_address(item)
    if "\0" in item:
        raise SourceError(f"{shown}: a path cannot hold a NUL character")
    if scheme_of(item):
        return remote.expand(item)
    if os.path.isdir(item):  # noqa: PTH112 - paths are text here
        return [Shard("", path) for path in _list_folder(Path(item))]
    # A file of this very name comes before a glob: names may hold brackets.
    if os.path.lexists(item):
        if item.endswith((".jsonl.gz", ".jsonl.zst", ".json")):
            raise SourceError(f"{shown}: unpack it, and write one cell a line into a .jsonl file")
        return _read_list(Path(item), remote) if item.endswith(".txt") else [Shard("", item)]
    if glob.has_magic(item):
        found = sorted(path for path in glob.glob(item, recursive=True) if not os.path.isdir(path))  # noqa: PTH112, PTH207 - paths are text here
        if not found:
            raise SourceError(f"{shown}: no file matches this pattern")
        return [Shard("", path) for path in found]
    raise SourceError(f"{shown}: there is no such file or folder")


def _cut(shard: Shard, rows_a_unit: int) -> list[Shard]:
    """Cut a file that is converted before it is scanned into slices of bounded size."""
    if scheme_of(shard.path) or not shard.path.endswith(tuple(CUTTERS)):
        return [shard]
    slices = CUTTERS[os.path.splitext(shard.path)[1]](shard.path, rows_a_unit)  # noqa: PTH122 - paths are text here
    return [replace(shard, slice=part) for part in slices]


def _absolute(shard: Shard) -> str:
    # Of two signatures of one address one is enough.
    return shard.path if scheme_of(shard.path) else os.path.abspath(shard.path)  # noqa: PTH100 - paths are text here


def _list_folder(folder: Path) -> list[str]:
    shown = escape_controls(str(folder))
    if is_saved(folder):
        return list_saved(folder)
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
    raise SourceError(f"{shown}: no shards; looked for data/*.parquet and *.parquet in this folder")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A loop of links: a shard that cannot be read, and no reason to see none of the others.
        return False


def _read_list(path: Path, remote: Remote) -> list[Shard]:
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
    places = [name if scheme_of(name) else os.path.join(path.parent, name) for name in names]  # noqa: PTH118 - paths are text here
    missing = [
        name for name, place in zip(names, places, strict=True) if not scheme_of(place) and not os.path.lexists(place)
    ]
    if missing:
        raise SourceError(f"{shown}: {len(missing)} of its {len(names)} files are missing, first {missing[0]!r}")
    return [one for place in places for one in (remote.expand(place) if scheme_of(place) else [Shard("", place)])]


def _name_shards(shards: list[Shard]) -> list[Shard]:
    names = [safe_name(_stem(shard)) for shard in shards]
    # Compared without case, so that a run can be copied to a file system that does not know it.
    number = Counter(name.lower() for name in names)
    # Relative to what the files have in common: a copy of the source elsewhere gets the same names.
    absolute = [os.path.abspath(shard.path) for shard in shards]  # noqa: PTH100 - paths are text here
    root = os.path.commonpath([os.path.dirname(path) for path in absolute])  # noqa: PTH120 - paths are text here
    named = [
        name if number[name.lower()] == 1 else f"{name[:180]}-{_short_hash(os.path.relpath(path, root))}"
        for name, path in zip(names, absolute, strict=True)
    ]
    if len({name.lower() for name in named}) < len(named):
        raise SourceError("two shards have the same name even with a hash appended; rename one")
    return sorted(replace(shard, name=name) for name, shard in zip(named, shards, strict=True))


def _stem(shard: Shard) -> str:
    stem = os.path.basename(shard.path)  # noqa: PTH119 - paths are text here
    for suffix in (".parquet", *CUTTERS):
        stem = stem.removesuffix(suffix)
    part = shard.slice
    # Ten digits, so that shards sorted by name are in the order of their rows.
    return stem if part is None or part.whole else f"{stem}-row-{part.first_row:010}"
