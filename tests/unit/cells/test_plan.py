from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tahoe_engine.cells.plan import CellsPlan, PlannedShard, _cut_rows, plan_cells
from tahoe_engine.cells.wanted import Wanted
from tahoe_engine.config import load_settings
from tahoe_engine.errors import ConfigError, ShardError
from tahoe_engine.source import Footer, Shard

COLUMN = {"name": "genes", "compressed_bytes": 4000, "uncompressed_bytes": 8000}


def footer(name: str, *groups: int, plates: tuple[tuple[str, str] | None, ...] = ()) -> Footer:
    return Footer(Shard(name, f"/{name}"), 5000, "d", groups, columns=(COLUMN,), ranges={"plate": list(plates)})


def cuts(rows: str, *footers: Footer | ShardError) -> list[tuple[str, int, int]]:
    planned, _ = _cut_rows(footers, rows)
    return [(shard.footer.shard.name, shard.first_row, shard.last_row) for shard in planned]


def test_rows_are_cut_within_shards() -> None:
    shards = footer("a", 5, 5), footer("b", 10), footer("none"), footer("c", 3)
    assert cuts("", *shards) == [("a", 0, 10), ("b", 0, 10), ("none", 0, 0), ("c", 0, 3)]
    assert cuts("8:12", *shards) == [("a", 8, 10), ("b", 0, 2)]
    assert cuts("10:20", *shards) == [("b", 0, 10)]
    assert cuts("22:", *shards) == [("c", 2, 3)]


def test_a_bad_shard_counts_only_inside_the_range() -> None:
    bad = ShardError("bad", None, None, "E_FOOTER", "no")
    footers = footer("a", 10), bad, footer("b", 10)
    assert _cut_rows(footers, "")[1] == [bad]
    assert _cut_rows(footers, "5:15")[1] == [bad]
    assert _cut_rows(footers, "0:5")[1] == []
    assert _cut_rows(footers, "11:12")[1] == []


@given(st.lists(st.integers(0, 20), min_size=1, max_size=8), st.integers(0, 60), st.integers(1, 60))
def test_cut_rows_are_the_rows_of_the_range(sizes: list[int], first: int, n: int) -> None:
    shards = [footer(str(number), size) for number, size in enumerate(sizes)]
    everything = [(str(number), row) for number, size in enumerate(sizes) for row in range(size)]
    cut = [(name, row) for name, start, end in cuts(f"{first}:{first + n}", *shards) for row in range(start, end)]
    assert cut == everything[first : first + n]


def make_plan(*shards: PlannedShard, wanted: Wanted | None = None, overrides: tuple[str, ...] = ()) -> CellsPlan:
    from tahoe_engine.vocabulary.joined import load_joined

    settings = load_settings(overrides=["workers.count=1", *overrides])
    return CellsPlan(settings, shards, (), len(shards), wanted or Wanted(), load_joined(None, None))


def test_statistics_say_which_row_groups_are_read() -> None:
    spans = (("plate1", "plate1"), ("plate1", "plate2"), None, ("plate2", "plate2"))
    shard = PlannedShard(footer("a", 100, 100, 100, 100, plates=spans), 0, 400)
    facts = make_plan(shard, wanted=Wanted({"plates": ("plate1",)}, {"plates": {}})).describe()
    # Two thirds of what is read is wanted for sure or by default, the mixed group by half.
    assert (facts["row_groups"], facts["row_groups_read"]) == (4, 3)
    assert facts["read_amplification"] == 1.2
    assert facts["bytes_to_read"]["genes"] == 3000


def test_rows_cut_away_are_not_read() -> None:
    facts = make_plan(PlannedShard(footer("a", 100, 100, 100), 150, 160)).describe()
    assert (facts["row_groups_read"], facts["rows"], facts["read_amplification"]) == (1, 10, 10.0)


def test_a_plan_that_cannot_fit_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    into = tmp_path_factory.mktemp("into") / "run"
    big = Footer(Shard("a", "/a"), 1, "d", (1 << 20,), columns=({**COLUMN, "uncompressed_bytes": 1 << 40},))
    shard = PlannedShard(big, 0, 1 << 20)
    make_plan(PlannedShard(footer("a", 100), 0, 100)).require_fit(into)
    with pytest.raises(ConfigError, match=r"workers\.memory_mib"):
        make_plan(shard, overrides=("workers.memory_mib=256",)).require_fit(into)
    with pytest.raises(ConfigError, match="--workers"):
        make_plan(shard, overrides=("workers.count=4000",)).require_fit(into)
    many = Footer(Shard("a", "/a"), 1, "d", (1 << 43,))
    with pytest.raises(ConfigError, match="has room for"):
        make_plan(PlannedShard(many, 0, 1 << 43)).require_fit(into)


def test_a_hostile_footer_cannot_make_the_plan_impossible() -> None:
    columns = ({**COLUMN, "compressed_bytes": 2**62, "uncompressed_bytes": 2**62},)
    shard = PlannedShard(Footer(Shard("a", "/a"), 1, "d", (1,), columns=columns), 0, 1)
    assert make_plan(shard).memory() < 1 << 30


def test_planning_writes_nothing(atlas: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("empty")
    plan = plan_cells(atlas, settings=load_settings(overrides=["workers.count=0"]))
    plan.require_fit(folder / "run")
    assert not list(folder.iterdir())
    assert plan.n_rows == 1200
