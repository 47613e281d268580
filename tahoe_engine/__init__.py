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
    from tahoe_engine.pipeline import run_job
    from tahoe_engine.run import Run
    from tahoe_engine.source import find_shards

__all__ = ["Run", "compute_contrasts", "find_shards", "fit_limma", "load_settings", "run_job", "scan_cells"]

_HOMES = {
    "Run": "tahoe_engine.run",
    "compute_contrasts": "tahoe_engine.contrasts",
    "find_shards": "tahoe_engine.source",
    "fit_limma": "tahoe_engine.contrasts.limma",
    "load_settings": "tahoe_engine.config",
    "run_job": "tahoe_engine.pipeline",
    "scan_cells": "tahoe_engine.cells",
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
