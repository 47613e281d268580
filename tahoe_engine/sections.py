"""What there is to choose, section by section, with the defaults; ``config/default.toml`` explains each key."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from tahoe_engine.schema import CELL_LINE_ID, CONTROL_DRUG, DRUG, GROUP_KEYS, GROUPABLE, PLATE

Names = tuple[str, ...]
DIGITS = 18  # of a row number; Python itself refuses to read thousands
LARGEST = 2**63 - 1  # the core counts in 64 bits, and the entries of a list in 32


class Section(BaseModel):
    """The manner of every section: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class SourceSettings(Section):
    """How shards are found, fetched, identified and verified."""

    footer_threads: Annotated[int, Field(ge=1, le=256)] = 8
    verify_inputs: bool = False
    checksums: str = ""
    metadata: str = ""
    connections: Annotated[int, Field(ge=1, le=64)] = 4
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    retries: Annotated[int, Field(ge=0, le=100)] = 8
    retry_budget_s: Annotated[float, Field(ge=0, le=86_400)] = 300.0
    gap_bytes: Annotated[int, Field(ge=0, le=64 << 20)] = 32_768
    rows_a_unit: Annotated[int, Field(ge=1, le=1 << 21)] = 16_384
    hub: str = "https://huggingface.co"
    s3_endpoint: str = ""
    s3_anonymous: bool = False
    insecure_http: bool = False


class CellsSettings(Section):
    """Which cells are kept and what is computed of them."""

    stats: Literal["summary", "qc", "all"] = "all"
    cell_lines: Names = ()
    drugs: Names = ()
    plates: Names = ()
    samples: Names = ()
    min_genes: Annotated[int, Field(ge=0, le=2**31)] = 0
    rows: str = ""
    bad_rows: Literal["quarantine", "reject"] = "quarantine"
    vocabulary: str = ""

    @field_validator("cell_lines", "drugs", "plates", "samples", mode="before")
    @classmethod
    def _as_names(cls, value: object) -> object:
        # TOML knows lists only; plates = 4 and plates=4,6 are what people write. A name with a comma needs a list.
        text = [part.strip() for part in value.split(",")] if isinstance(value, str) else [value]
        items = value if isinstance(value, (list, tuple)) else text
        if any(isinstance(item, bool) for item in items):
            raise ValueError("a name is text or a number")
        # An empty filter could mean nothing or everything; a name of blanks is a slip in what made the list.
        if any(isinstance(item, str) and not item.strip() for item in items):
            raise ValueError("a name is empty; leave it out, or write [] to keep all")
        return tuple(str(item) if isinstance(item, int) else item for item in items)

    @field_validator("rows")
    @classmethod
    def _as_rows(cls, value: str) -> str:
        parse_rows(value)
        return value


class GroupsSettings(Section):
    """What a group of cells is, and how many of them are summed at once."""

    by: Names = GROUP_KEYS
    wells_a_block: Annotated[int, Field(ge=0, le=100_000)] = 0
    memory_mib: Annotated[int, Field(ge=64, le=1 << 20)] = 704
    batch_mib: Annotated[int, Field(ge=1, le=1 << 16)] = 256

    @field_validator("by", mode="before")
    @classmethod
    def _as_keys(cls, value: object) -> object:
        return as_keys(value)

    @field_validator("by")
    @classmethod
    def _are_keys(cls, value: Names) -> Names:
        unknown = [key for key in value if key not in GROUPABLE]
        if unknown or not value or len(set(value)) < len(value):
            named = f"{unknown[0]!r} is no key" if unknown else "name each key once"
            raise ValueError(f"{named}; there are {', '.join(GROUPABLE)}")
        return value


class ContrastsSettings(Section):
    """What is compared with what, and how."""

    method: Literal["limma", "welch"] = "limma"
    treatment: Names = (DRUG, "dose_um")
    within: Names = (PLATE, CELL_LINE_ID)
    block: Names = ()
    reference: Names = (CONTROL_DRUG,)
    robust: bool = True
    min_cells: Annotated[int, Field(ge=0, le=2**31)] = 10
    min_counts: Annotated[float, Field(ge=0, le=1e9)] = 10.0

    @field_validator("treatment", "within", "block", "reference", mode="before")
    @classmethod
    def _as_keys(cls, value: object) -> object:
        return as_keys(value)


class FeaturesSettings(Section):
    """Which recipe is made, in which mode, and of which table."""

    recipe: str = ""
    mode: Literal["honest", "bug-compat"] = "honest"
    table: str = ""
    obs: str = ""
    allow_leaks: bool = False


class ModelsSettings(Section):
    """Which tasks are trained, and in which mode."""

    task: Names = ()
    mode: Literal["honest", "bug-compat"] = "honest"
    allow_leaks: bool = False

    @field_validator("task", mode="before")
    @classmethod
    def _as_tasks(cls, value: object) -> object:
        return as_keys(value)


