"""What the stage tells when it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class FeaturesReport:
    """What a launch did.

    Parameters
    ----------
    into : Path
        The run folder.
    name : str
        Of the features.
    manifest : dict
        Of the stage.
    parts_done, parts_found_done : int
        Parts made by this launch, and by earlier ones.
    rows_done : int
        Rows of the table that were made into features by this launch.
    seconds : float
        Of this launch, planning and fitting included.
    """

    into: Path
    name: str
    manifest: dict[str, Any]
    parts_done: int
    parts_found_done: int
    rows_done: int
    seconds: float

    def describe(self) -> dict[str, Any]:
        """Give the report as plain values.

        Returns
        -------
        dict
            JSON-able; without the list of parts.
        """
        shown = ("rows", "split", "targets", "n_features", "leaks", "leaks_allowed", "notes", "needs", "digest")
        return {
            "into": str(self.into),
            "name": self.name,
            "seconds": round(self.seconds, 3),
            "rows_done": self.rows_done,
            "rows_per_second": round(self.rows_done / self.seconds, 1) if self.seconds else None,
            "parts_done": self.parts_done,
            "parts_found_done": self.parts_found_done,
            "bytes": sum(part["size"] for part in self.manifest["parts"]),
            **{name: self.manifest[name] for name in shown if name in self.manifest},
        }
