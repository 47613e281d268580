"""The command line: its words, its exit codes, its two kinds of output."""

from __future__ import annotations

import inspect
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tahoe_engine.cli import cells, main, options, plan
from tahoe_engine.cli.output import duration, print_facts, print_table, size
from tahoe_engine.cli.progress import describe_progress

ROOT = Path(__file__).resolve().parents[3]
VERBS = ("synth", "check", "plan", "cells", "run", "inspect", "verify")


def run(*args: object) -> int:
    return main([str(arg) for arg in args])


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(verb, "--help") == 0
    assert f"Example: tahoe {verb}" in capsys.readouterr().out


def test_what_is_planned_takes_the_options_of_what_is_done() -> None:
    done, planned = (set(inspect.signature(verb).parameters) for verb in (cells.cells, plan.plan_verb))
    shared = set(inspect.signature(options.make_cells_settings).parameters)
    assert shared | {"source", "into", "quiet", "json"} == planned
    assert planned <= done


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("tahoe-engine ")


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["cels"], 64, "'cells'"),
        (["cells"], 64, "Missing"),
        (["cells", "x"], 64, "--into"),
        (["cells", "x", "--into", "r", "--min-genes", "many"], 64, "min-genes"),
        (["cells", "x", "--into", "r", "--min-genes", "-1"], 64, "min_genes"),
        (["cells", "x", "--into", "r", "--stats", "some"], 64, "'summary', 'qc' or 'all'"),
        (["cells", "x", "--into", "r", "--set", "cells.min_gene=1"], 64, "did you mean 'cells.min_genes'?"),
        (["cells", "x", "--into", "r", "--cell-lines", "@none"], 64, "cannot be read"),
        (["cells", "x", "--into", "r", "--drugs", " , "], 64, "no name is given"),
        (["cells", "x", "--into", "r", "--profile", "none"], 64, "there is default"),
        (["cells", "no-such-source", "--into", "r"], 66, "no such file"),
        (["check", "gs://bucket/x"], 66, "no source is read from gs:"),
        (["plan", "groups"], 64, "groups"),
        (["inspect", "no-such-run"], 64, "not a run folder"),
        (["verify", "no-such-run"], 64, "not a run folder"),
        (["run", "no-such-job.toml"], 64, "cannot be read"),
        (["synth", "out", "--plates", "four"], 64, "numbers from 1 to 14"),
        (["synth", "out", "--plates", "9" * 5000], 64, "numbers from 1 to 14"),
        (["synth", "out", "--lines", "9" * 5000], 64, "not in Tahoe-100M"),
        (["cells", "x", "--into", "r", "--rows", "0:" + "9" * 5000], 64, "at most 18 digits"),
        (["cells", "x", "--into", "r", "--set", "cells.plates="], 64, "a name is empty"),
    ],
)
def test_what_is_wrong_is_one_line_and_an_exit_code(
    args: list[str],
    code: int,
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*args) == code
    found = capsys.readouterr()
    assert said in found.err
    assert len(found.err.splitlines()) == 1
    assert found.out == ""
    assert not list(tmp_path.iterdir())


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("tahoe_engine.run.describe_run", broken)
    with pytest.raises(KeyError):
        run("inspect", "x")


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tahoe_engine.run.describe_run", interrupted)
    assert run("inspect", "x") == 130
    assert "run the same command again" in capsys.readouterr().err


