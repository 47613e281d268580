"""A course of passes over training rows: which rows, in which order, and how it is judged on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tahoe_engine.features.keys import hash_texts
from tahoe_engine.models.draws import draw_rows
from tahoe_engine.models.scores import PROBABILITY_METRICS, score_predictions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from tahoe_engine.models.blocks import Block, Piece
    from tahoe_engine.models.material import Material
    from tahoe_engine.workers import Computing

Scores = tuple[float, float]  # of training rows, and of those held out; NaN where there are none
TRAINED, HELD = "train", "held"
JUDGED_ROWS: Final = 100_000  # of either side, at most and to the next whole piece


@dataclass(frozen=True)
class Course:
    """What a training goes over; small and picklable.

    Parameters
    ----------
    material : Material
        Whose rows.
    seed : int
        Of the order, and of the rows that are chosen.
    metric : str
        By which it is judged.
    held_out : int, optional
        Fold that is not trained on but judged by; without it the validation rows judge, if there are any.
    n_rows : int
        Train on at most so many rows, chosen by their hash; 0 = all.
    shuffle : bool
        Another order of pieces each pass.
    judged_rows : int
        Rows, of either side, by which it is judged.
    """

    material: Material = field(repr=False)
    seed: int
    metric: str
    held_out: int | None = None
    n_rows: int = 0
    shuffle: bool = True
    judged_rows: int = JUDGED_ROWS

    @property
    def is_judged(self) -> bool:
        """Whether there are rows that it is not trained on."""
        return self.held_out is not None or bool(self.material.pieces["validation"])

    @property
    def n_trained(self) -> int:
        """Rows that one pass goes over."""
        material = self.material
        total = material.count_rows()
        if 0 < self.n_rows < total:
            return self.n_rows  # those of the held-out fold among them
        return total - (0 if self.held_out is None else material.fold_rows[self.held_out])

    def order(self, epoch: int) -> list[Piece]:
        """Give the pieces in the order of a pass.

        Parameters
        ----------
        epoch : int
            Number of the pass, from 0 on.

        Returns
        -------
        list of Piece
            All training pieces.
        """
        import numpy as np

        pieces = self.material.pieces["train"]
        if not self.shuffle:
            return list(pieces)
        return [pieces[at] for at in np.random.default_rng([self.seed, epoch]).permutation(len(pieces))]

    def load(self, piece: Piece, side: str = TRAINED) -> Block:
        """Load the rows of a piece that are trained on, or held out.

        Parameters
        ----------
        piece : Piece
            Of the training or validation rows.
        side : {"train", "held"}
            Which.

        Returns
        -------
        Block
            Without ids; perhaps without rows.
        """
        material = self.material
        if piece.split != TRAINED:
            return material.load(piece, bare=True)
        others = None
        if self.held_out is not None:
            here = frozenset({self.held_out})
            others = here if side == HELD else frozenset(range(-1, material.n_folds)) - here
        return draw_rows(material.load(piece, folds=others, bare=True), material.count_rows(), self.n_rows, self.seed)

    def __call__(self, piece: Piece) -> tuple[csr_array, NDArray[Any]]:
        """Give what an estimator is trained on."""
        block = self.load(piece)
        return block.x, block.y

    def judge(self, estimators: Sequence[Any], computing: Computing) -> list[Scores]:
        """Score estimators on some of the rows they were trained on, and on some they were not.

        Parameters
        ----------
        estimators : sequence of object
            Fitted.
        computing : Computing
            Who predicts.

        Returns
        -------
        list of (float, float)
            Of each; NaN where there are no such rows.
        """
        pieces = self._list_judged()
        predicted = computing.reduce(Predicting(self, tuple(estimators)), _join, pieces)
        return [(self._score(sides[TRAINED]), self._score(sides[HELD])) for sides in predicted]

    def _list_judged(self) -> list[tuple[str, Piece]]:
        """Choose pieces until there are rows enough: by the hash of their names, always the same."""
        material = self.material
        sides = [(TRAINED, material.pieces["train"])]
        if self.held_out is not None:
            sides.append((HELD, material.pieces["train"]))
        elif self.is_judged:
            sides.append((HELD, material.pieces["validation"]))
        found = []
        for side, pieces in sides:
            share = 1.0
            if self.held_out is not None and side == HELD:
                share = material.fold_rows[self.held_out] / material.count_rows()
            if side == TRAINED or self.held_out is not None:
                share *= min(1.0, (self.n_rows or material.count_rows()) / material.count_rows())
            n_rows = 0.0
            for piece in _mix_up(pieces, self.seed):
                if n_rows >= self.judged_rows:
                    break
                found.append((side, piece))
                n_rows += share * piece.n_rows
        return found

    def _score(self, parts: list[Predicted]) -> float:
        import numpy as np

        if not parts:
            return float("nan")
        y, y_pred = (np.concatenate([part[at] for part in parts]) for at in (0, 1))
        chances = [part[2] for part in parts if part[2] is not None]
        n_classes = len(self.material.classes)
        return score_predictions(self.metric, y, y_pred, np.vstack(chances) if chances else None, n_classes)


Predicted = tuple["NDArray[Any]", "NDArray[Any]", "NDArray[np.float64] | None"]
Sides = dict[str, "list[Predicted]"]


@dataclass(frozen=True)
class Predicting:
    """What estimators say about a piece.

    Parameters
    ----------
    course : Course
        Gives the rows.
    estimators : tuple
        Fitted.
    """

    course: Course
    estimators: tuple[Any, ...]

    def __call__(self, item: tuple[str, Piece]) -> list[Sides]:
        """Predict for a piece: true values, predicted ones, and probabilities where they are asked for."""
        side, piece = item
        block = self.course.load(piece, side)
        found = []
        for estimator in self.estimators:
            sides: Sides = {TRAINED: [], HELD: []}
            if len(block.y):
                chances = None
                if self.course.metric in PROBABILITY_METRICS and hasattr(estimator, "predict_proba"):
                    chances = estimator.predict_proba(block.x)
                sides[side].append((block.y, estimator.predict(block.x), chances))
            found.append(sides)
        return found


def _join(parts: list[list[Sides]]) -> list[Sides]:
    n = len(parts[0])
    return [{side: [one for part in parts for one in part[at][side]] for side in (TRAINED, HELD)} for at in range(n)]


def _mix_up(pieces: Sequence[Piece], seed: int) -> list[Piece]:
    import numpy as np
    import polars as pl

    hashes = hash_texts([pl.Series([piece.name for piece in pieces], dtype=pl.String)], seed)
    return [pieces[at] for at in np.argsort(hashes, kind="stable")]
