"""Settings: where they come from, who has the last word, and where a typo is caught.

Order of precedence: the defaults of the models, then a profile, then a job, then ``section.key=value`` overrides.
A stage is given its own section, never the whole tree.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from tahoe_engine.errors import ConfigError, escape_controls
from tahoe_engine.mistakes import explain_mistakes, name_nearest
from tahoe_engine.sections import CellsSettings, Job, Settings, WorkersSettings, parse_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Model = TypeVar("Model", bound=BaseModel)
PROFILES = Path(__file__).resolve().parent / "profiles"  # in the source tree a link to config/
MAX_SETTINGS_BYTES = 1 << 20  # a settings file of more than 1 MiB is something else


def load_settings(profile: str | None = None, job: str | Path | None = None, overrides: Iterable[str] = ()) -> Settings:
    """Resolve the settings: default, then profile, then job, then overrides.

    Parameters
    ----------
    profile : str, optional
        Path of a TOML file, or the name of one in ``config/`` of the working folder, else of the package's own.
    job : str or Path, optional
        A job file; its ``[job]`` table is not a setting and may name a profile of its own.
    overrides : iterable of str
        ``section.key=value`` each; the value is TOML, and plain text where it is not.

    Returns
    -------
    Settings
        Frozen.

    Raises
    ------
    ConfigError
        For an unknown key (with the nearest real one), a wrong value, or a broken file.

    Examples
    --------
    >>> load_settings(overrides=["cells.min_genes=10"]).cells.min_genes
    10
    """
    tree: dict[str, dict[str, Any]] = {}
    origins: list[str] = []
    job_tree = read_toml(Path(job)) if job is not None else {}
    if job is not None:
        profile = profile or _job_of(job_tree, str(job)).profile or None
    if profile:
        path = _find_profile(profile)
        _merge(tree, read_toml(path), str(path))
        origins.append(str(path))
    if job is not None:
        _merge(tree, {key: value for key, value in job_tree.items() if key != "job"}, str(job))
        origins.append(str(job))
    for override in overrides:
        _merge(tree, parse_override(override), f"--set {override}")
        origins.append(f"--set {override}")
    return validate(Settings, tree, ", ".join(origins) or "the settings")


def load_job(path: str | Path) -> Job:
    """Read the ``[job]`` table of a job file.

    Parameters
    ----------
    path : str or Path
        A TOML file.

    Returns
    -------
    Job
        Source, run folder and stages.

    Raises
    ------
    ConfigError
        If the file or its table is missing or wrong.
    """
    return _job_of(read_toml(Path(path)), str(path))


def parse_override(text: str) -> dict[str, dict[str, Any]]:
    """Turn ``section.key=value`` into a tree.

    Parameters
    ----------
    text : str
        One override.

    Returns
    -------
    dict
        ``{section: {key: value}}``.

    Raises
    ------
    ConfigError
        If it is not of that form.

    Examples
    --------
    >>> parse_override("cells.plates=[4, 6]"), parse_override("cells.stats=qc")
    ({'cells': {'plates': [4, 6]}}, {'cells': {'stats': 'qc'}})
    """
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and section and key):
        raise ConfigError(f"--set {escape_controls(text)}: write section.key=value, for example cells.min_genes=10")
    try:
        parsed = tomllib.loads(f"value = {value.strip()}")
    except (ValueError, RecursionError):
        parsed = {}
    # Text needs no quotes here; what is not exactly one TOML value is text.
    return {section: {key: parsed["value"] if set(parsed) == {"value"} else value.strip()}}


def change_settings(settings: Settings, changes: Mapping[str, Mapping[str, object]], origin: str) -> Settings:
    """Give the settings with some keys changed, checked like any others.

    Parameters
    ----------
    settings : Settings
        Where to start from.
    changes : mapping
        ``{section: {key: value}}``; a value of None means: as it was.
    origin : str
        Who asks, for the message.

    Returns
    -------
    Settings
        A new object.

    Raises
    ------
    ConfigError
        As in `load_settings`.
    """
    tree = settings.model_dump()
    given = {
        section: {key: value for key, value in keys.items() if value is not None} for section, keys in changes.items()
    }
    _merge(tree, given, origin)
    return validate(Settings, tree, origin)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Parameters
    ----------
    path : Path
        Of at most 1 MiB.

    Returns
    -------
    dict
        Its tables.

    Raises
    ------
    ConfigError
        If there is none, or it is no TOML.
    """
    try:
        if path.stat().st_size > MAX_SETTINGS_BYTES:
            raise ConfigError(f"{path}: a settings file has at most {MAX_SETTINGS_BYTES} bytes")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name an existing TOML file") from error
    except (ValueError, RecursionError) as error:
        # Not only TOML's own error: a number of thousands of digits is refused by Python itself.
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def _find_profile(name: str) -> Path:
    if name.endswith(".toml") or "/" in name:
        return Path(name)
    folders = [Path("config"), PROFILES]
    for folder in folders:
        if (folder / f"{name}.toml").is_file():
            return folder / f"{name}.toml"
    known = sorted({path.stem for folder in folders if folder.is_dir() for path in folder.glob("*.toml")})
    raise ConfigError(f"no profile {name!r}; there is {', '.join(known) or 'none'}, or name a TOML file by its path")


def _job_of(tree: dict[str, Any], origin: str) -> Job:
    if not isinstance(tree.get("job"), dict):
        raise ConfigError(f"{origin}: a job needs a table [job] with source, into and stages")
    return validate(Job, tree["job"], origin, prefix="job.")


def _merge(tree: dict[str, dict[str, Any]], more: Mapping[str, Any], origin: str) -> None:
    for section, keys in more.items():
        if not hasattr(keys, "items"):
            raise ConfigError(f"{origin}: {section!r} is not a section; {name_nearest(section, Settings)}")
        tree.setdefault(section, {}).update(keys)


def validate(model: type[Model], tree: Mapping[str, Any], origin: str, prefix: str = "") -> Model:
    """Check what was read against a model.

    Parameters
    ----------
    model : type
        Closed to unknown keys.
    tree : mapping
        What was read.
    origin : str
        Where, for the message.
    prefix : str
        Set before the names of keys in the message.

    Returns
    -------
    Model
        Frozen.

    Raises
    ------
    ConfigError
        With every wrong key or value; an unknown key is named with the nearest real one.
    """
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise ConfigError("; ".join(explain_mistakes(model, error, origin, prefix))) from None


__all__ = [
    "CellsSettings",
    "Job",
    "Settings",
    "WorkersSettings",
    "change_settings",
    "load_job",
    "load_settings",
    "parse_override",
    "parse_rows",
    "read_toml",
    "validate",
]
