"""What the storage formats of the comparison are given to keep, and what is read of it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

TEST_SHARE = 0.2
STEPS = 14


@dataclass(frozen=True)
class Workload:
    """Pooled representations and logits of some members, drawn from a seed.

    Attributes:
        members: number of members; each is a run at a step.
        n: utterances.
        hidden: numbers in a pooled representation.
        n_classes: numbers in the logits of an utterance.
        seed: of what is drawn.
    """

    members: int = 84
    n: int = 1440
    hidden: int = 1024
    n_classes: int = 8
    seed: int = 0

    @cached_property
    def pooled(self) -> NDArray[np.float16]:
        """``(members, n, hidden)`` float16, normally distributed: close to incompressible, as the real ones are."""
        pooled = np.empty((self.members, self.n, self.hidden), dtype=np.float16)
        rng = np.random.default_rng([self.seed, 1])
        for member in pooled:
            member[:] = rng.standard_normal((self.n, self.hidden), dtype=np.float32)
        return pooled

    @cached_property
    def logits(self) -> NDArray[np.float32]:
        """``(members, n, n_classes)`` float32."""
        rng = np.random.default_rng([self.seed, 2])
        return rng.standard_normal((self.members, self.n, self.n_classes), dtype=np.float32)

    @property
    def ids(self) -> list[str]:
        return [f"utterance-{row:06d}" for row in range(self.n)]

    @property
    def names(self) -> list[str]:
        """``run@step``, ascending as text: runs of 14 steps each, as the published recipe makes them."""
        places = (divmod(member, STEPS) for member in range(self.members))
        return [f"run-{run:03d}@{1000 + 100 * step}" for run, step in places]

    @cached_property
    def test(self) -> NDArray[np.int32]:
        """The utterances whose logits are read, a fifth of all, ascending ``(m,)`` int32."""
        rng = np.random.default_rng([self.seed, 3])
        chosen = rng.choice(self.n, max(1, round(self.n * TEST_SHARE)), replace=False)
        return np.sort(chosen).astype(np.int32)

    @property
    def bytes(self) -> int:
        """Size of all numbers, without any format."""
        return self.members * self.n * (2 * self.hidden + 4 * self.n_classes)
