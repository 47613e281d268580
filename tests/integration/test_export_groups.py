"""Groups as AnnData: what scanpy's aggregate makes of the cells, and files that appear whole or not at all."""

from __future__ import annotations

import re
import shutil
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest

import exported
import tahoe_engine as te
from tahoe_engine.cli import main
from tahoe_engine.errors import ConfigError, StageError, TahoeWarning
from tahoe_engine.export import export_groups
from tahoe_engine.groups import sum_groups

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import anndata

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")
pytest.importorskip("anndata", reason="the extra `export` is not installed")


@pytest.fixture(scope="module")
def grouped(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared run with groups by the default keys; read it, never write it."""
    copy = tmp_path_factory.mktemp("grouped") / "run"
    shutil.copytree(run, copy)
    sum_groups(copy, workers=0)
    return copy


def read(path: Path) -> anndata.AnnData:
    import anndata

    return anndata.read_h5ad(path)


def test_groups_are_what_scanpy_aggregates_of_the_cells(atlas: Path, grouped: Path, tmp_path: Path) -> None:
    import scanpy as sc

    export_groups(grouped, tmp_path / "groups.h5ad")
    found, cells = read(tmp_path / "groups.h5ad"), exported.build_adata(atlas, grouped)
    expected = sc.get.aggregate(cells, ["sample", "cell_line_id"], ["sum", "count_nonzero"])
    assert list(found.obs_names) == list(expected.obs_names)
    assert found.X is None
    for layer in ("sum", "count_nonzero"):
        assert np.array_equal(found.layers[layer].toarray(), expected.layers[layer])
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    cells.X = cells.X.astype(np.float64)
    expected = sc.get.aggregate(cells, ["sample", "cell_line_id"], ["mean", "var"])
    for layer in ("mean", "var"):
        # Scanpy normalizes in float32.
        np.testing.assert_allclose(found.layers[layer].toarray(), expected.layers[layer], rtol=1e-4, atol=1e-5)


def test_the_rows_say_what_the_groups_are(grouped: Path, tmp_path: Path) -> None:
    report = export_groups(grouped, tmp_path / "groups.h5ad")
    found, index = read(tmp_path / "groups.h5ad"), te.Run(grouped).table("groups").collect()
    assert report.shape == found.shape == (index.height, exported.N_GENES)
    assert report.nnz == found.layers["sum"].nnz == te.Run(grouped).table("groups/moments").collect().height
    assert found.obs["group_id"].tolist() == index["group_id"].to_list()
    assert list(found.obs_names) == [f"{a}_{b}" for a, b in index.select("sample", "cell_line_id").iter_rows()]
    for key in ("sample", "cell_line_id", "drug", "plate"):
        assert found.obs[key].dtype == "category"
        assert found.obs[key].tolist() == index[key].to_list()
    assert found.obs["dose_um"].tolist() == index["dose_um"].to_list()
    for name in ("n_obs_aggregated", "psbulk_cells"):
        assert found.obs[name].tolist() == index["n_cells"].to_list()
    assert found.obs["psbulk_counts"].tolist() == np.asarray(found.layers["sum"].sum(1)).ravel().tolist()
    assert found.obs["psbulk_counts"].tolist() == index["total_counts"].to_list()
    genes = te.Run(grouped).table("genes").collect()
    assert list(found.var_names) == genes["ensembl_id"].to_list()
    assert found.var["gene_symbol"].tolist() == genes["gene_symbol"].to_list()
    assert found.var["gene"].tolist() == genes["gene"].to_list()
    told = found.uns["tahoe_engine"]
    assert told["groups_digest"] == te.Run(grouped).manifest["groups"]["digest"]
    assert set(told["layers"]) == set(found.layers)


def test_scanpy_goes_on_with_the_sums(grouped: Path, tmp_path: Path) -> None:
    import scanpy as sc

    export_groups(grouped, tmp_path / "groups.h5ad", compression="lzf")
    found = read(tmp_path / "groups.h5ad")
    found.X = found.layers["sum"]
    sc.pp.normalize_total(found, target_sum=1e6)
    sc.pp.log1p(found)
    sc.tl.rank_genes_groups(found, "drug", method="t-test")
    assert found.uns["rank_genes_groups"]["names"].shape[0] == exported.N_GENES


def test_any_keys_and_any_parts_give_the_groups_in_their_order(atlas: Path, run: Path, tmp_path: Path) -> None:
    import scanpy as sc

    by = ("drug", "dose_um", "cell_line_id")
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    sum_groups(copy, by=by, workers=0)
    # Every other group in the first part, the rest in the last; row groups end within groups.
    parts = sorted(copy.glob("groups/moments/*/*.parquet"))
    moments = pl.concat([pl.read_parquet(part) for part in parts])
    for part in parts:
        mine = {parts[0]: 0, parts[-1]: 1}.get(part)
        moments.filter(pl.col("group_id") % 2 == mine).write_parquet(part, row_group_size=20_000)
    exported.vouch(copy)
    export_groups(copy, tmp_path / "groups.h5ad", compression="none")
    found, cells = read(tmp_path / "groups.h5ad"), exported.build_adata(atlas, copy)
    assert found.obs["group_id"].is_monotonic_increasing
    cells.obs[list(by)] = cells.obs[list(by)].astype(str).astype("category")
    expected = sc.get.aggregate(cells, list(by), "sum")[list(found.obs_names)]
    assert np.array_equal(found.layers["sum"].toarray(), expected.layers["sum"])
    plates = te.Run(copy).table("groups").collect()["plate"]
    assert plates.null_count()
    assert found.obs["plate"].isna().tolist() == plates.is_null().to_list()


def test_filters_take_names_in_any_spelling_and_tell_what_is_absent(grouped: Path, tmp_path: Path) -> None:
    told: list[Any] = []
    index = te.Run(grouped).table("groups").collect()
    line = index["cell_line_id"][0]
    name = te.Run(grouped).table("cells").filter(pl.col("cell_line_id") == line).collect()["cell_name"][0]
    report = export_groups(
        grouped,
        tmp_path / "groups.h5ad",
        plates=[4],
        cell_lines=[name.upper(), "CVCL_0000"],
        drugs=[index["drug"][0].upper()],
        on_unknown=told.append,
    )
    expected = index.filter(plate="plate4", cell_line_id=line, drug=index["drug"][0])
    found = read(tmp_path / "groups.h5ad")
    assert 0 < expected.height < index.height
    assert found.obs["group_id"].tolist() == expected["group_id"].to_list()
    assert list(found.obs["plate"].cat.categories) == ["plate4"]
    whole = export_groups(grouped, tmp_path / "all.h5ad")
    rows = index["group_id"].is_in(expected["group_id"].implode()).to_numpy()
    assert np.array_equal(found.layers["mean"].toarray(), read(whole.into)[rows].layers["mean"].toarray())
    assert report.absent == told[0]
    assert "CVCL_0000" in report.absent["cell_lines"]
    with pytest.raises(ConfigError, match=r"no groups .* 'plate9' among its plates"):
        export_groups(grouped, tmp_path / "none.h5ad", plates=["plate9"])
    assert not (tmp_path / "none.h5ad").exists()


def test_values_from_data_are_only_ever_values(grouped: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(grouped, copy)
    path = copy / "groups/index.parquet"
    index = pl.read_parquet(path)
    names = ["../../x", "a\0b", "", "naïve 木", "a/b\n", "a\\x00b", *["same"] * (index.height - 6)]
    index.with_columns(pl.Series("sample", names), pl.lit("..").alias("cell_line_id")).write_parquet(path)
    exported.vouch(copy)
    export_groups(copy, tmp_path / "groups.h5ad")
    found = read(tmp_path / "groups.h5ad")
    assert found.obs["sample"].tolist() == ["../../x", "a\\x00b-2", *names[2:5], "a\\x00b-4", *names[6:]]
    assert list(found.obs_names[:5]) == ["../../x_..", "a\\x00b_..-1", "_..", "naïve 木_..", "a/b\n_.."]
    assert found.obs_names.is_unique
    assert sorted(path.name for path in tmp_path.iterdir()) == ["groups.h5ad", "run"]


def test_a_file_that_is_there_is_replaced_only_when_told_so(grouped: Path, tmp_path: Path) -> None:
    target = tmp_path / "a place with blanks ü" / "groups of mine.h5ad"
    with pytest.raises(ConfigError, match="make it first"):
        export_groups(grouped, target, plates=[4])
    target.parent.mkdir()
    target.write_text("mine")
    with pytest.raises(ConfigError, match="--force"):
        export_groups(grouped, target, plates=[4])
    assert target.read_text() == "mine"
    export_groups(grouped, target, plates=[4], force=True)
    assert set(read(target).obs["plate"]) == {"plate4"}
    assert [path.name for path in target.parent.iterdir()] == [target.name]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("groups.txt", {}, "ends in .h5ad"),
        ("s3://bucket/groups.h5ad", {}, "of this machine"),
        ("folder.h5ad", {"force": True}, "is a folder"),
        ("a.h5ad", {"compression": "zip"}, "there is gzip, lzf, none"),
    ],
)
def test_a_target_that_cannot_be_written_is_refused_first(
    tmp_path: Path, name: str, options: dict[str, Any], said: str
) -> None:
    (tmp_path / "folder.h5ad").mkdir()
    with pytest.raises(ConfigError, match=said):
        export_groups(tmp_path / "no run", name if "://" in name else tmp_path / name, **options)


def test_without_the_package_it_says_what_to_install(
    grouped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(ConfigError, match=r"pip install 'tahoe-engine\[export\]'"):
        export_groups(grouped, tmp_path / "groups.h5ad")


def test_tables_that_do_not_fit_together_leave_no_file(grouped: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="run `tahoe groups` first"):
        export_groups(run, tmp_path / "groups.h5ad")
    copy = tmp_path / "run"
    shutil.copytree(grouped, copy)
    part = max(copy.glob("groups/moments/*/*.parquet"))
    content, moments = part.read_bytes(), pl.read_parquet(part)
    for frame, said in (
        (moments.with_columns(pl.col("gene") + 100_000), "a gene that the run's vocabulary has not"),
        (moments.with_columns(pl.col("group_id") + 1), "a group that the index has not"),
        (moments.drop("var_log1p_cp10k"), "lacks the column"),
    ):
        frame.write_parquet(part)
        exported.vouch(copy)
        with pytest.raises(StageError, match=said):
            export_groups(copy, tmp_path / "groups.h5ad")
    part.write_bytes(content[:-100])
    with pytest.raises(StageError, match="is not what the manifest says"):
        export_groups(copy, tmp_path / "groups.h5ad")
    exported.vouch(copy)
    with pytest.raises(StageError, match="cannot be read"):
        export_groups(copy, tmp_path / "groups.h5ad")
    part.unlink()
    with pytest.raises(StageError, match="are gone"):
        export_groups(copy, tmp_path / "groups.h5ad")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_cannot_fit_the_disk_is_refused_before_it_is_written(
    grouped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1 << 20})())
    with pytest.raises(ConfigError, match=r"GB would be written and 0\.0 GB are free"):
        export_groups(grouped, tmp_path / "groups.h5ad")
    assert list(tmp_path.iterdir()) == []


def test_a_file_larger_than_a_memory_is_told_with_the_way_to_read_it(
    grouped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tahoe_engine.export.room.A_LOT", 1 << 20)
    with pytest.warns(TahoeWarning, match="GB of memory; choose fewer") as told:
        report = export_groups(grouped, tmp_path / "groups.h5ad")
    import anndata
    import h5py

    said = str(told[0].message).split("in pieces: ")[1]
    file = report.into
    first = eval(said, {"anndata": anndata, "h5py": h5py, "file": file})  # noqa: S307 - our own advice
    assert (first != read(file).layers["sum"][:100]).nnz == 0


def test_the_command_says_what_it_wrote(grouped: Path, tmp_path: Path, tahoe: Callable[..., Any]) -> None:
    into = tmp_path / "groups.h5ad"
    done = tahoe("export", grouped, "--what", "groups", "--plates", "4,9", "--into", into)
    assert done.returncode == 0
    assert done.stderr == "tahoe: the run has no '9' among their plates; the nearest: plate4, plate6\n"
    assert f"{into}, " in done.stdout
    assert re.search(r"groups +18\n", done.stdout)
    assert main(["export", str(grouped), "--what", "groups", "--into", str(into)]) == 64
