"""One unit, two results: inputs that change and change back, flip, or turn out to be right after all."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import tahoe_engine as te
from runs import published, scan
from tahoe_engine.errors import BadDataError, StageError
from tahoe_engine.run import collect_garbage, verify_run

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")


@pytest.fixture
def own(atlas: Path, tmp_path: Path) -> Path:
    """An atlas of one's own, with its checksums."""
    own = Path(shutil.copytree(atlas, tmp_path / "own"))
    shards = sorted((own / "data").glob("*.parquet"))
    # Plain, so that a value can be found.
    pq.write_table(pq.read_table(shards[2]), shards[2], compression="none", use_dictionary=False, row_group_size=50)
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in shards]
    (own / "data/SHA256SUMS").write_text("\n".join(lines) + "\n")
    return own


@pytest.fixture
def shard(own: Path) -> Path:
    """One of its shards."""
    return sorted((own / "data").glob("*.parquet"))[2]


def swap_rows(path: Path) -> None:
    """Write the shard anew with its barcodes swapped and another footer: the part will have the same size."""
    table = pq.read_table(path)
    names = table["BARCODE_SUB_LIB_ID"].to_pylist()
    at = table.column_names.index("BARCODE_SUB_LIB_ID")
    swapped = table.set_column(at, table.schema.field(at), [[names[1], names[0], *names[2:]]])
    pq.write_table(swapped.replace_schema_metadata({"other": "footer"}), path, row_group_size=50)


def flip_value(path: Path) -> None:
    """Change one count where it stands, so that size and footer stay: a reader notices nothing."""
    values = [np.float32(value) for value in pq.read_table(path)["expressions"][0].as_py()]
    before = b"".join(value.tobytes() for value in values)
    after = b"".join(value.tobytes() for value in [*values[:-1], values[-1] + np.float32(1)])
    content = path.read_bytes()
    assert content.count(before) == 1
    path.write_bytes(content.replace(before, after))


VERIFIED = te.load_settings(overrides=["source.verify_inputs=true"])


def test_an_input_that_changes_and_changes_back_gets_its_own_part_again(own: Path, shard: Path, tmp_path: Path) -> None:
    scan(own, tmp_path / "run")
    undisturbed, original = published(tmp_path / "run"), shard.read_bytes()
    swap_rows(shard)
    scan(own, tmp_path / "run", accept_changed_inputs=True)
    assert published(tmp_path / "run") != undisturbed
    shard.write_bytes(original)
    scan(own, tmp_path / "run", accept_changed_inputs=True)
    assert published(tmp_path / "run") == undisturbed
    assert verify_run(tmp_path / "run", deep=True)[1] == []


def test_a_second_attempt_with_other_bytes_is_stopped_before_anything_is_published(
    own: Path, shard: Path, tmp_path: Path
) -> None:
    into = tmp_path / "run"
    scan(own, into)
    original = shard.read_bytes()
    flip_value(shard)
    (into / "cells" / shard.name).unlink()
    for _ in range(2):
        with pytest.raises(StageError, match="E_NONDETERMINISM"):
            scan(own, into)
        with pytest.raises(StageError, match="not finished"):
            te.Run(into).table("cells")
    shard.write_bytes(original)
    scan(own, into)
    assert verify_run(into, deep=True)[1] == []


def test_a_shard_that_turns_bad_under_strict_withdraws_what_was_published(
    own: Path, shard: Path, tmp_path: Path
) -> None:
    into = tmp_path / "run"
    scan(own, into)
    undisturbed, original = published(into), shard.read_bytes()
    flip_value(shard)
    with pytest.raises(BadDataError, match="nothing is published"):
        scan(own, into, strict=True, settings=VERIFIED)
    with pytest.raises(StageError, match="not finished"):
        te.Run(into).table("cells")
    assert verify_run(into)[1] == []
    shard.write_bytes(original)
    scan(own, into, strict=True, settings=VERIFIED)
    assert published(into)["cells/" + shard.name] == undisturbed["cells/" + shard.name]
    assert verify_run(into, deep=True)[1] == []


def test_a_shard_that_was_mended_and_is_proven_right_replaces_what_was_made_of_it(
    own: Path, shard: Path, tmp_path: Path
) -> None:
    original = shard.read_bytes()
    flip_value(shard)
    scan(own, tmp_path / "run")
    shard.write_bytes(original)
    scan(own, tmp_path / "run", settings=VERIFIED)
    scan(own, tmp_path / "fresh", settings=VERIFIED)
    assert published(tmp_path / "run") == published(tmp_path / "fresh")
    assert scan(own, tmp_path / "run").units_done == 0
    assert verify_run(tmp_path / "run", deep=True)[1] == []


def test_a_plan_that_was_lost_is_written_again_if_it_is_the_same(own: Path, tmp_path: Path) -> None:
    scan(own, tmp_path / "run")
    (tmp_path / "run/.tahoe/plan-cells.json").unlink()
    with pytest.raises(StageError, match="no plan of this engine"):
        scan(own, tmp_path / "run", stats="qc")
    assert scan(own, tmp_path / "run").units_done == 0
    assert verify_run(tmp_path / "run", deep=True)[1] == []


def test_garbage_is_never_collected_through_a_link(own: Path, tmp_path: Path) -> None:
    scan(own, tmp_path / "run")
    (tmp_path / "out/sub").mkdir(parents=True)
    (tmp_path / "out/sub/precious.json").write_text("mine")
    for name in ("old", "receipts/cells", "tmp"):
        place = tmp_path / "run/.tahoe" / name
        kept = place.with_name("kept")
        if place.exists():
            place.rename(kept)
        place.symlink_to(tmp_path / "out/sub")
        with pytest.raises(StageError, match="is a link"):
            collect_garbage(tmp_path / "run")
        place.unlink()
        if kept.exists():
            kept.rename(place)
    (tmp_path / "run/.tahoe/plan-...json").write_text("{}")
    with pytest.raises(StageError, match="not a plan of this engine"):
        collect_garbage(tmp_path / "run")
    assert (tmp_path / "out/sub/precious.json").read_text() == "mine"


def test_a_part_that_is_a_link_out_of_the_run_is_no_part(own: Path, shard: Path, tmp_path: Path) -> None:
    scan(own, tmp_path / "run")
    part = tmp_path / "run/cells" / shard.name
    part.rename(tmp_path / "elsewhere")
    part.symlink_to(tmp_path / "elsewhere")
    assert [item.file for item in verify_run(tmp_path / "run")[1]] == [f"cells/{shard.name}"]
    assert scan(own, tmp_path / "run").units_done == 1
    assert not part.is_symlink()


@pytest.mark.parametrize("place", ["genes", "receipts/cells"])
def test_a_file_where_a_folder_belongs_is_no_passing_trouble(own: Path, tmp_path: Path, place: str) -> None:
    scan(own, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/.tahoe" / place)
    (tmp_path / "run/.tahoe" / place).write_text("")
    with pytest.raises(StageError, match="where a file or folder"):
        scan(own, tmp_path / "run")
