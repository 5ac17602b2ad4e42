"""The searches in machine code: a posed problem in, the best ensembles and the histogram out."""

from functools import cache

from ser_store.common.log import LOGGER


@cache
def find_obstacle() -> str | None:
    """Return why compiled code cannot be had here, in a few words, or None; where it cannot, it is logged.

    Tried once a process, and by what a long search needs: numba and llvmlite, the insides of both that vectors rest on,
    and a compiler for this processor.
    """
    obstacle = _try_vectors()
    if obstacle is not None:
        LOGGER.warning("voting in numpy, slower but with equal results: there is no compiled code here (%s)", obstacle)
    return obstacle


def _try_vectors() -> str | None:
    import numpy as np

    try:
        from numba import config

        if config.DISABLE_JIT:
            return "NUMBA_DISABLE_JIT is set"
        from ser_store.voting.compiled.simd import count_common_bits

        words = np.arange(8, dtype=np.uint64)
        if count_common_bits(words, 7) != 0b11111110 or words.tolist() != [0, 1, 1, 2, 1, 2, 2, 3]:
            return "it counts wrong"
    except Exception as problem:  # noqa: BLE001  # other insides, or no compiler, raise whatever they like
        return " ".join(f"{type(problem).__name__}: {problem}".split())[:120]
    return None
