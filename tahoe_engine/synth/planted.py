"""The planted truth: which law, which effects, and where they are written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tahoe_engine.schema import CELL_LINE_ID, CELL_NAME, DRUG, ENSEMBL_ID, GENE_SYMBOL, PLATE, SAMPLE, TOKEN_ID

if TYPE_CHECKING:
    import polars as pl

    from tahoe_engine._rust import SynthModel
    from tahoe_engine.synth.layout import Design
    from tahoe_engine.synth.options import Options

LAW: Final = {
    "count": "Poisson(library * depth * share[line, gene] * 2^(log2_fold_change[drug, gene] * response) * "
    "exp(log_shift[well, block of gene]) * programme)",
    "library": "max(min(600, 0.3 * median_counts), median_counts * exp(counts_spread * z)), z fresh a cell",
    "depth": "exp(log_depth[line] + log_depth[drug] * response + log_depth[well])",
    "response": "dose_um / (dose_um + ec50_um[drug]); 0 for DMSO_TF",
    "programme": "mitochondrial genes: exp(log_mt[line] + log_mt[drug] * response + log_mt[well] + 0.5 z - 0.125); "
    "MALAT1: exp(0.3 z - 0.045); all other genes: 1; z fresh a cell",
    "exceptions": "mitochondrial genes and MALAT1 take neither log2_fold_change nor log_shift",
    "share": "log abundance common to all lines + line_effect * z[line, gene], z within 3, scaled so that coding genes "
    "have 0.78 of an untreated cell's counts, non-coding 0.12, mitochondrial 0.04, MALAT1 0.06; 5 % of coding and half "
    "of the non-coding genes are silent",
    "line": "log_depth = 0.2 * line_effect * z, log_mt = 0.3 * line_effect * z",
    "drug": "ec50_um = 0.5 * exp(z), log_depth = -0.3 * drug_effect * |z|, log_mt = 0.4 * drug_effect * z, "
    "log2_fold_change = drug_effect * z (within 3) on a share drug_genes of the genes",
    "well": "log_depth, log_mt and log_shift of each of 64 blocks of genes = well_effect * z each",
    "cells": "numbers of cells of wells and lines are in the proportions of obs_cell_grid (all real cells, not only "
    "those that passed the filter)",
}

KINDS: Final = ("never", "coding", "non-coding", "mitochondrial", "MALAT1")
# By their symbols: unnamed genes, long and small RNAs, antisense and divergent transcripts, pseudogenes, mt-tRNAs.
_NONCODING: Final = r"^(ENSG|LINC|MIR|SNOR|RNU|RN7|RNA5|Y_RNA|U\d|MT-T)|-(AS|IT|OT)\d*$|-DT$|\dP\d*$"


def gene_kinds(symbols: pl.Series) -> bytes:
    """Tell how each gene is expressed in a made-up cell.

    Parameters
    ----------
    symbols : polars.Series
        Gene symbols.

    Returns
    -------
    bytes
        Index into `KINDS`, one a gene.

    Examples
    --------
    >>> import polars as pl
    >>> list(gene_kinds(pl.Series(["TP53", "RPL7P12", "MT-CO1", "MALAT1"])))
    [1, 2, 3, 4]
    """
    import polars as pl

    symbol = pl.lit(symbols)
    kind = (
        pl.when(symbol == "MALAT1")
        .then(KINDS.index("MALAT1"))
        .when(symbol.str.contains(_NONCODING))
        .then(KINDS.index("non-coding"))
        .when(symbol.str.starts_with("MT-"))
        .then(KINDS.index("mitochondrial"))
        .otherwise(KINDS.index("coding"))
    )
    return pl.select(kind.cast(pl.UInt8)).to_series().to_numpy().tobytes()


def plant_effects(design: Design, options: Options, genes: pl.DataFrame) -> SynthModel:
    """Draw the planted values of an atlas.

    Parameters
    ----------
    design : Design
        Its wells and lines.
    options : Options
        Sizes of the effects, seed, marker.
    genes : polars.DataFrame
        The vocabulary.

    Returns
    -------
    SynthModel
        Of the core: gives the planted values, and draws cells from them.
    """
    from tahoe_engine._rust import SynthModel

    return SynthModel(
        seed=options.seed,
        tokens=genes[TOKEN_ID].to_list(),
        kinds=gene_kinds(genes[GENE_SYMBOL]),
        lines=list(design.lines),
        wells=[(well.sample, well.drug, well.dose_um) for well in design.wells],
        effects=options.effects(),
        marker=options.marker,
    )


def tabulate_truth(model: SynthModel, design: Design, genes: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Give the planted values as tables.

    Parameters
    ----------
    model : SynthModel
        As `plant_effects` gives it.
    design : Design
        Its wells and lines.
    genes : polars.DataFrame
        The vocabulary.

    Returns
    -------
    dict of str to polars.DataFrame
        By the name of the file in `truth/`.
    """
    import polars as pl

    lines, drugs, wells = model.lines(), model.drugs(), model.wells()
    named = list(dict.fromkeys(well.drug for well in design.wells))
    tokens = genes[TOKEN_ID].cast(pl.Int32)
    n_blocks = len(wells[0]["blocks"]) // 8
    places, blocks = (np.frombuffer(column, "<u4") for column in model.blocks())
    block_of = pl.DataFrame({"gene": places.astype(np.int32), "block": blocks.astype(np.int32)})
    kinds = gene_kinds(genes[GENE_SYMBOL])
    keys = pl.DataFrame({SAMPLE: [well.sample for well in design.wells], PLATE: [well.plate for well in design.wells]})
    doses = {DRUG: [well.drug for well in design.wells], "dose_um": [well.dose_um for well in design.wells]}
    response = {"response": [well["response"] for well in wells]}
    return {
        "genes": pl.DataFrame(
            {
                "gene": tokens,
                ENSEMBL_ID: genes[ENSEMBL_ID],
                GENE_SYMBOL: genes[GENE_SYMBOL],
                "kind": [KINDS[k] for k in kinds],
            }
        ).join(block_of, on="gene", how="left", maintain_order="left"),
        "lines": pl.DataFrame({CELL_LINE_ID: design.lines, CELL_NAME: design.names, **_shifts(lines)}),
        "line_genes": pl.concat(
            pl.DataFrame(
                {CELL_LINE_ID: [name] * len(tokens), "gene": tokens, "share": np.frombuffer(line["shares"], "<f8")}
            ).filter(pl.col("share") > 0)
            for name, line in zip(design.lines, lines, strict=True)
        ),
        "drugs": pl.DataFrame({DRUG: named, "ec50_um": [drug["ec50_um"] for drug in drugs], **_shifts(drugs)}),
        "drug_doses": pl.DataFrame(doses | response).unique(maintain_order=True),
        "drug_genes": pl.concat(
            pl.DataFrame(
                {
                    DRUG: [name] * (len(drug["genes"]) // 4),
                    "gene": np.frombuffer(drug["genes"], "<u4").astype(np.int32),
                    "log2_fold_change": np.frombuffer(drug["lfc"], "<f8"),
                },
                schema={DRUG: pl.String, "gene": pl.Int32, "log2_fold_change": pl.Float64},
            )
            for name, drug in zip(named, drugs, strict=True)
        ),
        "wells": keys.with_columns(pl.DataFrame(doses | response | _shifts(wells))).with_columns(
            n_cells=pl.Series(design.counts.sum(axis=1))
        ),
        "well_blocks": pl.DataFrame(
            {
                SAMPLE: np.repeat(keys[SAMPLE].to_numpy(), n_blocks),
                "block": np.tile(np.arange(n_blocks, dtype=np.int32), len(wells)),
                "log_shift": np.concatenate([np.frombuffer(well["blocks"], "<f8") for well in wells]),
            }
        ),
        "counts": pl.DataFrame(
            {
                SAMPLE: np.repeat(keys[SAMPLE].to_numpy(), len(design.lines)),
                CELL_LINE_ID: list(design.lines) * len(design.wells),
                "n_cells": design.counts.ravel(),
            }
        ).filter(pl.col("n_cells") > 0),
    }


def _shifts(rows: list[dict[str, Any]]) -> dict[str, list[float]]:
    return {"log_depth": [row["depth"] for row in rows], "log_mt": [row["mt"] for row in rows]}