def test_the_whole_way_in_json(atlas: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    into = tmp_path / "run"

    def facts(*args: object) -> dict[str, object]:
        assert run(*args, "--json") == 0
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return found

    assert facts("check", atlas)["rows"] == 1200
    plan = facts("plan", "cells", atlas, "--into", into, "--plates", 4)
    assert not into.exists()
    assert plan["row_groups_read"] == 12
    assert plan["units"] == 6
    report = facts("cells", atlas, "--into", into, "--workers", 0, "--plates", "4,6", "--quiet")
    assert report["rows"] == {"in": 1200, "kept": 1200, "filtered": 0, "rejected": 0, "quarantined": 0}
    assert list(facts("inspect", into)["stages"]) == ["cells", "genes"]  # type: ignore[call-overload]
    assert facts("verify", into, "--deep")["mismatches"] == []


def test_the_whole_way_in_words(atlas: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    into = tmp_path / "run"
    assert run("cells", atlas, "--into", into, "--workers", 0, "--cell-lines", "CVCL_0021,A549", "--min-genes", 10) == 0
    found = capsys.readouterr()
    assert "rows in" in found.out
    assert f"{into}/cells, {into}/genes" in found.out
    assert "the joined tables have no 'CVCL_0021' among their cell lines; the nearest: " in found.err
    assert "no row that was read has 'CVCL_0021' among its cell lines; the nearest: " in found.err
    for verb in (["check", atlas], ["plan", "cells", atlas], ["inspect", into], ["verify", into]):
        assert run(*verb) == 0
        assert capsys.readouterr().out


def test_a_quarantined_shard_ends_with_2_and_is_shown(
    atlas: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"<html>\x1b[2J an error page")
    source = [tmp_path / "bad.parquet", *sorted((atlas / "data").iterdir())[:1]]
    assert run("cells", *source, "--into", tmp_path / "run", "--workers", 0, "-q") == 2
    out = capsys.readouterr().out
    assert "bad: E_NOT_PARQUET" in out
    assert "\x1b" not in out
    assert run("check", *source, "-q") == 2
    assert run("check", *source, "-q", "--strict") == 65
    assert run("cells", *source, "--into", tmp_path / "strict", "--workers", 0, "--strict") == 65


def test_a_run_that_stopped_over_bad_shards_shows_them(
    atlas: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.parquet").write_bytes(b"<html>")
    source = [tmp_path / "bad.parquet", *sorted((atlas / "data").iterdir())[:1]]
    assert run("cells", *source, "--into", tmp_path / "run", "--workers", 0, "--strict") == 65
    capsys.readouterr()
    assert run("inspect", tmp_path / "run") == 0
    out = capsys.readouterr().out
    assert "0 of 2 shards done, 1 quarantined" in out
    assert "bad\t-\tE_" in out


def test_verify_ends_with_3_where_something_differs(atlas: Path, tmp_path: Path) -> None:
    into = tmp_path / "run"
    assert run("cells", atlas, "--into", into, "--workers", 0, "-q", "--stats", "summary") == 0
    part = min(into.glob("cells/*.parquet"))
    part.write_bytes(part.read_bytes() + b"x")
    assert run("verify", into) == 3


def test_a_job_runs_its_stages_once(atlas: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = tmp_path / "job.toml"
    job.write_text(
        f"[job]\nsource = '{atlas}'\ninto = '{tmp_path}/run'\n[cells]\nmin_genes = 10\n[workers]\ncount = 0\n"
    )
    assert run("run", job, "--json", "-q") == 0
    assert json.loads(capsys.readouterr().out)["cells"]["shards_done"] == 6
    assert run("run", job) == 0
    assert "6 (6 were done before)" in capsys.readouterr().out
    assert run("run", job, "--set", "cells.min_genes=11") == 64
    job.write_text(f"[job]\nsource = '{atlas}'\ninto = '{tmp_path}/run'\nstages = ['cells', 'grops']\n")
    assert run("run", job) == 64


def test_a_terminal_gets_tables_and_a_bar(atlas: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "tahoe_engine",
        "cells",
        str(atlas),
        "--into",
        str(tmp_path / "r"),
        "--workers",
        "0",
    ]
    done = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            more = os.read(ours, 1 << 16)
        except OSError:
            break
        if not more:
            break
        shown += more
    os.close(ours)
    out = done.communicate(timeout=60)[0]
    assert done.returncode == 0
    # Which units are drawn depends on the clock; the last state of the bar does not.
    assert b"merging genes: 0 of 6" in shown
    assert b"kept" in out
    assert b"\x1b" not in out


def test_numbers_read_well() -> None:
    assert [duration(s) for s in (0, 59.9, 60, 3599.6)] == ["0.0 s", "59.9 s", "1 min 00 s", "1 h 00 min"]
    assert [size(n) for n in (0, 999, 1000, 10**15)] == ["0 B", "999 B", "1.0 kB", "1000.0 TB"]


def test_progress_says_how_far_how_fast_and_how_long() -> None:
    from tahoe_engine.cells import Progress

    assert describe_progress(Progress("cells", 3, 12, 3000, 12000, 1, 2.0)) == (
        "scanning shards: 3 of 12, 1,500 cells/s, 6.0 s left, 1 quarantined"
    )
    assert describe_progress(Progress("footers", 5, 3388)) == "reading footers: 5 of 3,388"


def test_hostile_text_never_reaches_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_facts([("name", "\x1b[31m")])
    print_table("t", ("a",), [("\x1b]0;x\x07",)])
    assert "\x1b" not in capsys.readouterr().out


def test_the_launcher_is_the_same_as_the_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "jobs/launch.py", ROOT / "jobs/demo.toml", "workers.count=0"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 66
    assert "demo/atlas: there is no such file" in done.stderr
