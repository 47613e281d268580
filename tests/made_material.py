"""Features of made-up cells, for tests of what trains on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from made_tables import SUMMARIES, make, make_cells, make_recipe, write_parts
from tahoe_engine.models.kept import Kept
from tahoe_engine.models.material import Material, open_material
from tahoe_engine.models.task import Task
from tahoe_engine.run import Layout

if TYPE_CHECKING:
    from pathlib import Path

LINE = {"kind": "one_hot", "name": "line", "column": "cell_line_id", "levels": "seen"}
WELL = {"kind": "one_hot", "name": "moa", "column": "moa-fine", "levels": "seen"}
VALUE = {"kind": "column", "name": "value_of", "column": "value"}
LINE_OF = {"kind": "column", "name": "line_of", "column": "cell_line_id", "without": ["line"]}


def make_material(
    into: Path, target: str = "value_of", *, n_cells: int = 10, n_parts: int = 6, **split: Any
) -> Material:
    """A material of a few hundred rows in some pieces, split by well."""
    recipe = make_recipe(targets=[VALUE, LINE_OF], features=[SUMMARIES, LINE, WELL], split={"by": ["sample"], **split})
    make(into, write_parts(make_cells(n_cells), into.parent / f"{into.name} table", n_parts), recipe)
    return open_material(into, "custom", target)


def make_task(*models: dict[str, Any], target: str = "value_of", **parts: Any) -> Task:
    """A task about it."""
    return Task.model_validate({"features": "custom", "targets": [target], "models": list(models), **parts})


def make_kept(folder: Path) -> Kept:
    """A place for unfinished work."""
    layout = Layout(folder)
    layout.make_state()
    return Kept(layout, "models/custom")
