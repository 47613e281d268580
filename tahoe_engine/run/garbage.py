"""What a run keeps to be safe and no longer needs: set aside, left by dead launches, or of units that are gone."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tahoe_engine.errors import StageError, StoppedError
from tahoe_engine.run.layout import STAGE_NAME, Layout, flatten, unflatten
from tahoe_engine.run.lock import hold_run
from tahoe_engine.run.plan import read_plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike


@dataclass(frozen=True)
class Garbage:
    """A file that nothing needs.

    Parameters
    ----------
    file : str
        Relative to the run folder.
    size : int
        Bytes.
    """

    file: str
    size: int


def collect_garbage(path: str | PathLike[str], *, dry_run: bool = False) -> list[Garbage]:
    """Remove what a run no longer needs; no table, manifest or journal is touched.

    Parameters
    ----------
    path : str or path-like
        The run folder.
    dry_run : bool
        Only tell what would be removed.

    Returns
    -------
    list of Garbage
        What was removed, sorted: parts set aside by ``--new``, ``--accept-changed-inputs`` or because they were
        damaged; unfinished files of launches that died; receipts and gene sums of units that are not in the plan; what
        a stage kept of work under way and left when it was published.

    Raises
    ------
    StageError
        If this is no run folder, or its plan is damaged.
    HeldError
        If a launch is writing to it.

    Examples
    --------
    >>> collect_garbage("demo/run", dry_run=True)  # doctest: +SKIP
    """
    if not Layout(Path(path)).state.is_dir():
        raise StageError(f"{path}: not a run folder (it has no .tahoe)")
    with hold_run(path) as layout:
        try:
            found = sorted(set(_find(layout)))
            garbage = [Garbage(file.relative_to(layout.root).as_posix(), file.lstat().st_size) for file in found]
            if not dry_run:
                for file in found:
                    file.unlink()
                for folder in (layout.all_temporary, layout.all_set_aside):
                    shutil.rmtree(folder, ignore_errors=True)
        except OSError as error:
            raise StoppedError(f"{error}; mend that, then run the same command again") from error
        return garbage


def _find(layout: Layout) -> Iterator[Path]:
    for folder in (layout.all_temporary, layout.all_set_aside):
        _require_own(layout, folder)
        yield from (path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    for plan in layout.state.glob("plan-*.json"):
        stage = unflatten(plan.stem.removeprefix("plan-"))
        if not STAGE_NAME.fullmatch(stage):
            raise StageError(f"{plan} is not a plan of this engine; nothing was removed")
        # Before it is published, a launch goes on from there.
        if layout.stage_manifest(stage).exists():
            _require_own(layout, layout.kept(stage))
            yield from (path for path in layout.kept(stage).rglob("*") if not path.is_dir() or path.is_symlink())
        names = {flatten(name) for name in read_plan(layout, stage)["inputs"]}
        for folder in (layout.receipts(stage), *(file.parent for file in layout.unit_files(stage, "any").values())):
            # What users read is not ours to remove: `tahoe verify` names strangers there.
            if folder.is_relative_to(layout.state) and folder.is_dir():
                _require_own(layout, folder)
                yield from (path for path in folder.iterdir() if path.stem not in names and not path.is_dir())


def _require_own(layout: Layout, folder: Path) -> None:
    """Refuse a folder that leads out of the run: what is there belongs to somebody else."""
    for place in (folder, *folder.parents):
        if place == layout.root:
            return
        if place.is_symlink():
            raise StageError(f"{place} is a link; nothing was removed")
