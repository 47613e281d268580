"""What the stage tells when it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class ModelsReport:
    """What a launch did.

    Parameters
    ----------
    into : Path
        The run folder.
    name : str
        Of the models: that of the task, with ``-bug-compat`` in that mode.
    manifest : dict
        Of the stage.
    fits_done, fits_found_done : int
        Models fitted by this launch, and by earlier ones.
    seconds : float
        Of this launch.
    """

    into: Path
    name: str
    manifest: dict[str, Any]
    fits_done: int
    fits_found_done: int
    seconds: float

    def describe(self) -> dict[str, Any]:
        """Give the report as plain values.

        Returns
        -------
        dict
            JSON-able; without the list of parts.
        """
        shown = ("features", "mode", "targets", "split_by", "metric", "judged_on", "n", "models", "rows", "leaks")
        return {
            "into": str(self.into),
            "name": self.name,
            "seconds": round(self.seconds, 3),
            "fits_done": self.fits_done,
            "fits_found_done": self.fits_found_done,
            "notes": self.manifest["notes"],
            "digest": self.manifest["digest"],
            **{name: self.manifest[name] for name in shown},
        }
