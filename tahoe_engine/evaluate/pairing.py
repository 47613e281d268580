"""Models beside one baseline, on the same clusters: what is tested of each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from tahoe_engine.evaluate.directions import METRICS
from tahoe_engine.evaluate.doubt import CLASSED, DOUBTED, add_doubt, count_by_class, count_freedom, imagine_perfect
from tahoe_engine.evaluate.pairs import compute_p_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from tahoe_engine.evaluate.judges import Judge

    Floats = NDArray[np.float64]

AT_ONCE: Final = 512  # clusters that are left out in one call


@dataclass(frozen=True)
class Pairing:
    """Models beside the best baseline, cluster by cluster.

    Parameters
    ----------
    judges : mapping of str to Judge
        By model.
    best : str
        The baseline.
    loss : str
        Metric that is tested.
    sizes : ndarray
        Rows of each cluster.
    seed : int
        Of the changes of signs.
    """

    judges: Mapping[str, Judge | None]
    best: str
    loss: str
    sizes: Floats
    seed: int

    def test(self, name: str) -> float | None:
        """Give the P value of a model."""
        judge = self.judges[name]
        return None if judge is None else self._test(judge)

    def test_perfect(self) -> float | None:
        """Give the P value of a model without a mistake; None where no model can be tested."""
        judge = next((judge for name, judge in self.judges.items() if judge is not None and name != self.best), None)
        return None if judge is None or self.judges[self.best] is None else self._test(imagine_perfect(judge))

    @cached_property
    def _baseline(self) -> tuple[float, Floats]:
        return self._score(self.judges[self.best], wrong=None)

    @cached_property
    def _baseline_doubted(self) -> tuple[float, Floats]:
        return self._score(self.judges[self.best], wrong=False)

    def _test(self, judge: Judge) -> float | None:
        gain, without = self._subtract(self._score(judge, wrong=None), self._baseline)
        doubted = None
        if self.loss in DOUBTED:
            doubted = self._subtract(self._score(judge, wrong=True), self._baseline_doubted)
        freedom = count_freedom(count_by_class(judge)) if self.loss in CLASSED else float("inf")
        return compute_p_value(gain, without, self.sizes, seed=self.seed, doubted=doubted, freedom=freedom)

    def _subtract(self, one: tuple[float, Floats], other: tuple[float, Floats]) -> tuple[float, Floats]:
        sign = 1.0 if METRICS[self.loss].larger else -1.0
        return sign * (one[0] - other[0]), sign * (one[1] - other[1])

    def _score(self, judge: Judge | None, *, wrong: bool | None) -> tuple[float, Floats]:
        """Score all clusters, and all without each; `wrong`: with those of doubt."""
        import numpy as np

        assert judge is not None  # noqa: S101 -- whoever has no judge is not tested
        count = self.sizes.size
        if wrong is not None:
            n_classes = count_by_class(judge).shape[1]
            judge, count = add_doubt(judge, count, wrong=wrong), count + n_classes
        drawn = [judge.score(np.ones((1, count)))[self.loss]]
        for low in range(0, count, AT_ONCE):
            size = min(AT_ONCE, count - low)
            weights = np.ones((size, count))
            weights[np.arange(size), low + np.arange(size)] = 0.0
            drawn.append(judge.score(weights)[self.loss])
        return float(drawn[0][0]), np.concatenate(drawn[1:])
