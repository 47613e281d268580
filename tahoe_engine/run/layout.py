"""Where things are in a run folder: the only place that knows."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "_MANIFEST.json"


@dataclass(frozen=True)
class Layout:
    """The paths of one run.

    Parameters
    ----------
    root : Path
        The run folder. What users read stands in it; what the protocol needs stands in ``.tahoe``.

    Examples
    --------
    >>> from pathlib import Path
    >>> Layout(Path("RUN")).part("cells", "train-00000-of-00002").as_posix()
    'RUN/cells/train-00000-of-00002.parquet'
    """

    root: Path

    @property
    def state(self) -> Path:
        """Folder of the protocol."""
        return self.root / ".tahoe"

    @property
    def lock(self) -> Path:
        """File that a launch holds."""
        return self.state / "lock"

    @property
    def temporary(self) -> Path:
        """Folder of unfinished files; whoever holds the lock may empty it."""
        return self.state / "tmp"

    @property
    def gene_parts(self) -> Path:
        """Folder of the partial sums a shard."""
        return self.state / "genes"

    @property
    def footers(self) -> Path:
        """Folder of the footers of shards that lie elsewhere: a resume does not fetch them again."""
        return self.state / "footers"

    @property
    def metadata(self) -> Path:
        """Folder of the tables that were joined."""
        return self.root / "metadata"

    @property
    def manifest(self) -> Path:
        """The list of stages, written last."""
        return self.root / MANIFEST

    def stage(self, stage: str) -> Path:
        """Folder of a stage."""
        return self.root / stage

    def stage_manifest(self, stage: str) -> Path:
        """Manifest of a stage."""
        return self.root / stage / MANIFEST

    def part(self, stage: str, name: str) -> Path:
        """One part of a stage."""
        return self.root / stage / f"{name}.parquet"

    def held_back(self, stage: str) -> Path:
        """Folder of finished parts of a stage that ``--strict`` did not publish."""
        return self.state / "held" / stage

    def plan(self, stage: str) -> Path:
        """File of the plan of a stage."""
        return self.state / f"plan-{stage}.json"

    def journal(self, stage: str) -> Path:
        """Journal of a stage."""
        return self.state / f"journal-{stage}.jsonl"

    def make_state(self) -> None:
        """Make the folders of the protocol."""
        for folder in (self.state, self.temporary):
            folder.mkdir(parents=True, exist_ok=True)

    def clear_temporary(self) -> None:
        """Remove unfinished files of launches that are gone; call it with the lock held."""
        shutil.rmtree(self.temporary, ignore_errors=True)
        self.temporary.mkdir(parents=True, exist_ok=True)
