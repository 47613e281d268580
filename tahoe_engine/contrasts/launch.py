"""One launch of the stage: which strata are finished, which are missing, and what comes back."""

from __future__ import annotations

import time
from contextlib import closing
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from tahoe_engine.cells.report import Progress
from tahoe_engine.contrasts.unit import STAGE, ContrastsUnit, ContrastsWork, compute_unit
from tahoe_engine.errors import StageError, StoppedError
from tahoe_engine.run import Ledger, begin_stage, describe_build, read_published
from tahoe_engine.run.manifest import digest_of
from tahoe_engine.workers import WorkerDiedError, guard_units, run_units

if TYPE_CHECKING:
    from collections.abc import Callable

    from tahoe_engine.contrasts.plan import ContrastsPlan
    from tahoe_engine.run import Journal, Layout

# Whose functions the numbers come from, to the last bit.
PACKAGES = ("numpy", "scipy")
VALUES_A_SECOND = 20_000  # of a unit that is slow but not stuck: a thirtieth of what one core does


class Launch:
    """The state of one launch.

    Parameters
    ----------
    plan : ContrastsPlan
        What is to be done.
    layout : Layout
        The run, held by this launch.
    journal : Journal
        What earlier launches did.

    Attributes
    ----------
    ledger : Ledger
        What is finished.
    semantic : dict
        As it stands in the recorded plan and the manifest.

    Raises
    ------
    StageError
        If the stage was started with other settings, or of other groups.
    """

    def __init__(self, plan: ContrastsPlan, layout: Layout, journal: Journal) -> None:
        self.plan, self.layout, self._journal = plan, layout, journal
        if read_published(layout, "groups")["digest"] != plan.groups["digest"]:
            raise StageError(f"{layout.root}: the groups were computed anew meanwhile; run the same command again")
        chosen = plan.settings.contrasts
        # Robustness and filter are limma's: with welch they change nothing.
        unused = {"robust", "min_counts"} if chosen.method == "welch" else set()
        self.semantic: dict[str, Any] = {
            "settings": {STAGE: chosen.model_dump(exclude=unused)},
            "versions": {"tahoe-engine": version("tahoe-engine"), **{name: version(name) for name in PACKAGES}},
            "needs": {"groups": plan.groups["digest"]},
        }
        inputs = {stratum.name: {"groups": digest_of(stratum.groups)} for stratum in plan.units}
        if len(inputs) < len(plan.units):
            raise StageError("two strata have one name; the names of plates and lines are too long")
        key = begin_stage(layout, journal, STAGE, self.semantic, inputs)
        work = ContrastsWork(root=str(layout.root.absolute()), epoch=layout.epoch, settings=chosen)
        self._units = {
            stratum.name: ContrastsUnit(
                work=work,
                stratum=stratum,
                moments=plan.list_parts(stratum),
                # Its ids hang on how many contrasts come before it.
                key=digest_of([key, stratum.name, stratum.contrasts[0].contrast_id, list(stratum.groups)]),
            )
            for stratum in plan.units
        }
        self.ledger = Ledger(layout, STAGE, journal, {name: unit.key for name, unit in self._units.items()})

    def missing(self) -> list[ContrastsUnit]:
        """Give the units that are not finished."""
        return [self._units[name] for name in self.ledger.missing()]

    def sync(self) -> None:
        """Bring what was recorded to the disk: manifests come after it."""
        self._journal.sync()

    def run_missing(self, tell: Callable[[Progress], None]) -> tuple[int, int]:
        """Run the units that are missing, and record each.

        Parameters
        ----------
        tell : callable
            Called with a `Progress` after each unit.

        Returns
        -------
        contrasts, parts : int
            Made by this launch.

        Raises
        ------
        StageError
            If the moments are not what they were.
        StoppedError
            If workers are lost for now, or a unit takes its process with it: nothing is published.
        """
        units = self.missing()
        n_contrasts = sum(len(unit.stratum.contrasts) for unit in units)
        begun, contrasts, done = time.monotonic(), 0, 0
        if not units:
            return contrasts, done
        settings = self.plan.settings.workers
        slack_s = self._slack(units)
        outcomes = run_units(
            guard_units(compute_unit, self.ledger, lambda unit: [unit.stratum.name], settings, slack_s=slack_s),
            units,
            settings,
            gate=describe_build,
            slack_s=slack_s,
            on_drain=lambda n: tell(Progress("draining", 0, n)),
        )
        # Closing the generator stops the workers, whatever ends the loop; only then may temporary files go.
        with closing(outcomes):
            for unit, outcome in outcomes:
                if outcome.receipt is None:
                    raise _judge(unit, outcome.error)
                self.ledger.record_receipt(unit.stratum.name, outcome.receipt)
                contrasts, done = contrasts + len(unit.stratum.contrasts), done + 1
                seconds = time.monotonic() - begun
                tell(Progress("contrasts", done, len(units), contrasts, n_contrasts, 0, seconds))
        return contrasts, done

    def _slack(self, units: list[ContrastsUnit]) -> float:
        """Give the seconds that the largest unit may take beyond the limit of any."""
        return max(len(unit.stratum.groups) for unit in units) * self.plan.rows_a_group() / VALUES_A_SECOND


def _judge(unit: ContrastsUnit, error: BaseException | None) -> BaseException:
    """Say what an error of a unit means: no contrast may be lost, so that nothing is set aside here."""
    if isinstance(error, (WorkerDiedError, MemoryError)):
        return StoppedError(
            f"{unit.stratum.name}, {len(unit.stratum.groups)} groups: {str(error) or 'not enough memory'}. Nothing is "
            "published; raise workers.memory_mib, then run the same command again to resume"
        )
    return error or AssertionError("an outcome without receipt and error")
