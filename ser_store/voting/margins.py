"""Margins of the truth over its rivals, packed so that one addition per member and utterance votes for all classes.

For an utterance of true class y, the margin over a rival w is ``votes[y] - votes[w]``, less 1 where w would win an
even vote. The ensemble is right where no margin is negative. A vote for y adds 1 to every margin, a vote for w takes
1 from one of them, so that margins are sums over the members. They are kept as bit fields of unsigned words, offset
by half the range of a field: the top bit of a field, its guard, is set where the margin is not negative. As no field
leaves its range, none borrows from its neighbour.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.unsignedinteger]


@dataclass(frozen=True)
class Margins:
    """The numbers that every member adds to the margins of every utterance.

    Utterances are padded with ones that no ensemble gets right to ``p``, a multiple of 8.

    Attributes:
        codes: ``(f, m, p)`` unsigned, what member m adds; ``f`` words hold the fields of all rivals.
        start: ``(f, p)``, margins of no votes; without guards for the padding.
        guard: the guards of one word.
        unit: in every field of one word 1; with slack 1 more than twice as much.
        is_decisive: whether an ensemble is right where no margin is negative; else it may be, and is for sure, without
            a tie, where none is less one ``unit``.
    """

    codes: Words
    start: Words
    guard: np.unsignedinteger
    unit: np.unsignedinteger
    is_decisive: bool

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
    slack: int = 0,
) -> Margins:
    """Return the margins of hard voting among ``k`` members; they decide ties by ``lowest`` and ``abstain`` too.

    Args:
        predictions: ``(m, n)`` class indices.
        truth: ``(n,)`` class indices.
        weights: ``(m,)`` whole numbers: how many votes a member has. Default: one.
        slack: by how many votes a margin may be too high or too low.
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
    is_decisive = tie in ("lowest", "abstain") and not slack
    if is_decisive and tie == "lowest":
        loses_even_vote = rival[:, None] < truth
    elif is_decisive:
        loses_even_vote[:] = True

    padded = _pad(n)
    start = np.zeros((n_words, padded), dtype=dtype)
    start[:, :n] = guard + unit * dtype.type(slack) - single @ loses_even_vote.astype(dtype)
    # Rivals are the classes without y: those above it move down by one.
    against = predictions - (predictions > truth)
    codes = np.zeros((n_words, m, padded), dtype=dtype)
    of_member = np.ones((m, 1), dtype=dtype) if weights is None else weights[:, None].astype(dtype)
    for word in range(n_words):
        loss = np.append(-single[word], dtype.type(0))
        codes[word, :, :n] = np.where(predictions == truth, unit, loss[against]) * of_member
    unit *= dtype.type(2 * slack + 1)
    return Margins(codes=codes, start=start, guard=guard, unit=unit, is_decisive=is_decisive)


def encode_steps(steps: NDArray[np.int64], truth: NDArray[np.intp], *, slack: int = 0) -> Margins:
    """Return the margins of soft voting: the sum of the true class less that of each rival, in 64-bit fields.

    Args:
        steps: ``(m, n, c)``, what all members give each class.
        truth: ``(n,)`` class indices.
        slack: by how many steps a margin may be too high or too low.
    """
    m, n, n_classes = steps.shape
    padded = _pad(n)
    guard = np.uint64(1 << 63)
    start = np.zeros((n_classes - 1, padded), dtype=np.uint64)
    codes = np.zeros((n_classes - 1, m, padded), dtype=np.uint64)
    loses_even_sum = np.arange(n_classes - 1)[:, None] < truth
    start[:, :n] = guard + np.uint64(slack) if slack else guard - loses_even_sum.astype(np.uint64)
    own = np.take_along_axis(steps, truth[None, :, None], axis=2)[:, :, 0]
    for rival in range(n_classes - 1):
        # Rivals are the classes without the truth: those above it move down by one.
        theirs = np.take_along_axis(steps, (rival + (rival >= truth))[None, :, None], axis=2)[:, :, 0]
        codes[rival, :, :n] = (own - theirs).view(np.uint64)
    return Margins(codes=codes, start=start, guard=guard, unit=np.uint64(2 * slack + 1), is_decisive=not slack)


def _choose_word(bits: int) -> np.dtype[np.unsignedinteger]:
    """Return the smallest word that holds all fields, else 64 bits: the search is bound by the bytes it moves."""
    return next((np.dtype(f"u{size}") for size in (1, 2, 4) if bits <= 8 * size), np.dtype("u8"))


def _pad(n: int) -> int:
    return -(-n // 8) * 8
