"""Wanted names and what they mean: ids or names in, ids out, and the nearest real ones for the rest."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from tahoe_engine.schema import CELL_NAME, CELLOSAURUS_ID, CONTROL_DRUG, DRUG, PLATE, SAMPLE
from tahoe_engine.vocabulary.tables import load_cell_lines, load_drugs, load_samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

Resolved = tuple[list[str], dict[str, list[str]]]


def nearest(name: str, candidates: Iterable[str], n: int = 3) -> list[str]:
    """Give the candidates most like a name.

    Parameters
    ----------
    name : str
        What was asked for.
    candidates : iterable of str
        What there is.
    n : int
        How many at most.

    Returns
    -------
    list of str
        The likest first; those that contain the name come before all others.

    Examples
    --------
    >>> nearest("Trametinb", ["Trametinib", "Trifluridine", "Talc"], n=1)
    ['Trametinib']
    """
    wanted = name.casefold().strip()

    def unlikeness(candidate: str) -> tuple[bool, float, str]:
        other = candidate.casefold()
        # The name itself last, so that ties fall the same way every time.
        return not wanted or wanted not in other, -SequenceMatcher(None, wanted, other).ratio(), candidate

    return sorted(set(candidates), key=unlikeness)[:n]


def resolve_cell_lines(wanted: Iterable[str], folder: str | Path | None = None) -> Resolved:
    """Find cell lines by Cellosaurus id or by name.

    Parameters
    ----------
    wanted : iterable of str
        Ids (``CVCL_0131``) or names (``A-172``), in any case.
    folder : str or Path, optional
        A source's own `metadata/`.

    Returns
    -------
    found : list of str
        Ids, without repeats, in the order asked for.
    absent : dict of str to list of str
        What is not among the assayed lines, each with the nearest that are.

    Examples
    --------
    >>> resolve_cell_lines(["CVCL_0131", "H4", "SW1088"])
    (['CVCL_0131', 'CVCL_1239'], {'SW1088': ['SW 1088 (CVCL_1715)', 'SW48 (CVCL_1724)', 'SW480 (CVCL_0546)']})
    """
    lines = load_cell_lines(folder)
    lines = lines.filter(lines["assayed"]).unique(CELLOSAURUS_ID, keep="first", maintain_order=True)
    names = dict(zip(lines[CELLOSAURUS_ID].to_list(), lines[CELL_NAME].to_list(), strict=True))
    return _resolve(wanted, names)


def resolve_drugs(wanted: Iterable[str], folder: str | Path | None = None) -> Resolved:
    """Find drugs by name; the control is ``DMSO_TF``.

    Parameters
    ----------
    wanted : iterable of str
        Names, in any case.
    folder : str or Path, optional
        A source's own `metadata/`.

    Returns
    -------
    found, absent
        As for `resolve_cell_lines`.

    Examples
    --------
    >>> resolve_drugs(["talc", "DMSO_TF"])
    (['Talc', 'DMSO_TF'], {})
    """
    names = dict.fromkeys([*load_samples(folder)[DRUG].to_list(), *load_drugs(folder)[DRUG].to_list(), CONTROL_DRUG])
    return _resolve(wanted, {name: name for name in sorted(names)})


def resolve_plates(wanted: Iterable[str | int], folder: str | Path | None = None) -> Resolved:
    """Find plates by name or number.

    Parameters
    ----------
    wanted : iterable of str or int
        ``"plate4"``, ``"4"`` or ``4``.
    folder : str or Path, optional
        A source's own `metadata/`.

    Returns
    -------
    found, absent
        As for `resolve_cell_lines`.

    Examples
    --------
    >>> resolve_plates([4, "plate6", "15"])
    (['plate4', 'plate6'], {'15': ['plate1', 'plate5', 'plate10']})
    """
    plates = load_samples(folder)[PLATE].unique(maintain_order=True).to_list()
    texts = [str(plate).strip() for plate in wanted]
    found, absent = _resolve([f"plate{text}" if text.isdecimal() else text for text in texts], {p: p for p in plates})
    return found, {key.removeprefix("plate") if key not in texts else key: near for key, near in absent.items()}


def resolve_samples(wanted: Iterable[str], folder: str | Path | None = None) -> Resolved:
    """Find wells by sample id.

    Parameters
    ----------
    wanted : iterable of str
        ``smp_1783``.
    folder : str or Path, optional
        A source's own `metadata/`.

    Returns
    -------
    found, absent
        As for `resolve_cell_lines`.

    Examples
    --------
    >>> resolve_samples(["smp_1783"])
    (['smp_1783'], {})
    """
    return _resolve(wanted, {sample: sample for sample in load_samples(folder)[SAMPLE].to_list()})


def _resolve(wanted: Iterable[str], names: Mapping[str, str]) -> Resolved:
    """Look each wanted text up among ids and names; exact before folded case."""
    exact = {name: key for key, name in names.items()} | {key: key for key in names}
    folded = {text.casefold(): key for text, key in exact.items()}
    found: dict[str, None] = {}
    absent: dict[str, list[str]] = {}
    for raw in wanted:
        text = str(raw).strip()
        key = exact.get(text) or folded.get(text.casefold())
        if key is None:
            absent[text] = [_label(near, exact[near], names) for near in _nearest_kind(text, exact, names)]
        else:
            found[key] = None
    return list(found), absent


def _nearest_kind(text: str, exact: Mapping[str, str], names: Mapping[str, str]) -> list[str]:
    """Compare an id with ids and a name with names: A-172 is nothing like CVCL_0131."""
    if text.upper().startswith("CVCL_"):
        return nearest(text, names)
    return nearest(text, [near for near in exact if near not in names] or exact)


def _label(text: str, key: str, names: Mapping[str, str]) -> str:
    other = key if text != key else names[key]
    return text if other == text else f"{text} ({other})"
