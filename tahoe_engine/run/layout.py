"""Where things are in a run folder: the only place that knows."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "_MANIFEST.json"
# What a stage may be called: a verb, or a verb and a name that the user gave.
STAGE_NAME = re.compile(r"[a-z][a-z0-9_]*(?:/[A-Za-z0-9][A-Za-z0-9_.-]*)?")
VERBS = {"models": "train"}  # where the command has another name than the folder
# Stages whose units are the parts of a table of many, by the folder of that table.
PARTITIONED = {"groups": "moments", "contrasts": "results"}


@dataclass(frozen=True)
class Layout:
    """The paths of one run.

    Parameters
    ----------
    root : Path
        The run folder. What users read stands in it; what the protocol needs stands in ``.tahoe``.
    epoch : int
        Number of the launch that may write; 0 for readers.

    Examples
    --------
    >>> from pathlib import Path
    >>> Layout(Path("RUN")).part("cells", "train-00000-of-00002").as_posix()
    'RUN/cells/train-00000-of-00002.parquet'
    """

    root: Path
    epoch: int = 0

    @property
    def state(self) -> Path:
        """Folder of the protocol."""
        return self.root / ".tahoe"

    @property
    def lock(self) -> Path:
        """File that a launch holds."""
        return self.state / "lock"

    @property
    def epochs(self) -> Path:
        """Folder with a file for each launch; the newest is the one that may write."""
        return self.state / "epoch"

    @property
    def all_temporary(self) -> Path:
        """Folder of the unfinished files of all launches."""
        return self.state / "tmp"

    @property
    def temporary(self) -> Path:
        """Folder of the unfinished files of this launch."""
        return self.all_temporary / f"{self.epoch:06}"

    @property
    def all_set_aside(self) -> Path:
        """Folder of what launches set aside: replaced by ``--new``, changed or damaged; `tahoe gc` removes it."""
        return self.state / "old"

    @property
    def set_aside(self) -> Path:
        """Folder of what this launch sets aside."""
        return self.all_set_aside / f"{self.epoch:06}"

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
        """One part of a stage; its name may hold the folder of a partition."""
        return self.root / stage / PARTITIONED.get(stage, "") / f"{name}.parquet"

    def held_back(self, stage: str) -> Path:
        """Folder of finished parts of a stage that ``--strict`` did not publish."""
        return self.state / "held" / flatten(stage)

    def plan(self, stage: str) -> Path:
        """File of the plan of a stage."""
        return self.state / f"plan-{flatten(stage)}.json"

    @property
    def journals(self) -> Path:
        """Folder of the journals."""
        return self.state / "journal"

    def journal(self, stage: str) -> Path:
        """Journal of a stage, of this launch."""
        return self.journals / f"{flatten(stage)}-{self.epoch:06}.jsonl"

    def receipts(self, stage: str) -> Path:
        """Folder of the receipts that workers left beside their parts."""
        return self.state / "receipts" / flatten(stage)

    def receipt(self, stage: str, name: str) -> Path:
        """Receipt of a unit."""
        return self.receipts(stage) / f"{flatten(name)}.json"

    def kept(self, stage: str) -> Path:
        """Folder of what a stage keeps of long work that is under way."""
        return self.state / "kept" / flatten(stage)

    @property
    def sources(self) -> Path:
        """Where the shards of this run were found; a manifest does not say, so that equal runs have equal ones."""
        return self.state / "sources.json"

    def unit_files(self, stage: str, name: str) -> dict[str, Path]:
        """Files that a unit of a stage commits, by their entry in its receipt; the last is what readers see."""
        own = {"genes": self.gene_parts / f"{name}.parquet"} if stage == "cells" else {}
        return {**own, stage: self.part(stage, name)}

    def make_state(self) -> None:
        """Make the folders of the protocol."""
        for folder in (self.state, self.epochs, self.journals, self.temporary):
            folder.mkdir(parents=True, exist_ok=True)

    def clear_temporary(self) -> None:
        """Remove unfinished files, also of launches that are gone; call it with the lock held."""
        shutil.rmtree(self.all_temporary, ignore_errors=True)
        self.temporary.mkdir(parents=True, exist_ok=True)


def flatten(name: str) -> str:
    """Give the name of a unit or a stage as one file name.

    Parameters
    ----------
    name : str
        As `name_part` gives it, or the name of a stage, or without a folder.

    Returns
    -------
    str
        Without a slash; different for different names, since `name_part` writes no ``+``.

    Examples
    --------
    >>> flatten("plate=plate4/smp_1783")
    'plate=plate4+smp_1783'
    """
    return name.replace("/", "+")


def unflatten(name: str) -> str:
    """Give the name of a stage back.

    Parameters
    ----------
    name : str
        What `flatten` made of it.

    Returns
    -------
    str
        With its slash.

    Examples
    --------
    >>> unflatten(flatten("features/biospark-m3")), unflatten("cells")
    ('features/biospark-m3', 'cells')
    """
    return name.replace("+", "/")


def name_verb(stage: str) -> str:
    """Give the command that computes a stage.

    Parameters
    ----------
    stage : str
        Its name; what is behind a slash was named by the user.

    Returns
    -------
    str
        As one types it.

    Examples
    --------
    >>> name_verb("cells"), name_verb("features/biospark-m3"), name_verb("models/biospark-m3")
    ('tahoe cells', 'tahoe features', 'tahoe train')
    """
    first = stage.partition("/")[0]
    return f"tahoe {VERBS.get(first, first)}"
