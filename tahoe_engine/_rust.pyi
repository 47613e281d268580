"""The compiled core: types and contracts; the code is in ``rust_ext``. Every function releases the GIL."""

# ruff: noqa: PYI021 - this is where the core is documented
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypedDict, final

__all__ = [
    "DEFAULT_LIMITS",
    "FILTER_KEYS",
    "GroupSums",
    "Joins",
    "SynthModel",
    "Vocabulary",
    "core_sources",
    "core_version",
    "digest_table",
    "groups_version",
    "merge_genes",
    "needed_ranges",
    "probe_shard",
    "read_counts",
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
    """What a scan did: ``rows_in`` = ``kept`` + the sums of ``filtered`` and ``rejected``.

    ``sample_runs`` are runs of kept rows of one sample: plate, name, the first row, one past the last, the kept rows
    among them. A run goes on over rows left out in between. Null beyond 4,096 runs. ``cell_lines`` counts kept rows.
    ``sample_lines`` tells which lines the kept rows of a sample have: hexadecimal, the last bit the first of them.
    """

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
    sample_runs: list[tuple[str, str, int, int, int]] | None
    cell_lines: dict[str, int]
    sample_lines: dict[str, str]
    cells: _Part
    genes: _Part | None

class _Taken(TypedDict):
    """What reading chosen rows took."""

    rows: int
    bytes_read: int
    row_groups_read: int

class _Counts(_Taken):
    """Chosen rows as a compressed sparse matrix (CSR), each buffer in little-endian bytes.

    ``indptr`` is i64 of length rows + 1; ``indices`` are i32 positions in the vocabulary, ascending in a row; ``data``
    are u32 counts, none of them zero: a stored zero is left out, as is the marker.
    """

    indptr: bytes
    indices: bytes
    data: bytes

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
class GroupSums:
    """Exact sums of each gene in each group of cells, over any number of shards.

    Rows wait in a buffer until there are enough to add those of one group after another. The tables that come out
    depend on the cells of a group only: not on the order of shards or rows, ``batch_entries`` or ``memory_bytes``.
    An object serves one thread at a time.
    """

    def __new__(
        cls,
        vocabulary: Vocabulary,
        n_groups: int,
        *,
        memory_bytes: int,
        spill: str,
        batch_entries: int = ...,
    ) -> GroupSums:
        """Make empty sums.

        Parameters
        ----------
        vocabulary
            The genes.
        n_groups
            Groups, numbered from 0.
        memory_bytes
            Of sums that are held: 125 kB a group and 64 bytes a gene that it has; the buffer comes on top. What needs
            more goes to disk, some five bytes an entry, and is added up when its group is written.
        spill
            Path of the file that they go to. It must not exist, and has no name from the moment it is opened: nothing
            is left of it, however the process ends.
        batch_entries
            Entries that wait, four bytes each.
        """

    @property
    def n_groups(self) -> int:
        """Number of groups."""

    @property
    def spilled_bytes(self) -> int:
        """Bytes that went to disk so far."""

    def add_shard(
        self,
        path: str,
        *,
        shard: str,
        size: int,
        footer_digest: str,
        rows: bytes,
        groups: bytes,
        totals: bytes,
        limits: Mapping[str, int] | None = None,
        pieces: Sequence[tuple[int, bytes]] | None = None,
    ) -> _Taken:
        """Add some rows of a shard to their groups. After an error these sums are of no use.

        Parameters
        ----------
        path, shard, size, footer_digest, limits, pieces
            As for `scan_cells`. Of ``pieces`` those are needed that `needed_ranges` gives for ``stats="counts"``.
        rows
            Rows of the shard, ascending (i64 buffer). A row group that has none of them is not read.
        groups
            The group of each row (u32 buffer).
        totals
            ``total_counts`` of each row as the table of cells has it (u64 buffer).

        Raises
        ------
        ShardError
            If the shard is at fault; ``E_INPUT_CHANGED`` if it is not the one that was planned, has not these rows,
            or a row has another total.
        OSError
            If sums cannot be moved to disk.
        ValueError
            If the buffers do not fit each other.
        """

    def write_part(self, part: str, groups: Sequence[tuple[int, int]]) -> _Part:
        """Write and sync the sums of some groups: a row a gene that a cell of the group has.

        Columns: ``group_id`` and ``gene`` (the token), both i32; ``n_cells_by_counts`` u32; ``sum_counts`` and
        ``sum_sq_counts`` u64; ``mean_cp10k``, ``var_cp10k``, ``mean_log1p_cp10k`` and ``var_log1p_cp10k`` f64, over
        all cells of the group, zeros counted; variances have ddof 1 and are null in a group of one cell. A group
        without cells has no rows. More cells may be added afterwards.

        Parameters
        ----------
        part
            Path of the new file.
        groups
            Each the number of a group and the id that it goes by, in ascending order of the ids.

        Raises
        ------
        ShardError
            ``E_VALUE_RANGE`` if a sum does not fit its column.
        OSError
            If the part cannot be written, or exists.
        """

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

def groups_version() -> str:
    """Give the version of the sums of groups; it changes whenever a number of theirs could."""

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
    rows: bytes | None = None,
) -> list[tuple[int, int]]:
    """Give offset and length of the column chunks that `scan_cells` would read, ascending.

    ``pieces`` must hold the first bytes and the footer; the rest is as for `scan_cells`. With ``stats="counts"`` and
    ``rows`` (i64 buffer, ascending) they are those that `GroupSums.add_shard` and `read_counts` would read: the two
    lists of each row group that has one of these rows.

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

def read_counts(
    path: str,
    *,
    shard: str,
    size: int,
    footer_digest: str,
    rows: bytes,
    vocabulary: Vocabulary,
    limits: Mapping[str, int] | None = None,
    pieces: Sequence[tuple[int, bytes]] | None = None,
) -> _Counts:
    """Read the counts of some rows of a shard (i64 buffer, ascending); the rest is as for `GroupSums.add_shard`.

    Raises
    ------
    ShardError
        If the shard is at fault, is not the one that was planned, or has not these rows.
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
