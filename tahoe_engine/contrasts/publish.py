"""Make the contrasts visible: the index, then the manifests."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tahoe_engine.contrasts.computed import Facts
from tahoe_engine.contrasts.unit import STAGE, describe_contrasts
from tahoe_engine.run import publish_indexed
from tahoe_engine.schema import CONTRASTS

if TYPE_CHECKING:
    import polars as pl

    from tahoe_engine.contrasts.launch import Launch

# What the numbers mean, for who finds the folder without this program.
MEANING = {
    "welch": {
        "compared": "cells",
        "logfoldchanges": "log2((expm1(mean_treated) + 1e-9) / (expm1(mean_control) + 1e-9))",
        "mean": "of log1p(counts per ten thousand) over the cells of a side, zeros counted",
        "log_base": 2,
        "pseudocount": 1e-9,
    },
    "limma": {
        "compared": "wells",
        "logfoldchanges": "difference of fitted log2((count + 0.5) / (effective library size + 1) * 1e6)",
        "mean": "fitted log2 counts per million, blocks in the shares they have among the samples",
        "log_base": 2,
        "pseudocount": 0.5,
    },
}


def publish(launch: Launch) -> tuple[dict[str, Any], pl.DataFrame]:
    """Write the index of the contrasts and the manifests: of the stage first, of the run last.

    Parameters
    ----------
    launch : Launch
        With all receipts.

    Returns
    -------
    manifest : dict
        Of the stage. If it stands there already, with all its parts, nothing is written.
    index : polars.DataFrame
        With two columns more than the table: n_genes and n_significant.
    """
    index = make_index(launch)
    facts = launch.semantic | _count(launch, index)
    table = index.select(CONTRASTS.names)
    return publish_indexed(launch.layout, STAGE, table, launch.ledger.receipts, facts), index


def make_index(launch: Launch) -> pl.DataFrame:
    """Put the index together from the design and the receipts.

    Parameters
    ----------
    launch : Launch
        With all receipts.

    Returns
    -------
    polars.DataFrame
        As `schema.CONTRASTS` has it, by contrast, with ``n_genes`` and ``n_significant``.
    """
    import polars as pl

    plan = launch.plan
    settings = plan.settings.contrasts
    types = {column.name: getattr(pl, column.dtype) for column in CONTRASTS.columns}
    rows: list[dict[str, Any]] = []
    for stratum in plan.strata:
        receipt = launch.ledger.receipts.get(stratum.name)
        # Without a control there is no part: what is left to tell stands in the design.
        told = describe_contrasts(stratum, [Facts(c) for c in stratum.contrasts], settings)
        told = told if receipt is None else receipt["index"]
        rows += [
            {
                "contrast_id": contrast.contrast_id,
                "drug": contrast.drug,
                "dose_um": contrast.dose_um,
                "cell_line_id": contrast.cell_line_id,
                "plate": contrast.plate,
                "n_cells_treated": contrast.treated.n_cells,
                "n_cells_control": stratum.control.n_cells,
                "n_wells_treated": contrast.treated.n_wells,
                "n_wells_control": stratum.control.n_wells,
                "method": settings.method,
                **{name: values[place] for name, values in told.items()},
            }
            for place, contrast in enumerate(stratum.contrasts)
        ]
        for row in rows[-len(stratum.contrasts) :]:
            row["df_prior"] = None if row["df_prior"] is None else float(row["df_prior"])
    return pl.DataFrame(rows, schema={**types, "n_genes": pl.Int64, "n_significant": pl.Int64})


def _count(launch: Launch, index: pl.DataFrame) -> dict[str, Any]:
    flags = Counter(flag for text in index["flags"].to_list() for flag in text.split(",") if flag)
    return {
        "meaning": MEANING[launch.plan.settings.contrasts.method],
        "n_contrasts": index.height,
        "n_without_control": flags["no_control"],
        "flags": dict(sorted(flags.items())),
    }
