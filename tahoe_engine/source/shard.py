"""One unit of a source, wherever and in whatever form it lies."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class Slice:
    """Some rows of a file that is converted before it is scanned.

    Parameters
    ----------
    first_row, last_row : int
        Rows of the file; the last is not included.
    start, end : int
        Where they stand in it, in bytes; roughly, where rows cannot be reached by their place.
    digest : str
        sha256 of these bytes (JSONL), or of schema, batch lengths and both ends of the file (Arrow).
    kind : str
        ``"jsonl"`` or ``"arrow"``.
    whole : bool
        The file has no other rows.
    """

    first_row: int
    last_row: int
    start: int
    end: int
    digest: str
    kind: str
    whole: bool = False

    @property
    def n_rows(self) -> int:
        """Rows of the slice."""
        return self.last_row - self.first_row


@dataclass(frozen=True, order=True)
class Shard:
    """One file of a source, or some rows of one.

    Parameters
    ----------
    name : str
        Unique within the source and safe: ``[A-Za-z0-9._-]``, at most 200 characters. The stem of the file where that
        is both.
    path : str
        Where the file is: a path, or an address without anything secret.
    size : int, optional
        Bytes of a remote file, where its listing or an answer said.
    version : str
        What identifies the content of a remote file: ``sha256:…`` and ``blob:…`` of the hub, ``etag:…``, or
        ``modified:…``.
    secret : str
        Query of a signed address; shown nowhere.
    slice : Slice, optional
        The rows, where the file is no Parquet.
    """

    name: str
    path: str
    size: int | None = field(default=None, compare=False)
    version: str = field(default="", compare=False)
    secret: str = field(default="", compare=False, repr=False)
    slice: Slice | None = field(default=None, compare=False)
