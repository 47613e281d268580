"""What `contrasts` would do: which comparisons, which fits, and whether they fit into memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.config import Settings
from tahoe_engine.contrasts.computed import CONTRASTS_AT_ONCE, GROUPS_AT_ONCE
from tahoe_engine.contrasts.design import Stratum, design_contrasts
from tahoe_engine.errors import ConfigError, StageError
from tahoe_engine.groups.gather import MomentParts
from tahoe_engine.run import Layout, read_plate, read_published, require_room, require_whole
from tahoe_engine.run.layout import PARTITIONED
from tahoe_engine.workers import allowed_memory, count_workers

if TYPE_CHECKING:
    import os

    import polars as pl

# Measured with 20,000 genes a group (limma: 559 MiB for 96 groups, 877 MiB for 480; welch: 516 MiB), rounded up.
BASE_MEMORY: Final = 300 << 20  # a worker with Polars, pyarrow and SciPy, and the row groups it writes
CELLS_BYTES_A_VALUE: Final = 200  # welch: of a gene of one of the groups read at once
READ_BYTES_A_VALUE: Final = 32  # limma: of a row of the moments, and its place in the matrix
FIT_BYTES_A_VALUE: Final = 64  # limma: of a gene that is kept, in one group
TEST_BYTES_A_VALUE: Final = 64  # limma: of a gene that is kept, in one contrast
GENES_KEPT: Final = 20_000  # at most, by the filter of expressed genes
ROW_BYTES: Final = 50  # of a part, zstd


@dataclass(frozen=True)
class ContrastsPlan:
    """The plan of the stage.

    Parameters
    ----------
    settings : Settings
        Resolved.
    groups : dict
        Manifest of the groups.
    strata : tuple of Stratum
        All contrasts, also those without control.
    folder : str
        ``RUN/groups``, absolute.
    n_genes : int
        Of the vocabulary.
    """

    settings: Settings
    groups: dict[str, Any] = field(repr=False)
    strata: tuple[Stratum, ...] = field(repr=False)
    folder: str
    n_genes: int

    @property
    def units(self) -> tuple[Stratum, ...]:
        """Strata with a control: each is a fit and a part."""
        return tuple(stratum for stratum in self.strata if stratum.control.groups)

    @property
    def n_contrasts(self) -> int:
        """All contrasts."""
        return sum(len(stratum.contrasts) for stratum in self.strata)

    def list_parts(self, stratum: Stratum) -> MomentParts:
        """Give the parts that may hold moments of a stratum.

        Parameters
        ----------
        stratum : Stratum
            Of a plate, or of all.

        Returns
        -------
        MomentParts
            Those of its plate, and those of several plates.
        """
        inner = f"{PARTITIONED['groups']}/"
        parts = [part for part in self.groups["parts"] if part["name"].startswith(inner) and part["rows"]]
        named = [
            (part["name"], part["sha256"])
            for part in parts
            if stratum.plate is None or read_plate(part["name"]) in (stratum.plate, None)
        ]
        return MomentParts(self.folder, tuple(named))

    def memory(self) -> int:
        """Estimate the peak memory of a worker, in bytes."""
        return BASE_MEMORY + max(map(self._need, self.units), default=0)

    def _need(self, stratum: Stratum) -> int:
        n_groups = len(stratum.groups)
        if self.settings.contrasts.method == "welch":
            return min(n_groups, GROUPS_AT_ONCE) * self.n_genes * CELLS_BYTES_A_VALUE
        kept = min(self.n_genes, GENES_KEPT)
        read = n_groups * (self.rows_a_group() * READ_BYTES_A_VALUE + self.n_genes * 8)
        return read + kept * (
            n_groups * FIT_BYTES_A_VALUE + min(len(stratum.contrasts), CONTRASTS_AT_ONCE) * TEST_BYTES_A_VALUE
        )

    def rows_a_group(self) -> int:
        """Give the mean number of genes that a group has counts of."""
        rows: int = sum(part["rows"] for part in self.groups["parts"] if "/" in part["name"])
        n_groups: int = self.groups["n_groups"]
        return -(-rows // max(1, n_groups))

    def output_rows(self) -> int:
        """Estimate the rows of the table of results."""
        return self.rows_a_group() * sum(len(stratum.contrasts) for stratum in self.units)

    def describe(self) -> dict[str, Any]:
        """Give the plan as plain values.

        Returns
        -------
        dict
            JSON-able.
        """
        sizes = [len(stratum.groups) for stratum in self.units]
        return {
            "method": self.settings.contrasts.method,
            "contrasts": self.n_contrasts,
            "without_control": self.n_contrasts - sum(len(stratum.contrasts) for stratum in self.units),
            "units": len(sizes),
            "groups_a_unit": max(sizes, default=0),
            "workers": count_workers(self.settings.workers),
            "memory_a_worker": self.memory(),
            "output_rows": self.output_rows(),
            "output_bytes": self.output_rows() * ROW_BYTES,
        }

    def require_fit(self, *, done: float = 0.0) -> None:
        """Refuse a plan that cannot fit.

        Parameters
        ----------
        done : float
            Share of the work that is finished already.

        Raises
        ------
        ConfigError
            If a worker has too little memory, or the disk too little room.
        """
        workers = self.settings.workers
        need, allowed = self.memory(), allowed_memory(workers)
        largest = max(self.units, key=self._need, default=None)
        if largest is not None and not workers.scheduler and need > allowed:
            raise ConfigError(
                f"{largest.name}: a fit of {len(largest.groups)} groups needs about {need >> 20} MiB and may have "
                f"{allowed >> 20}; raise workers.memory_mib, put more into contrasts.within, or use --method welch"
            )
        require_room(Path(self.folder), int(self.output_rows() * ROW_BYTES * (1 - done)))


def plan_contrasts(into: str | os.PathLike[str], *, settings: Settings | None = None) -> ContrastsPlan:
    """Plan the stage from what the stage `groups` has left in a run. Writes nothing.

    Parameters
    ----------
    into : str or path-like
        The run folder.
    settings : Settings, optional
        Default: the defaults.

    Returns
    -------
    ContrastsPlan
        What would be done.

    Raises
    ------
    StageError
        If the groups are not finished, stale or damaged.
    ConfigError
        If the settings do not go with these groups.
    """
    import polars as pl

    settings = settings or Settings()
    layout = Layout(Path(into))
    groups = read_published(layout, "groups")
    folder = layout.stage("groups").absolute()
    for part in groups["parts"]:
        path = folder / part["name"]
        if not path.is_file() or path.stat().st_size != part["size"]:
            raise StageError(f"{path}: gone or damaged; run `tahoe groups` again with the same settings to restore it")
    genes = layout.metadata / "genes.parquet"
    n_genes: int = pl.scan_parquet(genes).select(pl.len()).collect().item()
    entry = next(part for part in groups["parts"] if part["name"] == "index.parquet")
    require_whole(folder / entry["name"], entry, "groups")
    index = _read_index(folder / entry["name"])
    return ContrastsPlan(settings, groups, design_contrasts(index, settings.contrasts), str(folder), n_genes)


def _read_index(path: Path) -> pl.DataFrame:
    import polars as pl

    try:
        return pl.read_parquet(path)
    except pl.exceptions.PolarsError as error:
        raise StageError(f"{path}: damaged ({error}); run `tahoe groups` again with the same settings") from error
