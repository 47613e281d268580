"""The compiled core: types and contracts; the code is in ``rust_ext``. Every function releases the GIL."""

# ruff: noqa: PYI021 - this is where the core is documented
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypedDict, final

__all__ = [
    "DEFAULT_LIMITS",
    "FILTER_KEYS",
    "Joins",
    "SynthModel",
    "Vocabulary",
    "core_sources",
    "core_version",
    "digest_table",
    "merge_genes",
    "needed_ranges",
    "probe_shard",
    "scan_cells",
    "synth_cells",
    "synth_summaries",
]

DEFAULT_LIMITS: Final[dict[str, int]]
FILTER_KEYS: Final[list[str]]

class _Column(TypedDict):
    """One top-level column of a shard, summed over its row groups."""

    name: str
    type: str
    codecs: list[str]
    encodings: list[str]
    compressed_bytes: int
    uncompressed_bytes: int
    n_values: int

class _Probe(TypedDict):
    """What a footer says; ``values`` is empty unless it was asked for."""

    size: int
    footer_digest: str
    n_rows: int
    row_groups: list[int]
    created_by: str | None
    huggingface: bool
    columns: list[_Column]
    extra_columns: list[str]
    ranges: dict[str, list[tuple[str, str] | None]]
    values: dict[str, list[str]]

class _Part(TypedDict):
    """A written table; the digest is of its values, whoever writes them."""

    rows: int
    size: int
    sha256: str
    digest: str

class _Receipt(TypedDict):
    """What a scan did: ``rows_in`` = ``kept`` + the sums of ``filtered`` and ``rejected``."""

    rows_in: int
    kept: int
    filtered: dict[str, int]
    rejected: dict[str, int]
    warnings: dict[str, int]
    bytes_read: int
    row_groups_read: int
    row_groups_skipped: int
    extra_columns: list[str]
    absent_columns: list[str]
    wanted_rows: dict[str, dict[str, int]]
    sample_runs: list[tuple[str, int, int]]
    cells: _Part
    genes: _Part | None

@final
class Vocabulary:
    """The genes of a data set; immutable."""

    def __new__(cls, tokens: Sequence[int], mitochondrial: Sequence[bool]) -> Vocabulary:
        """Take token ids, ascending from 3 or more, and whether each gene is mitochondrial."""

    @property
    def n_genes(self) -> int:
        """Genes of the vocabulary."""

@final
class Joins:
    """Names of cell lines and doses of wells; immutable."""

    def __new__(cls, cell_names: Mapping[str, str], doses_um: Mapping[str, float]) -> Joins:
        """Take names by Cellosaurus id, and doses in micromole a litre by sample."""

@final
class SynthModel:
    """A made-up atlas: its planted values, and cells drawn from them."""

    def __new__(
        cls,
        *,
        seed: int,
        tokens: Sequence[int],
        kinds: bytes | Sequence[int],
        lines: Sequence[str],
        wells: Sequence[tuple[str, str, float]],
        effects: Mapping[str, float],
        marker: bool,
    ) -> SynthModel:
        """Plant the effects; ``wells`` are sample, drug and dose."""

    def lines(self) -> list[dict[str, Any]]:
        """Give depth, mt and shares (f64 buffer) of each line."""

    def drugs(self) -> list[dict[str, Any]]:
        """Give ec50_um, depth, mt, genes (u32 buffer) and lfc (f64 buffer) of each drug."""

    def wells(self) -> list[dict[str, Any]]:
        """Give drug, response, depth, mt and blocks (f64 buffer) of each well."""

    def blocks(self) -> tuple[bytes, bytes]:
        """Give the genes that wells move, and their blocks (u32 buffers)."""

def core_sources() -> str:
    """Tell builds of different sources apart: 16 hexadecimal digits."""

def core_version() -> str:
    """Give the version of the core; it changes whenever a number could."""

def probe_shard(
    path: str,
    shard: str,
    limits: Mapping[str, int],
    values: bool = False,
    size: int | None = None,
    pieces: Sequence[tuple[int, bytes]] | None = None,
) -> _Probe:
    """Read a footer, and with ``values`` the distinct values of the category columns.

    With ``size`` and ``pieces`` (offset and bytes of what was fetched of a file that lies elsewhere) nothing is opened.

    Raises
    ------
    ShardError
        With the code of what is wrong.
    """

def needed_ranges(
    shard: str,
    *,
    stats: str,
    size: int,
    pieces: Sequence[tuple[int, bytes]],
    plates: AbstractSet[str] | None = None,
    samples: AbstractSet[str] | None = None,
    first_row: int = 0,
    last_row: int | None = None,
    limits: Mapping[str, int] | None = None,
) -> list[tuple[int, int]]:
    """Give offset and length of the column chunks that `scan_cells` would read, ascending.

    ``pieces`` must hold the first bytes and the footer; the rest is as for `scan_cells`.

    Raises
    ------
    ShardError
        If ends, footer or schema are defective.
    """

def scan_cells(
    path: str,
    part: str,
    *,
    shard: str,
    stats: str,
    vocabulary: Vocabulary,
    joins: Joins,
    size: int,
    footer_digest: str,
    genes_part: str | None = None,
    cell_lines: AbstractSet[str] | None = None,
    drugs: AbstractSet[str] | None = None,
    plates: AbstractSet[str] | None = None,
    samples: AbstractSet[str] | None = None,
    first_row: int = 0,
    last_row: int | None = None,
    min_genes: int = 0,
    bad_rows: str = "quarantine",
    limits: Mapping[str, int] | None = None,
    pieces: Sequence[tuple[int, bytes]] | None = None,
) -> _Receipt:
    """Scan one shard: write and sync a part of `cells`, and with ``stats="all"`` one of gene sums.

    Raises
    ------
    ShardError
        If the shard is at fault; no part is of use then.
    OSError
        If a part cannot be written, or exists.
    """

def merge_genes(parts: Sequence[tuple[str, str]], vocabulary: Vocabulary, n_cells: int) -> dict[str, bytes]:
    """Merge parts of gene sums exactly, each a path and the sha256 it must have.

    Gives little-endian columns in vocabulary order, u64 counts and f64 statistics.
    """

def digest_table(path: str) -> dict[str, Any]:
    """Give the rows and the digest of the values of a part."""

def synth_cells(model: SynthModel, wells: bytes, lines: bytes, keys: bytes) -> tuple[bytes, bytes, bytes]:
    """Draw cells; give offsets (i32), genes (i64) and expressions (f32)."""

def synth_summaries(model: SynthModel, wells: bytes, lines: bytes, keys: bytes) -> dict[str, bytes]:
    """Draw the columns of a cells table without entries."""
