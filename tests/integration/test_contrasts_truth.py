"""From made-up shards to contrasts: what was planted is found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

import tahoe_engine as te
from planted import correlate

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plate of the top dose whose drugs move every gene; some 600 cells a group."""
    from tahoe_engine.groups import sum_groups
    from tahoe_engine.synth import write_atlas

    folder = tmp_path_factory.mktemp("planted")
    write_atlas(folder / "atlas", plates=(6,), wells=5, lines=["A-172"], cells=3_000, seed=3, drug_genes=1.0)
    te.scan_cells(folder / "atlas", folder / "run", workers=0)
    sum_groups(folder / "run", workers=0)
    return folder / "run"


@pytest.mark.parametrize("method", ["limma", "welch"])
def test_planted_fold_changes_are_found_in_their_order(grouped: Path, method: str) -> None:
    te.compute_contrasts(grouped, method=method, workers=0, new=True)
    found = correlate(grouped, grouped.parent / "atlas").filter(pl.col("dose_um") == 5.0)
    assert found.height == 2
    assert (found["n_genes"] > 10_000).all()
    # The bar of 0.9 is for groups of more cells: `python -m bench contrasts`.
    assert (found["spearman"] > 0.85).all()
    # Those of another drug are nothing like it.
    other = correlate(grouped, grouped.parent / "atlas", of_another_drug=True).filter(pl.col("dose_um") == 5.0)
    assert (other["spearman"].abs() < 0.1).all()
