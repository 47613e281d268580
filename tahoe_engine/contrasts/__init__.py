"""The stage `contrasts`: each treatment against its matched control, from the moments of groups."""

from __future__ import annotations

from tahoe_engine.contrasts.plan import ContrastsPlan, plan_contrasts
from tahoe_engine.contrasts.report import ContrastsReport
from tahoe_engine.contrasts.stage import compute_contrasts

__all__ = ["ContrastsPlan", "ContrastsReport", "compute_contrasts", "plan_contrasts"]
