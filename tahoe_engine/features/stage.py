"""The stage, end to end: plan, fit, hand out, record, guard, publish."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from tahoe_engine.config import Settings, change_settings
from tahoe_engine.errors import ConfigError
from tahoe_engine.features.guard import guard_features, refuse_leaks
from tahoe_engine.features.launch import Launch
from tahoe_engine.features.plan import plan_features
from tahoe_engine.features.publish import publish
from tahoe_engine.features.report import FeaturesReport
from tahoe_engine.named import HONEST
from tahoe_engine.run import Journal, describe_build, open_run, require_free, set_aside_stages
from tahoe_engine.schema import SPLITS
from tahoe_engine.workers import open_computing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tahoe_engine.cells import Progress
    from tahoe_engine.features.recipe import Recipe


def make_features(  # noqa: PLR0913 - the keywords are the options of the command
    into: str | os.PathLike[str],
    recipe: str | os.PathLike[str] | Recipe | None = None,
    *,
    mode: str | None = None,
    table: str | os.PathLike[str] | None = None,
    obs: str | os.PathLike[str] | None = None,
    source: str | os.PathLike[str] | Sequence[str] | None = None,
    allow_leaks: bool | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    settings: Settings | None = None,
    new: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> FeaturesReport:
    """Make the tables that models train on: split first, everything fitted on training rows, guarded against leaks.

    Parameters
    ----------
    into : str or path-like
        A run whose cells (or groups) are finished; any folder where the recipe is about a table of the user's. The same
        call again does only what is missing.
    recipe : str, path-like or Recipe, optional
        Name of a recipe, path of a TOML file, or a recipe itself, whose features are called ``custom``.
    mode : {"honest", "bug-compat"}, optional
        As it should be, or as the published project did it, for comparison.
    table : str or path-like, optional
        A file (Parquet, CSV) or a folder of Parquet files in place of the run's own table.
    obs : str or path-like, optional
        Tahoe's ``obs_metadata``, for recipes that join it.
    source : str, path or list of them, optional
        Where the shards are now, if they have moved and the recipe asks for expression.
    allow_leaks : bool, optional
        Make the features though the guard finds leaks; they are written down.
    workers : int, optional
        Processes; 0 = this one.
    scheduler : str, optional
        Address of a running scheduler.
    settings : Settings, optional
        The rest; the keywords above change it.
    new : bool
        Start anew: what the run has of these features is set aside (`tahoe gc` removes it).
    on_progress : callable, optional
        Called with a `Progress` after each unit.

    Returns
    -------
    FeaturesReport
        With the manifest: rows of each split, what was missing or not known, and the leaks that were allowed.

    Raises
    ------
    LeakError
        If the guard refuses them: nothing is published.
    ConfigError, StageError, SourceError, BadDataError, HeldError, StoppedError
        See `tahoe_engine.errors`; each says what to do.

    Examples
    --------
    >>> import tahoe_engine as te
    >>> te.make_features("demo/run", "biospark-m3", workers=0)  # doctest: +SKIP
    >>> te.Run("demo/run").table("features/biospark-m3/train").collect()  # doctest: +SKIP
    """
    named, own = _name_recipe(recipe)
    if mode not in {None, HONEST} and own is not None:
        raise ConfigError("a recipe that is handed over has no other mode; name its file")
    chosen: dict[str, object] = {
        "recipe": named,
        "mode": mode,
        "table": None if table is None else str(table),
        "obs": None if obs is None else str(obs),
        "allow_leaks": allow_leaks,
    }
    changes: dict[str, dict[str, object]] = {
        "features": chosen,
        "workers": {"count": workers, "scheduler": scheduler},
    }
    settings = change_settings(settings or Settings(), changes, "make_features")
    start = time.monotonic()
    require_free(into)
    plan = plan_features(into, settings=settings, recipe=own, source=source)
    plan.require_fit(done=1.0)  # before anything is set aside; room for the rest is asked for once that is known
    tell = on_progress or _ignore
    with open_run(into) as layout:
        if new:
            set_aside_stages(layout, plan.stage, [plan.stage])
        with Journal(layout, plan.stage) as journal:
            launch = Launch(plan, layout, journal)
            finished = launch.find_finished()
            if finished is not None:
                there = sum(part["name"].partition("/")[0] in SPLITS for part in finished["parts"])
                return FeaturesReport(layout.root, plan.name, finished, 0, there, 0, time.monotonic() - start)
            n_slices = len(plan.table.slices)
            with open_computing(settings.workers, n_slices, gate=describe_build) as computing:
                launch.fit(computing, tell)
                found = len(launch.ledger.receipts)
                plan.require_fit(done=found / max(1, found + len(launch.ledger.missing())))
                rows, done = launch.run_missing(computing, tell)
            launch.sync()
            leaks = guard_features(launch)
            if leaks and not settings.features.allow_leaks:
                launch.hold_back()
                refuse_leaks(plan.name, leaks)
            manifest = publish(launch, leaks)
            return FeaturesReport(layout.root, plan.name, manifest, done, found, rows, time.monotonic() - start)


def _name_recipe(recipe: object) -> tuple[str | None, Recipe | None]:
    """Tell a recipe by its name or path from a recipe itself."""
    from tahoe_engine.features.recipe import Recipe

    if recipe is None or isinstance(recipe, Recipe):
        return None, recipe
    if isinstance(recipe, (str, os.PathLike)):
        return str(os.fspath(recipe)), None
    raise ConfigError(f"make_features: recipe = {recipe!r}: input should be a name, a path or a Recipe")


def _ignore(progress: Progress) -> None:
    """Tell nobody."""
