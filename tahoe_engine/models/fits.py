"""One model after the other: which way it is fitted, and how a finished fit outlives the launch that made it."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tahoe_engine.models.baseline import Baseline, fit_baseline
from tahoe_engine.models.gram import fit_ridge
from tahoe_engine.models.halving import halve
from tahoe_engine.models.memory import fit_memory
from tahoe_engine.models.passes import fit_passes
from tahoe_engine.models.store import decode_baseline, decode_model, encode_baseline, encode_model
from tahoe_engine.run.manifest import digest_of
from tahoe_engine.schema.models import CANDIDATES, CURVES

if TYPE_CHECKING:
    import polars as pl

    from tahoe_engine.models.fitted import Fitted
    from tahoe_engine.models.kept import Kept
    from tahoe_engine.models.labels import Fit
    from tahoe_engine.models.task import Task
    from tahoe_engine.schema import Table
    from tahoe_engine.workers import Computing

SKOPS, PLAIN = "model.skops", "model.json"


@dataclass(frozen=True)
class FittedModel:
    """A model as it is stored, and what its fit told.

    Parameters
    ----------
    fit : Fit
        What was asked for.
    content : bytes
        Of its file.
    parameters : dict
        All that were given to the estimator.
    n_rows : int
        It was trained on.
    candidates, curves : polars.DataFrame
        As the stage has them, without the model; empty where nothing was tried.
    notes : tuple of str
        What its user should know.
    seconds : float
        Of the fit; in no table that a manifest lists.
    """

    fit: Fit
    content: bytes = field(repr=False)
    parameters: dict[str, Any]
    n_rows: int
    candidates: pl.DataFrame = field(repr=False)
    curves: pl.DataFrame = field(repr=False)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def file(self) -> str:
        """Name of its file."""
        return PLAIN if self.fit.is_baseline else SKOPS

    @property
    def sha256(self) -> str:
        """Of its file."""
        return hashlib.sha256(self.content).hexdigest()

    def open(self) -> Any:  # noqa: ANN401 - any estimator
        """Give the estimator, as whoever predicts with it has it."""
        if self.fit.is_baseline:
            return decode_baseline(self.content)
        return decode_model(self.content, self.fit.entry.trusted)


class FitKeeper:
    """What keeps finished fits until all is published.

    Parameters
    ----------
    kept : Kept
        Of the stage.
    plan_key, features : str
        Key of the plan and digest of the features: fits of others are not taken.
    """

    def __init__(self, kept: Kept, plan_key: str, features: str) -> None:
        self._kept, self._own = kept, [plan_key, features]

    def find(self, fit: Fit) -> FittedModel | None:
        """Give a fit that an earlier launch finished.

        Parameters
        ----------
        fit : Fit
            What was asked for.

        Returns
        -------
        FittedModel or None
            None where it is missing or damaged.
        """
        content, told = self._kept.find(self._key(fit, "model")), self._kept.find(self._key(fit, "told"))
        if content is None or told is None:
            return None
        facts = json.loads(told)
        if facts["sha256"] != hashlib.sha256(content).hexdigest():
            return None
        return FittedModel(
            fit,
            content,
            facts["parameters"],
            facts["n_rows"],
            _read_table(facts["candidates"], CANDIDATES),
            _read_table(facts["curves"], CURVES),
            tuple(facts["notes"]),
            facts["seconds"],
        )

    def keep(self, fit: Fit, made: tuple[Fitted, float]) -> FittedModel:
        """Keep a fit that is finished.

        Parameters
        ----------
        fit : Fit
            What was asked for.
        made : tuple of (Fitted, float)
            As `fit_model` gives it.

        Returns
        -------
        FittedModel
            As a later launch would find it.
        """
        fitted, seconds = made
        estimator = fitted.estimator
        content = encode_baseline(estimator) if isinstance(estimator, Baseline) else encode_model(estimator)
        facts = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "parameters": fitted.parameters,
            "n_rows": fitted.n_rows,
            "candidates": [] if fitted.candidates is None else fitted.candidates.to_dicts(),
            "curves": [] if fitted.curves is None else fitted.curves.to_dicts(),
            "notes": list(fitted.notes),
            "seconds": seconds,
        }
        self._kept.keep(self._key(fit, "model"), content)
        self._kept.keep(self._key(fit, "told"), json.dumps(facts).encode())
        found = self.find(fit)
        if found is None:
            raise OSError(f"{fit.label}: what was kept cannot be read back; the disk or the memory fails")
        return found

    def _key(self, fit: Fit, what: str) -> str:
        return digest_of([*self._own, fit.label, what])


def fit_model(fit: Fit, task: Task, computing: Computing, kept: Kept) -> tuple[Fitted, float]:
    """Fit a model, the way its estimator goes.

    Parameters
    ----------
    fit : Fit
        What is asked for.
    task : Task
        Of its file.
    computing : Computing
        Who computes.
    kept : Kept
        Where unfinished work is.

    Returns
    -------
    fitted : Fitted
        The same bits whoever computes.
    seconds : float
        That it took.
    """
    begun = time.monotonic()
    ways = {
        "baseline": fit_baseline,
        "memory": fit_memory,
        "passes": halve if fit.model.search and fit.model.how == "halving" else fit_passes,
    }
    if fit.entry.way == "closed":
        fitted = fit_ridge(fit.material, fit.model, task, computing, kept)
    else:
        fitted = ways[fit.entry.way](fit.material, fit.model, fit.entry, task, computing, kept)
    return fitted, time.monotonic() - begun


def _read_table(rows: list[dict[str, Any]], table: Table) -> pl.DataFrame:
    import polars as pl

    from tahoe_engine.schema import MODEL

    columns = {column.name: getattr(pl, column.dtype) for column in table.columns if column.name != MODEL}
    return (
        pl.DataFrame(rows, schema=columns, orient="row")
        if not rows
        else pl.DataFrame(rows).select(pl.col(name).cast(dtype) for name, dtype in columns.items())
    )
