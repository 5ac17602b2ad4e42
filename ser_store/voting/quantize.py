"""Probabilities, logits and weights as whole numbers: their sums do not depend on the order of the members, as sums of
floats do, so that what is equal is found equal.
"""

from dataclasses import dataclass
from decimal import Context
from fractions import Fraction
from math import gcd, lcm, log
from numbers import Rational
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Probabilities below it count as if they were it: a member that gives a class 0 has no veto, but 32 bits against it.
LOG_FLOOR = 2.0**-32
# Sums of whole numbers below it are exact in 64 bits, and so are their differences.
MAX_SUM = 2**62

# Decimals add up as they are written: 0.1 and 0.3 to what 0.2 and 0.2 do.
_PROBABILITY_STEPS = 1e12
_LOG_STEPS = 2.0**35
# A logit in float32 is a whole number of them, unless it is below 2**-17.
_LOGIT_STEPS = 2.0**40
# Weights: what a few operations on floats leave of a fraction, and of a decimal.
_SMALL_DENOMINATOR, _ROUNDING = 100_000, Fraction(1, 2**50)
_TWELVE_DIGITS = Context(prec=12)


@dataclass(frozen=True, eq=False)
class Logits:
    """Logits, to be passed where probabilities are asked for.

    They differ from log-probabilities by a number that all classes of an utterance share. Soft voting by
    log-probability takes them as they are, so that equal sums are ties; probabilities would be rounded first.

    Attributes:
        values: ``(..., c)``, finite.
    """

    values: NDArray[np.floating]

    def __getitem__(self, places: Any) -> "Logits":
        return Logits(self.values[places])


def quantize_probabilities(probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return probabilities in steps of 10**-12, int64: finer than float32 resolves where it matters.

    >>> quantize_probabilities(np.array([0.25])).tolist()
    [250000000000]
    """
    steps: NDArray[np.int64] = np.rint(probabilities.astype(np.float64) * _PROBABILITY_STEPS).astype(np.int64)
    return steps


def quantize_logs(probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return binary logarithms of probabilities in steps of 2**-35, int64; of those below 2**-32 the logarithm of that.

    >>> quantize_logs(np.array([1.0, 0.5])).tolist() == [0, -(2**35)]
    True
    """
    logs = np.log2(np.maximum(probabilities.astype(np.float64), LOG_FLOOR))
    steps: NDArray[np.int64] = np.rint(logs * _LOG_STEPS).astype(np.int64)
    return steps


def quantize_logits(logits: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return logits less the highest of their utterance in steps of 2**-40, int64.

    Those of a probability below 2**-32 count as if it were that.

    >>> quantize_logits(np.array([[1.0, 0.5]])).tolist() == [[0, -(2**39)]]
    True
    """
    scores = logits.astype(np.float64)
    below = scores - scores.max(axis=-1, keepdims=True)
    # In order, so that the sum does not depend on which class has which logit.
    log_sum = np.log(np.sort(np.exp(below), axis=-1).sum(axis=-1, keepdims=True))
    floored = np.maximum(np.rint(below * _LOGIT_STEPS), np.rint((log_sum + log(LOG_FLOOR)) * _LOGIT_STEPS))
    steps: NDArray[np.int64] = floored.astype(np.int64)
    return steps


def count_weights(weights: NDArray[Any]) -> NDArray[Any]:
    """Return whole numbers in the proportions of the weights: int64, or where that is too small, Python's own.

    >>> count_weights(np.array([0.1, 0.1, 0.3])).tolist(), count_weights(np.array([1 / 3, 59 / 72])).tolist()
    ([1, 1, 3], [24, 59])
    """
    exact = [_read_weight(weight) for weight in weights]
    scale = lcm(*(weight.denominator for weight in exact))
    whole = [int(weight * scale) for weight in exact]
    shared = gcd(*whole)
    return np.array([weight // shared for weight in whole], dtype=np.int64 if max(whole) < MAX_SUM * shared else object)


def _read_weight(weight: Any) -> Fraction:
    """Return a float is the fraction of a small denominator that it stands for, such as an accuracy; else a decimal."""
    if isinstance(weight, Rational):
        return Fraction(int(weight.numerator), int(weight.denominator))
    # A float of fewer bits as it is written: 0.7 in float32 is 0.7.
    number = Fraction(str(weight))
    simple = number.limit_denominator(_SMALL_DENOMINATOR)
    if abs(simple - number) <= _ROUNDING * number:
        return simple
    return Fraction(_TWELVE_DIGITS.create_decimal(str(weight)))
