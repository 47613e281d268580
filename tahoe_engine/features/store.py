"""What was decided and fitted, as JSON and Parquet: readable by anybody, executed by nobody."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import StageError
from tahoe_engine.features.blocks import TargetStatistics
from tahoe_engine.features.design import Design
from tahoe_engine.features.fitted import decode_chains, encode_chains
from tahoe_engine.features.genes import decode_genes, encode_genes
from tahoe_engine.features.lineage import describe_lineage
from tahoe_engine.features.recipe import Recipe
from tahoe_engine.features.split import Split
from tahoe_engine.features.statistics import FittedStatistics
from tahoe_engine.features.targets import Baselines
from tahoe_engine.run import encode_frame
from tahoe_engine.run.manifest import encode_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tahoe_engine.features.prepare import Prepared

FORMAT: Final = 1
FOLDER: Final = "transformers"
DESIGN: Final = f"{FOLDER}/design.json"
LINEAGE: Final = "lineage.json"
SPLIT_FILE: Final = "split.json"
KINDS: Final = ("baselines", "statistics", "genes")


def encode_design(prepared: Prepared) -> dict[str, bytes]:
    """Give a design as files.

    Parameters
    ----------
    prepared : Prepared
        What was decided and fitted.

    Returns
    -------
    dict of str to bytes
        ``split.json``, ``lineage.json`` and the files of ``transformers/``, by name. Equal designs have equal files.
    """
    design = prepared.design
    split = {**design.split.describe(), "hash": design.split.hash, "provenance": prepared.provenance}
    scales = {name: [one.mean, one.deviation] for name, one in design.baselines.items()}
    told = {
        "format": FORMAT,
        "recipe": design.recipe.model_dump(mode="json"),
        "ids": list(design.ids),
        "key": list(design.key),
        "scales": scales,
        "levels": {block: {name: list(one) for name, one in of.items()} for block, of in design.levels.items()},
        **{kind: sorted(getattr(design, kind)) for kind in KINDS},
    }
    files = {
        SPLIT_FILE: encode_manifest(split),
        LINEAGE: encode_manifest(describe_lineage(design, prepared.reader)),
        DESIGN: encode_manifest(told),
    }
    for name, baselines in design.baselines.items():
        files[f"{FOLDER}/baselines-{name}.parquet"] = encode_frame(baselines.table)
    for name, statistics in design.statistics.items():
        files[f"{FOLDER}/statistics-{name}.parquet"] = encode_frame(statistics.table)
    for name, genes in design.genes.items():
        files[f"{FOLDER}/genes-{name}.json"] = encode_genes(genes)
    chains = encode_chains([design.chains[name] for name in sorted(design.chains)])
    return files | {f"{FOLDER}/{name}": content for name, content in chains.items()}


def decode_design(files: Mapping[str, bytes], root: str) -> Design:
    """Read a design back.

    Parameters
    ----------
    files : mapping
        As `encode_design` gives them.
    root : str
        The run folder.

    Returns
    -------
    Design
        Makes the same features, bit for bit.

    Raises
    ------
    StageError
        If a file is missing or damaged.
    """
    import polars as pl

    try:
        told: dict[str, Any] = json.loads(files[DESIGN])
        if told["format"] != FORMAT:
            raise StageError(f"{DESIGN}: format {told['format']!r}, this version of the engine reads {FORMAT}")
        recipe = Recipe.model_validate(told["recipe"])
        split = Split.from_json(json.loads(files[SPLIT_FILE]))
        blocks = {block.name: block for block in recipe.features if isinstance(block, TargetStatistics)}
        baselines = {}
        for name in told["baselines"]:
            table = pl.read_parquet(io.BytesIO(files[f"{FOLDER}/baselines-{name}.parquet"]))
            baselines[name] = Baselines(table, *told["scales"][name])
        statistics = {}
        for name in told["statistics"]:
            table = pl.read_parquet(io.BytesIO(files[f"{FOLDER}/statistics-{name}.parquet"]))
            statistics[name] = FittedStatistics(blocks[name], table)
        genes = {name: decode_genes(files[f"{FOLDER}/genes-{name}.json"]) for name in told["genes"]}
        known = {DESIGN, *(f"{FOLDER}/{kind}-{name}{end}" for kind, end in _ENDS.items() for name in told[kind])}
        rest = {
            name.removeprefix(f"{FOLDER}/"): content
            for name, content in files.items()
            if name.startswith(f"{FOLDER}/") and name not in known
        }
        return Design(
            recipe=recipe,
            ids=tuple(told["ids"]),
            split=split,
            key=tuple(told["key"]),
            baselines=baselines,
            levels={block: {name: tuple(one) for name, one in of.items()} for block, of in told["levels"].items()},
            statistics=statistics,
            chains={chain.chain.name: chain for chain in decode_chains(rest)},
            genes=genes,
            root=root,
        )
    except (KeyError, TypeError, ValueError, AttributeError, pl.exceptions.PolarsError) as error:
        raise StageError(
            f"the transformers are damaged ({error!r}); run `tahoe features` again to restore them"
        ) from error


_ENDS: Final = {"baselines": ".parquet", "statistics": ".parquet", "genes": ".json"}
