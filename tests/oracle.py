"""Every column of `cells` and `genes`, computed slowly and obviously from the raw lists of a shard.

Expected values in tests come from here or are counted by hand, never from the code under test. Counts are whole
numbers, so means, variances and skewness are exact rationals (`fractions.Fraction`) rounded once at the end;
`test_real_cells` holds them against NumPy and SciPy. Sums of logarithms are `math.fsum`, which rounds once too.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

MARKER_TOKEN = 1
MARKER_VALUE = -2.0
TARGET_SUM = 10_000  # counts per 10,000: the "cp10k" of the column names
TOP_N = 50
# A float32 holds every whole number up to here; beyond it a count may have lost its last digit.
EXACT_IN_FLOAT32 = 2**24

SUMMARY_COLUMNS = (
    "shard",
    "row",
    "BARCODE_SUB_LIB_ID",
    "sample",
    "drug",
    "dose_um",
    "cell_line_id",
    "cell_name",
    "plate",
    "moa-fine",
    "total_counts",
    "expr_len",
    "expr_mean",
    "expr_std",
    "expr_skew",
    "expr_max",
)

Row = dict[str, Any]


@dataclass(frozen=True)
class Tables:
    """What a scan joins: token -> is it mitochondrial, and the names and doses of lines and wells."""

    mitochondrial: Mapping[int, bool]
    cell_names: Mapping[str, str] = field(default_factory=dict)
    doses_um: Mapping[str, float] = field(default_factory=dict)


class Cell(NamedTuple):
    """The stored entries of one row without the marker; values are whole numbers."""

    tokens: list[int]
    counts: list[int]


class Moments(NamedTuple):
    """Mean, standard deviation (ddof 0) and biased skewness g1; null where they do not exist."""

    mean: float | None
    std: float | None
    skew: float | None


def drop_marker(tokens: Sequence[int], values: Sequence[float]) -> Cell:
    """Drop the first entry where, and only where, it is the marker."""
    if len(tokens) > 0 and tokens[0] == MARKER_TOKEN and values[0] == MARKER_VALUE:
        tokens, values = tokens[1:], values[1:]
    return Cell([int(token) for token in tokens], [int(value) for value in values])


def compute_moments(counts: Sequence[int]) -> Moments:
    """Exact moments of whole numbers, each rounded once."""
    n = len(counts)
    if n == 0:
        return Moments(None, None, None)
    mean = Fraction(sum(counts), n)

    def central(power: int) -> Fraction:
        return sum((times * (count - mean) ** power for count, times in Counter(counts).items()), Fraction(0)) / n

    m2, m3 = central(2), central(3)
    if m2 == 0:
        return Moments(float(mean), 0.0, None)
    # g1 = m3 / m2^1.5; under one root, so that the only roundings are the division and the root.
    return Moments(float(mean), math.sqrt(m2), math.copysign(math.sqrt(m3**2 / m2**3), m3))


def summarize_cell(cell: Cell, tables: Tables) -> Row:
    """Every statistic of one cell, by column name."""
    counts = cell.counts
    total = sum(counts)
    mitochondrial = sum(count for token, count in zip(cell.tokens, counts, strict=True) if tables.mitochondrial[token])
    moments = compute_moments(counts)
    n_genes = len(tables.mitochondrial)
    return {
        "n_genes_by_counts": sum(count > 0 for count in counts),
        "total_counts": total,
        "log1p_total_counts": math.log1p(total),
        "total_counts_mt": mitochondrial,
        "pct_counts_mt": share(mitochondrial, total),
        "pct_counts_in_top_50_genes": share(sum(sorted(counts)[-TOP_N:]), total),
        "expr_len": len(counts),
        "expr_mean": moments.mean,
        "expr_std": moments.std,
        "expr_skew": moments.skew,
        "expr_max": float(max(counts)) if counts else None,
        "mean_log1p_cp10k": math.fsum(math.log1p(cp10k(count, total)) for count in counts) / n_genes,
    }


def share(part: int, total: int) -> float | None:
    """Percent of the total, 0 to 100; null for an empty cell."""
    return float(Fraction(100 * part, total)) if total else None


def cp10k(count: int, total: int) -> float:
    """Counts per 10,000 of the cell; an empty cell has zeros."""
    return float(Fraction(TARGET_SUM * count, total)) if total else 0.0


def summarize_cells(table: pa.Table, tables: Tables, *, shard: str, rows: Iterable[int] | None = None) -> list[Row]:
    """One row a cell in source order, with the keys and joins of CONTRACT.md; `rows` picks some of the source's."""
    source = table.to_pylist()
    return [
        {
            "shard": shard,
            "row": i,
            "BARCODE_SUB_LIB_ID": source[i]["BARCODE_SUB_LIB_ID"],
            "sample": source[i]["sample"],
            "drug": source[i]["drug"].strip(),
            "dose_um": tables.doses_um.get(source[i]["sample"]),
            "cell_line_id": source[i]["cell_line_id"],
            "cell_name": tables.cell_names.get(source[i]["cell_line_id"]),
            "plate": source[i]["plate"],
            "moa-fine": source[i]["moa-fine"],
        }
        | summarize_cell(drop_marker(source[i]["genes"], source[i]["expressions"]), tables)
        for i in (range(len(source)) if rows is None else rows)
    ]


