"""The stage contrasts from moments on disk: both methods against others' numbers, and what it says of what it lacks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

import tahoe_engine as te
from made_groups import FIRST_TOKEN, LINES, Group, Well, draw_groups, make_wells, write_groups
from runs import published
from tahoe_engine.cli.contrasts import print_report
from tahoe_engine.contrasts.limma import filter_by_expr
from tahoe_engine.errors import ConfigError, StageError
from tahoe_engine.schema import RESULTS, RESULTS_LIMMA

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")

PLATES = ("plate4", "plate10")


def compute(into: Path, **options: Any) -> te.contrasts.ContrastsReport:
    return te.compute_contrasts(into, **{"workers": 0, **options})


@pytest.fixture(scope="module")
def groups() -> list[Group]:
    return list(draw_groups(make_wells(PLATES)))


@pytest.fixture
def grouped(groups: list[Group], tmp_path: Path) -> Path:
    write_groups(tmp_path / "run", groups)
    return tmp_path / "run"


def rows_of(into: Path, **contrast: Any) -> tuple[dict[str, Any], pl.DataFrame]:
    """The line of the index of a contrast, and its results."""
    run = te.Run(into)
    line = run.table("contrasts").filter(**contrast).collect().to_dicts()
    assert len(line) == 1, line
    return line[0], run.table("contrasts/results").filter(contrast_id=line[0]["contrast_id"]).collect()


def cells_of(groups: list[Group], plate: str, line: str, drug: str, dose: float) -> list[Group]:
    return [g for g in groups if (g.well.plate, g.line, g.well.drug, g.well.dose_um) == (plate, line, drug, dose)]


def test_welch_equals_scipy_on_the_cells_themselves(grouped: Path, groups: list[Group]) -> None:
    report = compute(grouped, method="welch")
    assert report.manifest["n_contrasts"] == 20
    line, rows = rows_of(grouped, drug="Drug 1", dose_um=5.0, cell_line_id=LINES[1], plate="plate10")
    sides = [
        np.concatenate([g.log1p_cp10k for g in cells_of(groups, "plate10", LINES[1], drug, dose)])
        for drug, dose in (("Drug 1", 5.0), ("DMSO_TF", 0.0))
    ]
    treated, control = sides
    assert (line["n_cells_treated"], line["n_cells_control"]) == (len(treated), len(control))
    assert (line["n_wells_treated"], line["n_wells_control"], line["method"]) == (1, 2, "welch")
    seen = np.flatnonzero(treated.any(axis=0) | control.any(axis=0))
    assert rows["gene"].to_list() == (seen + FIRST_TOKEN).tolist()
    # Few cells: some genes have no count among the treated.
    assert (rows["mean_treated"] == 0).any()
    expected = stats.ttest_ind(treated[:, seen], control[:, seen], equal_var=False)
    np.testing.assert_allclose(rows["scores"], expected.statistic, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(rows["pvals"], expected.pvalue, rtol=1e-8)
    np.testing.assert_allclose(rows["pvals_adj"], stats.false_discovery_control(expected.pvalue), rtol=1e-8)
    np.testing.assert_allclose(rows["mean_treated"], treated[:, seen].mean(axis=0), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(rows["mean_control"], control[:, seen].mean(axis=0), rtol=1e-12, atol=1e-15)
    ratio = (np.expm1(treated[:, seen].mean(axis=0)) + 1e-9) / (np.expm1(control[:, seen].mean(axis=0)) + 1e-9)
    np.testing.assert_allclose(rows["logfoldchanges"], np.log2(ratio), rtol=1e-6, atol=1e-9)
    assert (rows["lfc_shrunken"].abs() <= rows["logfoldchanges"].abs() + 1e-9).all()


def test_limma_equals_the_function_on_the_same_wells(grouped: Path, groups: list[Group]) -> None:
    compute(grouped)
    line, rows = rows_of(grouped, drug="Drug 1", dose_um=5.0, cell_line_id=LINES[0], plate="plate4")
    wells = [g for g in groups if g.well.plate == "plate4" and g.line == LINES[0]]
    counts = np.column_stack([g.counts.sum(axis=0) for g in wells])
    levels = [f"{g.well.drug} {g.well.dose_um}" for g in wells]
    names = list(dict.fromkeys(levels))
    matrix = np.array([[level == name for name in names] for level in levels], float)
    kept = np.flatnonzero(filter_by_expr(counts, matrix))
    assert 0 < kept.size < (counts.sum(axis=1) > 0).sum()
    samples = [g.well.sample for g in wells]
    frame = pl.DataFrame({"gene": kept + FIRST_TOKEN, **dict(zip(samples, counts[kept].T, strict=True))})
    design = pl.DataFrame({"sample": samples, **dict(zip(names, matrix.T, strict=True))})
    expected = te.fit_limma(frame, design, {"Drug 1 5.0": 1, "DMSO_TF 0.0": -1})
    treated, control = (counts[kept][:, [level == name for level in levels]] for name in ("Drug 1 5.0", "DMSO_TF 0.0"))
    listed = treated.any(axis=1) | control.any(axis=1)
    assert rows["gene"].to_list() == (kept[listed] + FIRST_TOKEN).tolist()
    theirs = expected.filter(pl.Series(listed))
    pairs = {"logfoldchanges": "logFC", "scores": "t", "pvals": "P.Value", "AveExpr": "AveExpr", "B": "B"}
    for ours, name in pairs.items():
        np.testing.assert_allclose(rows[ours], theirs[name], rtol=1e-8, atol=1e-10, err_msg=ours)
    np.testing.assert_allclose(rows["pvals_adj"], stats.false_discovery_control(theirs["P.Value"]), rtol=1e-8)
    np.testing.assert_allclose(rows["mean_treated"] - rows["mean_control"], rows["logfoldchanges"], atol=1e-9)
    assert (line["n_wells_treated"], line["n_wells_control"], line["df_residual"]) == (1, 2, 1.0)
    assert line["df_prior"] > 0
    assert "few_replicates" in line["flags"].split(",")


@pytest.mark.parametrize(("method", "table"), [("limma", RESULTS_LIMMA), ("welch", RESULTS)])
def test_the_tables_are_those_of_the_schema_and_sorted(grouped: Path, method: str, table: Any) -> None:
    report = compute(grouped, method=method)
    for part in report.manifest["parts"]:
        rows = pl.read_parquet(grouped / "contrasts" / part["name"])
        assert part["rows"] == rows.height > 0
        if part["name"] != "index.parquet":
            assert {name: str(dtype) for name, dtype in rows.schema.items()} == {c.name: c.dtype for c in table.columns}
            assert rows.select("contrast_id", "gene").rows() == sorted(rows.select("contrast_id", "gene").rows())
            assert not any(rows[name].is_nan().any() for name in table.names[2:])
    index = te.Run(grouped).table("contrasts").collect()
    assert index["contrast_id"].to_list() == list(range(20))
    assert index["plate"].to_list() == ["plate4"] * 10 + ["plate10"] * 10
    assert report.manifest["meaning"]["log_base"] == 2
    assert te.Run(grouped).settings["contrasts"]["contrasts"]["method"] == method


def test_a_treatment_without_control_is_told_counted_and_never_filled(
    tmp_path: Path, groups: list[Group], tahoe: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    def is_lost(group: Group) -> bool:
        return (group.well.plate, group.line, group.well.drug) == ("plate10", LINES[1], "DMSO_TF")

    into = tmp_path / "run"
    write_groups(into, [group for group in groups if not is_lost(group)])
    done = tahoe("contrasts", "--into", into, "--method", "welch", "--workers", 0, "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert (facts["n_contrasts"], facts["n_without_control"], facts["flags"]["no_control"]) == (20, 5, 5)
    assert "5 contrasts have no control" in done.stderr
    assert f"Drug 0, 0.5, {LINES[1]}, plate10" in done.stderr
    index = te.Run(into).table("contrasts").filter(pl.col("flags").str.contains("no_control")).collect()
    assert index["cell_line_id"].unique().to_list() == [LINES[1]]
    assert index["n_cells_control"].sum() == 0
    results = te.Run(into).table("contrasts/results").collect()
    assert not set(results["contrast_id"]) & set(index["contrast_id"])
    assert results["contrast_id"].n_unique() == 15
    assert not (into / f"contrasts/results/plate=plate10/{LINES[1]}.parquet").exists()


def test_without_residual_degrees_of_freedom_there_are_changes_and_no_p_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    into = tmp_path / "run"
    write_groups(into, list(draw_groups(make_wells(n_control=1))))
    print_report(compute(into), as_json=False)
    printed = capsys.readouterr()
    assert "--method welch" in printed.err
    assert "no_residual_df 10" in printed.out
    index = te.Run(into).table("contrasts").collect()
    assert all("no_residual_df" in flags.split(",") for flags in index["flags"])
    assert index["df_residual"].to_list() == [0.0] * 10
    rows = te.Run(into).table("contrasts/results").collect()
    assert rows["logfoldchanges"].null_count() == 0
    for name in ("scores", "pvals", "pvals_adj", "B", "lfc_shrunken"):
        assert rows[name].null_count() == rows.height > 0


def test_pooled_plates_are_one_fit_with_the_plate_as_block(grouped: Path) -> None:
    report = compute(grouped, within=["cell_line_id"], block=["plate"])
    names = [part["name"] for part in report.manifest["parts"]]
    assert names[1:] == [f"results/plate=__HIVE_DEFAULT_PARTITION__/{line}.parquet" for line in LINES]
    line, rows = rows_of(grouped, drug="Drug 1", dose_um=5.0, cell_line_id=LINES[0])
    assert (line["n_wells_treated"], line["n_wells_control"], line["plate"]) == (2, 4, None)
    # 14 wells, six means and one difference of plates.
    assert line["df_residual"] == 7.0
    assert rows["pvals_adj"].null_count() == 0
    assert "few_replicates" not in line["flags"].split(",")


def test_lines_are_one_fit_with_the_line_as_block(grouped: Path) -> None:
    compute(grouped, within=["plate"], block=["cell_line_id"], treatment=["drug"])
    line, _ = rows_of(grouped, drug="Drug 0", plate="plate4")
    assert (line["dose_um"], line["cell_line_id"], line["n_wells_treated"]) == (None, None, 2)
    assert (grouped / "contrasts/results/plate=plate4/all.parquet").is_file()


def test_a_well_without_counts_is_left_out_of_the_fit(tmp_path: Path) -> None:
    found = list(draw_groups(make_wells()))
    place = next(at for at, group in enumerate(found) if group.well.drug == "Drug 0")
    found[place] = Group(found[place].group_id, found[place].well, found[place].line, found[place].counts * 0)
    write_groups(tmp_path / "run", found)
    compute(tmp_path / "run")
    line, rows = rows_of(tmp_path / "run", drug="Drug 0", dose_um=0.5, cell_line_id=found[place].line)
    assert "not_estimable" in line["flags"].split(",")
    assert rows.height == 0


def test_a_group_of_one_cell_has_no_test_by_welch(tmp_path: Path) -> None:
    wells = [
        Well("plate4", "smp_1", "DMSO_TF", 0.0, {LINES[0]: 30}),
        Well("plate4", "smp_2", "Talc", 0.5, {LINES[0]: 1}),
    ]
    write_groups(tmp_path / "run", list(draw_groups(wells)))
    compute(tmp_path / "run", method="welch")
    line, rows = rows_of(tmp_path / "run", drug="Talc")
    assert line["flags"].split(",") == ["few_cells", "no_residual_df"]
    assert rows["pvals"].null_count() == rows["scores"].null_count() == rows.height > 0
    assert rows["logfoldchanges"].null_count() == 0
    # Nothing is known of the treated cells' variance, so that nothing can be shrunken either.
    assert rows["lfc_shrunken"].null_count() == rows.height


def test_the_same_call_again_does_nothing_and_other_settings_ask_for_new(grouped: Path) -> None:
    compute(grouped)
    before = published(grouped)
    again = compute(grouped)
    assert (again.parts_done, again.parts_found_done) == (0, 4)
    assert published(grouped) == before
    with pytest.raises(StageError, match=r'contrasts.method: "limma" before, "welch" now.*--new'):
        compute(grouped, method="welch")
    compute(grouped, method="welch", new=True)
    assert compute(grouped, method="welch").manifest["meaning"]["compared"] == "cells"
    assert published(grouped) != before


def test_contrasts_of_groups_that_changed_are_stale(grouped: Path, groups: list[Group], tmp_path: Path) -> None:
    compute(grouped, method="welch")
    write_groups(tmp_path / "other", groups[:-1])
    for path in sorted((tmp_path / "other/groups").rglob("*.*")):
        if path.is_file():
            path.replace(grouped / path.relative_to(tmp_path / "other"))
    listed = json.loads((grouped / "_MANIFEST.json").read_text())
    listed["stages"]["groups"] = json.loads((tmp_path / "other/_MANIFEST.json").read_text())["stages"]["groups"]
    (grouped / "_MANIFEST.json").write_text(json.dumps(listed))
    with pytest.raises(StageError, match="'contrasts' is stale: 'groups' was computed anew since"):
        te.Run(grouped).table("contrasts")
    with pytest.raises(StageError, match=r"needs\.groups.*--new") as caught:
        compute(grouped, method="welch")
    assert caught.value.exit_code == 64
    assert compute(grouped, method="welch", new=True).manifest["n_contrasts"] == 19


def test_moments_that_are_gone_are_named(grouped: Path) -> None:
    (grouped / "groups/moments/plate=plate4/smp_100.parquet").unlink()
    with pytest.raises(StageError, match=r"smp_100\.parquet: gone or damaged; run `tahoe groups` again"):
        compute(grouped)


def test_moments_that_changed_are_named_and_nothing_is_published(grouped: Path) -> None:
    part = grouped / "groups/moments/plate=plate4/smp_100.parquet"
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(StageError, match=r"smp_100\.parquet is not what the manifest says"):
        compute(grouped)
    assert not (grouped / "contrasts/_MANIFEST.json").exists()


def test_a_run_without_groups_is_told_what_to_do(run: Path) -> None:
    with pytest.raises(StageError, match="run `tahoe groups` first"):
        compute(run)


def test_a_fit_that_cannot_fit_into_memory_is_refused(grouped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tahoe_engine.contrasts import plan

    monkeypatch.setattr(plan, "BASE_MEMORY", 1 << 50)
    with pytest.raises(ConfigError, match=r"a fit of 7 groups needs about \d+ MiB"):
        compute(grouped)


def test_sides_of_many_groups_are_pooled_in_steps(grouped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tahoe_engine.contrasts import from_moments, moments

    options: dict[str, Any] = {"method": "welch", "within": [], "treatment": ["drug"], "new": True}
    compute(grouped, **options)
    at_once = te.Run(grouped).table("contrasts/results").collect()
    read: list[int] = []
    whole = moments.align_moments

    def align(frames: Any, groups: pl.DataFrame) -> Any:
        read.append(groups.height)
        return whole(frames, groups)

    monkeypatch.setattr(from_moments, "GROUPS_AT_ONCE", 3)
    monkeypatch.setattr(from_moments, "align_moments", align)
    compute(grouped, **options)
    # Eight groups of the control, eight of each of two drugs and four of the third.
    assert (max(read), sum(read)) == (3, 28)
    in_steps = te.Run(grouped).table("contrasts/results").collect()
    assert at_once.select("contrast_id", "gene").equals(in_steps.select("contrast_id", "gene"))
    for name in ("logfoldchanges", "scores", "mean_treated", "lfc_shrunken"):
        np.testing.assert_allclose(in_steps[name], at_once[name], rtol=1e-9, atol=1e-11, err_msg=name)
