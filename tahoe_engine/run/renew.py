"""What was computed before gives way: withdrawn from the readers first, set aside, removed only by `tahoe gc`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tahoe_engine.run.journal import list_journals
from tahoe_engine.run.manifest import remove_stages
from tahoe_engine.run.parts import move_aside

if TYPE_CHECKING:
    from collections.abc import Collection

    from tahoe_engine.run.layout import Layout


def withdraw_stages(layout: Layout, stages: Collection[str]) -> None:
    """Make stages unfinished: no reader takes their parts for a whole any more.

    Parameters
    ----------
    layout : Layout
        The run, held by this launch.
    stages : collection of str
        Names of stages.
    """
    remove_stages(layout, stages)
    for stage in stages:
        move_aside(layout, layout.stage_manifest(stage))


def set_aside_stages(layout: Layout, stage: str, dependents: Collection[str]) -> None:
    """Set aside all there is of a stage, so that it starts anew.

    Parameters
    ----------
    layout : Layout
        The run, held by this launch.
    stage : str
        Name of the stage.
    dependents : collection of str
        Stages that are published with it, itself included.

    Notes
    -----
    The plan goes last: broken off in between, the stage is refused again or started anew, and never mixed.
    """
    remove_stages(layout, dependents)
    for path in (
        *(layout.stage(name) for name in dependents),
        layout.held_back(stage),
        layout.receipts(stage),
        layout.kept(stage),
        *(file.parent for file in layout.unit_files(stage, "any").values()),
        *list_journals(layout, stage),
        layout.plan(stage),
    ):
        move_aside(layout, path)


def set_aside_inputs(layout: Layout, stage: str, names: Collection[str]) -> None:
    """Set aside what came of inputs that are not there any more.

    Parameters
    ----------
    layout : Layout
        The run, held by this launch.
    stage : str
        Name of the stage.
    names : collection of str
        Names of its units.
    """
    for name in sorted(names):
        for path in layout.unit_files(stage, name).values():
            move_aside(layout, path)
