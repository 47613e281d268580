"""What the stage tells when it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class GroupsReport:
    """What a launch did.

    Parameters
    ----------
    into : Path
        The run folder.
    manifest : dict
        Of the stage.
    parts_done, parts_found_done : int
        Parts made by this launch, and by earlier ones.
    rows_read : int
        Rows of the row groups that this launch read.
    seconds : float
        Of this launch, planning included.
    """

    into: Path
    manifest: dict[str, Any]
    parts_done: int
    parts_found_done: int
    rows_read: int
    seconds: float

    def describe(self) -> dict[str, Any]:
        """Give the report as plain values.

        Returns
        -------
        dict
            JSON-able; without the list of parts.
        """
        names = ("n_groups", "n_cells", "settings", "needs", "digest")
        return {
            "into": str(self.into),
            "seconds": round(self.seconds, 3),
            "rows_read": self.rows_read,
            "rows_per_second": round(self.rows_read / self.seconds) if self.seconds else None,
            "parts_done": self.parts_done,
            "parts_found_done": self.parts_found_done,
            "table_rows": sum(part["rows"] for part in self.manifest["parts"]),
            "bytes": sum(part["size"] for part in self.manifest["parts"]),
            **{name: self.manifest[name] for name in names},
        }
