"""Cells as AnnData: their table, and their counts straight from the shards."""

from __future__ import annotations

import json
import resource
import shutil
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

import exported
import tahoe_engine as te
from runs import scan
from server import Server
from tahoe_engine import schema
from tahoe_engine.cli import main
from tahoe_engine.config import load_settings
from tahoe_engine.errors import ConfigError, ShardError, SourceError, StageError, StoppedError, TahoeWarning
from tahoe_engine.export import export_cells, export_raw
from tahoe_engine.export.guarded import GuardedFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import anndata

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")
pytest.importorskip("anndata", reason="the extra `export` is not installed")


def read(path: Path) -> anndata.AnnData:
    import anndata

    return anndata.read_h5ad(path)


def test_the_cells_are_the_table_and_scanpy_plots_it(run: Path, tmp_path: Path) -> None:
    import matplotlib as mpl
    import scanpy as sc

    mpl.use("Agg")
    report = export_cells(run, tmp_path / "cells.h5ad")
    found, table = read(tmp_path / "cells.h5ad"), te.Run(run).table("cells").collect()
    assert found.shape == report.shape == (table.height, 0)
    assert list(found.obs_names) == table[schema.BARCODE].to_list()
    assert list(found.obs.columns) == table.columns
    for name, dtype in table.schema.items():
        if dtype == pl.String and name != schema.BARCODE:
            assert found.obs[name].dtype == "category"
        back = found.obs[name].astype(object).where(found.obs[name].notna(), None)
        assert back.tolist() == table[name].to_list(), name
    sc.pl.violin(found, ["total_counts", "pct_counts_mt"], groupby="plate", show=False)
    assert found.uns["tahoe_engine"]["cells_digest"] == te.Run(run).manifest["cells"]["digest"]


def test_a_summary_without_genes_is_exported_too(atlas: Path, tmp_path: Path) -> None:
    scan(atlas, tmp_path / "run", stats="summary", plates=[4])
    export_cells(tmp_path / "run", tmp_path / "cells.h5ad", compression="none")
    assert list(read(tmp_path / "cells.h5ad").obs.columns) == list(schema.CELLS_SUMMARY.names)
    export_raw(tmp_path / "run", tmp_path / "raw.h5ad", per_group=1)
    assert set(read(tmp_path / "raw.h5ad").obs["plate"]) == {"plate4"}


