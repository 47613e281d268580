"""Tahoe-100M on paper: a run folder that holds what `tahoe cells` would have told of its 3,388 shards, and no cell.

The numbers of rows by plate are the published ones; wells and lines have the proportions of the published grid; a
plate is some 128 sublibraries that each hold all of its wells one after another. `tahoe plan groups` reads it as any
other run:

    python -m bench.paper PAPER && tahoe plan groups --into PAPER
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tahoe_engine.cells.totals import PUBLISHED
from tahoe_engine.run import Journal, hold_run, replace_file, write_manifest, write_run_manifest
from tahoe_engine.run.manifest import FORMAT_VERSION, digest_parts
from tahoe_engine.synth.layout import iterate_sublibraries, plan_design
from tahoe_engine.synth.options import Options
from tahoe_engine.vocabulary.joined import copy_joined, load_joined

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARDS, LARGER = 3_388, 1_422  # the first of them have one row more
ROWS = 28_224
GROUP = 1_000
SHARD_BYTES = 337_600_000_000 // SHARDS
LISTS = 0.98  # of the bytes; the rest are the texts
PLATES = (4, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)  # the first shards are of plate 4; the order is not known

Runs = tuple[np.ndarray, np.ndarray, list[tuple[str, str]], tuple[str, ...]]


def main() -> None:
    """Write the folder that is named."""
    if len(sys.argv) != 2:
        raise SystemExit("python -m bench.paper FOLDER")
    print(f"{write_paper_run(Path(sys.argv[1])):,} rows on paper")


def write_paper_run(folder: Path) -> int:
    """Write a run of all of Tahoe-100M without its tables; give its rows."""
    receipts = list(_deal_out())
    parts = [{"name": f"{name}.parquet", **receipt["cells"]} for name, receipt in receipts]
    inputs = [
        {"name": name, "size": SHARD_BYTES, "footer_digest": "paper", "sha256": None, "rows": receipt["cells"]["rows"]}
        for name, receipt in receipts
    ]
    rows = sum(int(part["rows"]) for part in parts)
    joined = load_joined(None, None)
    with hold_run(folder) as layout:
        tables = copy_joined(joined, layout)
        sources = {name: _record(name, receipt["cells"]["rows"]) for name, receipt in receipts}
        replace_file(layout, layout.sources, json.dumps(sources).encode())
        with Journal(layout, "cells") as journal:
            for name, receipt in receipts:
                journal.append({"shard": name, "key": "paper", "receipt": receipt})
        layout.stage("cells").mkdir()
        manifest = {
            "format_version": FORMAT_VERSION,
            "stage": "cells",
            "settings": {"cells": {"stats": "all", "bad_rows": "quarantine"}},
            "metadata": joined.digests,
            "rows": {"in": rows, "kept": rows, "filtered": 0, "rejected": 0, "quarantined": 0},
            "inputs": inputs,
            "quarantined": [],
            "tables": tables,
            "parts": parts,
            "digest": digest_parts(parts),
        }
        write_manifest(layout, "cells", manifest)
        write_run_manifest(layout, ["cells"])
    return rows


def _deal_out() -> Iterator[tuple[str, dict[str, Any]]]:
    """Give each shard and its receipt: the rows of all plates in order, cut at the ends of shards."""
    wells, ends, names, lines = _rows_of_plates()
    shard_ends = np.cumsum(np.where(np.arange(SHARDS) < LARGER, ROWS + 1, ROWS))
    if ends[-1] != shard_ends[-1]:
        raise SystemExit(f"{ends[-1]} rows were dealt out, the shards have {shard_ends[-1]}")
    for number, (start, end) in enumerate(pairwise([0, *shard_ends.tolist()])):
        first, last = np.searchsorted(ends, start, side="right"), np.searchsorted(ends, end, side="left")
        runs = []
        at = start
        for run in range(first, last + 1):
            to = min(int(ends[run]), end)
            plate, sample = names[wells[run]]
            runs.append((plate, sample, at - start, to - start, to - at))
            at = to
        name = f"train-{number:05}-of-{SHARDS:05}"
        cells = {"rows": end - start, "size": 0, "sha256": "paper", "digest": name}
        yield name, {"cells": cells, "genes": None, "sample_runs": runs, **_all_lines(lines, runs)}


def _all_lines(lines: tuple[str, ...], runs: list[Any]) -> dict[str, Any]:
    """Tell that each well of a shard has all lines: the most groups there can be."""
    every = f"{(1 << len(lines)) - 1:x}"
    return {"cell_lines": dict.fromkeys(lines, 1), "sample_lines": {run[1]: every for run in runs}}


def _rows_of_plates() -> Runs:
    """Give the runs of wells, over all plates: which well, and where each ends; names of the wells, and the lines."""
    wells: list[np.ndarray] = []
    sizes: list[np.ndarray] = []
    names: list[tuple[str, str]] = []
    lines: tuple[str, ...] = ()
    for plate in PLATES:
        options = _options(plate, PUBLISHED[f"plate{plate}"])
        design = plan_design(options)
        lines = design.lines
        for rows in iterate_sublibraries(design, options.seed):
            starts = np.flatnonzero(np.diff(rows.well, prepend=np.uint32(2**32 - 1)))
            wells.append(rows.well[starts].astype(np.int64) + len(names))
            sizes.append(np.diff([*starts, len(rows)]))
        names += [(well.plate, well.sample) for well in design.wells]
    return np.concatenate(wells), np.cumsum(np.concatenate(sizes)), names, lines


def _options(plate: int, cells: int) -> Options:
    return Options(
        kind="atlas",
        plates=(plate,),
        wells=96,
        lines=50,
        cells=cells,
        seed=0,
        line_effect=0.0,
        drug_effect=0.0,
        well_effect=0.0,
        drug_genes=0.0,
        median_counts=1_900.0,
        counts_spread=0.6,
        shard_rows=ROWS,
        row_group_rows=GROUP,
        sublibrary_cells=54_000,
        marker=True,
        vocabulary="",
    )


def _record(name: str, rows: int) -> dict[str, Any]:
    whole, rest = divmod(rows, GROUP)
    return {
        "path": f"hf://datasets/tahoebio/Tahoe-100M@main/data/{name}.parquet",
        "version": "",
        "slice": None,
        "signed": False,
        "size": SHARD_BYTES,
        "footer_digest": "paper",
        "row_groups": [[GROUP, whole], *([[rest, 1]] if rest else [])],
        "list_bytes": round(SHARD_BYTES * LISTS),
    }


if __name__ == "__main__":
    main()
