"""Every broken, odd and hostile file gets its verdict: a code, an exit status, within bounded time and memory."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from measure import Finished, run_tahoe

if TYPE_CHECKING:
    from collections.abc import Iterator

BAD = Path(__file__).parents[3] / "shared" / "bad_parquet"
SYNTHETIC = BAD / "synthetic"
pytestmark = pytest.mark.skipif(not BAD.is_dir(), reason="../shared/bad_parquet is not beside the repository")

SECONDS = 2.0
MIB_OVER_BASE = 512.0
NEEDS = "needs"  # verdicts that hold only against a recorded size or checksum


def read_expectations() -> Iterator[tuple[str, str, frozenset[str]]]:
    """File, verdict, and the codes that are right for it."""
    if BAD.is_dir():
        with (BAD / "EXPECT.tsv").open(encoding="utf-8", newline="") as lines:
            for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
                yield row["file"], row["verdict"], frozenset(row["code"].split("|")) - {"-"}


EXPECTED = {file: (verdict, codes) for file, verdict, codes in read_expectations()}
QUARANTINED = sorted(f for f, (verdict, _) in EXPECTED.items() if "quarantine" in verdict and NEEDS not in verdict)
NEED_IDENTITY = sorted(f for f, (verdict, _) in EXPECTED.items() if NEEDS in verdict)
READ = sorted(set(EXPECTED) - set(QUARANTINED) - set(NEED_IDENTITY))
SAME_ROWS = sorted(f for f in READ if "same" in EXPECTED[f][0] or "identical" in EXPECTED[f][0])
APACHE = sorted(
    str(path.relative_to(BAD))
    for folder in ("bad_data", "fuzzing")
    for path in (BAD / "apache" / folder).glob("*")
    if path.suffix not in {".md", ".txt"}
)


@pytest.fixture(scope="module")
def base_mib(tmp_path_factory: pytest.TempPathFactory) -> float:
    """Peak memory of the command on the good file."""
    finished = scan(SYNTHETIC / "good.parquet", tmp_path_factory.mktemp("base") / "run")
    assert finished.code == 0, finished.stderr
    return finished.peak_mib


def scan(file: Path, into: Path, *options: str | Path) -> Finished:
    return run_tahoe("cells", file, "--into", into, "--workers", "0", *options, timeout=60)


def scan_within_bounds(file: Path, into: Path, base_mib: float) -> Finished:
    finished = scan(file, into)
    if finished.seconds >= SECONDS:  # the machine may have been busy with something else: once more, alone
        finished = scan(file, into.with_name(into.name + "-again"))
    assert finished.seconds < SECONDS
    assert finished.peak_mib < base_mib + MIB_OVER_BASE
    assert "Traceback" not in finished.stderr
    assert "panicked" not in finished.stderr
    return finished


def read_manifest(run: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((run / "cells" / "_MANIFEST.json").read_text(encoding="utf-8"))
    return manifest


def read_cells(run: Path) -> pl.DataFrame:
    return pl.read_parquet(run / "cells" / "*.parquet").drop("shard").with_columns(pl.selectors.categorical().cast(str))


@pytest.mark.parametrize("name", QUARANTINED)
def test_a_bad_file_is_set_aside_with_its_code(name: str, tmp_path: Path, base_mib: float) -> None:
    finished = scan_within_bounds(SYNTHETIC / name, tmp_path / "run", base_mib)
    assert finished.code == 2, finished.stderr
    quarantined = read_manifest(tmp_path / "run")["quarantined"]
    assert len(quarantined) == 1
    assert quarantined[0]["code"] in EXPECTED[name][1]
    strict = scan(SYNTHETIC / name, tmp_path / "strict", "--strict")
    assert strict.code == 65, strict.stderr


@pytest.mark.parametrize("name", APACHE)
def test_a_foreign_or_fuzzed_file_is_set_aside(name: str, tmp_path: Path, base_mib: float) -> None:
    finished = scan_within_bounds(BAD / name, tmp_path / "run", base_mib)
    assert finished.code == 2, finished.stderr
    assert read_manifest(tmp_path / "run")["quarantined"][0]["code"].startswith("E_")


@pytest.mark.parametrize("name", NEED_IDENTITY)
def test_damage_that_no_reader_can_see_is_found_by_its_checksum(name: str, tmp_path: Path) -> None:
    digest = hashlib.sha256((SYNTHETIC / "good.parquet").read_bytes()).hexdigest()
    (tmp_path / "SHA256SUMS").write_text(f"{digest}  {name}\n", encoding="utf-8")
    finished = scan(SYNTHETIC / name, tmp_path / "run", "--verify-inputs", "--checksums", tmp_path / "SHA256SUMS")
    assert finished.code == 2, finished.stderr
    # A list of checksums holds no sizes, so a wrong size may be told as a wrong checksum.
    assert read_manifest(tmp_path / "run")["quarantined"][0]["code"] in EXPECTED[name][1] | {"E_CHECKSUM"}


@pytest.mark.parametrize("name", READ)
def test_an_odd_but_legal_file_is_read(name: str, tmp_path: Path, base_mib: float) -> None:
    finished = scan_within_bounds(SYNTHETIC / name, tmp_path / "run", base_mib)
    assert finished.code == 0, finished.stderr
    manifest = read_manifest(tmp_path / "run")
    assert manifest["quarantined"] == []
    for code in EXPECTED[name][1]:
        assert manifest["warnings"][code] >= 1


@pytest.mark.parametrize("name", SAME_ROWS)
def test_a_file_written_in_another_way_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    for file in ("good.parquet", name):
        finished = scan(SYNTHETIC / file, tmp_path / file)
        assert finished.code == 0, finished.stderr
    assert_frame_equal(read_cells(tmp_path / name), read_cells(tmp_path / "good.parquet"), check_exact=True)
    genes = [(tmp_path / file / "genes" / "genes.parquet").read_bytes() for file in ("good.parquet", name)]
    assert genes[0] == genes[1]


def test_hostile_text_reaches_neither_the_terminal_nor_a_path(tmp_path: Path) -> None:
    finished = scan(SYNTHETIC / "weird_strings.parquet", tmp_path / "run")
    printed = (finished.stdout + finished.stderr).replace("\n", "")
    assert printed.isprintable()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    assert [path.name for path in (tmp_path / "run" / "cells").glob("*.parquet")] == ["weird_strings.parquet"]
