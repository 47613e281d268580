"""Files in the on-disk format of AnnData, written piece by piece: what is held in memory does not grow with them.

The format is that of https://anndata.readthedocs.io/en/stable/fileformat-prose.html: each group and data set carries
its ``encoding-type`` and ``encoding-version``.
"""

from __future__ import annotations

import os
import re
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tahoe_engine.errors import ConfigError, StoppedError, escape_controls
from tahoe_engine.export.guarded import GuardedFile, hold_interrupts
from tahoe_engine.run import sync_folder
from tahoe_engine.run.parts import NO_LINKS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import h5py
    import numpy as np

SUFFIX = ".h5ad"
CHUNK = 65_536  # elements: half a megabyte of 8-byte values, small enough to be read by a block of rows
CHUNK_CACHE = 8 << 20  # a data set: a chunk that two groups share is compressed once
PARTS = ("uns", "layers", "obsm", "varm", "obsp", "varp")
# Level 1: the further levels cost twice the time for a few percent.
COMPRESSION: dict[str, dict[str, Any]] = {
    "gzip": {"compression": "gzip", "compression_opts": 1, "shuffle": True},
    "lzf": {"compression": "lzf", "shuffle": True},
    "none": {},
}


def require_target(into: Path, compression: str, *, force: bool) -> None:
    """Refuse a target that cannot be written, before any work.

    Parameters
    ----------
    into : Path
        The file to write.
    compression : str
        As in `COMPRESSION`.
    force : bool
        Whether an older file may be replaced.

    Raises
    ------
    ConfigError
        If the package `anndata` is missing, the name is none of an h5ad file, its folder is not there, something stands
        there already, or there is no such compression.
    """
    try:
        import anndata  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise ConfigError(f"h5ad files need a package ({error}); pip install 'tahoe-engine[export]'") from error
    shown = escape_controls(str(into))
    if compression not in COMPRESSION:
        raise ConfigError(f"--compression {compression!r}: there is {', '.join(COMPRESSION)}")
    # A path has lost one of the two slashes.
    if into.suffix != SUFFIX or re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(into)):
        raise ConfigError(f"--into {shown}: name a file of this machine that ends in {SUFFIX}")
    if not into.parent.is_dir():
        raise ConfigError(f"--into {shown}: there is no folder {escape_controls(str(into.parent))}; make it first")
    if into.is_dir():
        raise ConfigError(f"--into {shown} is a folder; name a file")
    if not force and os.path.lexists(into):
        raise ConfigError(f"{shown} is there already; name another file, or replace it with --force")


@dataclass(frozen=True)
class Target:
    """An h5ad file that is being written.

    Parameters
    ----------
    root : h5py.File
        With the attributes of an AnnData and its empty parts; ``obs`` and ``var`` are for the caller.
    disk : GuardedFile
        What lies under it.
    """

    root: h5py.File
    disk: GuardedFile


@contextmanager
def write_h5ad(into: Path, *, force: bool) -> Iterator[Target]:
    """Write an h5ad file that appears whole or not at all.

    Parameters
    ----------
    into : Path
        As `require_target` has found it.
    force : bool
        Replace an older file.

    Yields
    ------
    Target
        For the caller to fill.

    Raises
    ------
    ConfigError
        If somebody else has made the file meanwhile.
    StoppedError
        If the disk is full or fails.
    """
    import h5py

    temporary = into.with_name(f".{uuid4().hex}{SUFFIX}")
    try:
        with closing(GuardedFile(temporary)) as disk:
            with hold_interrupts():
                root = h5py.File(disk, "w", rdcc_nbytes=CHUNK_CACHE, rdcc_nslots=10_007)
            try:
                with hold_interrupts():
                    encode(root, "anndata", "0.1.0")
                    for part in PARTS:
                        encode(root.create_group(part), "dict", "0.1.0")
                yield Target(root, disk)
            finally:
                with hold_interrupts():
                    root.close()
            disk.check()
        if force:
            temporary.replace(into)
        else:
            _link(temporary, into)
        sync_folder(into.parent)
    except FileExistsError as error:
        raise ConfigError(f"{escape_controls(str(into))} appeared while it was written; it is as it was") from error
    except OSError as error:
        raise StoppedError(f"{escape_controls(str(into))}: {error}; mend that, then run it again") from error
    finally:
        temporary.unlink(missing_ok=True)


def _link(temporary: Path, into: Path) -> None:
    """Give a name that nobody has: link() fails where it exists, unlike rename()."""
    try:
        os.link(temporary, into, follow_symlinks=False)
    except OSError as error:
        if error.errno not in NO_LINKS or os.path.lexists(into):
            raise
        temporary.rename(into)


