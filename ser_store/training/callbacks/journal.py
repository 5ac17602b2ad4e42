"""The record of a run while it is trained: its state, what was done so far, and how long it took."""

import time
from typing import Any

from ser_store.training.callbacks.curves import read_seconds
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


class RunJournal:
    """Keeps ``run.json`` up to date.

    Every note begins from what the file says then: a step may have been selected while the run was trained.
    """

    def __init__(self, store: Store, run: str) -> None:
        self._store = store
        self._run = run
        self._before = read_seconds(store.curves(run))
        if store.has_run(run):
            self._before = max(self._before, float(store.run(run).details.get("seconds") or 0.0))
        self._started = time.perf_counter()

    def seconds(self) -> float:
        """How long the run has been trained, all its sessions together, as far as their curves go."""
        return self._before + time.perf_counter() - self._started

    def note(self, *, state: str | None = None, **details: Any) -> RunRecord:
        """Add to the record; returns it."""
        record = self._store.run(self._run).updated(state=state, **details)
        self._store.update_run(record)
        return record
