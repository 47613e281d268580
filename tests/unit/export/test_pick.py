"""A few cells of every group: which ones, and that nothing else than the seed decides it."""

from __future__ import annotations

from hashlib import blake2b

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tahoe_engine.export import pick
from tahoe_engine.schema import BARCODE

CELLS = pl.DataFrame(
    {
        "drug": [f"d{i % 3}" for i in range(90)],
        BARCODE: [f"{i:02}_lib" for i in range(90)],
        "shard": [f"s{i // 30}" for i in range(90)],
        "row": [i % 30 for i in range(90)],
    }
)


def expected(n: int, seed: int) -> set[tuple[str, int]]:
    key = seed.to_bytes(8, "little")

    def order(cell: tuple[str, str, str, int]) -> int:
        return int.from_bytes(blake2b(cell[1].encode(), digest_size=8, key=key).digest(), "little")

    groups = [sorted(CELLS.filter(drug=drug).iter_rows(), key=order)[:n] for drug in ("d0", "d1", "d2")]
    return {(shard, row) for group in groups for _, _, shard, row in group}


def places(picked: pick.Picked) -> set[tuple[str, int]]:
    return {(shard, row) for shard, rows in picked.by_shard.items() for row in rows.to_list()}


@given(order=st.permutations(range(9)), n=st.integers(1, 40), seed=st.integers(0, 2**64 - 1), spare=st.integers(0, 50))
def test_the_cells_with_the_smallest_hashes_are_taken_in_any_order_of_the_parts(
    order: list[int], n: int, seed: int, spare: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pick, "SPARE", spare)
        frames = [CELLS[10 * place : 10 * place + 10] for place in order]
        picked = pick.pick_cells(frames, pick.Sample(n, ("drug",), seed))
    assert places(picked) == expected(n, seed)
    assert (picked.n_groups, picked.short) == (3, 3 if n > 30 else 0)
    assert all(rows.is_sorted() for rows in picked.by_shard.values())


def test_cells_without_a_key_are_a_group_of_their_own() -> None:
    cells = CELLS.with_columns(pl.when(pl.col("drug") != "d1").then(pl.col("drug")).alias("drug"))
    picked = pick.pick_cells([cells], pick.Sample(1, ("drug",)))
    assert picked.n_groups == 3
    assert sum(map(len, picked.by_shard.values())) == 3


def test_barcodes_that_stand_there_twice_are_told_apart_by_their_place() -> None:
    same = CELLS.with_columns(pl.lit("same").alias(BARCODE))
    assert places(pick.pick_cells([same[30:], same[:30]], pick.Sample(2, ("drug",)))) == {("s0", i) for i in range(6)}
