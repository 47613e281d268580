"""A flipped bit in a shard of the hub: the hub's own sha256 finds every one."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from runs import quarantined, scan
from server import Server
from tahoe_engine.config import load_settings

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")

FLIPS, SEED = 200, 11


def test_no_flip_is_silent_where_inputs_are_verified(atlas: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    pq.write_table(pq.read_table(min((atlas / "data").iterdir())).slice(0, 4), tmp_path / "good.parquet")
    good = (tmp_path / "good.parquet").read_bytes()
    oid = hashlib.sha256(good).hexdigest()
    (tmp_path / "data/good.parquet").write_bytes(good)
    dice = random.Random(SEED)
    for number, bit in enumerate(dice.sample(range(8 * len(good)), FLIPS)):
        content = bytearray(good)
        content[bit // 8] ^= 1 << bit % 8
        (tmp_path / f"data/flip-{number:03}.parquet").write_bytes(content)
    names = [path.name for path in sorted((tmp_path / "data").iterdir())]
    with Server(tmp_path, oids={f"data/{name}": oid for name in names}) as server:
        overrides = [f"source.hub={server.url}", f"run.max_bad_shards={FLIPS}", "source.verify_inputs=true"]
        report = scan("hf://datasets/o/n", tmp_path / "run", settings=load_settings(overrides=overrides))
    codes = quarantined(report)
    assert set(codes) == {name.removesuffix(".parquet") for name in names} - {"good"}
    # Most flips no reader would have noticed.
    assert sum(code == "E_CHECKSUM" for code in codes.values()) > FLIPS / 2
    assert report.manifest["rows"]["kept"] == 4
