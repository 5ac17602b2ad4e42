"""How long a search may go on."""

import time
from threading import Lock


class Budget:
    """Time and nodes that threads share."""

    def __init__(self, *, max_seconds: float | None, max_nodes: int | None) -> None:
        self.nodes = 0
        self._max_nodes = max_nodes
        self._deadline = None if max_seconds is None else time.perf_counter() + max_seconds
        self._ended = False
        self._lock = Lock()

    @property
    def is_spent(self) -> bool:
        late = self._deadline is not None and time.perf_counter() >= self._deadline
        return self._ended or late or (self._max_nodes is not None and self.nodes >= self._max_nodes)

    def spend(self, nodes: int) -> None:
        with self._lock:
            self.nodes += nodes

    def end(self) -> None:
        self._ended = True
