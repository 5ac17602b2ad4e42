"""Checkpoints while a run is trained: written behind the training, marked once they are whole, older ones removed."""

import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from ser_store.common.threads import open_pool
from ser_store.errors import StoreError
from ser_store.inference.out_of_memory import is_out_of_memory
from ser_store.training.checkpointing.checkpoints import find_folders, flush, is_whole, keep_last, mark_whole
from ser_store.training.checkpointing.snapshot import HostBuffers, split_optimizer, write_tensors
from ser_store.training.distributed.processes import is_lost_connection

WEIGHTS_NAME, OPTIMIZER_NAME = "model.safetensors", "optimizer.safetensors"


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


class CheckpointWriter:
    """Writes each checkpoint in a thread from a copy in the host's memory, while the training goes on.

    One is written at a time: before the next, before an evaluation, and at the end it is waited for, and what was wrong
    with it is raised there. So a kill loses no more than the one that is being written, and no member of a later step
    is in the store before it is whole.

    At no time are there more than ``limit`` of them on the disk, or two where ``limit`` is one; and at all times, from
    the first on, one is there that was written whole. It is flushed to the disk before another goes, so that a power
    failure leaves it, too: which costs little where it has mostly got there by itself, since the next is written.
    """

    def __init__(self, checkpoints: Path, *, training: str, limit: int) -> None:
        self._checkpoints = checkpoints
        self._training = training
        self._limit = limit
        self._weights, self._moments = HostBuffers(), HostBuffers()
        self._copied: tuple[int, dict[str, Tensor] | None] = (-1, None)
        self._writing: Future[None] | None = None

    @contextmanager
    def waited_for(self) -> Iterator[None]:
        """At every way out, the last checkpoint is written; what was wrong with it goes before what came after."""
        try:
            yield
        finally:
            self.wait()

    def wait(self) -> None:
        """Wait until no checkpoint is being written.

        Raises:
            StoreError: if the last could not be.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def copy_weights(self, model: Any, step: int) -> Mapping[str, Tensor]:
        """The weights after a step: a copy, made once for its evaluation and its checkpoint, where there is memory."""
        weights: dict[str, Tensor] = model.state_dict()
        if self._copied[0] != step:
            self.wait()
            self._copied = step, self._weights.copy(weights)
        return self._copied[1] or weights

    def save(self, step: int, model: Any, optimizer: Any, files: Mapping[str, bytes]) -> None:
        """Begin to write the checkpoint of a step; where there is no memory for a copy, write it at once.

        Args:
            files: what it has beside weights and moments, by name.
        """
        weights = self.copy_weights(model, step)
        moments, groups = split_optimizer(optimizer.state_dict())
        copied = self._moments.copy(moments)
        tensors = {WEIGHTS_NAME: (weights, {"format": "pt"}), OPTIMIZER_NAME: (copied or moments, groups)}
        self._writing = open_pool(os.getpid(), "checkpoint", 1).submit(self._write, step, tensors, files)
        if copied is None or self._copied[1] is None:
            self.wait()

    def _write(
        self,
        step: int,
        tensors: Mapping[str, tuple[Mapping[str, Tensor], Mapping[str, str]]],
        files: Mapping[str, bytes],
    ) -> None:
        with stated_writing(self._checkpoints):
            self.make_room()
            folder = self._checkpoints / f"checkpoint-{step}"
            folder.mkdir(parents=True)
            for name, content in files.items():
                (folder / name).write_bytes(content)
            checksums = {
                name: write_tensors(folder / name, named, metadata=metadata)
                for name, (named, metadata) in tensors.items()
            }
            self.finish(step, checksums)

    def make_room(self) -> None:
        """Before a checkpoint is written: remove those that will be too many by it."""
        for folder in find_folders(self._checkpoints):
            if is_whole(folder):
                flush(folder)
        keep_last(self._checkpoints, max(1, self._limit - 1))

    def finish(self, step: int, checksums: Mapping[str, int] | None = None) -> None:
        """When all of a checkpoint is written: mark it, and remove those that are too many now."""
        folder = self._checkpoints / f"checkpoint-{step}"
        if self._limit == 1:
            flush(folder)  # it alone is left
        mark_whole(folder, training=self._training, checksums=checksums or {})
        keep_last(self._checkpoints, self._limit)
