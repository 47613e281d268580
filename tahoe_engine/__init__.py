"""Tahoe-100M: original shards to exact tables, on Dask, through a Rust core.

Importing this package loads nothing heavy: each name is imported when it is first used.

Examples
--------
>>> import tahoe_engine as te
>>> te.scan_cells("demo/atlas", into="demo/run", workers=0)  # doctest: +SKIP
>>> te.Run("demo/run").table("cells").head().collect()  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tahoe_engine.cells import scan_cells
    from tahoe_engine.config import load_settings
    from tahoe_engine.contrasts import compute_contrasts
    from tahoe_engine.contrasts.limma import fit_limma
    from tahoe_engine.errors import LeakError, TahoeError
    from tahoe_engine.export import export_cells, export_groups, export_raw
    from tahoe_engine.features import load_features, make_features
    from tahoe_engine.groups import select_genes, sum_groups
    from tahoe_engine.leaks import find_leaks
    from tahoe_engine.models import predict_rows, train_models
    from tahoe_engine.pipeline import run_job
    from tahoe_engine.run import Run
    from tahoe_engine.source import find_shards
    from tahoe_engine.toptable import read_top_table

__all__ = [
    "LeakError",
    "Run",
    "TahoeError",
    "compute_contrasts",
    "export_cells",
    "export_groups",
    "export_raw",
    "find_leaks",
    "find_shards",
    "fit_limma",
    "load_features",
    "load_settings",
    "make_features",
    "predict_rows",
    "read_top_table",
    "run_job",
    "scan_cells",
    "select_genes",
    "sum_groups",
    "train_models",
]

_HOMES = {
    "LeakError": "tahoe_engine.errors",
    "Run": "tahoe_engine.run",
    "TahoeError": "tahoe_engine.errors",
    "compute_contrasts": "tahoe_engine.contrasts",
    "export_cells": "tahoe_engine.export",
    "export_groups": "tahoe_engine.export",
    "export_raw": "tahoe_engine.export",
    "find_leaks": "tahoe_engine.leaks",
    "find_shards": "tahoe_engine.source",
    "fit_limma": "tahoe_engine.contrasts.limma",
    "load_features": "tahoe_engine.features",
    "load_settings": "tahoe_engine.config",
    "make_features": "tahoe_engine.features",
    "predict_rows": "tahoe_engine.models",
    "read_top_table": "tahoe_engine.toptable",
    "run_job": "tahoe_engine.pipeline",
    "scan_cells": "tahoe_engine.cells",
    "select_genes": "tahoe_engine.groups",
    "sum_groups": "tahoe_engine.groups",
    "train_models": "tahoe_engine.models",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("tahoe-engine")
        except PackageNotFoundError:
            return "0.0.0"  # run from a source tree that is not installed
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
