"""Which cell stands where: plates, sublibraries, wells, barcodes; integers only, the same everywhere.

The order is Tahoe's: blocks of plates, inside a plate its sublibraries, inside each all wells again, sorted by barcode.
The numbers of cells of each well and line are in the proportions of the real ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from tahoe_engine.errors import ConfigError
from tahoe_engine.schema import CELL_NAME, CELLOSAURUS_ID, CONTROL_DRUG, MOA_FINE, PUBCHEM_CID, SMILES
from tahoe_engine.synth.options import WELLS_A_PLATE, Options
from tahoe_engine.vocabulary import load_cell_counts, load_cell_lines, load_drugs, load_samples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# The lines of the central nervous system, which the published jobs ask for.
FIRST_LINES: Final = ("CVCL_0131", "CVCL_1239", "CVCL_1715")
BARCODES: Final = 192  # of the second and third round each, as seen in the data
FIRST_LIBRARY: Final = 1001


@dataclass(frozen=True)
class Well:
    """One well and what its rows say of it; missing texts are empty, as in the data."""

    sample: str
    plate: str
    drug: str
    dose_um: float
    barcode: int
    moa_fine: str
    smiles: str
    pubchem_cid: str


@dataclass(frozen=True)
class Design:
    """The chosen wells and lines, and how many cells each pair has."""

    wells: tuple[Well, ...]
    lines: tuple[str, ...]
    names: tuple[str, ...]
    counts: NDArray[np.int64]
    sublibraries: tuple[tuple[int, slice, int], ...]  # plate number, its wells, its number of sublibraries


@dataclass(frozen=True)
class Rows:
    """Consecutive rows: for each its well, line, random key, barcode (of 192 · 192) and library number."""

    well: NDArray[np.uint32]
    line: NDArray[np.uint32]
    key: NDArray[np.uint64]
    code: NDArray[np.int64]
    library: NDArray[np.int64]

    def __len__(self) -> int:
        """Give the number of rows."""
        return len(self.well)

    def part(self, start: int, stop: int) -> Rows:
        """Give some of the rows."""
        cut = slice(start, stop)
        return Rows(self.well[cut], self.line[cut], self.key[cut], self.code[cut], self.library[cut])


def plan_design(options: Options) -> Design:
    """Choose wells and lines, and deal the cells out.

    Parameters
    ----------
    options : Options
        Of the atlas.

    Returns
    -------
    Design
        Wells in the order of plates and samples.
    """
    lines, names = _choose_lines(options)
    wells: list[Well] = []
    sublibraries = []
    for plate in options.plates:
        chosen = _choose_wells(f"plate{plate}", options.wells)
        sublibraries.append((plate, slice(len(wells), len(wells) + len(chosen))))
        wells += chosen
    weights = _real_counts(tuple(wells), names)
    if not weights.any():
        raise ConfigError("no cell of the chosen lines is in the chosen wells; choose more of either")
    counts = share_out(options.cells, weights.ravel(), options.seed).reshape(weights.shape)
    full = options.sublibrary_cells * options.wells
    blocks = [(p, part, max(1, -(-int(counts[part].sum()) * WELLS_A_PLATE // full))) for p, part in sublibraries]
    return Design(tuple(wells), lines, names, counts, tuple(blocks))


def share_out(total: int, weights: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Deal whole things out in proportion to weights.

    Parameters
    ----------
    total : int
        How many.
    weights : ndarray of int64
        Not negative, not all 0.
    seed : int
        Shifts where the fractions fall.

    Returns
    -------
    ndarray of int64
        Sums to `total`; every stretch of neighbours is within 1 of its proportion, so that rare ones are not lost.

    Examples
    --------
    >>> share_out(10, np.array([1, 1, 2]), 0).sum()
    np.int64(10)
    """
    ends = np.cumsum(weights, dtype=np.int64)
    shift = int(mix(np.array([seed], np.uint64))[0]) % int(ends[-1])
    # Python's whole numbers: a billion cells times a hundred million weights still fits int64, their sum may not.
    steps = (ends.astype(object) * total + shift) // int(ends[-1])
    return np.diff(np.concatenate([[0], steps.astype(np.int64)]))


def iterate_sublibraries(design: Design, seed: int) -> Iterator[Rows]:
    """Give the rows of the atlas, one sublibrary at a time.

    Parameters
    ----------
    design : Design
        As `plan_design` gives it.
    seed : int
        Of the atlas; deals out the barcodes.

    Yields
    ------
    Rows
        In the order of the data.
    """
    library = FIRST_LIBRARY
    for plate, part, n_sublibraries in design.sublibraries:
        counts = design.counts[part]
        # Each pair's cells are spread evenly over the sublibraries, starting at a place of its own.
        shift = (mix(np.arange(counts.size, dtype=np.uint64) + np.uint64(plate)) % np.uint64(n_sublibraries)).astype(
            np.int64
        )
        for index in range(n_sublibraries):
            flat = counts.ravel()
            taken = (flat * (index + 1) + shift) // n_sublibraries - (flat * index + shift) // n_sublibraries
            if taken.any():
                yield _order_cells(taken.reshape(counts.shape), part.start, (plate, index, seed), library)
            library += 1


def mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash 64-bit words: the finalizer of splitmix64 (Steele, Lea, Flood 2014), as in the core.

    Parameters
    ----------
    words : ndarray of uint64
        Anything.

    Returns
    -------
    ndarray of uint64
        One a word.

    Examples
    --------
    >>> hex(mix(np.array([1], np.uint64))[0])
    '0x5692161d100b05e5'
    """
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _order_cells(counts: NDArray[np.int64], first_well: int, name: tuple[int, int, int], library: int) -> Rows:
    n_wells, n_lines = counts.shape
    well = np.repeat(np.arange(n_wells), counts.sum(axis=1))
    line = np.repeat(np.tile(np.arange(n_lines), n_wells), counts.ravel())
    plate, index, seed = name
    start = mix(np.array([(plate << 32) | index], np.uint64))
    key = mix(start ^ np.arange(len(well), dtype=np.uint64))
    codes = BARCODES * BARCODES
    code = (mix(key ^ np.uint64(seed)) % np.uint64(codes)).astype(np.int64)
    order = np.lexsort((code, well))
    well, line, key, code = well[order], line[order], key[order], code[order]
    for stretch in np.split(np.arange(len(well)), np.flatnonzero(np.diff(well)) + 1):
        if len(stretch) > codes:
            raise ConfigError(
                f"{len(stretch):,} cells of one well in a sublibrary, but there are {codes:,} barcodes; "
                "lower sublibrary_cells"
            )
        rank = np.arange(len(stretch))
        # Equal barcodes move up to the next free one, and back down where that leaves the range.
        up = np.maximum.accumulate(code[stretch] - rank) + rank
        code[stretch] = np.minimum(up, codes - len(stretch) + rank)
    wells = (well + first_well).astype(np.uint32)
    return Rows(wells, line.astype(np.uint32), key, code, np.full(len(well), library, np.int64))


def _choose_lines(options: Options) -> tuple[tuple[str, ...], tuple[str, ...]]:
    table = load_cell_lines().filter(assayed=True).unique(CELLOSAURUS_ID, keep="first", maintain_order=True)
    names = dict(zip(table[CELLOSAURUS_ID].to_list(), table[CELL_NAME].to_list(), strict=True))
    if isinstance(options.lines, tuple):
        chosen = options.lines
    else:
        real = load_cell_counts().select("cell_name", "n_cells").group_by("cell_name").sum().rows()
        cells = dict(real)
        by_number = sorted(names, key=lambda key: (key not in FIRST_LINES, -cells[names[key]]))
        chosen = tuple(sorted(by_number[: options.lines]))
    return chosen, tuple(names[key] for key in chosen)


def _choose_wells(plate: str, n_wells: int) -> list[Well]:
    """Choose the two controls first, then the positive control (Adagrasib 0.05 uM), then by sample id."""
    table = load_samples().filter(plate=plate).sort("sample")
    drugs = {row["drug"]: row for row in load_drugs().to_dicts()}
    wells = []
    for barcode, row in enumerate(table.to_dicts(), start=1):
        facts = drugs.get(row["drug"], {})
        cid = facts.get(PUBCHEM_CID)
        texts = (facts.get(MOA_FINE) or "", facts.get(SMILES) or "", "" if cid is None else str(cid))
        wells.append(Well(row["sample"], plate, row["drug"], row["dose_um"], barcode, *texts))
    controls = [well for well in wells if well.drug == CONTROL_DRUG]
    positive = [well for well in wells if (well.drug, well.dose_um) == ("Adagrasib", 0.05)][:1]
    preferred = [*controls, *positive, *wells] if n_wells > 1 else wells
    chosen = list(dict.fromkeys(preferred))[:n_wells]
    return sorted(chosen, key=lambda well: well.barcode)


def _real_counts(wells: tuple[Well, ...], names: tuple[str, ...]) -> NDArray[np.int64]:
    grid = load_cell_counts()
    known = {row[:4]: row[4] for row in grid.select("plate", "drug", "conc", "cell_name", "n_cells").rows()}
    alike: dict[tuple[str, str, float], list[int]] = {}
    for row in load_samples().sort("sample").select("plate", "drug", "dose_um", "sample").rows():
        alike.setdefault(row[:3], []).append(row[3])
    counts = np.zeros((len(wells), len(names)), np.int64)
    for at, well in enumerate(wells):
        same = alike[(well.plate, well.drug, well.dose_um)]
        place = same.index(well.sample)  # type: ignore[arg-type]
        for column, name in enumerate(names):
            # Wells of one drug and dose on a plate share its count.
            n = known.get((well.plate, well.drug, well.dose_um, name), 0)
            counts[at, column] = n // len(same) + (place < n % len(same))
    return counts
