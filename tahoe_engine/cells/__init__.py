"""The main job: shards in, one row a cell and one row a gene out."""

from __future__ import annotations

from tahoe_engine.cells.plan import CellsPlan, plan_cells
from tahoe_engine.cells.report import CellsReport, Progress
from tahoe_engine.cells.scan import scan_cells

__all__ = ["CellsPlan", "CellsReport", "Progress", "plan_cells", "scan_cells"]
