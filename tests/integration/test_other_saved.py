"""Folders that `datasets` itself saves: the same bytes as from Parquet files of the same names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runs import published, scan
from tahoe_engine.errors import SourceError
from tahoe_engine.schema import EXPRESSIONS, GENES_LIST

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")
datasets = pytest.importorskip("datasets", reason="the extra `hub` is not installed")

N_FILES = 3


@pytest.fixture(scope="module")
def table(atlas: Path) -> pa.Table:
    """150 cells of the atlas."""
    return pq.read_table(min((atlas / "data").iterdir())).slice(0, 150).replace_schema_metadata()


@pytest.fixture(scope="module")
def expected(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What Parquet files with the rows and the names of the Arrow files give."""
    folder = tmp_path_factory.mktemp("parquet")
    rows = table.num_rows // N_FILES
    for number in range(N_FILES):
        part = table.slice(number * rows, rows)
        pq.write_table(part, folder / f"data-{number:05}-of-{N_FILES:05}.parquet")
    scan(folder, folder / "run")
    return tables(folder / "run")


def tables(run: Path) -> dict[str, bytes]:
    return {name: content for name, content in published(run).items() if name.endswith(".parquet")}


def large(table: pa.Table) -> Any:
    """With lists of 64-bit offsets."""
    features = datasets.Features.from_arrow_schema(table.schema)
    for name, kind in ((GENES_LIST, "int64"), (EXPRESSIONS, "float32")):
        features[name] = datasets.LargeList(datasets.Value(kind))
    return datasets.Dataset(table).cast(features)


@pytest.mark.parametrize("kind", ["plain", "large", "splits"])
def test_the_bytes_are_those_of_parquet(table: pa.Table, expected: dict[str, bytes], tmp_path: Path, kind: str) -> None:
    whole = large(table) if kind == "large" else datasets.Dataset(table)
    if kind == "splits":
        split = datasets.DatasetDict({"train": whole})
        split.save_to_disk(str(tmp_path / "saved"), num_shards={"train": N_FILES})
    else:
        whole.save_to_disk(str(tmp_path / "saved"), num_shards=N_FILES)
    (first, *_) = sorted((tmp_path / "saved").rglob("*.arrow"))
    with pa.OSFile(str(first)) as file, pa.ipc.open_stream(file) as stream:
        assert pa.types.is_large_list(stream.schema.field(GENES_LIST).type) == (kind == "large")
    scan(tmp_path / "saved", tmp_path / "run")
    assert tables(tmp_path / "run") == expected


def test_several_splits_are_asked_about(table: pa.Table, expected: dict[str, bytes], tmp_path: Path) -> None:
    whole = datasets.Dataset(table)
    datasets.DatasetDict({"train": whole, "test": whole}).save_to_disk(
        str(tmp_path / "saved"), num_shards={"train": N_FILES, "test": 1}
    )
    with pytest.raises(SourceError, match="it has the splits train, test; name the folder of one"):
        scan(tmp_path / "saved", tmp_path / "run")
    scan(tmp_path / "saved/train", tmp_path / "run")
    assert tables(tmp_path / "run") == expected


def test_chosen_rows_are_to_be_written_out_first(table: pa.Table, tmp_path: Path) -> None:
    chosen = datasets.Dataset(table).select([5, 3, 1])
    # `datasets` writes the rows themselves: nothing of the choice is left.
    chosen.save_to_disk(str(tmp_path / "saved"))
    assert scan(tmp_path / "saved", tmp_path / "run", stats="qc").manifest["rows"]["kept"] == 3


def test_files_that_are_gone_torn_or_too_long_are_named(table: pa.Table, tmp_path: Path) -> None:
    datasets.Dataset(table).save_to_disk(str(tmp_path / "saved"), num_shards=N_FILES)
    victim = tmp_path / f"saved/data-00001-of-{N_FILES:05}.arrow"
    whole = victim.read_bytes()
    victim.unlink()
    with pytest.raises(SourceError, match=f"1 of its 3 files are missing, first '{victim.name}'"):
        scan(tmp_path / "saved", tmp_path / "run")
    with pa.OSFile(str(victim), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_batch(table.to_batches()[0])
        between = file.tell()
        stream.write_batch(table.to_batches()[0])
    batches = victim.read_bytes()
    # The last is a stream without its last batch and the mark of its end: a reader takes it for whole.
    for content in (*(whole[:cut] for cut in (0, 7, 100, len(whole) // 2, len(whole) - 8)), batches[:between]):
        victim.write_bytes(content)
        with pytest.raises(SourceError, match=f"{victim.name}: not a whole Arrow stream"):
            scan(tmp_path / "saved", tmp_path / "run")
    victim.write_bytes(whole + whole)
    with pytest.raises(SourceError, match="bytes follow its end"):
        scan(tmp_path / "saved", tmp_path / "run")
