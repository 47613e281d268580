"""A run whose groups are made up cell by cell, for the stages above: the moments are NumPy's."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from tahoe_engine import schema
from tahoe_engine.run import Layout, digest_frame, hash_file, name_part, write_manifest, write_run_manifest
from tahoe_engine.run.manifest import FORMAT_VERSION, digest_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

LINES = ("CVCL_0131", "CVCL_1239")
FIRST_TOKEN = 3


@dataclass(frozen=True)
class Well:
    """A well: who is in it, and how many cells of each line."""

    plate: str
    sample: str
    drug: str
    dose_um: float | None
    n_cells: dict[str, int]
    effect: float = 0.0


@dataclass(frozen=True)
class Group:
    """The cells of a line in a well: counts, cells by genes."""

    group_id: int
    well: Well
    line: str
    counts: NDArray[np.int64]

    @property
    def log1p_cp10k(self) -> NDArray[np.float64]:
        totals = np.maximum(self.counts.sum(axis=1, keepdims=True), 1)
        logs: NDArray[np.float64] = np.log1p(self.counts / totals * 1e4)
        return logs


def make_wells(plates: tuple[str, ...] = ("plate4",), n_treated: int = 5, n_control: int = 2) -> list[Well]:
    """Wells of each plate: controls first, then every drug at two doses."""
    wells = []
    for p, plate in enumerate(plates):
        for w in range(n_control + n_treated):
            treated = w - n_control
            drug = schema.CONTROL_DRUG if treated < 0 else f"Drug {treated // 2}"
            dose = 0.0 if treated < 0 else (0.5, 5.0)[treated % 2]
            cells = {LINES[0]: 40 + 3 * w, LINES[1]: 12 + w}
            wells.append(Well(plate, f"smp_{100 * (p + 1) + w}", drug, dose, cells, effect=max(0, treated) * 0.3))
    return wells


def draw_groups(wells: list[Well], *, n_genes: int = 120, seed: int = 1) -> Iterator[Group]:
    """Draw the cells of every group; a gene of the vocabulary in ten is silent everywhere."""
    rng = np.random.default_rng(seed)
    base = {line: rng.lognormal(0.5, 1.2, n_genes) * (np.arange(n_genes) % 10 != 9) for line in LINES}
    pattern = rng.normal(0, 1, n_genes) * (rng.random(n_genes) < 0.3)
    for w, well in enumerate(wells):
        shift = rng.normal(0, 0.1, n_genes)
        for at, line in enumerate(LINES):
            n = well.n_cells.get(line, 0)
            if n:
                means = base[line] * np.exp(shift + well.effect * pattern) * rng.lognormal(0, 0.4, (n, 1))
                yield Group(w * len(LINES) + at, well, line, rng.poisson(means))


def write_groups(into: Path, groups: list[Group]) -> None:
    """Write a run folder in which the stage `groups` is finished."""
    index = pl.DataFrame([_row(group) for group in groups], schema=types_of(schema.GROUPS), orient="row")
    parts: dict[str, list[pl.DataFrame]] = {}
    for group in groups:
        parts.setdefault(name_part(group.well.plate, group.well.sample), []).append(_moments(group))
    # Several row groups, so that what is not needed can be left out.
    frames = ((name, pl.concat(found)) for name, found in sorted(parts.items()))
    write_stage(into, groups[0].counts.shape[1], index, frames, group_rows=150)


def write_stage(
    into: Path, n_genes: int, index: pl.DataFrame, parts: Iterable[tuple[str, pl.DataFrame]], *, group_rows: int
) -> None:
    """Write a finished stage `groups` from its tables, part by part."""
    layout = Layout(into)
    layout.make_state()
    layout.metadata.mkdir()
    pl.DataFrame({schema.TOKEN_ID: range(FIRST_TOKEN, FIRST_TOKEN + n_genes)}).write_parquet(
        layout.metadata / "genes.parquet"
    )
    entries = []
    for name, frame in chain([("index", index)], ((f"moments/{name}", frame) for name, frame in parts)):
        path = layout.stage("groups") / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.write_parquet(path, row_group_size=group_rows)
        entries.append(
            {
                "name": f"{name}.parquet",
                "rows": frame.height,
                "size": path.stat().st_size,
                "sha256": hash_file(path),
                "digest": digest_frame(frame),
            }
        )
    manifest = {
        "format_version": FORMAT_VERSION,
        "stage": "groups",
        "settings": {"groups": {"by": list(schema.GROUP_KEYS)}},
        "n_groups": index.height,
        "parts": entries,
        "digest": digest_parts(entries),
    }
    write_manifest(layout, "groups", manifest)
    write_run_manifest(layout, ["groups"])


def _row(group: Group) -> tuple[object, ...]:
    well = group.well
    n_cells, total = group.counts.shape[0], int(group.counts.sum())
    return (group.group_id, well.sample, group.line, well.drug, well.dose_um, well.plate, n_cells, total)


def _moments(group: Group) -> pl.DataFrame:
    seen = np.flatnonzero(group.counts.any(axis=0))
    counts, logs = group.counts[:, seen], group.log1p_cp10k[:, seen]
    scaled = np.expm1(logs)
    one = counts.shape[0] == 1
    variances = [np.full(seen.size, np.nan) if one else values.var(axis=0, ddof=1) for values in (scaled, logs)]
    columns = (
        np.full(seen.size, group.group_id),
        seen + FIRST_TOKEN,
        (counts > 0).sum(axis=0),
        counts.sum(axis=0),
        (counts**2).sum(axis=0),
        scaled.mean(axis=0),
        variances[0],
        logs.mean(axis=0),
        variances[1],
    )
    frame = pl.DataFrame(list(columns), schema=list(schema.MOMENTS.names))
    return frame.cast(pl.Schema(types_of(schema.MOMENTS))).fill_nan(None)


def types_of(table: schema.Table) -> dict[str, Any]:
    return {column.name: getattr(pl, column.dtype) for column in table.columns}
