"""The numbers of class columns: logits, probabilities, their logarithms, or scores; and what is stored of each."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import CorpusError
from ser_store_h5.from_arrays import take_logarithms

# What stands for the logarithm of 0: that of the smallest normal float32, so that the softmax of it is no 0 again.
FLOOR = float(np.log(np.finfo(np.float32).tiny))
# How far a row may be from its sum: each number is rounded to two decimals; with ``kind``, to one.
_ROUNDED, _COARSE = 0.005, 0.05
_CENT = 100.0

POOLED = "pooled"
Kind = Literal["logits", "probabilities", "log-probabilities", "scores", "pooled"]
Numbers = NDArray[np.float64]


def find_total(numbers: Numbers, *, rounding: float = _ROUNDED) -> float | None:
    """Return what the rows of ``(n, c)`` probabilities sum to, 1 or 100; None if they are no probabilities.

    >>> find_total(np.array([[0.9, 0.1], [1.0, 0.0]])), find_total(np.array([[90.0, 10.0]]))
    (1.0, 100.0)
    """
    return next((total for total in (1.0, _CENT) if _sums(numbers, total, rounding).all()), None)


def _sums(numbers: Numbers, total: float, rounding: float) -> NDArray[np.bool_]:
    """Which rows hold numbers in 0 to ``total`` that sum to it."""
    shares = numbers / total
    near = np.abs(shares.sum(axis=1) - 1) <= rounding * numbers.shape[1]
    summing: NDArray[np.bool_] = near & (shares.min(axis=1) >= -1e-6) & (shares.max(axis=1) <= 1 + 1e-6)
    return summing


def recognise(numbers: Numbers) -> str | None:
    """Return the kind that the numbers ``(n, c)`` of a run show themselves to be; None where that is in doubt.

    Rows in 0..1 that sum to 1 (or in 0..100, to 100) are probabilities, rows of which the exponentials do are
    log-probabilities. Numbers that all lie in 0..1 and do not sum to 1 are scores, and all others logits. It is in
    doubt where most rows sum to 1 and some do not.

    >>> [recognise(np.array([row])) for row in ([0.9, 0.1], [-0.1, -2.35], [3.0, -1.0], [0.9, 0.7])]
    ['probabilities', 'log-probabilities', 'logits', 'scores']
    """
    if find_total(numbers) is not None:
        return "probabilities"
    if any(_sums(numbers, total, _ROUNDED).mean() > 0.5 for total in (1.0, _CENT)):
        return None
    if numbers.min() >= 0 and numbers.max() <= 1:
        return "scores"
    if numbers.max() <= 1e-6 and _sums(np.exp(np.minimum(numbers, 0)), 1.0, _ROUNDED).all():
        return "log-probabilities"
    return "logits"


def check_numbers(numbers: Numbers, kind: str, *, run: str) -> None:
    """Refuse numbers ``(n, c)`` that cannot be of the kind they are said to be.

    Raises:
        CorpusError: naming the first row that contradicts it.
    """
    claimed = np.exp(np.minimum(numbers, 709.0)) if kind == "log-probabilities" else numbers
    if kind not in ("probabilities", "log-probabilities") or find_total(claimed, rounding=_COARSE) is not None:
        return
    row = int(_sums(claimed, 1.0, _COARSE).argmin())
    expected = "0 to 1 and a sum of 1" if kind == "probabilities" else "exponentials that sum to 1"
    raise CorpusError(
        f"{run}: its row {row + 1} is {', '.join(f'{number:.4g}' for number in numbers[row][:8])}: expected {expected} "
        f"in every row of {kind}; `kind` scores takes them as they are"
    )


def convert(numbers: Numbers, exact: NDArray[np.float32], kind: str) -> tuple[NDArray[np.float32], str]:
    """Return what is stored of numbers ``(n, c)`` of a ``kind``, and its kind: of probabilities, their logarithms.

    Args:
        exact: the same numbers, rounded once.

    >>> stored, kind = convert(np.array([[50.0, 50.0]]), np.array([[50, 50]], dtype=np.float32), "probabilities")
    >>> kind, np.exp(stored).tolist()
    ('log-probabilities', [[0.5, 0.5]])
    """
    if kind == "probabilities":
        total = find_total(numbers, rounding=_COARSE) or 1.0
        return take_logarithms(numbers / total), "log-probabilities"
    if kind == "log-probabilities":
        lowest = np.min(exact, where=np.isfinite(exact), initial=np.float32(FLOOR))
        return np.where(np.isneginf(numbers), lowest, exact), kind
    return exact, kind