class WorkersSettings(Section):
    """Who computes: processes of this machine, a running scheduler, or this process alone."""

    count: Annotated[int, Field(ge=-1, le=4096)] = -1
    scheduler: str = ""
    memory_mib: Annotated[int, Field(ge=256, le=1 << 30)] = 2048
    window: Annotated[int, Field(ge=2, le=64)] = 3
    dashboard: str = "127.0.0.1:0"
    wait_s: Annotated[int, Field(ge=1, le=604_800)] = 60
    unit_s: Annotated[float, Field(gt=0, le=86_400)] = 50.0
    grace_s: Annotated[float, Field(ge=0, le=3600)] = 10.0
    insecure: bool = False


class LimitsSettings(Section):
    """What a shard may ask for before it is called hostile; checked before memory is taken."""

    footer_bytes: Annotated[int, Field(ge=1024, le=LARGEST)] = 64 << 20
    columns: Annotated[int, Field(ge=1, le=LARGEST)] = 4096
    row_groups: Annotated[int, Field(ge=1, le=LARGEST)] = 65_536
    rows: Annotated[int, Field(ge=1, le=LARGEST)] = 1 << 20
    list_length: Annotated[int, Field(ge=1, le=2**32 - 1)] = 262_144
    string_bytes: Annotated[int, Field(ge=1, le=LARGEST)] = 65_536
    batch_bytes: Annotated[int, Field(ge=1 << 16, le=LARGEST)] = 256 << 20
    page_bytes: Annotated[int, Field(ge=1 << 16, le=LARGEST)] = 64 << 20
    distinct: Annotated[int, Field(ge=1, le=LARGEST)] = 1 << 20


class RunSettings(Section):
    """When a run stops, and how often it speaks."""

    strict: bool = False
    max_bad_shards: Annotated[int, Field(ge=0, le=LARGEST)] = 20
    max_bad_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    progress_s: Annotated[float, Field(gt=0, le=86_400)] = 10.0


class Settings(Section):
    """All sections; ``config/default.toml`` lists every key with its default and its meaning.

    Examples
    --------
    >>> Settings().cells.stats
    'all'
    """

    source: SourceSettings = SourceSettings()
    cells: CellsSettings = CellsSettings()
    groups: GroupsSettings = GroupsSettings()
    contrasts: ContrastsSettings = ContrastsSettings()
    features: FeaturesSettings = FeaturesSettings()
    models: ModelsSettings = ModelsSettings()
    workers: WorkersSettings = WorkersSettings()
    limits: LimitsSettings = LimitsSettings()
    run: RunSettings = RunSettings()


class Job(Section):
    """What a job file asks for, in its table ``[job]``; its other tables are settings."""

    source: str | tuple[str, ...]
    into: Annotated[str, Field(min_length=1)]
    stages: tuple[str, ...] = ("cells",)
    profile: str = ""

    @field_validator("source", "stages", mode="before")
    @classmethod
    def _as_tuple(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value


def as_keys(value: object) -> object:
    """Read names that people write as a list or with commas.

    Parameters
    ----------
    value : object
        What stands in a file or an option.

    Returns
    -------
    object
        A tuple where it is a list or a text, else the value itself for the model to judge.

    Examples
    --------
    >>> as_keys("plate, cell_line_id"), as_keys(["drug"]), as_keys("")
    (('plate', 'cell_line_id'), ('drug',), ())
    """
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(value) if isinstance(value, list) else value


def parse_rows(text: str) -> tuple[int, int | None] | None:
    """Read a row range.

    Parameters
    ----------
    text : str
        ``A:B`` (B exclusive), ``A:`` or ``:B``; empty for all rows.

    Returns
    -------
    tuple of (int, int or None), or None
        First row and the row after the last.

    Raises
    ------
    ValueError
        If it is not of that form, or empty as a range.

    Examples
    --------
    >>> parse_rows("5:12"), parse_rows(":3"), parse_rows("")
    ((5, 12), (0, 3), None)
    """
    if not text:
        return None
    first, colon, last = text.partition(":")
    numbers = [part.strip().replace("_", "") for part in (first, last)]
    if not colon or any(part and not (part.isascii() and part.isdigit()) for part in numbers) or not any(numbers):
        raise ValueError(f"rows {text!r}: write A:B, for example 0:5000 (B is not included)")
    if max(map(len, numbers)) > DIGITS:
        raise ValueError(f"rows: a row number has at most {DIGITS} digits")
    start, end = int(numbers[0] or 0), int(numbers[1]) if numbers[1] else None
    if end is not None and end <= start:
        raise ValueError(f"rows {text!r}: the second number must be larger than the first")
    return start, end
