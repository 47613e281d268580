"""The order of training rows: that of the table, or the one in which scikit-learn gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from sklearn.model_selection import train_test_split

import tahoe_engine as te
from made_tables import make_recipe
from tahoe_engine.models.material import open_material

if TYPE_CHECKING:
    from pathlib import Path

N = 53


def gather(tmp_path: Path, **parts: Any) -> list[float]:
    y = pl.Series("y", [float(at) if at not in parts.get("missing", ()) else None for at in range(N)])
    pl.DataFrame([pl.Series("id", [f"i{at}" for at in range(N)]), y, (y.fill_null(0) * 2).alias("x")]).write_parquet(
        tmp_path / "t.parquet"
    )
    recipe = make_recipe(
        table="file",
        key=["id"],
        split={"test": 0.2, "folds": 0, **parts["split"]},
        targets=[{"kind": "column", "name": "target", "column": "y"}],
        features=[{"kind": "numeric", "name": "s", "columns": ["x"]}],
    )
    te.make_features(tmp_path / "run", recipe, table=tmp_path / "t.parquet", workers=0, allow_leaks=True)
    block = open_material(tmp_path / "run", "custom", "target").gather()
    assert (block.x.toarray()[:, 0] == 2 * block.y).all()
    return [float(value) for value in block.y]


def test_rows_of_a_split_in_scikit_learns_way_come_in_its_order(tmp_path: Path) -> None:
    expected = train_test_split(range(N), test_size=0.2, random_state=7)[0]
    assert gather(tmp_path, split={"method": "sklearn", "seed": 7}) == expected


@pytest.mark.parametrize(
    "parts", [{"split": {"seed": 7}}, {"split": {"method": "sklearn", "seed": 7}, "missing": (3, 4, 5, 6)}]
)
def test_all_other_rows_come_in_the_order_of_the_table(tmp_path: Path, parts: dict[str, Any]) -> None:
    found = gather(tmp_path, **parts)
    assert found == sorted(found)
    assert len(found) >= 30
