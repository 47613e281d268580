"""Where each feature comes from: of which columns, by which steps, and whether a target is among its ancestors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tahoe_engine.features.blocks import Expression, Numeric, OneHot, OneHotSvd, TargetStatistics

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tahoe_engine.features.blocks import Block
    from tahoe_engine.features.design import Design
    from tahoe_engine.features.rows import RowReader


def describe_lineage(design: Design, reader: RowReader) -> dict[str, Any]:
    """Describe where targets and features come from.

    Parameters
    ----------
    design : Design
        What was fitted.
    reader : RowReader
        With the formulas of derived columns.

    Returns
    -------
    dict
        ``targets``: of each the ``value_columns`` it is made of, the ``key_columns`` that only say which rows belong
        together, and the blocks it goes ``without``. ``columns``: of each stored column its ``block``, ``sources``
        (columns of the table), ``steps``, ``ancestor_targets``, and for codes their ``levels`` and the ``names`` of the
        columns of zeros and ones they stand for.
    """
    recipe = design.recipe
    targets = {}
    for target in recipe.targets:
        values, keys = ((target.value,), target.by) if target.kind == "delta" else ((target.column,), ())
        targets[target.name] = {
            "kind": target.kind,
            "value_columns": sorted(reader.list_base(values)),
            "key_columns": sorted(reader.list_base(keys)),
            "without": list(target.without),
        }
    columns: dict[str, Any] = {}
    for block in recipe.features:
        for name, sources, steps, more in _describe_block(design, block):
            named = [source for source in sources if source in targets and source not in reader.table.columns]
            base = reader.list_base([source for source in sources if source not in named])
            of_targets = {column for source in named for column in targets[source]["value_columns"]}
            out_of_fold = isinstance(block, TargetStatistics)
            columns[name] = {
                "block": block.name,
                "sources": sorted(base if out_of_fold else base | of_targets),
                "steps": steps,
                "ancestor_targets": sorted(named),
                **({"out_of_fold": True} if out_of_fold else {}),
                **more,
            }
    return {"targets": targets, "columns": columns}


def _describe_block(  # noqa: C901 - a case a kind
    design: Design, block: Block
) -> Iterable[tuple[str, tuple[str, ...], list[str], dict[str, Any]]]:
    chain = design.chains.get(block.name)
    if isinstance(block, Numeric) and chain is not None:
        for name, sources in zip(chain.columns, chain.sources(), strict=True):
            yield name, sources, [step.do for step in block.steps], {}
    elif isinstance(block, TargetStatistics):
        for name in design.statistics[block.name].columns:
            yield name, block.by, [f"{block.method} of {block.of}"], {}
    elif isinstance(block, OneHot):
        levels = design.levels[block.name][block.column]
        more = {"levels": list(levels), "names": [f"{block.prefix}{block.column}={level}" for level in levels]}
        yield design.name_codes(block), (block.column,), ["one_hot"], more
    elif isinstance(block, OneHotSvd):
        for name in design.name_columns(block):
            yield name, block.columns, ["one_hot", "svd"], {}
    elif isinstance(block, Expression):
        genes = design.genes[block.name]
        steps = ["log1p_cp10k"]
        if chain is not None:
            for name in chain.columns:
                yield name, ("expression",), [*steps, "svd"], {}
        else:
            for name, symbol in zip(genes.columns, genes.gene_symbols, strict=True):
                yield name, ("expression",), steps, {"gene_symbol": symbol}
