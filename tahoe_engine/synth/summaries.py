"""A cells table of any length, without expressions: believable rows for what comes after the cells."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tahoe_engine._rust import synth_summaries
from tahoe_engine.schema import CELL_NAME, CELLS
from tahoe_engine.synth.atlas import cut_evenly, shard_name, summarize_call
from tahoe_engine.synth.columns import RowStream, key_buffers, look_up, text_columns
from tahoe_engine.synth.folder import Folder
from tahoe_engine.synth.layout import iterate_sublibraries, plan_design
from tahoe_engine.synth.planted import plant_effects
from tahoe_engine.vocabulary import load_genes

if TYPE_CHECKING:
    from collections.abc import Callable

    from tahoe_engine._rust import SynthModel
    from tahoe_engine.synth.layout import Design, Rows
    from tahoe_engine.synth.options import Options, Written

CHUNK_ROWS = 50_000
_ARROW = {
    "String": pa.string(),
    "Int64": pa.int64(),
    "UInt32": pa.uint32(),
    "UInt64": pa.uint64(),
    "Float64": pa.float64(),
}


def fill_tables(
    out: str | Path, options: Options, vocabulary: str | Path | None, on_progress: Callable[[int, int], None] | None
) -> Written:
    """Write what is missing of a made-up cells table; see `write_tables`."""
    began = time.monotonic()
    genes = load_genes(vocabulary)
    folder = Folder(out, options)
    design = plan_design(options)
    model = plant_effects(design, options, genes)
    folder.describe(model, design, options, genes)
    sizes = cut_evenly(options.cells, options.shard_rows)
    stream = RowStream(iterate_sublibraries(design, options.seed))
    done = size = 0
    for number, n_rows in enumerate(sizes):
        shard = shard_name(number, len(sizes))
        name = Path("cells", f"{shard}.parquet")
        is_there = (folder.root / name).is_file()
        if is_there:
            stream.take(n_rows)
        else:
            with folder.create(name) as file:
                _write_part(file, shard, n_rows, stream, (model, design))
        done += n_rows
        if on_progress is not None:
            on_progress(done, options.cells)
        size += (folder.root / name).stat().st_size
    return summarize_call(folder, design, options, (len(sizes), size), began)


def _write_part(file: Any, shard: str, n_rows: int, stream: RowStream, atlas: tuple[SynthModel, Design]) -> None:  # noqa: ANN401
    model, design = atlas
    writer = None
    try:
        for start in range(0, n_rows, CHUNK_ROWS):
            rows = stream.take(min(CHUNK_ROWS, n_rows - start))
            columns = _columns(rows, design, model)
            columns["shard"] = look_up(np.zeros(len(rows), np.uint32), [shard])
            columns["row"] = pa.array(np.arange(start, start + len(rows), dtype=np.int64))
            # Dictionaries are written as they are, and read back as text: no Arrow schema is stored beside them.
            table = pa.table({column.name: columns[column.name] for column in CELLS.columns})
            if writer is None:
                texts = [column.name for column in CELLS.columns if column.dtype == "String"]
                writer = pq.ParquetWriter(
                    file, table.schema, compression="zstd", use_dictionary=texts, store_schema=False
                )
            writer.write_table(table, row_group_size=CHUNK_ROWS)
    finally:
        if writer is not None:
            writer.close()


def _columns(rows: Rows, design: Design, model: SynthModel) -> dict[str, Any]:
    columns = text_columns(rows, design)
    columns[CELL_NAME] = look_up(rows.line, list(design.names))
    doses = np.array([well.dose_um for well in design.wells])
    columns["dose_um"] = pa.array(doses[rows.well])
    buffers = synth_summaries(model, *key_buffers(rows))
    buffers["expr_len"] = buffers["n_genes_by_counts"]  # no entry is 0
    for column in CELLS.columns:
        if column.name in buffers:
            data = [None, pa.py_buffer(buffers[column.name])]
            columns[column.name] = pa.Array.from_buffers(_ARROW[column.dtype], len(rows), data)
    return columns
