"""`tahoe verify --against-tahoe`: the cells of a run beside the published numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import tahoe_engine as te
from tahoe_engine.cells import totals
from tahoe_engine.cli import main
from tahoe_engine.synth import write_atlas

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("totals")
    write_atlas(folder / "atlas", plates=(4, 6), wells=3, lines=4, cells=600, seed=5)
    te.scan_cells(folder / "atlas", folder / "run", workers=0)
    return folder / "run"


def test_a_run_of_some_cells_is_a_part_of_tahoe(run: Path) -> None:
    found = totals.compare_totals(run)
    assert [(plate["plate"], plate["verdict"]) for plate in found.plates] == [("plate4", "part"), ("plate6", "part")]
    assert sum(plate["cells"] for plate in found.plates) == 600
    assert found.n_mismatches == 0
    assert main(["verify", str(run), "--against-tahoe"]) == 0


def test_a_complete_plate_lacks_the_conditions_it_has_no_cells_of(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = {plate["plate"]: plate["cells"] for plate in totals.compare_totals(run).plates}
    monkeypatch.setattr(totals, "PUBLISHED", {**totals.PUBLISHED, "plate4": cells["plate4"]})
    found = totals.compare_totals(run)
    assert [plate["verdict"] for plate in found.plates] == ["equal", "part"]
    # 93 wells of the plate and 46 lines have no cell in this atlas.
    assert found.conditions["missing"] > 4000
    assert main(["verify", str(run), "--against-tahoe"]) == 3


def test_more_cells_than_published_are_a_mismatch(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "PUBLISHED", {"plate4": 1})
    assert [plate["verdict"] for plate in totals.compare_totals(run).plates] == ["more", "unknown"]


def test_a_run_of_all_shards_must_have_all_cells(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "SHARDS", 1)
    found = totals.compare_totals(run)
    assert len(found.plates) == 14
    assert {plate["verdict"] for plate in found.plates} == {"fewer"}
