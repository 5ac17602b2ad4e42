"""The most memory that something takes: on the GPU where there is one, else of this process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ser_store.errors import require

INTERVAL_SECONDS = 0.02


@dataclass
class Peak:
    """``bytes`` on the GPU, or by which the process grew; known when the measurement has ended."""

    bytes: int = 0


@contextmanager
def measure_peak() -> Iterator[Peak]:
    """Within, the memory is watched."""
    import torch

    peak = Peak()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        yield peak
        peak.bytes = torch.cuda.max_memory_allocated()
        return
    with _watch_process(peak):
        yield peak


@contextmanager
def _watch_process(peak: Peak) -> Iterator[None]:
    # Its stubs are a package of their own; accelerate brings it.
    process, ended = require("psutil").Process(), threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not ended.wait(INTERVAL_SECONDS):
            peak.bytes = max(peak.bytes, process.memory_info().rss - before)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