def test_cells_of_one_barcode_get_names_of_their_own_and_nulls_stay_nulls(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    part = min(copy.glob("cells/*.parquet"))
    table = pl.read_parquet(part)
    names = ["twice", "twice", "", "a\0b", *table[schema.BARCODE].to_list()[4:]]
    nothing = pl.Series([None, *[1.5] * (table.height - 1)])
    table.with_columns(
        pl.Series(schema.BARCODE, names), nothing.alias("dose_um"), pl.lit(None, pl.String).alias(schema.CELL_NAME)
    ).write_parquet(part)
    exported.vouch(copy, "cells")
    export_cells(copy, tmp_path / "cells.h5ad")
    found = read(tmp_path / "cells.h5ad")
    assert list(found.obs_names[:4]) == [f"twice-{part.stem}-0", f"twice-{part.stem}-1", "", "a\\x00b"]
    assert found.obs[schema.BARCODE].tolist()[:3] == ["twice", "twice", ""]
    assert np.isnan(found.obs["dose_um"].iloc[0])
    assert found.obs[schema.CELL_NAME].isna().sum() == table.height
    assert found.obs_names.is_unique


def test_the_counts_are_those_of_the_shards(
    atlas: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Blocks of a few cells, that end within row groups.
    monkeypatch.setattr("tahoe_engine.cells.counts.ENTRIES", 40_000)
    report = export_raw(run, tmp_path / "raw.h5ad")
    found, expected = read(tmp_path / "raw.h5ad"), exported.build_adata(atlas, run)
    assert found.X.dtype == np.float32
    assert found.X.has_canonical_format
    assert found.X.nnz == report.nnz == expected.X.nnz
    assert (found.X != expected.X).nnz == 0
    assert list(found.obs_names) == list(expected.obs_names)
    assert found.obs["total_counts"].tolist() == np.asarray(found.X.sum(1)).ravel().tolist()
    assert list(found.var_names) == te.Run(run).table("genes").collect()["ensembl_id"].to_list()
    assert report.bytes_read > 0


def test_scanpy_takes_the_counts_from_there(run: Path, tmp_path: Path) -> None:
    import scanpy as sc

    export_raw(run, tmp_path / "raw.h5ad", plates=[4], flavor="seurat", n_top_genes=500)
    found = read(tmp_path / "raw.h5ad")
    assert set(found.obs["plate"]) == {"plate4"}
    assert found.var["highly_variable"].sum() >= 500
    sc.pp.normalize_total(found, target_sum=1e4)
    sc.pp.log1p(found)
    found = found[:, found.var["highly_variable"]].copy()
    sc.tl.rank_genes_groups(found, "cell_line_id", method="t-test")
    assert np.isfinite(found.uns["rank_genes_groups"]["scores"][0].tolist()).all()


def test_the_selection_of_genes_is_scanpy_s(atlas: Path, run: Path, tmp_path: Path) -> None:
    import scanpy as sc

    export_raw(run, tmp_path / "raw.h5ad", per_group=1, flavor="cell_ranger", n_top_genes=1000)
    found, cells = read(tmp_path / "raw.h5ad").var, exported.build_adata(atlas, run)
    cells.X = cells.X.astype(np.float64)
    sc.pp.filter_genes(cells, min_cells=1)
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    sc.pp.highly_variable_genes(cells, flavor="cell_ranger", n_top_genes=1000)
    counted = te.Run(run).table("genes").collect()["n_cells_by_counts"].to_numpy() > 0
    assert not found["highly_variable"][~counted].any()
    found = found[counted]
    assert found["highly_variable"].tolist() == cells.var["highly_variable"].tolist()
    for name in ("means", "dispersions", "dispersions_norm"):
        np.testing.assert_allclose(found[name].to_numpy(), cells.var[name].to_numpy(), rtol=1e-6)


def barcodes(path: Path) -> set[str]:
    return set(read(path).obs_names)


def test_a_small_subset_is_the_same_however_the_source_is_cut(atlas: Path, run: Path, tmp_path: Path) -> None:
    report = export_raw(run, tmp_path / "raw.h5ad", per_group=5)
    taken, cells = barcodes(tmp_path / "raw.h5ad"), te.Run(run).table("cells").collect()
    sizes = cells.group_by("sample", "cell_line_id").len()["len"]
    assert len(taken) == report.shape[0] == sum(min(5, size) for size in sizes) < cells.height
    assert report.short == sum(size < 5 for size in sizes) > 0
    other = tmp_path / "other" / "data"
    other.mkdir(parents=True)
    rows = pl.concat([pl.read_parquet(path) for path in sorted((atlas / "data").iterdir(), reverse=True)])
    for number in range(3):
        rows[number * 400 : number * 400 + 400].write_parquet(other / f"b{2 - number}.parquet", row_group_size=70)
    scan(other, tmp_path / "run")
    export_raw(tmp_path / "run", tmp_path / "other.h5ad", per_group=5)
    assert barcodes(tmp_path / "other.h5ad") == taken
    one, two = read(tmp_path / "raw.h5ad"), read(tmp_path / "other.h5ad")
    assert (one[two.obs_names].X != two.X).nnz == 0
    export_raw(run, tmp_path / "seed.h5ad", per_group=5, seed=1)
    assert barcodes(tmp_path / "seed.h5ad") != taken
    assert read(tmp_path / "seed.h5ad").uns["tahoe_engine"]["seed"] == 1
    # Fewer of each are some of the same; filters and keys say what a group is.
    export_raw(run, tmp_path / "few.h5ad", per_group=2, plates=[6], by=["plate", "cell_line_id"])
    few = read(tmp_path / "few.h5ad")
    assert few.obs.groupby("cell_line_id", observed=True).size().tolist() == [2] * 6


def test_a_shard_that_changed_is_named_and_one_that_moved_is_found(atlas: Path, tmp_path: Path) -> None:
    source, into = tmp_path / "source", tmp_path / "raw.h5ad"
    shutil.copytree(atlas, source)
    scan(source, tmp_path / "run")
    moved = tmp_path / "moved to"
    source.rename(moved)
    with pytest.raises(ShardError, match="E_IO"):
        export_raw(tmp_path / "run", into, per_group=1)
    with pytest.raises(SourceError, match="not in the source that was named"):
        export_raw(tmp_path / "run", into, source=[str(path) for path in sorted((moved / "data").iterdir())[:2]])
    export_raw(tmp_path / "run", into, per_group=1, source=moved)
    shards = sorted((moved / "data").iterdir())
    shutil.copy(shards[1], shards[0])
    with pytest.raises(ShardError, match=f"{shards[0].stem}.*E_INPUT_CHANGED"):
        export_raw(tmp_path / "run", tmp_path / "other.h5ad", per_group=1, source=moved)
    (tmp_path / "run/.tahoe/sources.json").unlink()
    with pytest.raises(StageError, match="nobody knows where the shards are"):
        export_raw(tmp_path / "run", tmp_path / "other.h5ad")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["moved to", "raw.h5ad", "run"]


def test_shards_that_lie_elsewhere_or_are_lines_give_the_same_counts(atlas: Path, run: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"per_group": 2, "plates": [4]}
    export_raw(run, tmp_path / "local.h5ad", **options)
    expected = read(tmp_path / "local.h5ad")
    shards = sorted((atlas / "data").iterdir())
    with Server(atlas) as server:
        scan([f"{server.url}/data/{path.name}" for path in shards], tmp_path / "remote")
        report = export_raw(tmp_path / "remote", tmp_path / "remote.h5ad", **options)
    rows = pl.concat([pl.read_parquet(path) for path in shards])
    rows.write_ndjson(tmp_path / "cells.jsonl")
    scan(tmp_path / "cells.jsonl", tmp_path / "lines", settings=load_settings(overrides=["source.rows_a_unit=500"]))
    export_raw(tmp_path / "lines", tmp_path / "lines.h5ad", **options)
    for name in ("remote", "lines"):
        found = read(tmp_path / f"{name}.h5ad")
        assert set(found.obs_names) == set(expected.obs_names)
        assert (found[expected.obs_names].X != expected.X).nnz == 0
    assert 0 < report.bytes_read < sum(path.stat().st_size for path in shards)


@pytest.mark.parametrize(
    ("export", "room"),
    [
        pytest.param(export_raw, 1_000_000, id="while it is written"),
        pytest.param(export_cells, 100_000, id="when HDF5 writes out its caches at the end"),
    ],
)
def test_a_disk_that_is_full_is_something_temporary_and_leaves_nothing(
    run: Path, tmp_path: Path, export: Callable[..., Any], room: int
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(StoppedError, match=r"a\.h5ad: .*File too large; mend that"):
            export(run, tmp_path / "a.h5ad")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("export", [export_raw, export_cells])
def test_an_interrupt_in_the_midst_of_a_write_leaves_no_file(
    run: Path, tmp_path: Path, export: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = GuardedFile.write

    def interrupted(self: GuardedFile, content: memoryview) -> int:
        signal.raise_signal(signal.SIGINT)
        return write(self, content)

    monkeypatch.setattr(GuardedFile, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(run, tmp_path / "a.h5ad")
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_counts_that_do_not_add_up_are_refused(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    part = min(copy.glob("cells/*.parquet"))
    rows = pl.col("row")
    pl.read_parquet(part).with_columns(
        pl.when(rows == 7).then(pl.col("total_counts") + 1).otherwise(pl.col("total_counts")).alias("total_counts")
    ).write_parquet(part)
    exported.vouch(copy, "cells")
    with pytest.raises(ShardError, match=f"{part.stem}: row 7: E_COUNTS_DIFFER"):
        export_raw(copy, tmp_path / "raw.h5ad")


def test_a_count_that_a_float32_cannot_hold_is_told(tmp_path: Path) -> None:
    shard = pl.DataFrame(
        {
            "genes": [[3, 4], [3]],
            "expressions": pl.Series([[2.0**24 + 1, 2.0], [1.0]], dtype=pl.List(pl.Float64)),
            **{name: ["a", "b"] for name in schema.SHARDS.names[2:]},
        }
    )
    (tmp_path / "source").mkdir()
    shard.write_parquet(tmp_path / "source" / "a.parquet")
    scan(tmp_path / "source", tmp_path / "run")
    with pytest.warns(TahoeWarning, match="16,777,217"):
        export_raw(tmp_path / "run", tmp_path / "raw.h5ad")
    assert read(tmp_path / "raw.h5ad").X.data.tolist() == [2.0**24, 2.0, 1.0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"per_group": 0}, "at least one cell"),
        ({"per_group": 1, "seed": -1}, "--seed -1"),
        ({"per_group": 1, "by": ["gene"]}, "'gene' is no key"),
        ({"per_group": 1, "by": ["plate", "plate"]}, "name each key once"),
        ({"n_top_genes": 10}, "--flavor"),
        ({"flavor": "seurat_v3"}, "no flavor 'seurat_v3'"),
        ({"samples": ["smp_1"]}, "no cells of the run are left"),
    ],
)
def test_wrong_options_leave_no_file(run: Path, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        export_raw(run, tmp_path / "raw.h5ad", **options)
    assert list(tmp_path.iterdir()) == []


def test_the_command_exports_a_subset(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    into = tmp_path / "raw.h5ad"
    command = ["export", str(run), "--what", "raw", "--into", str(into)]
    options = ["--per-group", "3", "--by", "plate, drug", "--seed", "7"]
    assert main([*command, *options, "--source", str(tmp_path / "none")]) == 66
    assert "there is no such file or folder" in capsys.readouterr().err
    assert main([*command, *options, "--json"]) == 0
    done = capsys.readouterr()
    assert done.err == ""
    told = json.loads(done.out)
    assert (told["n_obs"], told["n_vars"]) == read(into).shape == (3 * told["n_obs"] // 3, exported.N_GENES)
    assert told["size"] == into.stat().st_size


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--what", "cells", "--per-group", "3"), "--per-group: not with --what cells"),
        (("--what", "groups", "--source", "a"), "--source: not with --what groups"),
        (("--what", "raw", "--seed", "3"), "with --per-group"),
        (("--what", "genes"), "there is groups, cells, raw"),
        (("--what", "cells", "--format", "loom"), "there is h5ad"),
        (("--what", "cells", "--plates", ","), "no name is given"),
    ],
)
def test_options_of_another_kind_are_refused(
    run: Path, tmp_path: Path, options: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(run), "--into", str(tmp_path / "a.h5ad"), *options]) == 64
    assert said in capsys.readouterr().err
