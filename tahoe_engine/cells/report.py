"""What a scan tells while it runs, and when it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Progress:
    """How far a scan is.

    Parameters
    ----------
    doing : str
        ``"footers"``, ``"cells"``, ``"genes"``; or ``"draining"``: interrupted, `total` shards are under way.
    done, total : int
        Shards.
    rows, rows_total : int
        Rows of this launch.
    quarantined : int
        Shards set aside so far.
    seconds : float
        Since this part of the work began.
    """

    doing: str
    done: int
    total: int
    rows: int = 0
    rows_total: int = 0
    quarantined: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class CellsReport:
    """What a scan did.

    Parameters
    ----------
    into : Path
        The run folder.
    manifest : dict
        Of the stage `cells`, as it stands in the run.
    units_done, units_found_done : int
        Shards scanned by this launch, and by earlier ones.
    rows_done : int
        Rows scanned by this launch.
    seconds : float
        Of this launch, planning included.
    units_taken_over : int
        Of those of earlier launches: shards whose line in the journal was lost, and whose parts were found whole.
    journals_torn : int
        Journals whose end a crash had torn; it was cut off.
    """

    into: Path
    manifest: dict[str, Any]
    units_done: int
    units_found_done: int
    rows_done: int
    seconds: float
    units_taken_over: int = 0
    journals_torn: int = 0

    @property
    def n_quarantined(self) -> int:
        """Shards set aside."""
        return len(self.manifest["quarantined"])

    def describe(self) -> dict[str, Any]:
        """Give the report as plain values.

        Returns
        -------
        dict
            JSON-able; without the lists of inputs and parts.
        """
        names = ("rows", "filtered", "rejected", "warnings", "wanted", "quarantined", "digest", "tokens_checked")
        return {
            "into": str(self.into),
            "seconds": round(self.seconds, 3),
            "cells_per_second": round(self.rows_done / self.seconds) if self.seconds else None,
            "shards_done": self.units_done,
            "shards_found_done": self.units_found_done,
            "shards_taken_over": self.units_taken_over,
            "journals_torn": self.journals_torn,
            **{name: self.manifest[name] for name in names},
        }
