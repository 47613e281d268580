"""A made-up atlas in the real schema, shard by shard."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tahoe_engine._rust import synth_cells
from tahoe_engine.schema import EXPRESSIONS, GENES_LIST, HUGGINGFACE_KEY, SHARDS
from tahoe_engine.synth.columns import RowStream, key_buffers, text_columns
from tahoe_engine.synth.folder import Folder
from tahoe_engine.synth.layout import iterate_sublibraries, plan_design
from tahoe_engine.synth.options import Options, Written
from tahoe_engine.synth.planted import plant_effects
from tahoe_engine.vocabulary import load_genes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from tahoe_engine._rust import SynthModel
    from tahoe_engine.synth.layout import Design, Rows

# Rows of one call of the core: some 20 MB of entries, which the allocator keeps and hands out again (larger ones
# cost a fifth more in page faults).
CHUNK_ROWS = 1_000
_ARROW = {"List(Int64)": pa.list_(pa.int64()), "List(Float32)": pa.list_(pa.float32()), "String": pa.string()}


def shard_schema() -> Any:  # noqa: ANN401 -- pyarrow ships no types
    """Give the Arrow schema of a shard, with the key that `datasets` leaves in it."""
    features: dict[str, Any] = {}
    for column in SHARDS.columns:
        word = column.dtype.removeprefix("List(").removesuffix(")").lower()
        value = {"dtype": word, "_type": "Value"}
        features[column.name] = {"feature": value, "_type": "Sequence"} if column.dtype.startswith("List") else value
    fields = [pa.field(column.name, _ARROW[column.dtype]) for column in SHARDS.columns]
    return pa.schema(fields, metadata={HUGGINGFACE_KEY: json.dumps({"info": {"features": features}})})


def fill_atlas(
    out: str | Path, options: Options, vocabulary: str | Path | None, on_progress: Callable[[int, int], None] | None
) -> Written:
    """Write what is missing of an atlas; see `write_atlas`."""
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
        name = Path("data", f"{shard_name(number, len(sizes))}.parquet")
        if _is_whole(folder.root / name, n_rows):
            stream.take(n_rows)
            done += n_rows
            if on_progress is not None:
                on_progress(done, options.cells)
        else:
            with folder.create(name) as file:
                for written in _write_shard(file, stream, n_rows, (model, design, options)):
                    done += written
                    if on_progress is not None:
                        on_progress(done, options.cells)
        size += (folder.root / name).stat().st_size
    return summarize_call(folder, design, options, (len(sizes), size), began)


def summarize_call(folder: Folder, design: Design, options: Options, shards: tuple[int, int], began: float) -> Written:
    """Give what a call did."""
    return Written(
        out=folder.root,
        cells=options.cells,
        shards=shards[0],
        bytes=shards[1],
        written=folder.written,
        plates=options.plates,
        wells={f"plate{p}": tuple(w.sample for w in design.wells[part]) for p, part, _ in design.sublibraries},
        lines=design.lines,
        seconds=round(time.monotonic() - began, 3),
    )


def cut_evenly(total: int, most: int) -> list[int]:
    """Give the sizes of as few parts as will do, the first ones a row longer, as `datasets` cuts.

    Examples
    --------
    >>> cut_evenly(10, 4)
    [4, 3, 3]
    """
    parts = -(-total // most)
    return [total // parts + (number < total % parts) for number in range(parts)]


def shard_name(number: int, of: int) -> str:
    """Give the name of a shard, without its suffix.

    Examples
    --------
    >>> shard_name(42, 3388)
    'train-00042-of-03388'
    """
    return f"train-{number:05d}-of-{of:05d}"


def _write_shard(
    file: BinaryIO, stream: RowStream, n_rows: int, atlas: tuple[SynthModel, Design, Options]
) -> Iterator[int]:
    model, design, options = atlas
    schema = shard_schema()
    step = max(1, CHUNK_ROWS // options.row_group_rows) * options.row_group_rows
    with pq.ParquetWriter(
        file, schema, compression="snappy", use_dictionary=True, data_page_version="1.0", version="2.6"
    ) as writer:
        for start in range(0, n_rows, step):
            rows = stream.take(min(step, n_rows - start))
            writer.write_table(_chunk(rows, model, design, schema), row_group_size=options.row_group_rows)
            yield len(rows)


def _chunk(rows: Rows, model: SynthModel, design: Design, schema: Any) -> Any:  # noqa: ANN401
    offsets, genes, expressions = synth_cells(model, *key_buffers(rows))
    columns = text_columns(rows, design)
    for name, values in ((GENES_LIST, pa.int64()), (EXPRESSIONS, pa.float32())):
        data = pa.py_buffer(genes if name == GENES_LIST else expressions)
        entries = pa.Array.from_buffers(values, len(data) // (values.bit_width // 8), [None, data])
        ends = pa.Array.from_buffers(pa.int32(), len(rows) + 1, [None, pa.py_buffer(offsets)])
        columns[name] = pa.ListArray.from_arrays(ends, entries)
    return pa.table([columns[field.name].cast(field.type) for field in schema], schema=schema)


def _is_whole(path: Path, n_rows: int) -> bool:
    """Tell whether a shard is there; it got its name only once it was whole, so its footer is enough."""
    try:
        return bool(pq.read_metadata(path).num_rows == n_rows)
    except (OSError, pa.ArrowInvalid):
        return False
