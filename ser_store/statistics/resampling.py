"""Bootstrap samples: of utterances, or of whole groups of them, such as speakers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import MetricError

# Cells of one block of samples: half a megabyte, that stays in the cache and is not asked of the system every time
# (three times as fast for 288 utterances as one block of all samples).
_BLOCK_CELLS = 2**16
# Cells of what is made of a block, such as a score for every candidate: 128 MB of doubles.
_MOST_CELLS = 2**24


def number_groups(groups: ArrayLike | Sequence[Any], *, n: int) -> tuple[NDArray[np.intp], tuple[Any, ...]]:
    """Return the groups as numbers, ``(n,)`` intp, and the group of each number, sorted where it can be.

    Args:
        groups: ``(n,)``, one group per utterance: numbers, strings or anything hashable.
        n: utterances.

    Raises:
        MetricError: if there is not one group for every utterance.
    """
    given = np.asarray(groups)
    if given.shape != (n,):
        raise MetricError(f"groups have shape {given.shape}: expected ({n},), one group per utterance")
    if given.dtype != object:
        values, numbers = np.unique(given, return_inverse=True)
        return numbers.astype(np.intp, copy=False), tuple(values.tolist())
    places = {value: place for place, value in enumerate(dict.fromkeys(given))}
    return np.array([places[value] for value in given], dtype=np.intp), tuple(places)


@dataclass(frozen=True)
class Units:
    """What is drawn: the utterances, or groups of them that stay together.

    Attributes:
        count: of the units.
        n: utterances.
        numbers: ``(n,)``, the unit of every utterance; None if each is its own.
        name: what the groups are; None without groups.
    """

    count: int
    n: int
    numbers: NDArray[np.intp] | None
    name: str | None

    @property
    def n_effective(self) -> float:
        """How many units of the same size say as much as these, at most ``count``.

        ``(sum s)² / sum s²`` of the sizes ``s``. Source: L. Kish, "Survey sampling", 1965.
        """
        if self.numbers is None:
            return float(self.count)
        return float(self.n**2 / np.square(np.bincount(self.numbers)).sum())

    def expand(self, by_unit: NDArray[Any]) -> NDArray[Any]:
        """Return what is said of every unit, ``(..., count)``, said of every utterance, ``(..., n)``."""
        return by_unit if self.numbers is None else by_unit[..., self.numbers]

    def sum(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the sums ``(count, d)`` of every unit's utterances; of values ``(n, d)``."""
        if self.numbers is None:
            return values.astype(np.float64, copy=False)
        columns = [np.bincount(self.numbers, weights=column, minlength=self.count) for column in values.T]
        return np.stack(columns, axis=1)


def find_units(n: int, groups: ArrayLike | Sequence[Any] | None, *, group_name: str = "speaker") -> Units:
    """Return the units of ``n`` utterances: their groups, or without groups themselves.

    Raises:
        MetricError: if there is only one group, or the groups do not fit the utterances.
    """
    if groups is None:
        return Units(n, n, None, None)
    numbers, values = number_groups(groups, n=n)
    if len(values) < 2:
        raise MetricError(f"all {n} utterances are of {group_name} {values[0]}: expected two {group_name}s or more")
    return Units(len(values), n, numbers, group_name)


def draw_counts(rng: np.random.Generator, repeats: int, n_units: int) -> NDArray[np.intp]:
    """Return how often each sample draws each of ``n_units`` units with replacement, ``(repeats, n_units)``."""
    drawn = rng.integers(n_units, size=(repeats, n_units))
    drawn += np.arange(repeats)[:, None] * n_units
    return np.bincount(drawn.ravel(), minlength=repeats * n_units).reshape(repeats, n_units)


def iter_counts(seed: int, *, repeats: int, n_units: int, width: int = 1) -> Iterator[NDArray[np.intp]]:
    """Yield the counts of :func:`draw_counts` in blocks of samples, the same whatever the size of the blocks.

    Args:
        width: cells of what is made of a sample, such as a score for every candidate.
    """
    rng = np.random.default_rng(seed)
    per_block = max(1, min(repeats, _BLOCK_CELLS // n_units, _MOST_CELLS // width))
    for start in range(0, repeats, per_block):
        yield draw_counts(rng, min(per_block, repeats - start), n_units)


def resample_sums(by_unit: NDArray[np.float64], *, repeats: int, seed: int) -> NDArray[np.float64]:
    """Return the sums over each sample, ``(repeats, d)``, of what each unit adds to them, ``(n_units, d)``."""
    return np.concatenate([counts @ by_unit for counts in iter_counts(seed, repeats=repeats, n_units=len(by_unit))])


def resample_kinds(tallies: NDArray[np.integer[Any]], *, repeats: int, seed: int) -> NDArray[np.int64]:
    """Return the tallies of bootstrap samples, ``(repeats, d)``, where ``tallies[i]`` utterances are of kind i.

    What drawing utterance by utterance would give, in a time that does not grow with their number.
    """
    n = int(tallies.sum())
    return np.random.default_rng(seed).multinomial(n, tallies / n, size=repeats)


def check_repeats(repeats: int) -> None:
    """Refuse fewer than one repeat.

    Raises:
        MetricError: if there is none.
    """
    if repeats < 1:
        raise MetricError(f"repeats is {repeats}: expected at least 1")
