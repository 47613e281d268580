"""Rows that folds are made of: which, and who is held out together."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tahoe_engine.errors import ConfigError
from tahoe_engine.run.manifest import digest_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.models.blocks import Block
    from tahoe_engine.models.catalogue import Entry
    from tahoe_engine.models.material import Material
    from tahoe_engine.models.task import Model, Task

ALL_SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows in one matrix, and what they are for; small and picklable, loaded where they are needed.

    Parameters
    ----------
    material : Material
        Whose rows.
    splits : tuple of str
        Of which.
    n_rows : int
        At most so many; 0 = all.
    seed : int
        Of the choice.
    n_folds : int
        That they are divided into; 0 = none.
    key : str
        Two of the same key are the same.
    """

    material: Material = field(repr=False)
    splits: tuple[str, ...]
    n_rows: int
    seed: int
    n_folds: int
    key: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sample) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @property
    def is_whole_table(self) -> bool:
        """Whether test rows are among them, as the references had it."""
        return "test" in self.splits

    def assign(self, block: Block) -> NDArray[np.int64]:
        """Give each row its fold.

        Parameters
        ----------
        block : Block
            As `load_sample` gives it.

        Returns
        -------
        ndarray of int64
            0 to ``n_folds`` - 1. Whole groups of the split; of a whole table as scikit-learn's `StratifiedKFold` (or
            `KFold`, of numbers) without shuffling does it.

        Raises
        ------
        ConfigError
            If there are fewer groups, or rows of a class, than folds.
        """
        import numpy as np

        if self.is_whole_table:
            return _assign_in_order(block.y, self.n_folds, self.material.kind)
        own = np.asarray(block.fold, dtype=np.int64)
        if self.material.n_folds == self.n_folds and set(np.unique(own).tolist()) == set(range(self.n_folds)):
            return own
        return spread_clusters(block.clusters, self.n_folds)


@lru_cache(maxsize=1)
def load_sample(sample: Sample) -> Block:
    """Load the rows of a sample; the last one stays in this process.

    Parameters
    ----------
    sample : Sample
        Which.

    Returns
    -------
    Block
        In the order of the table.
    """
    return sample.material.gather(sample.splits, n_rows=sample.n_rows, seed=sample.seed, clustered=True)


def choose_sample(material: Material, model: Model, entry: Entry, task: Task, *, n_rows: int = -1) -> Sample:
    """Choose the rows that a model is tuned and validated on.

    Parameters
    ----------
    material : Material
        Of the fit.
    model : Model
        Of the task.
    entry : Entry
        Of the catalogue.
    task : Task
        Of its file.
    n_rows : int
        At most so many, in place of what the task says; 0 = all.

    Returns
    -------
    Sample
        Training rows, or those of the whole table where the task says ``folds.of = "all"``.
    """
    whole = task.folds.of == "all"
    if whole and task.folds.blocks:
        material = material.narrow(task.folds.blocks, ())  # what the model leaves out is said of its own blocks
    wanted = task.folds.rows if n_rows < 0 else n_rows
    caps = [cap for cap in (wanted, model.rows, entry.max_rows) if cap]
    splits = ALL_SPLITS if whole else ("train",)
    chosen = (splits, min(caps, default=0), task.seed, task.folds.number)
    return Sample(material, *chosen, key=digest_of([identify_material(material), *map(str, chosen)]))


def identify_material(material: Material) -> dict[str, Any]:
    """Say what rows and columns there are, for keys of what is kept.

    Parameters
    ----------
    material : Material
        Of the fit.

    Returns
    -------
    dict
        JSON-able; without its place on the disk.
    """
    return {
        "features": [material.features, material.manifest],
        "target": material.target,
        "kind": material.kind,
        "classes": list(material.classes),
        "columns": list(material.columns),
        "split": material.split_hash,
        "pieces": [[piece.name, piece.n_rows] for pieces in material.pieces.values() for piece in pieces],
    }


def spread_clusters(clusters: NDArray[np.int64], n_folds: int) -> NDArray[np.int64]:
    """Give whole groups to folds, the largest first, each to the fold that has the fewest rows.

    Parameters
    ----------
    clusters : ndarray of int64
        Group of each row.
    n_folds : int
        How many.

    Returns
    -------
    ndarray of int64
        Fold of each row.

    Raises
    ------
    ConfigError
        If there are fewer groups than folds.

    Examples
    --------
    >>> import numpy as np
    >>> spread_clusters(np.array([7, 7, 7, 8, 9, 9]), 2).tolist()
    [0, 0, 0, 1, 1, 1]
    """
    import numpy as np

    names, inverse, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    if len(names) < n_folds:
        raise ConfigError(
            f"there are {len(names)} groups and {n_folds} folds; give the task folds.number = {len(names)} or less"
            if len(names) > 1
            else "all rows are of one group, so that no fold can be held out; give the task folds.number = 0"
        )
    filled, chosen = np.zeros(n_folds, dtype=np.int64), np.zeros(len(names), dtype=np.int64)
    for at in np.argsort(-sizes, kind="stable"):
        chosen[at] = np.argmin(filled)
        filled[chosen[at]] += sizes[at]
    return chosen[inverse]


def _assign_in_order(y: NDArray[Any], n_folds: int, kind: str) -> NDArray[np.int64]:
    import warnings

    import numpy as np
    from sklearn.model_selection import KFold, StratifiedKFold

    maker = StratifiedKFold(n_folds) if kind == "classification" else KFold(n_folds)
    folds = np.full(len(y), -1, dtype=np.int64)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a class with fewer rows than folds: its metrics tell
            for number, (_, held) in enumerate(maker.split(np.zeros((len(y), 1)), y)):
                folds[held] = number
    except ValueError as error:
        raise ConfigError(f"{len(y)} rows cannot be divided into {n_folds} folds: {error}") from error
    return folds
