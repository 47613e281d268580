"""The beginning of a launch of a stage: the plan of earlier launches is this one's, or there is a word about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tahoe_engine.run.disk import hash_file
from tahoe_engine.run.plan import record_plan

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from tahoe_engine.run.journal import Journal
    from tahoe_engine.run.layout import Layout


def begin_stage(  # noqa: PLR0913 - each is one thing a plan depends on
    layout: Layout,
    journal: Journal,
    stage: str,
    semantic: Mapping[str, Any],
    inputs: Mapping[str, Mapping[str, Any]],
    *,
    dependents: Collection[str] = (),
    accept_changed_inputs: bool = False,
) -> str:
    """Record the plan of a stage, in its file and in the journal, and bring back what was held back.

    Parameters
    ----------
    layout : Layout
        The run, held by this launch.
    journal : Journal
        Of the stage; what earlier launches wrote tells which inputs gave nothing, and which plan was theirs.
    stage, semantic, inputs, dependents, accept_changed_inputs
        As in `record_plan`.

    Returns
    -------
    str
        Key of the plan, without the inputs.

    Raises
    ------
    StageError
        If the stage was started with other settings or other inputs.
    """
    # The last word on each unit counts: what was quarantined once may have been mended since.
    last = {record["shard"]: record for record in journal.records if "shard" in record}
    key = record_plan(
        layout,
        stage,
        semantic,
        inputs,
        dependents=dependents,
        redo={name for name, record in last.items() if "receipt" not in record},
        accept_changed_inputs=accept_changed_inputs,
        known=next((record["plan"] for record in reversed(journal.records) if "plan" in record), None),
    )
    journal.append({"plan": hash_file(layout.plan(stage))})
    _bring_back(layout, stage)
    return key


def hold_back(layout: Layout, journal: Journal, stage: str) -> None:
    """Take finished parts out of sight, once no worker adds to them; a later launch brings them back.

    Parameters
    ----------
    layout : Layout
        The run, held by this launch.
    journal : Journal
        Of the stage.
    stage : str
        Name of the stage.
    """
    if layout.stage_manifest(stage).exists():
        return  # an earlier launch published them
    held, folder = layout.held_back(stage), layout.stage(stage)
    journal.sync()
    for part in sorted(folder.rglob("*.parquet")):
        place = held / part.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        part.replace(place)
    _remove_empty(folder)


def _bring_back(layout: Layout, stage: str) -> None:
    """Put parts back that an earlier launch held back."""
    held, folder = layout.held_back(stage), layout.stage(stage)
    for part in sorted(held.rglob("*.parquet")):
        place = folder / part.relative_to(held)
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.exists():
            part.replace(place)


def _remove_empty(folder: Path) -> None:
    if folder.is_dir():
        for inner in folder.iterdir():
            if inner.is_dir() and not inner.is_symlink():
                _remove_empty(inner)
        if not any(folder.iterdir()):
            folder.rmdir()
