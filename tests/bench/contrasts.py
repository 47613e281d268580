"""Contrasts from moments on disk: what a thousand of them cost, and whether what was planted is found at full size."""

from __future__ import annotations

import json
import shutil
import time
import warnings
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

import tahoe_engine as te
from made_groups import FIRST_TOKEN, LINES, Group, Well, types_of, write_groups, write_stage
from measure import run_tahoe
from planted import correlate
from tahoe_engine import schema
from tahoe_engine.run import name_part

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.report import Result
    from measure import Finished

PLATE = "plate4"
GROUP_ROWS = 131_072  # as the core's parts
PLANTED = ("--plates", "6", "--wells", "5", "--lines", "A-172", "--seed", "3", "--drug-genes", "1")


def measure_contrasts(
    place: Path, *, lines: int = 11, wells: int = 96, genes: int = 20_000, workers: tuple[int, ...] = (0, 2)
) -> list[Result]:
    """Both methods over a plate of made-up moments: 11 lines and 94 treatments are 1,034 contrasts."""
    into = place / "moments"
    shutil.rmtree(into, ignore_errors=True)
    index = _make_index(lines, wells)
    write_stage(into, genes, index, _make_moments(index, genes), group_rows=GROUP_ROWS)
    moments = sum(path.stat().st_size for path in into.rglob("*.parquet"))
    found: list[Result] = []
    for method in ("welch", "limma"):
        parts: dict[str, bytes] = {}
        for n in workers:
            done = _compute(into, "--method", method, "--workers", str(n))
            facts = json.loads(done.stdout)
            manifest = (into / "contrasts/_MANIFEST.json").read_bytes()
            if parts.setdefault(method, manifest) != manifest:
                raise SystemExit(f"{method}: workers gave other tables; see {into}")
            found.append(
                {
                    "method": method,
                    "workers": n,
                    "contrasts": facts["n_contrasts"],
                    "rows": facts["result_rows"],
                    "wall s": done.seconds,
                    "CPU s": done.cpu_seconds,
                    "CPU s a 1,000": 1000 * done.cpu_seconds / facts["n_contrasts"],
                    "peak MiB of a process": done.peak_mib,
                    "MB of moments": moments / 1e6,
                    "MB of results": facts["bytes"] / 1e6,
                }
            )
    return found


def compare_scanpy(place: Path, *, treatments: int = 30, cells: int = 300, genes: int = 20_000) -> list[Result]:
    """Welch's test of a stratum beside scanpy's: of the same cells, which scanpy has in memory and we had summed."""
    import anndata
    import scanpy
    from scipy import sparse

    rng = np.random.default_rng(2)
    n_cells = (treatments + 2) * cells
    names = ["control"] * 2 + [f"drug {number:02}" for number in range(treatments)]
    base = rng.lognormal(-3.5, 1.5, genes)
    blocks = [
        sparse.csr_matrix(rng.poisson(base * np.exp(rng.normal(0, 0.1, genes)), (cells, genes)).astype(np.float32))
        for _ in names
    ]
    into = place / "beside-scanpy"
    shutil.rmtree(into, ignore_errors=True)
    groups = [
        (Well(PLATE, f"smp_{w}", name if w > 1 else schema.CONTROL_DRUG, 0.05, {LINES[0]: cells}), block)
        for w, (name, block) in enumerate(zip(names, blocks, strict=True))
    ]
    write_groups(
        into, [Group(w, well, LINES[0], block.toarray().astype(np.int64)) for w, (well, block) in enumerate(groups)]
    )
    data = anndata.AnnData(sparse.vstack(blocks).tocsr(), obs={"drug": np.repeat(names, cells)})
    data.obs["drug"] = data.obs["drug"].astype("category")
    marks = [time.process_time()]
    scanpy.pp.normalize_total(data, target_sum=1e4)
    scanpy.pp.log1p(data)
    marks.append(time.process_time())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of its own frames at every contrast
        scanpy.tl.rank_genes_groups(data, "drug", reference="control", method="t-test")
    marks.append(time.process_time())
    for _ in range(2):  # the second time nothing is loaded any more
        marks.append(time.process_time())
        te.compute_contrasts(into, method="welch", workers=0, new=True)
    costs = {
        "tahoe: read, test, shrink, adjust, write": time.process_time() - marks[-1],
        "scanpy: test and sort, cells in memory": marks[2] - marks[1],
        "scanpy: normalise and take logarithms before": marks[1] - marks[0],
    }
    return [{"what": what, "contrasts": treatments, "cells": n_cells, "CPU s": cost} for what, cost in costs.items()]


