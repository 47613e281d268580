"""Pass by pass over the table: who trains, what the baselines are, what is fitted. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tahoe_engine.cells.counts import locate_shards
from tahoe_engine.cells.report import Progress
from tahoe_engine.errors import BadDataError, ConfigError, escape_controls
from tahoe_engine.features.blocks import Expression, Numeric, OneHot, OneHotSvd, Svd, TargetStatistics
from tahoe_engine.features.chains import Chain
from tahoe_engine.features.design import OTHER, Design
from tahoe_engine.features.fit import fit_chains, fit_codes_svd
from tahoe_engine.features.levels import keep_frequent, list_levels
from tahoe_engine.features.levelsums import merge_statistics
from tahoe_engine.features.loads import BlockLoad, FittedRows, NumberLoad, Refining, Scaling, Telling, merge_windows
from tahoe_engine.features.passes import Counting, Facing, list_counted, merge_counted, merge_faced, name_groups
from tahoe_engine.features.share import decide_split
from tahoe_engine.features.statistics import decide_statistics
from tahoe_engine.features.sums import merge_sums
from tahoe_engine.features.targets import decide_baselines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import polars as pl

    from tahoe_engine.features.passes import Counted, Faced
    from tahoe_engine.features.plan import FeaturesPlan
    from tahoe_engine.features.rows import RowReader
    from tahoe_engine.run import Layout
    from tahoe_engine.workers import Computing


@dataclass(frozen=True)
class Prepared:
    """What was decided and fitted, and what was counted on the way.

    Parameters
    ----------
    design : Design
        Makes features of rows.
    reader : RowReader
        Gives the rows.
    n_rows : dict
        Rows of each slice and split.
    filtered : dict
        Rows that are no rows of the features, by why.
    wanted : dict
        Of each filter, which values are there and which are not.
    provenance : dict
        Number and sum of the keys of the rows that were fitted on, and of each split.
    groups : polars.DataFrame
        Rows of each group (or well) in each split.
    group_columns : tuple of str
        What makes a group.
    warnings : list of str
        What its user should know.
    """

    design: Design
    reader: RowReader
    n_rows: Mapping[str, Mapping[str, int]]
    filtered: dict[str, int]
    wanted: dict[str, dict[str, list[str]]]
    provenance: dict[str, dict[str, int]]
    groups: pl.DataFrame
    group_columns: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list)


def prepare_design(
    plan: FeaturesPlan, layout: Layout, computing: Computing, tell: Callable[[Progress], None]
) -> Prepared:
    """Split the rows of a table and fit what a recipe fits.

    Parameters
    ----------
    plan : FeaturesPlan
        What is to be done.
    layout : Layout
        The run.
    computing : Computing
        Who computes.
    tell : callable
        Called with a `Progress` after each pass.

    Returns
    -------
    Prepared
        Ready to make features.

    Raises
    ------
    ConfigError, BadDataError
        If recipe and table do not go together.
    StageError
        If a part is not what it was.
    StoppedError
        If workers are lost for now.
    """
    passes = _Passes(plan, computing, tell)
    counted, reader = passes.count()
    split = passes.split(counted, reader)
    shards = locate_shards(layout.root, plan.settings, plan.source) if plan.reads_shards else {}
    root = str(layout.root.absolute())
    design = Design(
        plan.recipe, plan.table.ids, split, plan.table.key, root=root, shards=shards, settings=plan.settings
    )
    faced: Faced = passes.reduce(Facing(reader, design), merge_faced)
    baselines = passes.decide_baselines(faced, reader, design)
    design = replace(design, baselines=baselines, levels=_decide_levels(plan, faced))
    design = passes.fit(design, reader, faced)
    kept = sum(counted.kept.values())
    made = sum(rows for one in faced.n_rows.values() for rows in one.values())
    filtered = {"keep": counted.rows["keep"], "where": counted.rows["where"]}
    filtered["first"] = counted.rows["rows"] - filtered["keep"] - filtered["where"] - kept
    filtered["controls"] = kept - made
    return Prepared(
        design=design,
        reader=reader,
        n_rows=faced.n_rows,
        filtered={why: n for why, n in filtered.items() if n},
        wanted=_tell_wanted(plan, counted),
        provenance=faced.provenance,
        groups=_require(faced.groups),
        group_columns=tuple(name_groups(reader)),
        warnings=[*split.warnings, *plan.table.told.get("top_table", {}).get("warnings", [])],
    )


class _Passes:
    """The passes over the table, each told when it is done."""

    def __init__(self, plan: FeaturesPlan, computing: Computing, tell: Callable[[Progress], None]) -> None:
        self._plan, self._computing, self._tell = plan, computing, tell
        self._slices = plan.table.slices
        self._done = 0

    def reduce(self, function: Any, combine: Any) -> Any:  # noqa: ANN401 - what they give
        found = self._computing.reduce(function, combine, self._slices)
        self.tell()
        return found

    def tell(self) -> None:
        self._done += 1
        self._tell(Progress("fitting", self._done, 0))

    def count(self) -> tuple[Counted, RowReader]:
        """Count the rows; where their order matters, twice."""
        plan, rule = self._plan, self._plan.recipe.split
        ordered = bool(plan.recipe.rows.first) or rule.method == "sklearn"
        counted: Counted = self.reduce(Counting(plan.reader, keys=not ordered), merge_counted)
        reader = plan.reader
        if ordered:
            before, total = {}, 0
            for piece in self._slices:
                before[piece.name] = total
                total += counted.kept[piece.name]
            reader = replace(reader, before=before)
            again: Counted = self.reduce(Counting(reader, check=False), merge_counted)
            counted.kept, counted.keys = again.kept, again.keys
        if not any(counted.kept.values()):
            absent = {column: values["absent"] for column, values in _tell_wanted(plan, counted).items()}
            dropped = " and ".join(f"{counted.rows[why]:,} dropped by {why}" for why in ("keep", "where"))
            missing = "; ".join(f"{column} has no {', '.join(values)}" for column, values in absent.items() if values)
            raise ConfigError(
                f"no row is left by [rows] of the recipe {plan.name!r}: {counted.rows['rows']:,} rows, {dropped}"
                + escape_controls(f" ({missing})" if missing else "")
            )
        return counted, reader

    def split(self, counted: Counted, reader: RowReader) -> Any:  # noqa: ANN401 - a Split
        def refine(windows: Any) -> Any:  # noqa: ANN401 - windows of hashes, and what is in them
            return self.reduce(Refining(reader, windows), merge_windows)

        return decide_split(self._plan.recipe.split, _require(counted.keys), refine)

    def decide_baselines(self, faced: Faced, reader: RowReader, design: Design) -> dict[str, Any]:
        """Give the baselines of delta targets; their scale takes two more passes, where one is asked for."""
        decided: dict[str, Any] = {}
        for target in self._plan.recipe.targets:
            if target.kind == "delta":
                decided[target.name] = decide_baselines(target, faced.baselines[target.name])
        scaled = [target for target in self._plan.recipe.targets if target.kind == "delta" and target.standardize]
        for target in scaled:
            for _ in ("mean", "deviation"):
                rows = FittedRows(reader, replace(design, baselines=decided))
                sums = self.reduce(Scaling(rows, target, decided[target.name]), merge_sums)
                decided[target.name] = decided[target.name].add_scale(sums)
        return decided

    def fit(self, design: Design, reader: RowReader, faced: Faced) -> Design:
        """Fit the blocks: statistics of targets, genes, then all chains together."""
        design = self._fit_statistics(design, reader)
        design = self._choose_genes(design)
        rows = FittedRows(reader, design)
        blocks = design.recipe.features
        counts = [(piece, faced.n_fitted.get(piece.name, 0)) for piece in self._slices]
        if not sum(n for _, n in counts):
            raise BadDataError("no row is left to fit on; see [split] of the recipe")
        numeric = [block for block in blocks if isinstance(block, Numeric)]
        chains = [Chain(block.name, block.columns, block.steps, block.prefix) for block in numeric]
        fitted = fit_chains(chains, counts, NumberLoad(rows), self._computing) if chains else []
        self.tell()
        for block in blocks:
            before = design.names_before(block) if isinstance(block, (OneHotSvd, Expression)) else ()
            load = BlockLoad(rows, block)
            if isinstance(block, OneHotSvd):
                chain = Chain(block.name, before, (Svd(do="svd", components=block.components),))
                sizes = [len(design.levels[block.name][column]) for column in before]
                fitted.append(fit_codes_svd(chain, sizes, counts, load, self._computing))
                self.tell()
            elif isinstance(block, Expression) and block.svd:
                chain = Chain(block.name, before, (Svd(do="svd", components=block.svd),))
                fitted += fit_chains([chain], counts, load, self._computing)
                self.tell()
        return replace(design, chains={one.chain.name: one for one in fitted})

    def _fit_statistics(self, design: Design, reader: RowReader) -> Design:
        found: dict[str, Any] = {}
        for block in design.recipe.features:
            if isinstance(block, TargetStatistics):
                told = self.reduce(Telling(FittedRows(reader, design), block), merge_statistics)
                found[block.name] = decide_statistics(told, block)
        return replace(design, statistics=found)

    def _choose_genes(self, design: Design) -> Design:
        blocks = [block for block in design.recipe.features if isinstance(block, Expression)]
        if not blocks:
            return design
        from tahoe_engine.features.expression import choose_training_genes

        self.tell()
        return replace(design, genes={block.name: choose_training_genes(design, block) for block in blocks})


def _decide_levels(plan: FeaturesPlan, faced: Faced) -> dict[str, dict[str, tuple[str, ...]]]:
    from pathlib import Path

    folder = Path(plan.table.metadata) if plan.table.metadata else None
    counted = set(list_counted(plan.recipe))
    levels: dict[str, dict[str, tuple[str, ...]]] = {}
    for block in plan.recipe.features:
        if not isinstance(block, (OneHot, OneHotSvd)):
            continue
        for column in (block.column,) if isinstance(block, OneHot) else block.columns:
            if (block.name, column) in counted:
                top = block.top if isinstance(block, OneHot) else 0
                found: tuple[str, ...] | None = keep_frequent(faced.levels[block.name, column], top, OTHER)
            else:
                found = list_levels(column, folder)
            if found is None:
                raise ConfigError(
                    f"block {block.name!r}: there is no list of all levels of {column!r}; write levels = 'seen' to "
                    "take those of the training rows"
                )
            levels.setdefault(block.name, {})[column] = found
    return levels


def _tell_wanted(plan: FeaturesPlan, counted: Counted) -> dict[str, dict[str, list[str]]]:
    """Say of each filter which of its values are there."""
    told = {}
    for column, values in plan.recipe.rows.keep.items():
        seen = counted.seen.get(column, set())
        told[column] = {
            "present": [value for value in values if _is_among(value, seen)],
            "absent": [value for value in values if not _is_among(value, seen)],
        }
    return told


def _require(thing: Any) -> Any:  # noqa: ANN401 - whatever must be there
    if thing is None:
        raise AssertionError("a pass gave nothing")
    return thing


def _is_among(value: str, seen: set[str]) -> bool:
    """Tell whether a value was seen; "3.0" is 3 where numbers are kept."""
    if value in seen:
        return True
    try:
        return any(float(value) == float(other) for other in seen)
    except ValueError:
        return False
