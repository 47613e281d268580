"""The stage, end to end: plan, refuse leaks, fit, predict, judge, publish."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tahoe_engine.config import Settings, change_settings
from tahoe_engine.models.launch import Launch
from tahoe_engine.models.plan import plan_models
from tahoe_engine.models.publish import publish
from tahoe_engine.models.report import ModelsReport
from tahoe_engine.run import Journal, describe_build, open_run, require_free, set_aside_stages
from tahoe_engine.workers import open_computing

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from tahoe_engine.cells import Progress


def train_models(  # noqa: PLR0913 - the keywords are the options of the command
    into: str | os.PathLike[str],
    task: str | os.PathLike[str] | None = None,
    *,
    mode: str | None = None,
    allow_leaks: bool | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    settings: Settings | None = None,
    new: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> ModelsReport:
    """Fit, tune and judge the models of a task; every number stands beside its baseline.

    Parameters
    ----------
    into : str or path-like
        A run with the features that the task names. The same call again does only what is missing.
    task : str or path-like, optional
        Name of a task, or path of a TOML file.
    mode : {"honest", "bug-compat"}, optional
        As it should be, or as the published project did it, for comparison.
    allow_leaks : bool, optional
        Train on features that were made in spite of the leak guard; the card says so.
    workers : int, optional
        Processes; 0 = this one. The numbers do not depend on it.
    scheduler : str, optional
        Address of a running scheduler.
    settings : Settings, optional
        The rest; the keywords above change it.
    new : bool
        Start anew: what the run has of these models is set aside (`tahoe gc` removes it).
    on_progress : callable, optional
        Called with a `Progress` after each fit, and after each part that is predicted.

    Returns
    -------
    ModelsReport
        With the manifest: what was trained, and how it compares with the baseline.

    Raises
    ------
    LeakError
        If the features leak: nothing is trained.
    ConfigError, StageError, BadDataError, HeldError, StoppedError
        See `tahoe_engine.errors`; each says what to do.

    Examples
    --------
    >>> import tahoe_engine as te
    >>> te.train_models("demo/run", "biospark-m3", workers=0)  # doctest: +SKIP
    >>> te.Run("demo/run").table("models/biospark-m3/metrics").collect()  # doctest: +SKIP
    """
    changes: dict[str, dict[str, object]] = {
        "models": {"task": None if task is None else [str(task)], "mode": mode, "allow_leaks": allow_leaks},
        "workers": {"count": workers, "scheduler": scheduler},
    }
    settings = change_settings(settings or Settings(), changes, "train_models")
    start = time.monotonic()
    require_free(into)
    plan = plan_models(into, settings=settings)
    plan.require_honest()
    plan.require_fit()
    tell = on_progress or _ignore
    with open_run(into) as layout:
        if new:
            set_aside_stages(layout, plan.stage, [plan.stage])
        with Journal(layout, plan.stage) as journal:
            launch = Launch(plan, layout, journal)
            finished = launch.find_finished()
            if finished is not None:
                launch.kept.clear()  # a launch that died after publishing had no time to
                return ModelsReport(layout.root, plan.name, finished, 0, len(plan.fits), time.monotonic() - start)
            with open_computing(settings.workers, launch.n_tasks, gate=describe_build) as computing:
                launch.fit(computing, tell)
                launch.predict(computing, tell)
                judged = launch.judge(computing, tell)
            launch.sync()
            manifest = publish(launch, judged)
            launch.kept.clear()
            done = launch.n_done
            return ModelsReport(layout.root, plan.name, manifest, done, len(plan.fits) - done, time.monotonic() - start)


def _ignore(progress: Progress) -> None:
    """Tell nobody."""
