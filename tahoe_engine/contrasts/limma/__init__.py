"""The limma-voom pipeline in NumPy and SciPy, worked out from its papers: filter, TMM, voom, moderated t."""

from __future__ import annotations

from tahoe_engine.contrasts.limma.filter import filter_by_expr
from tahoe_engine.contrasts.limma.fit import Fit, Tested, fit_counts
from tahoe_engine.contrasts.limma.table import fit_limma
from tahoe_engine.contrasts.limma.tmm import norm_factors

__all__ = ["Fit", "Tested", "filter_by_expr", "fit_counts", "fit_limma", "norm_factors"]
