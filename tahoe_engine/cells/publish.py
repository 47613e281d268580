"""Make what was computed visible: the table of genes, then the manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tahoe_engine.cells.genes import merge_genes
from tahoe_engine.cells.launch import PUBLISHED
from tahoe_engine.cells.manifests import describe_cells, describe_genes
from tahoe_engine.cells.report import Progress
from tahoe_engine.cells.wanted import LOOKED_AT, describe_wanted
from tahoe_engine.errors import ShardError
from tahoe_engine.run import is_published, remove_stages, write_manifest, write_run_manifest
from tahoe_engine.source import read_footers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tahoe_engine.cells.launch import Launch


def publish(launch: Launch, tables: list[dict[str, Any]], tell: Callable[[Progress], None]) -> dict[str, Any]:
    """Write the table of genes and the manifests: of the stages first, of the run last.

    Parameters
    ----------
    launch : Launch
        With all receipts.
    tables : list of dict
        Files of the tables that were joined.
    tell : callable
        Called with a `Progress` before the genes are merged.

    Returns
    -------
    dict
        Manifest of the cells. If it stands there already, with all its parts, nothing is written.
    """
    layout, plan = launch.layout, launch.plan
    wanted = describe_wanted(plan.wanted, launch.wanted_rows(), plan.joined, _values(launch))
    cells = describe_cells(
        launch.semantic,
        launch.inputs,
        launch.receipts,
        quarantined=launch.quarantined_records(),
        wanted=wanted,
        tables=tables,
    )
    stages = list(PUBLISHED if plan.settings.cells.stats == "all" else PUBLISHED[:1])
    if is_published(layout, stages, {"cells": cells}):
        return cells
    # Until all of them agree, readers find none.
    remove_stages(layout, PUBLISHED)
    layout.stage("cells").mkdir(exist_ok=True)
    write_manifest(layout, "cells", cells)
    if "genes" in stages:
        tell(Progress("genes", 0, len(launch.receipts)))
        part = merge_genes(layout, launch.receipts, plan.joined, cells["rows"]["kept"])
        write_manifest(layout, "genes", describe_genes(cells, part))
    write_run_manifest(layout, stages)
    return cells


def _values(launch: Launch) -> dict[str, list[str]]:
    """Read what some of the shards hold, if a wanted name that the tables know had no row."""
    plan, rows = launch.plan, launch.wanted_rows()
    missing = any(
        not rows.get(key, {}).get(value) and value not in plan.wanted.unknown[key]
        for key, values in plan.wanted.values.items()
        for value in values
    )
    if not missing or not plan.shards:
        return {}
    step = max(1, len(plan.shards) // LOOKED_AT)
    some = [planned.footer.shard for planned in plan.shards[::step]][:LOOKED_AT]
    there: dict[str, set[str]] = {}
    footers = read_footers(
        some, plan.settings.limits.model_dump(), values=True, source=plan.settings.source, kept=launch.layout.footers
    )
    for footer in footers:
        if not isinstance(footer, ShardError):
            for key, column in launch.filter_columns.items():
                there.setdefault(key, set()).update(footer.values.get(column, ()))
    return {key: sorted(values) for key, values in there.items()}
