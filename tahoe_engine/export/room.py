"""Whether an exported file fits the disk, and the memory of whoever reads it."""

from __future__ import annotations

import shutil
import warnings
from typing import TYPE_CHECKING

from tahoe_engine.errors import ConfigError, TahoeWarning, escape_controls

if TYPE_CHECKING:
    from pathlib import Path

# Counts of a cell are mostly 1, which gzip packs six to eight times; means and variances of groups hardly 1.5 times.
SMALLEST_SHARE = {"gzip": 0.2, "lzf": 0.3, "none": 1.0}
A_LOT = 8 << 30  # bytes held by a reader: what a laptop has free
BACKED = 'anndata.read_h5ad(file, backed="r")'
BYTES_A_ROW = 200  # of `obs`: some twenty columns


def require_room(  # noqa: PLR0913 - each is something the size depends on
    into: Path, nnz: int, stored: int, *, held: int, compression: str, n_rows: int = 0, otherwise: str = BACKED
) -> None:
    """Refuse a file that cannot fit its disk, and warn of one that hardly fits a memory.

    Parameters
    ----------
    into : Path
        The file.
    nnz : int
        Values of the largest matrix.
    stored, held : int
        Bytes of a value in the file before compression, and in the memory of who reads it, all matrices together.
    compression : str
        As in `tahoe_engine.export.h5ad.COMPRESSION`.
    n_rows : int
        Rows of ``obs``.
    otherwise : str
        How to read it in pieces.

    Raises
    ------
    ConfigError
        If even the smallest file that is to be expected is larger than what is free.
    """
    least = int(nnz * stored * SMALLEST_SHARE[compression]) + n_rows * BYTES_A_ROW
    free = shutil.disk_usage(into.parent).free
    if least > free:
        raise ConfigError(
            f"{escape_controls(str(into))}: at least {_gigabytes(least)} would be written and {_gigabytes(free)} are "
            "free; choose fewer with --plates, --drugs, --cell-lines or --samples, or another disk"
        )
    memory = nnz * held + n_rows * BYTES_A_ROW
    if memory > A_LOT:
        warnings.warn(
            f"{escape_controls(str(into))}: to read it whole takes {_gigabytes(memory)} of memory; choose fewer, or "
            f"take it in pieces: {otherwise}",
            TahoeWarning,
            stacklevel=3,
        )


def _gigabytes(number: int) -> str:
    return f"{number / 1e9:,.1f} GB"
