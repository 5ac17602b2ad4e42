"""Arrays as a page holds them: small, and so that its scripts find the very numbers that a vote adds up."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.evaluation.score_kinds import find_kind, load_probabilities
from ser_store.voting.checks import UNANSWERED
from ser_store.voting.quantize import quantize_logits, quantize_probabilities
from ser_store_h5.names import parse_member
from ser_store_h5.store import Store

# Scores beyond it are left out of a page: its votes are then by predicted classes alone.
MAX_SHARES = 4_000_000
_TYPES = {"|u1": "u8", "<u2": "u16", "<f4": "f32"}
# Steps of probabilities and of logits, as ser_store.voting.quantize counts them.
_PROBABILITY_STEPS, _LOGIT_STEPS, _DECIMALS = 1e12, 2.0**40, 1e6
_LOG2_E, _LN2_HIGH, _LN2_LOW = 1.4426950408889634, 0.6931471803691238, 1.9082149292705877e-10
_LEAST, _TERMS = -700.0, 13


def pack(array: NDArray[Any]) -> dict[str, str]:
    """Return an array of uint8, uint16 or float32 as base64, with its type.

    >>> pack(np.array([1, 2], dtype=np.uint8))
    {'type': 'u8', 'data': 'AQI='}
    """
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return {"type": _TYPES[little.dtype.str], "data": b64encode(little.tobytes()).decode()}


def pack_classes(indices: NDArray[np.integer[Any]], n_classes: int) -> dict[str, str]:
    """Return class indices as base64; no answer, -1, is as many as there are classes."""
    counted = np.where(indices == UNANSWERED, n_classes, indices)
    return pack(counted.astype(np.uint8 if n_classes < 256 else np.uint16))


def pack_shares(store: Store, names: Sequence[str], rows: NDArray[np.int32]) -> list[dict[str, Any] | None]:
    """Return what each member gives each class, ``(n, c)`` logits; None of members that hold labels only, or too much.

    A script makes of them what the rules add up, see :func:`take_soft_steps`. Where the library's own numbers are
    others, these are told too, so that no sum differs and equal ones are ties there as well.
    """
    holders = [name for name in names if store.describe_member(name).logits is not None]
    if len(holders) * len(rows) * len(store.corpus.classes) * 4 > MAX_SHARES:
        return [None] * len(names)
    packed = {}
    for name in holders:
        logits = store.logits([name], rows)[0].astype(np.float32)
        probabilities = load_probabilities(store, [name], rows)[0]
        packed[name] = {
            "logits": pack(logits),
            "soft": describe_soft(logits, quantize_probabilities(probabilities)),
            "floors": list_floors(logits, quantize_logits(logits)),
            "are_scores": find_kind(store, parse_member(name)[0]) == "scores",
        }
    return [packed.get(name) for name in names]


def describe_soft(logits: NDArray[np.float32], steps: NDArray[np.int64]) -> dict[str, Any]:
    """Return how a script comes from logits ``(n, c)`` to ``steps``: rounded or not, and where it errs by how much."""
    tried = [(rounded, steps - take_soft_steps(logits, rounded=rounded)) for rounded in (False, True)]
    rounded, amiss = min(tried, key=lambda one: int(np.count_nonzero(one[1])))
    places = np.flatnonzero(amiss)
    return {"rounded": rounded, "amiss": [[int(place), int(amiss.flat[place])] for place in places]}


def take_soft_steps(logits: NDArray[np.float32], *, rounded: bool) -> NDArray[np.int64]:
    """Return probabilities in steps, by what every machine rounds alike: ``takeSoftSteps`` of ``shares.js``.

    Exponentials differ from one program to the next in their last bit; sums, products and quotients do not.
    """
    scores = logits.astype(np.float64)
    exponentials = _exponentiate(scores - scores.max(axis=1, keepdims=True))
    total = np.zeros(len(scores))
    for column in exponentials.T:
        total = total + column
    probabilities = exponentials / total[:, None]
    if rounded:
        probabilities = np.rint(probabilities * _DECIMALS) / _DECIMALS
    return np.asarray(np.rint(probabilities * _PROBABILITY_STEPS).astype(np.int64))


def _exponentiate(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Powers of e, of numbers up to 0, by a series after halving."""
    bounded = np.maximum(numbers, _LEAST)
    halvings = np.rint(bounded * _LOG2_E)
    rest = (bounded - halvings * _LN2_HIGH) - halvings * _LN2_LOW
    series = np.ones_like(rest)
    for term in range(_TERMS, 0, -1):
        series = 1.0 + series * rest / term
    return np.ldexp(series, halvings.astype(np.int64))


def list_floors(logits: NDArray[np.float32], steps: NDArray[np.int64]) -> list[list[int]]:
    """Return the utterances where a class counts as if it were likelier than it is, and the steps that it counts."""
    scores = logits.astype(np.float64)
    below = np.rint((scores - scores.max(axis=1, keepdims=True)) * _LOGIT_STEPS)
    raised = np.flatnonzero((below != steps).any(axis=1))
    return [[int(row), int(steps[row].min())] for row in raised]
