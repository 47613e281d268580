"""``config/default.toml`` is the only full list of the settings, and it is true."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tahoe_engine.config import Settings, load_job, load_settings
from tahoe_engine.pipeline import ORDER

ROOT = Path(__file__).resolve().parents[2]
JOBS = sorted((ROOT / "jobs").glob("*.toml"))
PROFILES = sorted((ROOT / "config").glob("*.toml"))


def test_default_toml_equals_the_models_key_by_key() -> None:
    listed = tomllib.loads((ROOT / "config/default.toml").read_text())
    models = Settings().model_dump()
    assert {section: list(keys) for section, keys in listed.items()} == {s: list(keys) for s, keys in models.items()}
    assert load_settings(profile=str(ROOT / "config/default.toml")) == Settings()


def test_every_key_of_default_toml_is_explained_on_its_line() -> None:
    lines = (ROOT / "config/default.toml").read_text().splitlines()
    bare = [line for line in lines if "=" in line and not line.startswith("#") and "#" not in line]
    # These two say what they are.
    assert [line.split(" = ")[0] for line in bare] == ["columns", "row_groups"]


def test_the_limits_of_the_settings_are_the_limits_of_the_core() -> None:
    core = pytest.importorskip("tahoe_engine._rust", reason="the core is not built: make build")
    assert Settings().limits.model_dump() == core.DEFAULT_LIMITS


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_every_profile_loads(path: Path) -> None:
    load_settings(profile=str(path))


def test_the_package_carries_the_profiles_that_people_edit() -> None:
    carried = sorted((ROOT / "tahoe_engine/profiles").glob("*.toml"))
    assert [path.name for path in carried] == [path.name for path in PROFILES]
    assert all(path.samefile(own) for path, own in zip(carried, PROFILES, strict=True))
    # maturin does not enter a link by itself.
    maturin = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["maturin"]
    assert "tahoe_engine/profiles/*.toml" in maturin["include"]


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_every_job_loads_and_names_stages_that_exist(path: Path) -> None:
    assert set(load_job(path).stages) <= set(ORDER)
    load_settings(job=path)


def test_the_launcher_has_at_most_sixty_lines() -> None:
    assert len((ROOT / "jobs/launch.py").read_text().splitlines()) <= 60
