"""The stage, end to end: plan, hand out, record, publish."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tahoe_engine.config import Settings, change_settings
from tahoe_engine.contrasts.launch import Launch
from tahoe_engine.contrasts.plan import plan_contrasts
from tahoe_engine.contrasts.publish import publish
from tahoe_engine.contrasts.report import ContrastsReport
from tahoe_engine.contrasts.unit import STAGE
from tahoe_engine.run import Journal, open_run, require_free, set_aside_stages

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    import polars as pl

    from tahoe_engine.cells import Progress

SHOWN = 5  # contrasts told one by one
NAMES = ("drug", "dose_um", "cell_line_id", "plate")


def compute_contrasts(  # noqa: PLR0913 - the keywords are the options of the command
    into: str | os.PathLike[str],
    *,
    method: str | None = None,
    treatment: Sequence[str] | None = None,
    within: Sequence[str] | None = None,
    block: Sequence[str] | None = None,
    reference: Sequence[str] | None = None,
    robust: bool | None = None,
    min_cells: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    settings: Settings | None = None,
    new: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> ContrastsReport:
    """Compare each treatment with its matched control, gene by gene, from the moments of groups.

    Parameters
    ----------
    into : str or path-like
        A run whose groups are finished. The same call again does only what is missing.
    method : {"limma", "welch"}, optional
        Compare wells (one joint linear model a stratum, moderated t), or cells (Welch's t, whose P-values are too small
        where wells differ).
    treatment : sequence of str, optional
        What a treatment is: drug and dose, or drug alone.
    within : sequence of str, optional
        What treated and control have in common: plate and line, one of them, or nothing.
    block : sequence of str, optional
        Further factors of the linear model: plate where plates are pooled, line where lines are.
    reference : sequence of str, optional
        Drugs that are the control; several are taken as one.
    robust : bool, optional
        Keep outlying variances out of the prior (limma).
    min_cells : int, optional
        Sides of fewer cells are flagged.
    workers : int, optional
        Processes; 0 = this one.
    scheduler : str, optional
        Address of a running scheduler.
    settings : Settings, optional
        The rest; the keywords above change it.
    new : bool
        Start anew, also with other settings: what the run has of this stage is set aside (`tahoe gc` removes it).
    on_progress : callable, optional
        Called with a `Progress` after each stratum.

    Returns
    -------
    ContrastsReport
        With the manifest. A treatment without control is in the index, flagged ``no_control``, and has no results.

    Raises
    ------
    ConfigError, StageError, HeldError, StoppedError
        See `tahoe_engine.errors`; each says what to do.

    Examples
    --------
    >>> import tahoe_engine as te
    >>> te.compute_contrasts("demo/run", method="welch", workers=0)  # doctest: +SKIP
    >>> te.Run("demo/run").table("contrasts/results").filter(contrast_id=0).collect()  # doctest: +SKIP
    """
    chosen: dict[str, object] = {"method": method, "robust": robust, "min_cells": min_cells}
    for name, names in (("treatment", treatment), ("within", within), ("block", block), ("reference", reference)):
        chosen[name] = names if names is None or isinstance(names, str) else tuple(names)
    changes: dict[str, dict[str, object]] = {STAGE: chosen, "workers": {"count": workers, "scheduler": scheduler}}
    settings = change_settings(settings or Settings(), changes, "compute_contrasts")
    start = time.monotonic()
    require_free(into)
    plan = plan_contrasts(into, settings=settings)
    plan.require_fit(done=1.0)  # before anything is set aside; room for the rest is asked for once that is known
    with open_run(into) as layout:
        if new:
            set_aside_stages(layout, STAGE, [STAGE])
        with Journal(layout, STAGE) as journal:
            launch = Launch(plan, layout, journal)
            found = len(launch.ledger.receipts)
            plan.require_fit(done=found / max(1, len(plan.units)))
            contrasts, done = launch.run_missing(on_progress or _ignore)
            launch.sync()
            manifest, index = publish(launch)
            seconds = time.monotonic() - start
            return ContrastsReport(
                layout.root, manifest, done, found, contrasts, seconds, _strongest(index), _alone(index)
            )


def _strongest(index: pl.DataFrame) -> tuple[dict[str, Any], ...]:
    found = index.filter(index["n_significant"] > 0).sort("n_significant", descending=True, maintain_order=True)
    return tuple(found.select(*NAMES, "n_significant").head(SHOWN).to_dicts())


def _alone(index: pl.DataFrame) -> tuple[dict[str, Any], ...]:
    return tuple(index.filter(index["flags"].str.contains("no_control")).select(*NAMES).head(SHOWN).to_dicts())


def _ignore(progress: Progress) -> None:
    """Tell nobody."""
