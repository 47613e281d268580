"""Every broken, odd and hostile file gets its verdict: a code, an exit status, within bounded time and memory."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from measure import Finished, run_tahoe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BAD = Path(__file__).parents[3] / "shared" / "bad_parquet"
SYNTHETIC = BAD / "synthetic"
pytestmark = pytest.mark.skipif(not BAD.is_dir(), reason="../shared/bad_parquet is not beside the repository")

# CPU seconds of the whole command: on a quiet machine that is its wall time, and on a busy one it does not grow.
CPU_SECONDS = 2.0
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
# `tokens_unsorted` has rows of its own: it is held against itself, sorted.
UNSORTED = "tokens_unsorted.parquet"
SAME_ROWS = sorted(f for f in READ if any(w in EXPECTED[f][0] for w in ("same", "identical")) and f != UNSORTED)
APACHE = sorted(
    str(path.relative_to(BAD))
    for folder in ("bad_data", "fuzzing")
    for path in (BAD / "apache" / folder).glob("*")
    if path.suffix not in {".md", ".txt"}
)


class Scanned(NamedTuple):
    """How the command ended, and the run it left."""

    finished: Finished
    run: Path

    @property
    def manifest(self) -> dict[str, Any]:
        """Manifest of the cells."""
        manifest: dict[str, Any] = json.loads((self.run / "cells" / "_MANIFEST.json").read_text(encoding="utf-8"))
        return manifest

    @property
    def cells(self) -> pl.DataFrame:
        """All rows, without the name of the shard; dictionaries as text."""
        table = pl.read_parquet(self.run / "cells" / "*.parquet").drop("shard")
        return table.with_columns(pl.selectors.categorical().cast(pl.String))


def scan(file: Path, into: Path, *options: str | Path) -> Finished:
    return run_tahoe("cells", file, "--into", into, "--workers", "0", *options, timeout=60)


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Scanned]:
    """Scan a file of the collection, once, and see that it stayed within bounds."""
    known: dict[str, Scanned] = {}

    def scan_once(name: str) -> Scanned:
        if name not in known:
            run = tmp_path_factory.mktemp("scanned") / "run"
            known[name] = Scanned(scan(BAD / name, run), run)
        return known[name]

    base_mib = scan_once("synthetic/good.parquet").finished.peak_mib

    def scan_within_bounds(name: str) -> Scanned:
        finished = scan_once(name).finished
        assert finished.cpu_seconds < CPU_SECONDS
        assert finished.peak_mib < base_mib + MIB_OVER_BASE
        assert "Traceback" not in finished.stderr
        assert "panicked" not in finished.stderr
        return known[name]

    return scan_within_bounds


@pytest.mark.parametrize("name", QUARANTINED)
def test_a_bad_file_is_set_aside_with_its_code(name: str, scanned: Callable[[str], Scanned]) -> None:
    result = scanned(f"synthetic/{name}")
    assert result.finished.code == 2, result.finished.stderr
    assert [record["code"] for record in result.manifest["quarantined"]] in [[code] for code in EXPECTED[name][1]]


@pytest.mark.parametrize("name", APACHE)
def test_a_foreign_or_fuzzed_file_is_set_aside(name: str, scanned: Callable[[str], Scanned]) -> None:
    result = scanned(name)
    assert result.finished.code == 2, result.finished.stderr
    assert result.manifest["quarantined"][0]["code"].startswith("E_")


@pytest.mark.parametrize("name", READ)
def test_an_odd_but_legal_file_is_read(name: str, scanned: Callable[[str], Scanned]) -> None:
    result = scanned(f"synthetic/{name}")
    assert result.finished.code == 0, result.finished.stderr
    assert result.manifest["quarantined"] == []
    for code in EXPECTED[name][1]:
        assert result.manifest["warnings"][code] >= 1


@pytest.mark.parametrize("name", SAME_ROWS)
def test_a_file_written_in_another_way_gives_the_same_rows(name: str, scanned: Callable[[str], Scanned]) -> None:
    good, other = scanned("synthetic/good.parquet"), scanned(f"synthetic/{name}")
    assert_frame_equal(other.cells, good.cells, check_exact=True)
    tables = [(one.run / "genes" / "genes.parquet").read_bytes() for one in (good, other)]
    assert tables[0] == tables[1]


def test_the_order_of_tokens_does_not_matter(scanned: Callable[[str], Scanned], tmp_path: Path) -> None:
    table = pq.read_table(SYNTHETIC / UNSORTED)
    ordered = [
        sorted(zip(row["genes"], row["expressions"], strict=True))
        for row in table.select(["genes", "expressions"]).to_pylist()
    ]
    for column, name in enumerate(("genes", "expressions")):
        values = pa.array([[entry[column] for entry in row] for row in ordered], table.schema.field(name).type)
        table = table.set_column(table.schema.get_field_index(name), name, values)
    pq.write_table(table, tmp_path / UNSORTED)
    finished = scan(tmp_path / UNSORTED, tmp_path / "run")
    assert finished.code == 0, finished.stderr
    assert_frame_equal(
        Scanned(finished, tmp_path / "run").cells, scanned(f"synthetic/{UNSORTED}").cells, check_exact=True
    )


@pytest.mark.parametrize("name", NEED_IDENTITY)
def test_damage_that_no_reader_can_see_is_found_by_its_checksum(name: str, tmp_path: Path) -> None:
    digest = hashlib.sha256((SYNTHETIC / "good.parquet").read_bytes()).hexdigest()
    (tmp_path / "SHA256SUMS").write_text(f"{digest}  {name}\n", encoding="utf-8")
    finished = scan(SYNTHETIC / name, tmp_path / "run", "--verify-inputs", "--checksums", tmp_path / "SHA256SUMS")
    assert finished.code == 2, finished.stderr
    # A list of checksums holds no sizes, so a wrong size may be told as a wrong checksum.
    codes = EXPECTED[name][1] | {"E_CHECKSUM"}
    assert Scanned(finished, tmp_path / "run").manifest["quarantined"][0]["code"] in codes


@pytest.mark.parametrize("name", ["null_list.parquet", "truncated_half.parquet", "zero_byte.parquet"])
def test_under_strict_a_bad_file_ends_the_command(name: str, tmp_path: Path) -> None:
    finished = scan(SYNTHETIC / name, tmp_path / "run", "--strict")
    assert finished.code == 65, finished.stderr
    assert next(iter(EXPECTED[name][1])) in finished.stdout + finished.stderr


def test_a_whole_folder_of_bad_files_is_told_apart_and_accounted_for(tmp_path: Path) -> None:
    """More than max(20, 1 %) bad shards end a run; below that the good ones are read and the books close."""
    source = tmp_path / "source"
    source.mkdir()
    for name in (*QUARANTINED[:15], *READ):
        (source / name).symlink_to(SYNTHETIC / name)
    finished = scan(source, tmp_path / "run")
    assert finished.code == 2, finished.stderr
    manifest = Scanned(finished, tmp_path / "run").manifest
    assert {record["shard"] + ".parquet" for record in manifest["quarantined"]} == set(QUARANTINED[:15])
    rows = manifest["rows"]
    assert rows["in"] == rows["kept"] + rows["filtered"] + rows["rejected"] + rows["quarantined"]


def test_hostile_text_reaches_neither_the_terminal_nor_a_path(tmp_path: Path) -> None:
    finished = scan(SYNTHETIC / "weird_strings.parquet", tmp_path / "run")
    printed = (finished.stdout + finished.stderr).replace("\n", "")
    assert printed.isprintable()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    assert [path.name for path in (tmp_path / "run" / "cells").glob("*.parquet")] == ["weird_strings.parquet"]
