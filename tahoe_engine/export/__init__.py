"""Runs as files of AnnData: groups, cells, and the counts of chosen cells."""

from __future__ import annotations

from tahoe_engine.export.cells import export_cells
from tahoe_engine.export.groups import export_groups
from tahoe_engine.export.raw import export_raw
from tahoe_engine.export.report import ExportReport

__all__ = ["ExportReport", "export_cells", "export_groups", "export_raw"]
