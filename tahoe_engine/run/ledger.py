"""What is finished of a stage: exactly once, whoever did it and whatever happened to the launches before.

A unit is finished when its files stand under their names and the journal has its receipt. After a crash either may be
there without the other. A file without a line is taken over if the receipt its worker left says what it holds, and it
holds that; a line without its files is void. The first commit of a unit wins; other bytes for the same unit stop the
run.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import StageError, escape_controls
from tahoe_engine.run.disk import hash_file
from tahoe_engine.run.parts import move_aside
from tahoe_engine.run.receipts import find_receipt, hash_files
from tahoe_engine.run.renew import withdraw_stages

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from tahoe_engine.run.journal import Journal
    from tahoe_engine.run.layout import Layout

CRASHED = "E_WORKER_CRASH"  # code of a unit that takes its process with it


class Ledger:
    """The units of a stage and their receipts.

    Parameters
    ----------
    layout : Layout
        The run, held by this launch.
    stage : str
        Name of the stage.
    journal : Journal
        Of this launch; what earlier ones wrote is replayed.
    keys : mapping of str to str
        Identity of each unit (settings, tables, core and input), by its name. Receipts of other identities are void.
    dependents : collection of str
        Stages that are published with this one, itself included.
    accept : callable, optional
        Tells whether a receipt will do, for what is not in the key.

    Attributes
    ----------
    receipts : dict
        Of finished units, by name. Each has an entry with `rows`, `size`, `sha256` and `digest` for every file of
        `Layout.unit_files`, or None where the unit has no such file.
    suspects : set of str
        Units under which a process died before: begun and not ended, or set aside for that.
    adopted : int
        Units whose journal line was lost and whose files were taken over.

    Raises
    ------
    StageError
        If two receipts of one unit name different bytes.
    """

    def __init__(  # noqa: PLR0913 - each is one thing that is known of the stage
        self,
        layout: Layout,
        stage: str,
        journal: Journal,
        keys: Mapping[str, str],
        *,
        dependents: Collection[str] = (),
        accept: Callable[[dict[str, Any]], bool] | None = None,
    ) -> None:
        self._layout, self._stage, self._journal, self._keys = layout, stage, journal, keys
        self._dependents = dependents or (stage,)
        self._first: dict[str, dict[str, Any]] = {}
        self._refused: set[str] = set()
        self.receipts: dict[str, dict[str, Any]] = {}
        self.suspects: set[str] = set()
        self.adopted = 0
        layout.receipts(stage).mkdir(parents=True, exist_ok=True)
        journaled = self._replay(journal.records)
        there = _list_files(layout.stage(stage))
        for name, key in keys.items():
            receipt = journaled.get(name)
            place = layout.part(stage, name)
            if receipt is not None:
                whole = self._is_there(name, receipt, there)
            else:
                receipt = find_receipt(layout, stage, name, key) if place in there else None
                whole = receipt is not None and self._is_whole(name, receipt)
            if receipt is None or not whole:
                self._clear(name)
            elif accept is None or accept(receipt):
                self.receipts[name] = receipt
                if name not in journaled:
                    self.adopted += 1
                    self._append(name, receipt)
            else:
                self._refused.add(name)

    def record_receipt(self, name: str, receipt: dict[str, Any]) -> None:
        """Record a finished unit.

        Parameters
        ----------
        name : str
            Name of the unit.
        receipt : dict
            What its worker gave.

        Raises
        ------
        StageError
            If it was finished before with other bytes.
        HeldError
            If a newer launch has taken over.
        """
        known = self._first.setdefault(name, receipt)
        try:
            self._require_equal(name, known, receipt)
        except StageError:
            if name not in self.receipts:
                # Its files stand there by now, and the next launch would believe them.
                self._clear(name)
            raise
        if name not in self.receipts:
            self._append(name, receipt)
            self.receipts[name] = receipt

    def void(self, name: str) -> bool:
        """Give up what was made of a unit before, if that was not accepted: there is better evidence now.

        Parameters
        ----------
        name : str
            Name of a unit whose files stand in the way of others.

        Returns
        -------
        bool
            True if they were set aside, so that the unit can be done again; False if they are to be believed.
        """
        if name not in self._refused:
            return False
        self._refused.remove(name)
        self._first.pop(name, None)
        # First the word, then the files: a crash in between leaves a part that is asked about again, while without the
        # word the right bytes would be refused for ever.
        self._journal.append({"shard": name, "void": True})
        self._journal.sync()
        self._clear(name)
        return True

    def record_begin(self, name: str) -> None:
        """Record that this very process begins a unit: should it die, the next launch knows of what.

        Parameters
        ----------
        name : str
            Name of the unit.
        """
        self._journal.append({"begun": name})

    def record_defect(self, name: str, defect: Mapping[str, Any]) -> None:
        """Record a unit that is set aside.

        Parameters
        ----------
        name : str
            Name of the unit.
        defect : mapping
            Its code, its reason and where it is.
        """
        # What an earlier launch made of it would be in no manifest.
        self._clear(name)
        self._journal.append({**defect, "shard": name})

    def missing(self) -> list[str]:
        """Give the units that are not finished.

        Returns
        -------
        list of str
            In the order of the keys.
        """
        return [name for name in self._keys if name not in self.receipts]

    def _replay(self, records: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Give the receipts of this plan; the last word on a unit counts: it may have been set aside since."""
        last: dict[str, dict[str, Any]] = {}
        for record in records:
            if record.get("begun") in self._keys:
                self.suspects.add(record["begun"])
            name = record.get("shard", "")
            if name not in self._keys:
                continue
            self.suspects.discard(name)
            if record.get("code") == CRASHED:
                self.suspects.add(name)
            receipt = record.get("receipt")
            last.pop(name, None)
            if record.get("void"):
                self._first.pop(name, None)
            # One of another identity is void: what stands there now was made of another input.
            elif receipt is not None and record.get("key") == self._keys[name]:
                self._require_equal(name, self._first.setdefault(name, receipt), receipt)
                last[name] = receipt
        return last

    def _is_there(self, name: str, receipt: dict[str, Any], there: Mapping[Path, int]) -> bool:
        """Tell whether the files of a journaled unit are there; their bytes are for ``verify --deep``."""
        for entry, path in self._layout.unit_files(self._stage, name).items():
            part = receipt[entry]
            if part is not None and _size(path, there if entry == self._stage else None) != part["size"]:
                return False
        return True

    def _is_whole(self, name: str, receipt: dict[str, Any]) -> bool:
        """Tell whether the files of a unit are what its receipt says, every byte."""
        for entry, path in self._layout.unit_files(self._stage, name).items():
            part = receipt.get(entry)
            if part is not None and (_size(path) != part["size"] or hash_file(path) != part["sha256"]):
                return False
        return True

    def _clear(self, name: str) -> None:
        """Set aside the files of a unit that nothing vouches for: they would stand in the way of the right ones."""
        there = [path for path in self._layout.unit_files(self._stage, name).values() if os.path.lexists(path)]
        if there and self._layout.stage_manifest(self._stage).exists():
            # Its readers would miss a part that the manifest names.
            withdraw_stages(self._layout, self._dependents)
        for path in there:
            move_aside(self._layout, path)

    def _append(self, name: str, receipt: dict[str, Any]) -> None:
        self._journal.append({"shard": name, "key": self._keys[name], "receipt": receipt})

    def _require_equal(self, name: str, one: dict[str, Any], other: dict[str, Any]) -> None:
        before, now = (hash_files(self._layout, self._stage, name, receipt) for receipt in (one, other))
        for entry, sha256 in before.items():
            if sha256 != now[entry]:
                raise StageError(
                    f"E_NONDETERMINISM: {escape_controls(name)}: two attempts gave different {entry} "
                    f"({sha256} and {now[entry]}): its input changed, or a machine computes wrongly. Check the inputs "
                    "with --verify-inputs; start anew with --new"
                )


def _list_files(folder: Path) -> dict[Path, int]:
    """Give the sizes of the files in a folder and the folders of its partitions."""
    found = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_file(follow_symlinks=False):
                    found[folder / entry.name] = entry.stat(follow_symlinks=False).st_size
                elif entry.is_dir(follow_symlinks=False):
                    found.update(_list_files(folder / entry.name))
    except FileNotFoundError:
        return {}
    return found


def _size(path: Path, there: Mapping[Path, int] | None = None) -> int | None:
    if there is not None:
        return there.get(path)
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    # A link leads out of the run: whoever copies that has nothing.
    return found.st_size if stat.S_ISREG(found.st_mode) else None
