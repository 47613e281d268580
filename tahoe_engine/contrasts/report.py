"""What the stage tells when it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class ContrastsReport:
    """What a launch did.

    Parameters
    ----------
    into : Path
        The run folder.
    manifest : dict
        Of the stage.
    parts_done, parts_found_done : int
        Parts made by this launch, and by earlier ones.
    contrasts_done : int
        Contrasts computed by this launch.
    seconds : float
        Of this launch, planning included.
    strongest : tuple of dict
        The contrasts with the most genes below a false discovery rate of 0.05, most first: drug, dose_um, cell_line_id,
        plate, n_significant.
    without_control : tuple of dict
        The first contrasts that have none: drug, dose_um, cell_line_id, plate.
    """

    into: Path
    manifest: dict[str, Any]
    parts_done: int
    parts_found_done: int
    contrasts_done: int
    seconds: float
    strongest: tuple[dict[str, Any], ...] = ()
    without_control: tuple[dict[str, Any], ...] = ()

    def describe(self) -> dict[str, Any]:
        """Give the report as plain values.

        Returns
        -------
        dict
            JSON-able; without the list of parts.
        """
        names = ("n_contrasts", "n_without_control", "flags", "settings", "needs", "digest")
        return {
            "into": str(self.into),
            "seconds": round(self.seconds, 3),
            "contrasts_done": self.contrasts_done,
            "contrasts_per_second": round(self.contrasts_done / self.seconds, 1) if self.seconds else None,
            "parts_done": self.parts_done,
            "parts_found_done": self.parts_found_done,
            "result_rows": sum(part["rows"] for part in self.manifest["parts"] if "/" in part["name"]),
            "bytes": sum(part["size"] for part in self.manifest["parts"]),
            **{name: self.manifest[name] for name in names},
            "strongest": list(self.strongest),
            "without_control": list(self.without_control),
        }
