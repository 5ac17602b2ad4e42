"""Margins of the truth over its rivals, packed so that one addition per member and utterance votes for all classes.

For an utterance of true class y, the margin over a rival w is ``votes[y] - votes[w]``, less 1 where w would win an
even vote. The ensemble is right where no margin is negative. A vote for y adds 1 to every margin, a vote for w takes
1 from one of them, so that margins are sums over the members. They are kept as bit fields of unsigned words, offset
by half the range of a field: the top bit of a field, its guard, is set where the margin is not negative. As no field
leaves its range, none borrows from its neighbour.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.unsignedinteger]

# Probabilities that are quantized at once: 30 MB with all that it takes.
_QUANTIZED = 2**20


@dataclass(frozen=True)
class Margins:
    """What every member adds to the margins of every utterance.

    Utterances are padded with ones that no ensemble gets right to ``p``, a multiple of 8.

    Attributes:
        codes: ``(f, m, p)`` unsigned, what member m adds; ``f`` words hold the fields of all rivals.
        start: ``(f, p)``, margins of no votes; without guards for the padding.
        guard: the guards of one word.
        unit: 1 in every field of one word.
    """

    codes: Words
    start: Words
    guard: np.unsignedinteger
    unit: np.unsignedinteger

    @property
    def bytes_per_ensemble(self) -> int:
        """Of one word per utterance."""
        return int(self.start[0].nbytes)


def encode_votes(
    predictions: NDArray[np.intp],
    truth: NDArray[np.intp],
    *,
    k: int,
    n_classes: int,
    tie: str,
    weights: NDArray[np.int64] | None = None,
) -> Margins:
    """Margins of hard voting among ``k`` members, after which the ensemble is right where no margin is negative.

    That is exact for the tie rules ``lowest`` and ``abstain``. For the others it holds the ensembles that are right
    or tied, the truth being among the tied; less one ``unit``, those that are right without a tie.

    Args:
        predictions: ``(m, n)`` class indices.
        truth: ``(n,)`` class indices.
        weights: ``(m,)`` whole numbers: how many votes a member has. Default: one.
    """
    m, n = predictions.shape
    n_votes = k if weights is None else int(np.sort(weights)[-k:].sum())
    bits = next(bits for bits in (4, 8, 16, 32, 64) if n_votes < 2 ** (bits - 1))
    dtype = _choose_word((n_classes - 1) * bits)
    per_word = dtype.itemsize * 8 // bits
    n_words = -(-(n_classes - 1) // per_word)
    unit = dtype.type(sum(1 << (bits * field) for field in range(per_word)))
    guard = dtype.type(int(unit) << (bits - 1))

    rival = np.arange(n_classes - 1)
    single = np.zeros((n_words, n_classes - 1), dtype=dtype)
    single[rival // per_word, rival] = dtype.type(1) << (rival % per_word * bits).astype(dtype)
    loses_even_vote = np.zeros((n_classes - 1, n), dtype=bool)
    if tie == "lowest":
        loses_even_vote = rival[:, None] < truth
    elif tie == "abstain":
        loses_even_vote[:] = True

    padded = _pad(n)
    start = np.zeros((n_words, padded), dtype=dtype)
    start[:, :n] = guard - single @ loses_even_vote.astype(dtype)
    # Rivals are the classes without y: those above it move down by one.
    against = predictions - (predictions > truth)
    codes = np.zeros((n_words, m, padded), dtype=dtype)
    of_member = np.ones((m, 1), dtype=dtype) if weights is None else weights[:, None].astype(dtype)
    for word in range(n_words):
        loss = np.append(-single[word], dtype.type(0))
        codes[word, :, :n] = np.where(predictions == truth, unit, loss[against]) * of_member
    return Margins(codes=codes, start=start, guard=guard, unit=unit)


def encode_probabilities(
    quantize: Callable[[NDArray[np.intp]], NDArray[np.int64]], truth: NDArray[np.intp], *, m: int, n_classes: int
) -> Margins:
    """Margins of soft voting: what the truth gets less what the rival gets, one 64-bit field per rival.

    Args:
        quantize: gives of some utterances, ``(e,)``, what all members give their classes, ``(m, e, c)``; see
            :meth:`Problem.quantize`. It is asked for some at a time, as all together take several times the margins.
        truth: ``(n,)`` class indices.
    """
    n = len(truth)
    padded = _pad(n)
    guard = np.uint64(1 << 63)
    start = np.zeros((n_classes - 1, padded), dtype=np.uint64)
    codes = np.zeros((n_classes - 1, m, padded), dtype=np.uint64)
    start[:, :n] = guard - (np.arange(n_classes - 1)[:, None] < truth).astype(np.uint64)
    at_once = max(1, _QUANTIZED // (m * n_classes))
    for begin in range(0, n, at_once):
        utterances = np.arange(begin, min(begin + at_once, n))
        steps, true = quantize(utterances), truth[utterances]
        own = np.take_along_axis(steps, true[None, :, None], axis=2)[:, :, 0]
        for rival in range(n_classes - 1):
            # Rivals are the classes without the truth: those above it move down by one.
            theirs = np.take_along_axis(steps, (rival + (rival >= true))[None, :, None], axis=2)[:, :, 0]
            codes[rival, :, utterances[0] : utterances[-1] + 1] = (own - theirs).view(np.uint64)
    return Margins(codes=codes, start=start, guard=guard, unit=np.uint64(1))


def _choose_word(bits: int) -> np.dtype[np.unsignedinteger]:
    """The smallest word that holds all fields, else 64 bits: the search is bound by the bytes it moves."""
    return next((np.dtype(f"u{size}") for size in (1, 2, 4) if bits <= 8 * size), np.dtype("u8"))


def _pad(n: int) -> int:
    return -(-n // 8) * 8
