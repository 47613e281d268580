"""Genes, wells, drugs and cell lines of Tahoe-100M: what the rows' ids and names mean.

The packaged tables are copies of the data set's metadata (see NOTICE.md); a source's own can be loaded instead.
"""

from tahoe_engine.vocabulary.doses import parse_dose, to_micromolar
from tahoe_engine.vocabulary.genes import load_genes, mitochondrial
from tahoe_engine.vocabulary.names import nearest, resolve_cell_lines, resolve_drugs, resolve_plates, resolve_samples
from tahoe_engine.vocabulary.tables import (
    cell_names,
    doses_um,
    load_cell_counts,
    load_cell_lines,
    load_drugs,
    load_samples,
)

__all__ = [
    "cell_names",
    "doses_um",
    "load_cell_counts",
    "load_cell_lines",
    "load_drugs",
    "load_genes",
    "load_samples",
    "mitochondrial",
    "nearest",
    "parse_dose",
    "resolve_cell_lines",
    "resolve_drugs",
    "resolve_plates",
    "resolve_samples",
    "to_micromolar",
]
