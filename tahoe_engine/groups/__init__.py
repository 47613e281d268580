"""The stage `groups`: exact moments of every gene in every group of cells."""

from __future__ import annotations

from tahoe_engine.groups.plan import GroupsPlan, plan_groups
from tahoe_engine.groups.report import GroupsReport
from tahoe_engine.groups.select import select_genes
from tahoe_engine.groups.stage import sum_groups

__all__ = ["GroupsPlan", "GroupsReport", "plan_groups", "select_genes", "sum_groups"]
