"""Decoded recordings, kept in memory by what is heard in them."""

import numpy as np
from numpy.typing import NDArray

# Decoding costs 0.8 ms an utterance, 2 ms where it is to be resampled from 48 kHz; 1,440 of them take 0.35 GB.
CACHE_BYTES = 1 << 30


class SpeechCache:
    """Keeps arrays of samples under keys of their content until they take ``limit`` bytes; later ones are not kept.

    Data-loading processes that are forked share what was there before them, and forget what they keep themselves.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._room = limit
        self._kept: dict[bytes, NDArray[np.float32]] = {}

    def get(self, key: bytes) -> NDArray[np.float32] | None:
        """``(n,)`` float32, or None where they are not kept."""
        return self._kept.get(key)

    def keep(self, key: bytes, samples: NDArray[np.float32]) -> bool:
        """Keep ``samples`` if there is room; says whether they are kept."""
        if key not in self._kept and samples.nbytes <= self._room:
            self._kept[key] = samples
            self._room -= samples.nbytes
        return key in self._kept
