"""File systems of our own: ext4 on a file whose power can be cut, and a tmpfs that is soon full."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from chaos.campaign import BrokenError, SkippedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
NO_LOG_FLUSH = 2  # what is in memory is lost, the journal's newest part too
MIB = 2**20


def require_mounts(*programs: str) -> None:
    """Skip where nothing can be mounted."""
    if os.geteuid() != 0:
        raise SkippedError("only root may mount")
    if missing := [name for name in ("mount", "umount", *programs) if shutil.which(name) is None]:
        raise SkippedError(f"{', '.join(missing)} is not installed")


def require_loop(place: Path) -> None:
    """Skip where no file can be mounted; a mount that fails later is a failure."""
    require_mounts("mkfs.ext4", "losetup")
    place.mkdir()
    try:
        with Ext4(place, 8) as disk:
            disk.mount("defaults")
            disk.unmount()
    except BrokenError as error:
        raise SkippedError(f"no loop device can be mounted here: {error}") from error


class Ext4:
    """An ext4 file system in a file."""

    def __init__(self, place: Path, mib: int) -> None:
        self._image, self.root = place / "disk.ext4", place / "disk"
        self.root.mkdir()
        with self._image.open("wb") as file:
            file.truncate(mib * MIB)
        call("mkfs.ext4", "-q", "-F", str(self._image))

    def mount(self, options: str) -> None:
        """Mount it; what the last cut left in its journal is replayed."""
        call("mount", "-t", "ext4", "-o", f"loop,{options}", str(self._image), str(self.root))

    def cut(self) -> None:
        """Cut the power."""
        handle = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(handle)

    def unmount(self) -> None:
        """Unmount it, when the last user has closed the last file."""
        for _ in range(500):
            if subprocess.run(["umount", self.root], capture_output=True, check=False).returncode == 0:  # noqa: S607
                return
            time.sleep(0.01)
        call("umount", str(self.root))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", self.root], capture_output=True, check=False)  # noqa: S607


@contextmanager
def mount_tmpfs(root: Path, kib: int) -> Iterator[None]:
    """Mount a small file system in memory."""
    root.mkdir()
    try:
        call("mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(root))
    except BrokenError as error:
        raise SkippedError(f"no tmpfs can be mounted here: {error}") from error
    try:
        yield
    finally:
        call("umount", "--lazy", str(root))


def resize_tmpfs(root: Path, kib: int) -> None:
    """Give it more room, or less."""
    call("mount", "-o", f"remount,size={kib}k", str(root))


def call(*command: str) -> None:
    """Run a program that must succeed."""
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode != 0:
        raise BrokenError(f"{' '.join(command)}: {done.stderr.strip()}")
