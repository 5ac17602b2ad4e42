"""Pooled representations on their way into a store."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOAT16_LIMIT = 60_000.0


def narrow_pooled(pooled: NDArray[np.float32]) -> NDArray[Any]:
    """Return float16 where every number fits its range, as the store keeps them by default; else float32 unchanged."""
    return pooled.astype(np.float16) if float(np.abs(pooled).max(initial=0.0)) < FLOAT16_LIMIT else pooled
