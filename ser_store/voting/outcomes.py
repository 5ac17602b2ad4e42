"""Which utterances every ensemble gets right, kept for as many ensembles as memory allows."""

import numpy as np
from numpy.typing import NDArray

from ser_store.voting.numpy_search import iter_right
from ser_store.voting.problem import Problem


def compute_outcomes(problem: Problem) -> NDArray[np.bool_]:
    """``(ensembles, n)`` bool, in the order of the search; one byte for each ensemble and utterance."""
    return np.concatenate([right.reshape(-1, right.shape[-1])[:, : problem.n] for right in iter_right(problem)])
