"""The leak guard: what in a table of features gives the target, or test rows, away."""

from __future__ import annotations

from tahoe_engine.leaks.find import find_leaks
from tahoe_engine.leaks.fitting import find_fitted_elsewhere
from tahoe_engine.leaks.leak import KINDS, Leak
from tahoe_engine.leaks.lineage import find_lineage_leaks
from tahoe_engine.leaks.straddle import find_straddling

__all__ = ["KINDS", "Leak", "find_fitted_elsewhere", "find_leaks", "find_lineage_leaks", "find_straddling"]