def encode(item: h5py.Group | h5py.Dataset, kind: str, version: str) -> None:
    """Say what an item is, in the words of the format.

    Parameters
    ----------
    item : h5py.Group or h5py.Dataset
        Whatever was made.
    kind, version : str
        Its encoding.
    """
    item.attrs["encoding-type"] = kind
    item.attrs["encoding-version"] = version


class SparseWriter:
    """Sparse matrices of one pattern, row by row (CSR); the places of their values are stored once.

    Parameters
    ----------
    file : Target
        Where they go.
    dtypes : mapping
        For each matrix, by its path in the file (``"X"``, ``"layers/sum"``): the NumPy type of its values.
    shape : (int, int)
        Rows and columns.
    compression : str
        As in `COMPRESSION`.
    nnz : int
        Stored values, where that is known; `put` makes room otherwise.

    Notes
    -----
    The further matrices hold hard links to ``indices`` and ``indptr`` of the first: any reader sees whole matrices, and
    four layers of Tahoe's groups need 14 GB less.
    """

    @hold_interrupts()
    def __init__(
        self, file: Target, dtypes: Mapping[str, str], shape: tuple[int, int], compression: str, nnz: int = 0
    ) -> None:
        options = {"shape": (nnz,), "maxshape": (None,), "chunks": (CHUNK,), **COMPRESSION[compression]}
        self._shape, self._disk = shape, file.disk
        self._groups = {name: file.root.create_group(name) for name in dtypes}
        for group in self._groups.values():
            encode(group, "csr_matrix", "0.1.0")
            group.attrs["shape"] = shape
        # Held open: a data set that is closed loses its chunk cache.
        self._data = {
            name: group.create_dataset("data", dtype=dtypes[name], **options) for name, group in self._groups.items()
        }
        self._first = next(iter(self._groups.values()))
        self._indices = self._first.create_dataset("indices", dtype="<i4", **options)
        self.nnz = nnz

    @hold_interrupts()
    def put(self, start: int, indices: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
        """Store values at their places.

        Parameters
        ----------
        start : int
            Place of the first among all stored values.
        indices : ndarray of int
            Column of each.
        values : mapping
            For each matrix: its values, as many.
        """
        end = start + len(indices)
        if end > self.nnz:
            self._resize(end)
        self._indices[start:end] = indices
        for name, data in self._data.items():
            data[start:end] = values[name]
        self._disk.check()

    @hold_interrupts()
    def finish(self, indptr: np.ndarray) -> None:
        """Say where the rows begin; the last act.

        Parameters
        ----------
        indptr : ndarray of int64
            Rows + 1 places.
        """
        if len(indptr) != self._shape[0] + 1 or int(indptr[-1]) != self.nnz:
            raise AssertionError(f"{len(indptr) - 1} rows, {indptr[-1]} of {self.nnz} values")
        self._first.create_dataset("indptr", data=indptr.astype("<i8"))
        for group in self._groups.values():
            if group is not self._first:
                group["indices"], group["indptr"] = self._first["indices"], self._first["indptr"]

    def _resize(self, nnz: int) -> None:
        self._indices.resize((nnz,))
        for data in self._data.values():
            data.resize((nnz,))
        self.nnz = nnz


@hold_interrupts()
def write_provenance(file: Target, facts: Mapping[str, Any]) -> None:
    """Say in ``uns["tahoe_engine"]`` what the file was made of, and by what.

    Parameters
    ----------
    file : Target
        An h5ad file.
    facts : mapping
        Texts, numbers, lists of texts; mappings of such.
    """
    from anndata.io import write_elem

    write_elem(file.root["uns"], "tahoe_engine", dict(facts))


def name_uniquely(names: Sequence[str], marks: Sequence[object]) -> list[str]:
    """Make names unique: those that stand there more than once get their mark appended.

    Parameters
    ----------
    names : sequence of str
        As they are.
    marks : sequence
        One a name, each another.

    Returns
    -------
    list of str
        No two alike.

    Examples
    --------
    >>> name_uniquely(["a", "b", "a", "a-0"], [0, 1, 2, 3])
    ['a-0-0', 'b', 'a-2', 'a-0']
    """
    from collections import Counter

    taken = set(names)
    if len(taken) == len(names):
        return list(names)
    number = Counter(names)
    unique = []
    for name, mark in zip(names, marks, strict=True):
        free = name
        if number[name] > 1:
            free = f"{name}-{mark}"
            while free in taken:
                free = f"{free}-{mark}"
            taken.add(free)
        unique.append(free)
    return unique
