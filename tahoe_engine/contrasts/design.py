"""Which contrasts there are: every treatment of a stratum against the reference wells of that same stratum."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.errors import ConfigError, StageError
from tahoe_engine.run import name_part
from tahoe_engine.schema import CELL_LINE_ID, DRUG, GROUPABLE, PLATE, SAMPLE
from tahoe_engine.vocabulary import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl

    from tahoe_engine.sections import ContrastsSettings

DOSE: Final = "dose_um"
ANY: Final = "all"  # name of a part whose stratum has all lines

# What each may name: treatments and strata have their columns in the index of contrasts.
ALLOWED: Final = {
    "treatment": (DRUG, DOSE),
    "within": (PLATE, CELL_LINE_ID),
    "block": tuple(key for key in GROUPABLE if key not in (SAMPLE, DRUG, DOSE)),
}


@dataclass(frozen=True)
class Side:
    """One side of a contrast: groups whose cells are taken together.

    Parameters
    ----------
    groups : tuple of int
        Ids of groups, ascending; empty where there is none.
    n_cells : int
        Cells of them all.
    n_wells : int or None
        Wells of them all; None where groups are not by well.
    """

    groups: tuple[int, ...]
    n_cells: int
    n_wells: int | None


@dataclass(frozen=True)
class Contrast:
    """One treatment of a stratum.

    Parameters
    ----------
    contrast_id : int
        Place in the order of plate, line, drug and dose.
    drug : str
        As the groups have it.
    dose_um : float or None
        None where unknown, or where several doses are taken together.
    cell_line_id, plate : str or None
        None where the groups of both sides have several.
    treated : Side
        Its groups.
    """

    contrast_id: int
    drug: str
    dose_um: float | None
    cell_line_id: str | None
    plate: str | None
    treated: Side


@dataclass(frozen=True)
class Stratum:
    """What is compared with the same controls, and fitted together.

    Parameters
    ----------
    plate, cell_line_id : str or None
        None where the strata are not by it.
    control : Side
        Groups of the reference; without groups the stratum has no control.
    contrasts : tuple of Contrast
        By drug and dose.
    n_cells : dict of int to int
        Cells of each group, by its id.
    blocks : dict of int to tuple
        Values of the block keys of each group, by its id; empty without such keys.
    """

    plate: str | None
    cell_line_id: str | None
    control: Side
    contrasts: tuple[Contrast, ...]
    n_cells: dict[int, int]
    blocks: dict[int, tuple[Any, ...]]

    @property
    def name(self) -> str:
        """Name of its part: ``plate=plate4/CVCL_0131``, percent-encoded."""
        return name_part(self.plate, ANY if self.cell_line_id is None else self.cell_line_id)

    @property
    def groups(self) -> tuple[int, ...]:
        """Ids of all its groups, ascending."""
        return tuple(sorted({*self.control.groups, *(g for c in self.contrasts for g in c.treated.groups)}))


def design_contrasts(index: pl.DataFrame, settings: ContrastsSettings) -> tuple[Stratum, ...]:
    """List the contrasts of a run, stratum by stratum.

    Parameters
    ----------
    index : polars.DataFrame
        Of the groups, as the stage `groups` writes it.
    settings : ContrastsSettings
        What is compared with what.

    Returns
    -------
    tuple of Stratum
        In natural order of plates (plate2 before plate10), then by line. A treatment whose stratum has no control is
        in it, too; no control is borrowed from another plate or line.

    Raises
    ------
    ConfigError
        If the settings name what the groups do not have, or make no sense together.
    StageError
        If the groups are too coarse for these settings.

    Examples
    --------
    >>> import polars as pl
    >>> from tahoe_engine.sections import ContrastsSettings
    >>> index = pl.DataFrame({"group_id": [0, 1], "sample": ["smp_1", "smp_2"], "cell_line_id": ["CVCL_0131"] * 2,
    ...                       "drug": ["DMSO_TF", "Talc"], "dose_um": [0.0, 0.5], "plate": ["plate4"] * 2,
    ...                       "n_cells": [40, 20], "total_counts": [9, 9]})
    >>> (stratum,) = design_contrasts(index, ContrastsSettings())
    >>> stratum.name, stratum.control.groups, [(c.drug, c.dose_um, c.treated.n_cells) for c in stratum.contrasts]
    ('plate=plate4/CVCL_0131', (0,), [('Talc', 0.5, 20)])
    """
    reference = _check(index, settings)
    strata: dict[tuple[str | None, str | None], list[dict[str, Any]]] = {}
    for row in index.sort("group_id").to_dicts():
        row[DRUG] = row[DRUG].strip()  # sample_metadata has drugs with a trailing blank
        plate, line = (row[key] if key in settings.within else None for key in (PLATE, CELL_LINE_ID))
        strata.setdefault((plate, line), []).append(row)
    found: list[Stratum] = []
    first = 0
    for plate, line in sorted(strata, key=lambda key: (natural(key[0]), _null_last(key[1]))):
        stratum = _describe(plate, line, strata[(plate, line)], settings, reference, first)
        if stratum.contrasts:
            first += len(stratum.contrasts)
            found.append(stratum)
    return tuple(found)


def natural(text: str | None) -> tuple[Any, ...]:
    """Give a key that sorts numbers within names by their value, and null last.

    Parameters
    ----------
    text : str or None
        A name.

    Returns
    -------
    tuple
        To sort by.

    Examples
    --------
    >>> sorted(["plate10", None, "plate2"], key=natural)
    ['plate2', 'plate10', None]
    """
    if text is None:
        return (1,)
    parts = re.split(r"([0-9]+)", text)
    # Texts and numbers stand in turns, so that equal places hold equal types. The text itself last: 01 is not 1.
    return (0, tuple(int(part) if place % 2 else part for place, part in enumerate(parts)), text)


def _describe(  # noqa: PLR0913, PLR0917 - what a stratum is made of
    plate: str | None,
    line: str | None,
    rows: Sequence[dict[str, Any]],
    settings: ContrastsSettings,
    reference: frozenset[str],
    first: int,
) -> Stratum:
    by_dose = DOSE in settings.treatment
    controls = [row for row in rows if row[DRUG] in reference]
    levels: dict[tuple[str, float | None], list[dict[str, Any]]] = {}
    for row in rows:
        if row[DRUG] not in reference:
            levels.setdefault((row[DRUG], row[DOSE] if by_dose else None), []).append(row)
    contrasts: list[Contrast] = []
    for level in sorted(levels, key=lambda level: (level[0], _null_last(level[1]))):
        treated = levels[level]
        contrasts.append(
            Contrast(
                contrast_id=first + len(contrasts),
                drug=level[0],
                dose_um=_only(row.get(DOSE) for row in treated),
                cell_line_id=_only(row.get(CELL_LINE_ID) for row in (*treated, *controls)),
                plate=_only(row.get(PLATE) for row in (*treated, *controls)),
                treated=_side(treated),
            )
        )
    blocks = {row["group_id"]: tuple(row[key] for key in settings.block) for row in rows if settings.block}
    n_cells = {row["group_id"]: row["n_cells"] for row in rows}
    return Stratum(plate, line, _side(controls), tuple(contrasts), n_cells, blocks)


def _check(index: pl.DataFrame, settings: ContrastsSettings) -> frozenset[str]:
    """Check that settings and groups fit together; give the names of the reference."""
    for name, allowed in ALLOWED.items():
        _check_keys(name, getattr(settings, name), allowed, index.columns)
    if DRUG not in settings.treatment:
        raise ConfigError(f"contrasts.treatment: it needs {DRUG!r}, for the reference is one; write treatment = drug")
    both = sorted(set(settings.within) & set(settings.block))
    if both:
        raise ConfigError(
            f"contrasts.block: {both[0]!r} stands in contrasts.within too, so that no stratum has two; name it in one"
        )
    if settings.method == "limma" and SAMPLE not in index.columns:
        raise ConfigError(
            "contrasts.method: limma compares wells, and the groups of this run are not by well; run `tahoe groups "
            f"--by {SAMPLE},{CELL_LINE_ID} --new`, or use --method welch"
        )
    if settings.method == "welch" and settings.block:
        raise ConfigError(
            f"contrasts.block: welch has no covariates; put {settings.block[0]!r} into contrasts.within, or use limma"
        )
    _check_mixed(index, (DRUG, *settings.within, *settings.block))
    drugs = {drug.strip() for drug in index[DRUG].unique().to_list()}
    reference = frozenset(name.strip() for name in settings.reference)
    absent = sorted(reference - drugs) if drugs else []
    if absent or not reference:
        told = (
            f"no group is of {absent[0]!r}; the nearest: {', '.join(nearest(absent[0], drugs))}" if absent else "none"
        )
        raise ConfigError(f"contrasts.reference: {told}. Name drugs that this run has, with --reference")
    return reference


def _check_keys(name: str, keys: Sequence[str], allowed: Sequence[str], columns: Sequence[str]) -> None:
    here = [key for key in allowed if key in columns]
    for key in keys:
        if key not in allowed:
            near = f"did you mean {nearest(key, here, n=1)[0]!r}? It takes" if here else "it takes"
            raise ConfigError(f"contrasts.{name}: {key!r} cannot stand there; {near} {', '.join(allowed)}")
        if key not in columns:
            told = f"they have {', '.join(here)}" if here else "they have none of its keys"
            raise ConfigError(
                f"contrasts.{name}: the groups of this run have no {key!r}, {told}; leave it out, or run `tahoe groups "
                "--new` with it in --by"
            )
    if len(set(keys)) < len(keys):
        raise ConfigError(f"contrasts.{name}: {', '.join(keys)}: name each key once")


def _check_mixed(index: pl.DataFrame, keys: Iterable[str]) -> None:
    for key in keys:
        mixed = index[key].null_count()
        if mixed:
            raise StageError(
                f"{mixed} groups hold cells of several values of {key!r}, so that nothing can be told apart by it; run "
                f"`tahoe groups --new` with {key!r} in --by, or leave it out of these contrasts"
            )


def _side(rows: Sequence[dict[str, Any]]) -> Side:
    wells = len({row[SAMPLE] for row in rows}) if all(SAMPLE in row for row in rows) else None
    return Side(tuple(row["group_id"] for row in rows), sum(row["n_cells"] for row in rows), wells)


def _only(values: Iterable[Any]) -> Any:  # noqa: ANN401 - of any column
    found = set(values)
    return found.pop() if len(found) == 1 else None


def _null_last(value: Any) -> tuple[bool, Any]:  # noqa: ANN401 - of any column
    return (value is None, value if value is not None else 0)
