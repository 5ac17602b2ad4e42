"""Members to vote with, drawn so that they resemble each other as the steps of a few runs do."""

from dataclasses import dataclass
from functools import cached_property
from math import comb

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.problem import Problem, pose_problem
from ser_store.voting.search import Backend


@dataclass(frozen=True)
class VotingProblem:
    """Runs that find the same utterances hard, and steps of a run that resemble each other; all drawn from a seed.

    With the defaults the members are right in 84 to 91% of the utterances, and the best five together in 97%.

    Attributes:
        runs: number of runs.
        steps: steps of each.
        n: utterances.
        n_classes: classes.
        k: members of an ensemble.
        seed: of what is drawn.
    """

    runs: int = 6
    steps: int = 14
    n: int = 288
    n_classes: int = 8
    k: int = 5
    seed: int = 0

    @property
    def m(self) -> int:
        """Number of members."""
        return self.runs * self.steps

    @property
    def total(self) -> int:
        """Number of ensembles."""
        return comb(self.m, self.k)

    @cached_property
    def truth(self) -> NDArray[np.int64]:
        """``(n,)`` class indices."""
        return np.random.default_rng(self.seed).integers(self.n_classes, size=self.n)

    @cached_property
    def probabilities(self) -> NDArray[np.float32]:
        """``(m, n, c)`` float32."""
        rng = np.random.default_rng([self.seed, 1])
        size = (self.n, self.n_classes)
        shared = rng.normal(scale=1.5, size=size)
        shared[np.arange(self.n), self.truth] += 5.4
        by_run = shared + rng.normal(size=(self.runs, 1, *size))
        logits = by_run + rng.normal(scale=0.8, size=(self.runs, self.steps, *size))
        raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
        probabilities: NDArray[np.float32] = (raised / raised.sum(axis=-1, keepdims=True)).astype(np.float32)
        return probabilities.reshape(self.m, *size)

    @cached_property
    def predictions(self) -> NDArray[np.int16]:
        """``(m, n)`` class indices."""
        predictions: NDArray[np.int16] = self.probabilities.argmax(axis=-1).astype(np.int16)
        return predictions

    def sample(self, size: int) -> NDArray[np.intp]:
        """Ensembles drawn at random, ``(size, k)`` ascending."""
        order = np.random.default_rng([self.seed, 2]).random((size, self.m)).argsort(axis=1)
        return np.sort(order[:, : self.k], axis=1)

    def count_members(self, *, at_most: int) -> int:
        """So many members have ``at_most`` ensembles; at least k."""
        return max(m for m in range(self.k, self.m + 1) if m == self.k or comb(m, self.k) <= at_most)

    def pose(self, rule: str) -> Problem:
        """All ensembles of k members, by this rule."""
        return pose_problem(
            self.predictions,
            self.truth,
            k=self.k,
            n_classes=self.n_classes,
            rule=rule,
            tie="lowest",
            probabilities=self.probabilities,
        )

    def choose_backends(self, rule: str) -> list[Backend]:
        """Those that can vote so, the fastest last."""
        problem = self.pose(rule)
        fits: dict[Backend, bool] = {"summed": problem.is_summable, "bitsliced": problem.is_bitsliceable}
        return ["batched", *(backend for backend, fit in fits.items() if fit)]
