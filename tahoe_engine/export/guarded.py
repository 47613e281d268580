"""What HDF5 must not meet: a disk that fails and an interrupt in its midst. Either may end the process."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ASKING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def hold_interrupts() -> Iterator[None]:
    """Let Ctrl-C and a polite kill wait for the end of the block; also as a decorator.

    Yields
    ------
    None
        For calls into HDF5. It calls our file object, and an interrupt raised there is lost in the library: a file was
        finished that lacked what was being written, and then the process ended with a segmentation fault.

    Notes
    -----
    Other threads than the main one never hear a signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    before = {number: signal.signal(number, lambda asked, _: heard.append(asked)) for number in ASKING}
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: somebody set it without Python, and Python cannot set it back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if heard:
        signal.raise_signal(heard[0])


class GuardedFile:
    """A new file for ``h5py.File(file, "w")`` that keeps the first error to itself until it is asked.

    Parameters
    ----------
    path : Path
        A name that nobody has.

    Attributes
    ----------
    error : OSError or None
        The first one. What could not be written since is held in memory, so that HDF5 reads back what it wrote and can
        close its file in peace.

    Raises
    ------
    OSError
        If it cannot be made.

    Notes
    -----
    HDF5 1.14 writes out its caches when objects are freed. Where that fails, h5py can but print the error, and tries
    again for each object; under a limit of 3 MB an export of 60,000 cells ended with a segmentation fault.

    Examples
    --------
    >>> import h5py  # doctest: +SKIP
    >>> guarded = GuardedFile(path)  # doctest: +SKIP
    >>> with h5py.File(guarded, "w") as file:  # doctest: +SKIP
    ...     guarded.check()
    """

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        self._place = self._size = 0
        self._held: list[tuple[int, bytes]] = []
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Sync the file, unless it failed, and close it."""
        try:
            if self.error is None:
                os.fsync(self._handle)
        finally:
            os.close(self._handle)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        return self._place

    def tell(self) -> int:
        """Tell the place."""
        return self._place

    def read(self, size: int) -> bytes:
        """Read what was written there; h5py knows a file by this method."""
        buffer = bytearray(size)
        return bytes(buffer[: self.readinto(memoryview(buffer))])

    def readinto(self, buffer: memoryview) -> int:
        """Read what was written there, also what the disk did not take."""
        view = memoryview(buffer).cast("B")
        start, length = self._place, max(0, min(len(view), self._size - self._place))
        try:
            content = os.pread(self._handle, length, start)
        except OSError as error:
            self.error, content = self.error or error, b""
        view[:length] = content + bytes(length - len(content))
        for place, held in self._held:
            first, last = max(place, start), min(place + len(held), start + length)
            if first < last:
                view[first - start : last - start] = held[first - place : last - place]
        self._place += length
        return length

    def write(self, content: memoryview) -> int:
        """Write, or hold what the disk does not take."""
        view = memoryview(content).cast("B")
        done = 0
        try:
            while self.error is None and done < len(view):
                done += os.pwrite(self._handle, view[done:], self._place + done)
        except OSError as error:
            self.error = error
        if self.error is not None:
            self._held.append((self._place, bytes(view)))
        self._place += len(view)
        self._size = max(self._size, self._place)
        return len(view)

    def truncate(self, size: int) -> int:
        """Set the length."""
        try:
            if self.error is None:
                os.ftruncate(self._handle, size)
        except OSError as error:
            self.error = error
        self._size = size
        return size

    def flush(self) -> None:
        """Do nothing: there is no buffer."""
