"""Probabilities, their logarithms and weights as whole numbers: sums of integers do not depend on the order of the
members, as sums of floats do, so that what is equal is found equal.

A probability or logarithm has at most 40 bits and a weight at most 16, so that 64 products fit into 62 bits.
"""

import numpy as np
from numpy.typing import NDArray

# Probabilities below it count as if they were it: a member that gives a class 0 has no veto, but 32 bits against it.
LOG_FLOOR = 2.0**-32
MAX_WEIGHT = 2**16
# Members of one ensemble whose weighted sums fit.
MAX_WEIGHTED = 64

_PROBABILITY_STEPS = 2.0**40
_LOG_STEPS = 2.0**35


def quantize_probabilities(probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
    """Probabilities in steps of 2**-40, int64: finer than float32 resolves where it matters."""
    steps: NDArray[np.int64] = np.rint(probabilities.astype(np.float64) * _PROBABILITY_STEPS).astype(np.int64)
    return steps


def quantize_logs(probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
    """Binary logarithms of the probabilities, of those below 2**-32 as if they were that, in steps of 2**-35, int64."""
    logs = np.log2(np.maximum(probabilities.astype(np.float64), LOG_FLOOR))
    steps: NDArray[np.int64] = np.rint(logs * _LOG_STEPS).astype(np.int64)
    return steps


def quantize_weights(weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole numbers up to 2**16 as they are; all others in steps of 2**-16 of the largest.

    >>> quantize_weights(np.array([3.0, 0.0, 1.0])).tolist(), quantize_weights(np.array([0.5, 0.25])).tolist()
    ([3, 0, 1], [65536, 32768])
    """
    whole = weights.max() <= MAX_WEIGHT and bool((weights == np.rint(weights)).all())
    scaled = weights if whole else weights / weights.max() * MAX_WEIGHT
    return np.rint(scaled).astype(np.int64)
