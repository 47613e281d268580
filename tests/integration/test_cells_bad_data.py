"""The main job on sources with something wrong: named, counted, held back, and mended."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import polars as pl
import pytest

import tahoe_engine as te
from runs import published, quarantined, scan
from tahoe_engine.errors import BadDataError, ConfigError, StageError

if TYPE_CHECKING:
    from pathlib import Path


pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")


@pytest.fixture
def broken(atlas: Path, tmp_path: Path) -> Path:
    """A copy of the atlas whose third shard is cut in half."""
    source = tmp_path / "source"
    shutil.copytree(atlas, source)
    shard = sorted((source / "data").iterdir())[2]
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    return source


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
    with pytest.raises(
        BadDataError, match=r"21 of 27 shards are bad, more than 20: (?s:.*)bad-11: E_(?s:.*); and 16 more"
    ):
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


def test_a_loop_of_links_is_one_bad_shard_and_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").symlink_to("a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"")
    assert [shard.name for shard in te.find_shards(tmp_path)] == ["a", "b"]
