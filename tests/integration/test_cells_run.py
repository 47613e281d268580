"""The main job on a made-up atlas: equal bytes however it is run, nothing done twice, everything accounted for."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import tahoe_engine as te
from tahoe_engine import schema
from tahoe_engine.errors import BadDataError, ConfigError, HeldError, SourceError, StageError, StoppedError
from tahoe_engine.run import hold_run

if TYPE_CHECKING:
    from pathlib import Path
    from collections.abc import Callable

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")


def published(run: Path) -> dict[str, bytes]:
    """Every byte a reader sees, by its path in the run."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and ".tahoe" not in path.parts
    }


def scan(source: Any, into: Path, **options: Any) -> Any:
    return te.scan_cells(source, into, **{"workers": 0, **options})


def quarantined(report: Any) -> dict[str, str]:
    return {record["shard"]: record["code"] for record in report.manifest["quarantined"]}


@pytest.fixture(scope="module")
def run(atlas: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run in one process; read it, never write it."""
    into = tmp_path_factory.mktemp("run") / "run"
    scan(atlas, into)
    return into


@pytest.fixture
def broken(atlas: Path, tmp_path: Path) -> Path:
    """A copy of the atlas whose third shard is cut in half."""
    source = tmp_path / "source"
    shutil.copytree(atlas, source)
    shard = sorted((source / "data").iterdir())[2]
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    return source


def test_the_tables_are_those_of_the_schema(run: Path) -> None:
    cells, genes = te.Run(run).table("cells").collect(), te.Run(run).table("genes").collect()
    for frame, table in ((cells, schema.CELLS), (genes, schema.GENES)):
        assert {n: str(t) for n, t in frame.schema.items()} == {c.name: c.dtype for c in table.columns}
        assert not any(frame[column.name].null_count() for column in table.columns if not column.nullable)
    assert cells.height == 1200
    assert genes.height == 62_710
    assert cells["total_counts"].sum() == genes["total_counts"].sum()
    assert cells["n_genes_by_counts"].sum() == genes["n_cells_by_counts"].sum()


def test_the_summary_has_its_own_columns_and_equal_numbers(atlas: Path, run: Path, tmp_path: Path) -> None:
    report = scan(atlas, tmp_path / "run", stats="summary")
    summary = te.Run(tmp_path / "run").table("cells").collect()
    assert tuple(summary.columns) == schema.CELLS_SUMMARY.names
    assert summary.equals(te.Run(run).table("cells").select(summary.columns).collect())
    assert report.manifest["tokens_checked"] is False
    assert te.Run(tmp_path / "run").stages == ("cells",)


def test_the_source_s_own_rows_are_in_order_and_all_there(atlas: Path, run: Path) -> None:
    source = pl.scan_parquet(atlas / "data").select(schema.BARCODE, schema.SAMPLE).collect()
    assert te.Run(run).table("cells").select(schema.BARCODE, schema.SAMPLE).collect().equals(source)


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_bytes(atlas: Path, run: Path, tmp_path: Path, workers: int) -> None:
    scan(atlas, tmp_path / "run", workers=workers)
    assert published(tmp_path / "run") == published(run)


def test_another_place_and_spelling_of_the_source_gives_the_same_bytes(atlas: Path, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "a place with blanks ü"
    shutil.copytree(atlas, copy)
    scan(copy, tmp_path / "run 1")
    assert published(tmp_path / "run 1") == published(run)
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{path}\n" for path in sorted((copy / "data").iterdir(), reverse=True)))
    for number, source in enumerate([f"{copy}/data/*.parquet", listed, sorted((copy / "data").iterdir())[::-1]]):
        scan(source, tmp_path / f"run {number + 2}")
        assert (
            te.Run(tmp_path / f"run {number + 2}").manifest["cells"]["digest"]
            == te.Run(run).manifest["cells"]["digest"]
        )


def test_manifests_hold_no_times_hosts_or_places(run: Path, atlas: Path) -> None:
    text = b"".join(content for name, content in published(run).items() if name.endswith(".json")).decode()
    assert str(run.parent) not in text
    assert str(atlas) not in text
    assert "pid" not in json.loads((run / "cells/_MANIFEST.json").read_text())


def test_the_same_command_again_does_nothing(atlas: Path, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    report = scan(atlas, copy, workers=2)
    assert (report.units_done, report.units_found_done) == (0, 6)
    assert published(copy) == published(run)


@pytest.mark.parametrize(
    "gone", ["cells/*00001*", ".tahoe/genes/*00002*", ".tahoe/journal-cells.jsonl", "*/_MANIFEST.json"]
)
def test_what_is_gone_is_made_again_and_only_that(atlas: Path, run: Path, tmp_path: Path, gone: str) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    for path in copy.glob(gone):
        path.unlink()
    report = scan(atlas, copy)
    expected = {".tahoe/journal-cells.jsonl": 6, "*/_MANIFEST.json": 0}.get(gone, 1)
    assert report.units_done == expected
    assert published(copy) == published(run)


def test_a_part_cut_short_is_made_again(atlas: Path, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    part = min(copy.glob("cells/*.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    assert scan(atlas, copy).units_done == 1
    assert published(copy) == published(run)


def test_other_settings_in_the_same_run_are_refused_with_the_difference(atlas: Path, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    for options, said in (
        ({"min_genes": 10}, r"min_genes: 0 before, 10 now"),
        ({"plates": [4]}, r'plates: \[\] before, \["plate4"\] now'),
        ({"stats": "qc"}, r'stats: "all" before, "qc" now'),
    ):
        with pytest.raises(StageError, match=said):
            scan(atlas, copy, **options)
    assert published(copy) == published(run)


def test_a_changed_input_is_refused(atlas: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(atlas, source)
    scan(source, tmp_path / "run")
    shards = sorted((source / "data").iterdir())
    shutil.copy(shards[1], shards[0])
    with pytest.raises(StageError, match="E_INPUT_CHANGED"):
        scan(source, tmp_path / "run")
    shards[0].unlink()
    with pytest.raises(StageError, match="not there any more"):
        scan(source, tmp_path / "run")


def test_filters_keep_what_was_asked_for_and_the_rows_add_up(atlas: Path, run: Path, tmp_path: Path) -> None:
    everything = te.Run(run).table("cells").collect()
    lines = sorted(everything[schema.CELL_LINE_ID].unique())[:2]
    name = everything.filter(pl.col(schema.CELL_LINE_ID) == lines[1])[schema.CELL_NAME][0]
    report = scan(atlas, tmp_path / "run", cell_lines=[lines[0], name], plates=[4], min_genes=900)
    expected = everything.filter(
        pl.col(schema.CELL_LINE_ID).is_in(lines), pl.col(schema.PLATE) == "plate4", pl.col("n_genes_by_counts") >= 900
    )
    assert 0 < expected.height < 600
    kept = te.Run(tmp_path / "run").table("cells").collect()
    assert kept.equals(expected)
    rows = report.manifest["rows"]
    assert rows == {"in": 1200, "kept": kept.height, "filtered": 1200 - kept.height, "rejected": 0, "quarantined": 0}
    assert sum(report.manifest["filtered"].values()) == rows["filtered"]
    genes = te.Run(tmp_path / "run").table("genes").collect()
    assert genes["total_counts"].sum() == kept["total_counts"].sum()


def test_an_absent_name_is_recorded_with_the_nearest(atlas: Path, tmp_path: Path) -> None:
    told: list[Any] = []
    samples = ["smp_1591", "smp_1783"]
    report = scan(atlas, tmp_path / "run", cell_lines=["CVCL_0021"], samples=samples, on_unknown=told.append)
    assert list(told[0]["cell_lines"]) == ["CVCL_0021"]
    wanted = report.manifest["wanted"]
    assert wanted["cell_lines"]["present"] == []
    near = wanted["cell_lines"]["absent"]["CVCL_0021"]
    assert len(near) == 3
    assert all("CVCL_" in name for name in near)
    assert wanted["samples"]["present"] == [] or set(wanted["samples"]["present"]) <= set(samples)
    assert report.manifest["rows"]["kept"] == 0
    assert te.Run(tmp_path / "run").table("cells").collect().height == 0
    assert te.Run(tmp_path / "run").table("genes").collect()["total_counts"].sum() == 0


def test_a_known_name_without_a_row_is_told_with_what_the_source_has(atlas: Path, tmp_path: Path) -> None:
    report = scan(atlas, tmp_path / "run", plates=["plate5", "plate6"])
    assert report.manifest["wanted"]["plates"] == {"present": ["plate6"], "absent": {"plate5": ["plate4", "plate6"]}}


@pytest.mark.parametrize(
    ("rows", "first", "n"), [("0:10", 0, 10), ("150:450", 150, 300), ("1190:", 1190, 10), (":1", 0, 1)]
)
def test_a_row_range_counts_over_the_whole_source(
    atlas: Path, run: Path, tmp_path: Path, rows: str, first: int, n: int
) -> None:
    report = scan(atlas, tmp_path / "run", rows=rows)
    cells = te.Run(tmp_path / "run").table("cells").collect()
    assert cells.equals(te.Run(run).table("cells").collect()[first : first + n])
    assert report.manifest["rows"]["in"] == n


def test_rows_outside_the_source_are_a_config_error(atlas: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which has 1200 rows"):
        scan(atlas, tmp_path / "run", rows="5000:6000")


def test_a_broken_shard_is_named_and_the_rest_is_done(broken: Path, run: Path, tmp_path: Path) -> None:
    report = scan(broken, tmp_path / "run")
    assert list(quarantined(report).values()) == ["E_TRUNCATED"]
    assert report.manifest["quarantined_by_code"] == {"E_TRUNCATED": 1}
    assert report.manifest["rows"]["in"] == 1000
    shard = next(iter(quarantined(report)))
    expected = te.Run(run).table("cells").filter(pl.col("shard") != shard).collect()
    assert te.Run(tmp_path / "run").table("cells").collect().equals(expected)


def test_a_mended_shard_is_taken_up_by_the_same_command(broken: Path, atlas: Path, run: Path, tmp_path: Path) -> None:
    scan(broken, tmp_path / "run")
    shutil.rmtree(broken / "data")
    shutil.copytree(atlas / "data", broken / "data")
    report = scan(broken, tmp_path / "run")
    assert report.units_done == 1
    assert published(tmp_path / "run") == published(run)


def test_strict_publishes_nothing_and_loses_nothing(broken: Path, tmp_path: Path) -> None:
    into = tmp_path / "run"
    with pytest.raises(BadDataError, match="E_TRUNCATED"):
        scan(broken, into, strict=True)
    assert not list(into.glob("cells/*"))
    with pytest.raises(StageError):
        te.Run(into)
    report = scan(broken, into)
    assert len(quarantined(report)) == 1


def test_strict_stops_at_a_defect_found_while_scanning(atlas: Path, tmp_path: Path) -> None:
    """A defect behind a good footer: finished parts go out of sight, and come back without being computed again."""
    source = tmp_path / "source"
    shutil.copytree(atlas, source)
    shard = sorted((source / "data").iterdir())[5]
    content = bytearray(shard.read_bytes())
    content[100:2000] = bytes(1900)
    shard.write_bytes(content)
    into = tmp_path / "run"
    with pytest.raises(BadDataError):
        scan(source, into, strict=True)
    assert not list(into.glob("cells/*"))
    report = scan(source, into)
    assert (report.units_found_done, report.units_done) == (5, 1)
    record = report.manifest["quarantined"][0]
    assert record["rows"] == 200
    assert report.manifest["rows"] == {"in": 1200, "kept": 1000, "filtered": 0, "rejected": 0, "quarantined": 200}


def test_too_many_bad_shards_stop_the_run(tmp_path: Path, atlas: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(atlas / "data", source)
    for number in range(21):
        (source / f"bad-{number}.parquet").write_bytes(b"")
    with pytest.raises(BadDataError, match="21 of 27 shards are bad, more than 20"):
        scan(source, tmp_path / "run")
    (source / "bad-0.parquet").unlink()
    assert len(quarantined(scan(source, tmp_path / "run2"))) == 20


def test_inputs_are_verified_against_their_checksums(atlas: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(atlas, source)
    shards = sorted((source / "data").iterdir())
    sums = subprocess.run(["sha256sum", *shards], capture_output=True, text=True, check=True).stdout  # noqa: S607
    (tmp_path / "sums").write_text(sums)
    content = bytearray(shards[3].read_bytes())
    content[len(content) // 3] ^= 1
    shards[3].write_bytes(content)
    shards[4].write_bytes(shards[4].read_bytes() * 2)
    settings = te.load_settings(overrides=["source.verify_inputs=true", f'source.checksums="{tmp_path / "sums"}"'])
    report = scan(source, tmp_path / "run", settings=settings)
    assert quarantined(report) == {shards[3].stem: "E_CHECKSUM", shards[4].stem: "E_SIZE_MISMATCH"}
    found = {entry["name"]: entry["sha256"] for entry in report.manifest["inputs"]}
    assert found[shards[0].stem] == sums.split()[0]
    with pytest.raises(ConfigError, match="name a file with --checksums"):
        scan(source, tmp_path / "run2", settings=te.load_settings(overrides=["source.verify_inputs=true"]))


def test_a_held_run_is_refused(atlas: Path, tmp_path: Path) -> None:
    with hold_run(tmp_path / "run"), pytest.raises(HeldError, match="process"):
        scan(atlas, tmp_path / "run")


def test_a_missing_source_leaves_no_run_behind(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        scan(tmp_path / "none", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_full_disk_stops_the_run_and_it_goes_on_later(
    atlas: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tahoe_engine.cells import unit

    commit, calls = unit.commit_part, []

    def full(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 5:
            raise OSError(28, "No space left on device")
        commit(*args)

    monkeypatch.setattr(unit, "commit_part", full)
    with pytest.raises(StoppedError, match="No space left"):
        scan(atlas, tmp_path / "run")
    assert not list((tmp_path / "run/.tahoe/tmp").iterdir())
    monkeypatch.undo()
    assert scan(atlas, tmp_path / "run").units_found_done == 2
    assert published(tmp_path / "run") == published(run)


def launch(atlas: Path, into: Path, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tahoe_engine", "cells", str(atlas), "--into", str(into), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for_a_part(into: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not list(into.glob("cells/*.parquet")) and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_killed_and_resumed_equals_undisturbed(atlas: Path, run: Path, tmp_path: Path, workers: str) -> None:
    into = tmp_path / "run"
    process = launch(atlas, into, "--workers", workers)
    wait_for_a_part(into, process)
    process.kill()
    process.communicate(timeout=60)
    # Workers outlive their launch for a moment; the lock does not wait for them, and their parts are the same bytes.
    scan(atlas, into)
    assert published(into) == published(run)
    assert not list((into / ".tahoe/tmp").iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_interrupt_ends_with_130_and_few_words(atlas: Path, run: Path, tmp_path: Path, workers: str) -> None:
    into = tmp_path / "run"
    process = launch(atlas, into, "--workers", workers)
    wait_for_a_part(into, process)
    # As a terminal does it: to the whole group, workers included.
    subprocess.run(["kill", "-INT", "--", f"-{process.pid}"], check=False)  # noqa: S607
    _, errors = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("it was done before the signal came")
    assert process.returncode == 130
    assert len(errors.splitlines()) <= 3, errors
    assert "run the same command again" in errors
    assert not list((into / ".tahoe/tmp").iterdir())
    scan(atlas, into)
    assert published(into) == published(run)


@pytest.mark.slow
def test_a_second_launch_ends_with_73_and_names_the_first(
    atlas: Path, tmp_path: Path, tahoe: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    with hold_run(tmp_path / "run"):
        done = tahoe("cells", atlas, "--into", tmp_path / "run", "--workers", 0)
    assert done.returncode == 73
    assert "held by process" in done.stderr
