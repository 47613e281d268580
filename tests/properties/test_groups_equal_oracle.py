"""Whatever shards hold, however they are written and in whatever order they come, groups get their exact sums."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import oracle
import strategies
from grouping import PLENTY, add_rows, make_sums, read_rows
from scan import merge, scan
from tahoe_engine.errors import ShardError

if TYPE_CHECKING:
    import pyarrow as pa

COUNTS = ("group_id", "gene", "n_cells_by_counts", "sum_counts", "sum_sq_counts")
# As for genes: each entry is off by half a step of the fixed point at most.
HALF_STEP = {"cp10k": 2.0**-37, "log1p_cp10k": 2.0**-41}
N_GROUPS = 5

many = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def cells_of(table: pa.Table) -> list[oracle.Cell]:
    return [oracle.drop_marker(row["genes"], row["expressions"]) for row in table.to_pylist()]


def assert_moments(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name in COUNTS:
        assert found[name] == expected[name], name
    for name, half_step in HALF_STEP.items():
        mean, variance = found[f"mean_{name}"], found[f"var_{name}"]
        assert math.isclose(mean, expected[f"mean_{name}"], rel_tol=1e-9, abs_tol=half_step)
        if expected[f"var_{name}"] is None:
            assert variance is None
        else:
            # Standard deviations carry the steps of the fixed point; variances of any size are held to 1e-7.
            exact = math.sqrt(expected[f"var_{name}"])
            assert math.isclose(math.sqrt(variance), exact, rel_tol=5e-8, abs_tol=2 * half_step)


@many
@given(st.lists(st.tuples(strategies.tables(), strategies.layouts()), min_size=1, max_size=3), st.data())
def test_any_groups_of_any_rows_of_any_shards(
    shards: list[tuple[pa.Table, strategies.Layout]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        cells: list[oracle.Cell] = []
        groups: list[int] = []
        calls: list[tuple[Path, list[int], list[int], list[int]]] = []
        for i, (table, layout) in enumerate(shards):
            path = layout.write(table, Path(folder) / f"train-{i:05}.parquet")
            all_cells = cells_of(table)
            rows = sorted(data.draw(st.sets(st.sampled_from(range(len(all_cells))))) if all_cells else [])
            mine = [data.draw(st.integers(0, N_GROUPS - 1)) for _ in rows]
            chosen = [all_cells[row] for row in rows]
            totals = [sum(cell.counts) for cell in chosen]
            cut = data.draw(st.integers(0, len(rows)))
            calls += [(path, rows[:cut], mine[:cut], totals[:cut]), (path, rows[cut:], mine[cut:], totals[cut:])]
            cells += chosen
            groups += mine
        parts, made = [], {"rows": -1}
        for i in range(2):
            spill = Path(folder) / f"spill{i}"
            memory = data.draw(st.sampled_from([0, 1_000, 30_000, PLENTY]))
            sums = make_sums(spill, N_GROUPS, memory_bytes=memory, batch_entries=data.draw(st.sampled_from([1, 90])))
            for path, rows, mine, totals in data.draw(st.permutations(calls)):
                assert add_rows(sums, path, rows, mine, totals)["rows"] == len(rows)
            # Ids need not be the numbers of the groups.
            parts.append(Path(folder) / f"part{i}")
            made = sums.write_part(str(parts[-1]), [(group, 3 * group + 1) for group in range(N_GROUPS)])
            assert not spill.exists()
            if memory == 0:
                assert (sums.spilled_bytes > 0) == any(sum(cell.counts) > 0 for cell in cells)
        assert parts[0].read_bytes() == parts[1].read_bytes()
        found = pl.read_parquet(parts[0])
        assert made["rows"] == found.height
        expected = oracle.summarize_groups(cells, groups, strategies.TABLES)
        assert found.height == len(expected)
        for one, other in zip(found.to_dicts(), expected, strict=True):
            assert_moments(one, other | {"group_id": 3 * other["group_id"] + 1})


@few
@given(strategies.long_tables(), strategies.layouts())
def test_all_cells_as_one_group_are_the_table_of_genes(table: pa.Table, layout: strategies.Layout) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = layout.write(table, Path(folder) / "shard.parquet")
        scanned = scan(path, stats="all")
        totals = pl.read_parquet(scanned.cells)["total_counts"].to_list()
        sums = make_sums(Path(folder) / "spill", 1)
        add_rows(sums, path, range(table.num_rows), [0] * table.num_rows, totals)
        sums.write_part(f"{folder}/part", [(0, 0)])
        genes = pl.DataFrame({"gene": list(strategies.TABLES.mitochondrial), **merge([scanned])})
        genes = genes.filter(pl.col("n_cells_by_counts") > 0)
        found = pl.read_parquet(f"{folder}/part").rename({"sum_counts": "total_counts"})
        shared = ["gene", "n_cells_by_counts", "total_counts"]
        shared += [f"{moment}_{quantity}" for quantity in HALF_STEP for moment in ("mean", "var")]
        assert found.select(shared).rows() == genes.select(shared).rows()


@few
@given(strategies.tables() | strategies.long_tables(max_rows=200), strategies.layouts(), st.data())
def test_counts_of_any_rows(table: pa.Table, layout: strategies.Layout, data: st.DataObject) -> None:
    rows = sorted(data.draw(st.sets(st.sampled_from(range(table.num_rows)))) if table.num_rows else [])
    with tempfile.TemporaryDirectory() as folder:
        _, found = read_rows(layout.write(table, Path(folder) / "shard.parquet"), rows)
    cells = cells_of(table)
    assert found == [sorted((token, n) for token, n in zip(*cells[row], strict=True) if n > 0) for row in rows]


@many
@given(strategies.defects(), strategies.layouts())
def test_the_same_defects_are_found_in_chosen_rows_only(
    defect: tuple[pa.Table, int, str], layout: strategies.Layout
) -> None:
    table, row, code = defect
    if layout.token_type.bit_width < 64 and code == "E_TOKEN_RANGE":
        layout = strategies.Layout(options=layout.options, columns=layout.columns)
    with tempfile.TemporaryDirectory() as folder:
        path = layout.write(table, Path(folder) / "shard.parquet")
        with pytest.raises(ShardError) as caught:
            read_rows(path, [row])
        assert (caught.value.row, caught.value.code) == (row, code)
        others = [other for other in range(table.num_rows) if other != row]
        assert len(read_rows(path, others)[1]) == len(others)
