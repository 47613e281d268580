"""One unit of work: the contrasts of a stratum, from the moments of its groups to a part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from tahoe_engine.errors import StageError
from tahoe_engine.run import Layout, commit_part, keep_receipt, require_newest
from tahoe_engine.run.layout import flatten

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tahoe_engine.contrasts.computed import Computed, Facts
    from tahoe_engine.contrasts.design import Stratum
    from tahoe_engine.groups.gather import MomentParts
    from tahoe_engine.sections import ContrastsSettings

STAGE = "contrasts"
NOTHING = "no_genes"  # no gene of the stratum has counts enough
NOT_COMPARABLE = "not_estimable"  # the control is there, but no block ties it to the treated, or it has no counts


@dataclass(frozen=True)
class ContrastsWork:
    """What all units of a launch have in common.

    Parameters
    ----------
    root : str
        The run folder; every worker sees it under this path.
    epoch : int
        Number of the launch; once a newer one has taken over, nothing of this one gets a name.
    settings : ContrastsSettings
        How contrasts are computed.
    """

    root: str
    epoch: int
    settings: ContrastsSettings


@dataclass(frozen=True)
class ContrastsUnit:
    """A stratum: a plate and a cell line, unless other strata were asked for.

    Parameters
    ----------
    work : ContrastsWork
        What it has in common with the others.
    stratum : Stratum
        Its contrasts and its controls.
    moments : MomentParts
        What is read.
    key : str
        Identity of the unit: plan, groups and stratum.
    """

    work: ContrastsWork
    stratum: Stratum
    moments: MomentParts
    key: str


def compute_unit(unit: ContrastsUnit) -> dict[str, Any]:
    """Compute the contrasts of a stratum and commit its part.

    Parameters
    ----------
    unit : ContrastsUnit
        What to do.

    Returns
    -------
    dict
        ``contrasts`` (the part: rows, size, sha256, digest) and ``index``: for each contrast its flags, degrees of
        freedom, genes and genes below a false discovery rate of 0.05.

    Raises
    ------
    StageError
        If the moments cannot be read, or the worker is not fit for this run.
    OSError
        If the part cannot be written.
    """
    from threadpoolctl import threadpool_limits

    from tahoe_engine.contrasts.results import ResultsWriter, results_table

    work, name, layout = unit.work, unit.stratum.name, Layout(Path(unit.work.root), unit.work.epoch)
    if not layout.temporary.is_dir():
        require_newest(layout)
        raise StageError(f"{layout.root} is not there on a worker; it must be on a disk that all workers share")
    temporary = layout.temporary / f"{flatten(name)}.{uuid4().hex}.results"
    told: list[Facts] = []
    rows = _compute(unit)  # its imports load what is limited below
    try:
        # What BLAS gives depends on the number of its threads, in the last bits; a part must not.
        with (
            threadpool_limits(limits=1, user_api="blas"),
            ResultsWriter(temporary, results_table(work.settings.method)) as results,
        ):
            for computed in rows:
                results.append(computed.facts.contrast.contrast_id, computed.columns)
                told.append(computed.facts)
            part = results.finish()
        receipt = {STAGE: part, "index": describe_contrasts(unit.stratum, told, work.settings)}
        final = layout.part(STAGE, name)
        final.parent.mkdir(parents=True, exist_ok=True)
        # What readers see comes last: whoever sees the part may count on the rest.
        keep_receipt(layout, STAGE, name, unit.key, receipt)
        commit_part(layout, temporary, final, part["sha256"])
    finally:
        temporary.unlink(missing_ok=True)
    return receipt


def _compute(unit: ContrastsUnit) -> Iterator[Computed]:
    settings = unit.work.settings
    if settings.method == "welch":
        from tahoe_engine.contrasts.from_moments import compare_cells

        return compare_cells(unit.stratum, unit.moments)
    from tahoe_engine.contrasts.from_counts import compare_wells

    return compare_wells(unit.stratum, unit.moments, settings)


def describe_contrasts(stratum: Stratum, told: Sequence[Facts], settings: ContrastsSettings) -> dict[str, list[Any]]:
    """Flag the contrasts of a stratum, and give what the index has of them beyond their design.

    Parameters
    ----------
    stratum : Stratum
        Which.
    told : sequence of Facts
        What came of its contrasts, in their order.
    settings : ContrastsSettings
        Method and the fewest cells.

    Returns
    -------
    dict of str to list
        flags, df_residual, df_prior, n_genes and n_significant, one value a contrast.
    """
    from tahoe_engine.contrasts.flags import Evidence, flag_contrasts

    control = stratum.control
    n = len(told)
    evidence = Evidence(
        n_cells_treated=[one.contrast.treated.n_cells for one in told],
        n_cells_control=[control.n_cells] * n,
        # Without wells there are none to be few: limma does not come here then.
        n_wells_treated=[one.contrast.treated.n_wells or 0 for one in told],
        n_wells_control=[control.n_wells or 0] * n,
        mean_scores=[one.mean_score for one in told],
        n_zero_significant=[one.n_zero_significant for one in told],
        n_significant=[one.n_significant for one in told],
        untestable=[one.untestable for one in told],
    )
    flags = flag_contrasts(evidence, method=settings.method, min_cells=settings.min_cells)
    for place, one in enumerate(told):
        more = NOT_COMPARABLE if not one.estimable else NOTHING if control.groups and not one.n_genes else ""
        flags[place] = ",".join(sorted(filter(None, [*flags[place].split(","), more])))
    return {
        "flags": flags,
        "df_residual": [one.df_residual for one in told],
        # JSON has no infinity, which is what a prior is where genes vary as by chance.
        "df_prior": [_spell(one.df_prior) for one in told],
        "n_genes": [one.n_genes for one in told],
        "n_significant": [one.n_significant for one in told],
    }


def _spell(value: float | None) -> float | str | None:
    return "inf" if value == float("inf") else value
