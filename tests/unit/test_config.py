from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from tahoe_engine.config import Settings, change_settings, load_job, load_settings, parse_override, parse_rows
from tahoe_engine.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("override", "wrong", "near"),
    [
        ("cells.min_gene=3", "cells.min_gene", "cells.min_genes"),
        ("cels.min_genes=3", "cels", "cells"),
        ("source.sceduler=x", "source.sceduler", "workers.scheduler"),
        ("workers.counts=2", "workers.counts", "workers.count"),
        ("limits.list_len=3", "limits.list_len", "limits.list_length"),
    ],
)
def test_a_typo_is_named_with_the_nearest_real_key(override: str, wrong: str, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(overrides=[override])
    assert repr(wrong) in str(caught.value)
    assert f"did you mean {near!r}?" in str(caught.value)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("cells.min_genes=-1", "greater than or equal to 0"),
        ("cells.min_genes=1.5", "valid integer"),
        ("cells.min_genes=true", "valid integer"),
        ("cells.stats=some", "'summary', 'qc' or 'all'"),
        ("cells.rows=5:2", "must be larger"),
        ("cells.rows=5 to 9", "write A:B"),
        ("run.max_bad_share=nan", "finite"),
        ("cells.plates=true", "a name is text or a number"),
        ("limits.rows=9223372036854775808", "less than or equal"),
        ("limits.list_length=4294967296", "less than or equal"),
        ("cells", "section.key=value"),
        ("cells=1", "section.key=value"),
    ],
)
def test_a_wrong_value_is_refused_with_a_reason(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"(?s).*") as caught:
        load_settings(overrides=[override])
    assert said in str(caught.value)


def numeric_settings() -> list[str]:
    return [
        f"{section}.{key}"
        for section, keys in Settings().model_dump().items()
        for key, value in keys.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    ]


@pytest.mark.parametrize("name", numeric_settings())
def test_every_number_has_an_upper_bound(name: str) -> None:
    with pytest.raises(ConfigError, match="less than or equal to"):
        load_settings(overrides=[f"{name}={10**30}"])
    # More digits than Python reads, and more than a float holds.
    for huge in (10**4000, "9" * 5000):
        with pytest.raises(ConfigError, match=name.partition(".")[0]):
            load_settings(overrides=[f"{name}={huge}"])


def test_a_file_with_a_number_nobody_can_read_is_a_config_error(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text("[cells]\nmin_genes = " + "9" * 5000)
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_settings(profile=str(path))


@pytest.mark.parametrize("key", ["cell_lines", "drugs", "plates", "samples"])
@pytest.mark.parametrize("value", ["", "''", "' , '", "['']", "[4, ' ']", "4,,6", "4,"])
def test_a_filter_for_no_name_is_refused(key: str, value: str) -> None:
    with pytest.raises(
        ConfigError, match=f"cells.{key} = .*: a name is empty; leave it out, or write \\[\\] to keep all"
    ):
        load_settings(overrides=[f"cells.{key}={value}"])
    assert getattr(load_settings(overrides=[f"cells.{key}=[]"]).cells, key) == ()


def test_profile_then_job_then_override(tmp_path: Path) -> None:
    profile, job = tmp_path / "p.toml", tmp_path / "j.toml"
    profile.write_text("[cells]\nmin_genes = 1\nstats = 'qc'\n[workers]\ncount = 3\n")
    job.write_text("[job]\nsource = 'a'\ninto = 'b'\n[cells]\nmin_genes = 2\nplates = [4, 'plate6']\n")
    settings = load_settings(profile=str(profile), job=job, overrides=["workers.count=0"])
    assert (settings.cells.min_genes, settings.cells.stats, settings.workers.count) == (2, "qc", 0)
    assert settings.cells.plates == ("4", "plate6")


def test_a_job_may_name_its_profile(tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("[cells]\nmin_genes = 9\n")
    job = tmp_path / "j.toml"
    job.write_text(f"[job]\nsource = 'a'\ninto = 'b'\nprofile = '{tmp_path}/p.toml'\n")
    assert load_settings(job=job).cells.min_genes == 9


def test_a_profile_of_the_package_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(profile="small_machine").workers.count == 1
    # Nothing beside the package is looked at: an installed one has no source tree around it.
    monkeypatch.setattr("tahoe_engine.config.PROFILES", tmp_path / "nothing")
    with pytest.raises(ConfigError, match="there is none"):
        load_settings(profile="small_machine")


def test_a_profile_of_the_working_folder_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/small_machine.toml").write_text("[workers]\ncount = 7\n")
    (tmp_path / "config/own.toml").write_text("[workers]\ncount = 8\n")
    assert [load_settings(profile=name).workers.count for name in ("small_machine", "own")] == [7, 8]
    with pytest.raises(ConfigError, match="there is default, own, small_machine"):
        load_settings(profile="smal")


@pytest.mark.parametrize(
    "text",
    [
        "[cells]\n[cells]\n",
        "[cells]\nmin_genes = 1\nmin_genes = 2\n",
        "[cells\n",
        "a = [" * 5000,
        "\x00",
        "min_genes = 3\n",
    ],
)
def test_a_broken_file_is_a_config_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.toml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_settings(profile=str(path))


def test_a_file_that_is_missing_huge_or_not_text_is_a_config_error(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(profile=str(path))
    path.write_bytes(b"# " + b"x" * (1 << 20))
    with pytest.raises(ConfigError, match="at most"):
        load_settings(profile=str(path))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_settings(profile=str(path))


def test_a_job_is_read_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "j.toml"
    path.write_text("[job]\nsource = ['a', 'b']\ninto = 'c'\n")
    job = load_job(path)
    assert (job.source, job.into, job.stages) == (("a", "b"), "c", ("cells",))
    path.write_text("[job]\nsource = 'a'\nintoo = 'c'\n")
    with pytest.raises(ConfigError, match=r"unknown setting 'job.intoo'; did you mean 'job.into'\?"):
        load_job(path)
    path.write_text("[cells]\n")
    with pytest.raises(ConfigError, match=r"\[job\]"):
        load_job(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a.b=1", 1),
        ("a.b = [1, 2]", [1, 2]),
        ("a.b=x", "x"),
        ("a.b=x=y", "x=y"),
        ("a.b=1\nc=2", "1\nc=2"),
        ("a.b=", ""),
    ],
)
def test_an_override_is_toml_or_else_text(text: str, value: object) -> None:
    assert parse_override(text) == {"a": {"b": value}}


def test_rows_are_a_half_open_range() -> None:
    assert [parse_rows(text) for text in ("", "0:5000", "10:", ":1_000")] == [None, (0, 5000), (10, None), (0, 1000)]
    for text in (":", "a:b", "-1:4", "1:1", "1:2:3", "²:9"):
        with pytest.raises(ValueError, match="rows"):
            parse_rows(text)


def test_none_means_as_it_was() -> None:
    before = load_settings(overrides=["cells.min_genes=4"])
    assert change_settings(before, {"cells": {"min_genes": None, "stats": "qc"}}, "a test").cells.min_genes == 4
    assert change_settings(before, {"cells": {"drugs": ["A, B"]}}, "a test").cells.drugs == ("A, B",)


def test_names_of_an_override_are_split_at_commas() -> None:
    settings = load_settings(overrides=["cells.plates=4,6", "cells.samples=a, b"])
    assert (settings.cells.plates, settings.cells.samples) == (("4", "6"), ("a", "b"))


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Settings().cells.min_genes = 3