def find_planted(place: Path, *, cells: int = 12_000) -> list[Result]:
    """The bar of 0.9: shards, cells, groups and contrasts of a plate at the top dose whose drugs move every gene."""
    atlas, into = place / "planted", place / "planted-run"
    for folder in (atlas, into):
        shutil.rmtree(folder, ignore_errors=True)
    _run("synth", atlas, *PLANTED, "--cells", str(cells), "--quiet")
    _run("cells", atlas, "--into", into, "--workers", "0", "--quiet")
    _run("groups", "--into", into, "--workers", "0", "--quiet")
    found: list[Result] = []
    for method in ("limma", "welch"):
        _compute(into, "--method", method, "--workers", "0")
        found += [{"method": method, **row} for row in correlate(into, atlas).to_dicts()]
    return found


def _compute(into: Path, *options: str) -> Finished:
    return _run("contrasts", "--into", into, "--new", "--json", "--quiet", *options)


def _run(*arguments: str | Path) -> Finished:
    done = run_tahoe(*arguments, timeout=3600)
    if done.code != 0:
        raise SystemExit(f"tahoe {arguments[0]} ended with {done.code}:\n{done.stdout}{done.stderr}")
    return done


def _make_index(lines: int, wells: int) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        (
            well * lines + line,
            f"smp_{1783 + well}",
            f"CVCL_{line:04}",
            schema.CONTROL_DRUG if well < 2 else f"Drug {well}",
            0.0 if well < 2 else 0.05,
            PLATE,
            # Tahoe's median is 1,287 cells a group (FACTS.md).
            int(rng.lognormal(7.0, 0.8)) + 2,
            0,
        )
        for well in range(wells)
        for line in range(lines)
    ]
    return pl.DataFrame(rows, schema=types_of(schema.GROUPS), orient="row")


def _make_moments(index: pl.DataFrame, genes: int) -> Iterator[tuple[str, pl.DataFrame]]:
    """Counts as of cells whose rates differ; moments near what such cells have."""
    rng = np.random.default_rng(1)
    base = rng.lognormal(-3.0, 1.8, genes)
    tokens = np.arange(FIRST_TOKEN, FIRST_TOKEN + genes, dtype=np.int32)
    for (sample,), groups in index.group_by("sample", maintain_order=True):
        found = []
        for row in groups.to_dicts():
            n = row["n_cells"]
            rate = base * np.exp(rng.normal(0, 0.15, genes))
            counts = np.maximum(rng.poisson(rate * n), 1)
            mean = np.log1p(5.0 * counts / n)
            columns = {
                "group_id": np.full(genes, row["group_id"]),
                "gene": tokens,
                "n_cells_by_counts": np.minimum(counts, n),
                "sum_counts": counts,
                "sum_sq_counts": counts * 2,
                "mean_cp10k": 5.0 * counts / n,
                "var_cp10k": 25.0 * counts / n,
                "mean_log1p_cp10k": mean,
                "var_log1p_cp10k": mean * rng.uniform(0.8, 1.2, genes),
            }
            found.append(pl.DataFrame(columns, schema=types_of(schema.MOMENTS)))
        yield name_part(PLATE, str(sample)), pl.concat(found)
