"""The leak guard over finished features: lineage and provenance of all rows, identities in a sample of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import LeakError, escape_controls
from tahoe_engine.features.lineage import describe_lineage
from tahoe_engine.features.passes import list_counted
from tahoe_engine.leaks import find_fitted_elsewhere, find_leaks, find_lineage_leaks, find_straddling
from tahoe_engine.run import require_whole
from tahoe_engine.schema import FOLD, SPLIT, SPLITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from tahoe_engine.features.launch import Launch
    from tahoe_engine.leaks import Leak

SAMPLED_PARTS: Final = 64  # that are looked into, spread over the table
SAMPLED_ROWS: Final = 100_000
SHOWN: Final = 12  # findings told in full
MOST_VALUES: Final = 8_000_000  # of wide tables fewer rows are looked at
REPEATED: Final = "(rows)"


def guard_features(launch: Launch) -> list[tuple[str, Leak]]:
    """Look for leaks in features that are made.

    Parameters
    ----------
    launch : Launch
        With all receipts.

    Returns
    -------
    list of (str, Leak)
        Each with the target it gives away; ``""`` where it is about all of them. Those that the recipe allows are not
        among them.
    """
    prepared, recipe = launch.prepared, launch.plan.recipe
    lineage = describe_lineage(prepared.design, prepared.reader)
    found: list[tuple[str, Leak]] = [("", leak) for leak in find_fitted_elsewhere(_tell_provenance(launch))]
    found += [("", leak) for leak in find_straddling(prepared.groups, prepared.group_columns)]
    sample = read_sample(launch)
    for target in recipe.targets:
        blocks = {block.name for block in recipe.features if block.name not in target.without}
        columns = [name for name, told in lineage["columns"].items() if told["block"] in blocks]
        own = {"targets": lineage["targets"], "columns": {name: lineage["columns"][name] for name in columns}}
        by_lineage = find_lineage_leaks(own, target.name)
        found += [(target.name, leak) for leak in by_lineage]
        # Where it is from says it all; what the numbers say besides is said of other columns.
        ids = [name for name in prepared.design.ids if name not in columns]
        frame = _decode(sample.select(*ids, SPLIT, target.name, *columns), lineage, columns)
        seen = find_leaks(frame, target.name, split=SPLIT, groups=ids or None, max_rows=SAMPLED_ROWS)
        # Of groups, all rows were counted; rows that stand on both sides are only seen here.
        found += [(target.name, leak) for leak in seen if leak.kind != "straddle" or leak.column == REPEATED]
    constants = find_constants(sample, lineage)
    found = [(target, leak) for target, leak in found if not is_by_constant(leak, lineage, constants)]
    allowed = set(recipe.allow)
    allowed |= {name for name, told in lineage["columns"].items() if told["block"] in allowed}
    return [(target, leak) for target, leak in found if leak.column not in allowed]


def find_constants(sample: pl.DataFrame, lineage: dict[str, Any]) -> set[str]:
    """Find columns of the table that have one value, as far as features tell.

    Parameters
    ----------
    sample : polars.DataFrame
        Rows of the features.
    lineage : dict
        As `describe_lineage` gives it.

    Returns
    -------
    set of str
        Columns of the table that a constant feature was made of alone.
    """
    told = lineage["columns"]
    single = {name: told[name]["sources"] for name in told if len(told[name]["sources"]) == 1}
    return {sources[0] for name, sources in single.items() if sample[name].drop_nulls().n_unique() <= 1}


def is_by_constant(leak: Leak, lineage: dict[str, Any], constants: set[str]) -> bool:
    """Tell whether two columns are duplicates only because one was multiplied by a constant: b and a b.

    Parameters
    ----------
    leak : Leak
        A finding.
    lineage, constants
        As in `find_constants`.

    Returns
    -------
    bool
        False for other kinds.
    """
    if leak.kind != "duplicate" or not constants:
        return False
    whole = [set(lineage["columns"].get(name, {}).get("sources", ())) for name in leak.columns]
    sources = [one - constants for one in whole]
    steps = ["polynomial" in lineage["columns"].get(name, {}).get("steps", ()) for name in leak.columns]
    return any(steps) and whole[0] != whole[-1] and all(one == sources[0] for one in sources)


def refuse_leaks(name: str, leaks: Sequence[tuple[str, Leak]]) -> None:
    """Refuse features.

    Parameters
    ----------
    name : str
        Of the features.
    leaks : sequence of (str, Leak)
        As `guard_features` gives them.

    Raises
    ------
    LeakError
        Always; each finding is a line.
    """
    lines = [f"{leak}" + (f" (target {target!r})" if target else "") for target, leak in leaks[:SHOWN]]
    if len(leaks) > SHOWN:
        lines.append(f"and {len(leaks) - SHOWN} more")
    told = "\n".join(f"  {escape_controls(line)}" for line in lines)
    raise LeakError(
        f"{name}: refused by the leak guard, nothing is published:\n{told}\nChange the recipe; or name columns in its "
        "`allow`, or say --allow-leaks, to have the features all the same"
    )


def read_sample(launch: Launch) -> pl.DataFrame:
    """Read rows of finished parts, all of them where they are few.

    Parameters
    ----------
    launch : Launch
        With all receipts.

    Returns
    -------
    polars.DataFrame
        With ``split``; the same rows each time.
    """
    import polars as pl

    names = sorted(launch.ledger.receipts)
    step = -(-len(names) // SAMPLED_PARTS)
    chosen = names if len(names) <= SAMPLED_PARTS else names[:: max(1, step)]
    stage = launch.plan.stage
    n_rows = sum(launch.ledger.receipts[name][stage]["rows"] for name in chosen)
    n_wanted = min(SAMPLED_ROWS, max(SAMPLED_PARTS, MOST_VALUES // len(launch.columns)))
    share = min(1.0, n_wanted / max(1, n_rows))
    frames = []
    for at, name in enumerate(chosen):
        path = launch.layout.part(stage, name)
        # It may be of an earlier launch: what was damaged since is no evidence, and can take its reader with it.
        require_whole(path, launch.ledger.receipts[name][stage], stage)
        frame = pl.read_parquet(path, glob=False, hive_partitioning=False)
        frame = frame.sample(fraction=share, seed=at) if share < 1 else frame
        split = SPLITS.index(name.partition("/")[0])
        frames.append(frame.drop(FOLD).with_columns(pl.lit(split, dtype=pl.UInt8).alias(SPLIT)))
    return pl.concat(frames)


def _decode(frame: pl.DataFrame, lineage: dict[str, Any], columns: Sequence[str]) -> pl.DataFrame:
    """Give codes back their levels: the guard knows text for what it is."""
    import polars as pl

    decoded = []
    for name in columns:
        levels = lineage["columns"][name].get("levels")
        if levels is not None:
            known = dict(enumerate(levels))
            decoded.append(pl.col(name).replace_strict(known, default=None, return_dtype=pl.String))
    return frame.with_columns(decoded)


def _tell_provenance(launch: Launch) -> dict[str, Any]:
    """Tell of everything that was fitted on which rows it was: all are fitted on the same ones."""
    prepared, design = launch.prepared, launch.prepared.design
    fitted = [name for name, chain in design.chains.items() if any(step.arrays for step in chain.steps)]
    fitted += [*design.statistics, *(name for name, _ in list_counted(design.recipe))]
    own = {"fitted_on": prepared.provenance["fitted_on"]}
    return {"train": prepared.provenance["train"], "transformers": dict.fromkeys(dict.fromkeys(fitted), own)}