def summarize_genes(cells: Sequence[Cell], tables: Tables) -> list[Row]:
    """One row a gene of the vocabulary, in its order, over all the cells; zeros counted, variances with ddof 1."""
    stored = [dict(zip(cell.tokens, cell.counts, strict=True)) for cell in cells]
    totals = [sum(cell.counts) for cell in cells]
    rows = []
    for token in tables.mitochondrial:
        counts = [entries.get(token, 0) for entries in stored]
        normalized = [cp10k(count, total) for count, total in zip(counts, totals, strict=True)]
        logs = [math.log1p(value) for value in normalized]
        n_cells_by_counts = sum(count > 0 for count in counts)
        rows.append(
            {
                "gene": token,
                "n_cells_by_counts": n_cells_by_counts,
                "total_counts": sum(counts),
                "mean_counts": float(Fraction(sum(counts), len(cells))) if cells else None,
                "pct_dropout_by_counts": (
                    float(100 - Fraction(100 * n_cells_by_counts, len(cells))) if cells else None
                ),
                "mean_cp10k": compute_mean(normalized),
                "var_cp10k": compute_variance(normalized),
                "mean_log1p_cp10k": compute_mean(logs),
                "var_log1p_cp10k": compute_variance(logs),
            }
        )
    return rows


def summarize_groups(cells: Sequence[Cell], groups: Sequence[int], tables: Tables) -> list[Row]:
    """One row a group and a gene that a cell of it has, in their order, over all its cells, zeros counted.

    Means and variances (ddof 1) of CP10k are exact rationals rounded once; logarithms are as exact as a float.
    """
    rows = []
    for group in sorted(set(groups)):
        mine = [cell for cell, its in zip(cells, groups, strict=True) if its == group]
        stored = [dict(zip(cell.tokens, cell.counts, strict=True)) for cell in mine]
        totals = [sum(cell.counts) for cell in mine]
        for token in tables.mitochondrial:
            counts = [entries.get(token, 0) for entries in stored]
            if not any(counts):
                continue
            scaled = [
                Fraction(TARGET_SUM * count, total) if total else Fraction(0)
                for count, total in zip(counts, totals, strict=True)
            ]
            logs = [Fraction(math.log1p(value)) for value in scaled]
            row: Row = {
                "group_id": group,
                "gene": token,
                "n_cells_by_counts": sum(count > 0 for count in counts),
                "sum_counts": sum(counts),
                "sum_sq_counts": sum(count**2 for count in counts),
            }
            for name, values in (("cp10k", scaled), ("log1p_cp10k", logs)):
                mean = sum(values, Fraction(0)) / len(values)
                squares = sum(((value - mean) ** 2 for value in values), Fraction(0))
                row[f"mean_{name}"] = float(mean)
                row[f"var_{name}"] = float(squares / (len(values) - 1)) if len(values) > 1 else None
            rows.append(row)
    return rows


def compute_mean(values: Sequence[float]) -> float | None:
    """The mean, or null of nothing."""
    return math.fsum(values) / len(values) if values else None


def compute_variance(values: Sequence[float]) -> float | None:
    """Sample variance (ddof 1) from deviations, never from a difference of two sums; null below two values."""
    if len(values) <= 1:
        return None
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)


def count_warnings(table: pa.Table) -> dict[str, int]:
    """Rows that are kept and counted: first a gene in place of the marker, no gene at all, a stored zero, ..."""
    found: Counter[str] = Counter()
    barcodes: Counter[str] = Counter()
    for row in table.to_pylist():
        cell = drop_marker(row["genes"], row["expressions"])
        if len(cell.tokens) == len(row["genes"]):
            found["W_NO_SENTINEL"] += 1
        if not cell.tokens:
            found["W_EMPTY_CELL"] += 1
        found["W_ZERO_VALUE"] += cell.counts.count(0) > 0
        found["W_COUNT_PRECISION"] += any(count > EXACT_IN_FLOAT32 for count in cell.counts)
        barcodes[row["BARCODE_SUB_LIB_ID"]] += 1
    found["W_DUPLICATE_CELL"] = sum(times - 1 for times in barcodes.values())
    return {code: n for code, n in found.items() if n}
