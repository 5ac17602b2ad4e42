"""Checkpoints while a run is trained: one that cannot be written is a stated problem, older ones go, all are marked."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import TrainerCallback

from ser_store.errors import StoreError
from ser_store.inference.out_of_memory import is_out_of_memory
from ser_store.training.checkpointing.checkpoints import (
    Layout,
    find_folders,
    find_layout,
    flush,
    is_whole,
    keep_last,
    mark_whole,
)
from ser_store.training.distributed.processes import is_lost_connection, is_main, wait_for_all


@contextmanager
def stated_writing(checkpoints: Path) -> Iterator[None]:
    """Within, a checkpoint is written in ``checkpoints``.

    Raises:
        StoreError: if it cannot be, which torch and safetensors call by names of their own.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as problem:
        if is_out_of_memory(problem) or is_lost_connection(problem):
            raise
        free = shutil.disk_usage(checkpoints).free
        reason = " ".join(str(problem).split())[:120]
        raise StoreError(
            f"{checkpoints}: a checkpoint could not be written ({reason}; {free / 1e9:.1f} GB are free there): "
            "expected space for one; make room, then go on with `resume`"
        ) from problem


class CheckpointKeeper(TrainerCallback):
    """Marks each checkpoint once it is whole, and removes older ones before the next is written.

    At no time are there more than ``limit`` of them on the disk, or two where ``limit`` is one; and at all times, from
    the first on, one is there that was written whole. It is flushed to the disk before another goes, so that a power
    failure leaves it, too: which costs little where it has mostly got there by itself, since the next is written.
    """

    def __init__(self, checkpoints: Path, *, training: str, limit: int) -> None:
        self._checkpoints = checkpoints
        self._training = training
        self._limit = limit

    def make_room(self) -> None:
        """Before a checkpoint is written: remove those that will be too many by it. All processes must call it."""
        if is_main():
            for folder in find_folders(self._checkpoints):
                if is_whole(folder):
                    flush(folder)
            keep_last(self._checkpoints, max(1, self._limit - 1))
        wait_for_all()

    def on_save(
        self, args: Any, state: Any, control: Any, model: Any = None, processing_class: Any = None, **_: Any
    ) -> None:
        wait_for_all()  # each process writes the state of its own random generators
        if not state.is_world_process_zero:
            return
        saved = self._checkpoints / f"checkpoint-{state.global_step}"
        if find_layout(saved) is Layout.SHARDS:
            # The Trainer leaves them out, and the shards alone are no model once they are joined.
            model.config.save_pretrained(saved)
            processing_class.save_pretrained(saved)
        if self._limit == 1:
            flush(saved)  # it alone is left
        mark_whole(saved, training=self._training)
        keep_last(self._checkpoints, self._limit)
