"""The Trainer's checkpoints on disk: which of them are whole, which are kept, and the last to go on from.

The Trainer writes ``checkpoint-N`` in place, one file after the other. A checkpoint counts here only once it holds a
mark, written when all processes are done with it, that names the training, every file, its size and a checksum.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from transformers import TrainerCallback

from ser_store.common.log import report_damaged_checkpoint
from ser_store.errors import ModelError, StoreError
from ser_store.inference.out_of_memory import is_out_of_memory
from ser_store.training.checkpointing.checksums import compute_checksums, find_damage
from ser_store.training.processes import is_lost_connection, is_main
from ser_store_h5.disk.atomic import LEFTOVER_SUFFIX, remove_folder, write_text_atomically

MARK_NAME = "whole.json"
_STATE_NAME = "trainer_state.json"
_FULL_NAME = "pytorch_model_fsdp.bin"
_SHARDS_NAME = "pytorch_model_fsdp_0"
_FOLDER = re.compile(r"checkpoint-(\d+)")


class Layout(Enum):
    """How a checkpoint lies on disk: the weights of one process, or those of many with FSDP, whole or in shards."""

    PLAIN = "without FSDP"
    FULL = "with FSDP and FULL_STATE_DICT"
    SHARDS = "with FSDP and SHARDED_STATE_DICT"


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint.

    Attributes:
        folder: where it lies.
        step: optimizer steps done.
        is_last: whether training was over when it was taken.
    """

    folder: Path
    step: int
    is_last: bool


def find_folders(checkpoints: Path) -> list[Path]:
    """All checkpoint folders, whole or not, by ascending step."""
    found = [path for path in checkpoints.glob("checkpoint-*") if _FOLDER.fullmatch(path.name) and path.is_dir()]
    return sorted(found, key=_step)


def _step(folder: Path) -> int:
    return int(folder.name.removeprefix("checkpoint-"))


def find_last(checkpoints: Path, *, training: str | None = None) -> Checkpoint | None:
    """The whole checkpoint of the highest step, if there is one; damaged ones are reported and passed over.

    Args:
        checkpoints: their folder.
        training: what :func:`mark_whole` was told; default: any.

    Raises:
        StoreError: if it is of another training.
    """
    for folder in reversed(find_folders(checkpoints)):
        if not is_whole(folder):
            continue
        mark = _read_mark(folder)
        if training is not None and mark.get("training", training) != training:
            raise StoreError(
                f"{folder} is of another training: expected the checkpoints of this run; bring them back, or move that "
                "folder away, then run the same command with --resume"
            )
        # Marks of earlier releases have no checksums.
        damaged = find_damage(folder, list(mark["files"]), checksums=mark["crc32"]) if "crc32" in mark else None
        if damaged is None:
            state = json.loads((folder / _STATE_NAME).read_text(encoding="utf-8"))
            control = state["stateful_callbacks"]["TrainerControl"]["args"]
            return Checkpoint(folder, int(state["global_step"]), bool(control["should_training_stop"]))
        report_damaged_checkpoint(folder, damaged)
    return None


def _read_mark(folder: Path) -> dict[str, Any]:
    mark: dict[str, Any] = json.loads((folder / MARK_NAME).read_text(encoding="utf-8"))
    return mark


def is_whole(folder: Path) -> bool:
    """Whether all files are there that the mark names, in the sizes it names."""
    try:
        sizes = _read_mark(folder)["files"]
        return _STATE_NAME in sizes and all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def find_layout(folder: Path) -> Layout:
    """How a whole checkpoint was written."""
    if (folder / _SHARDS_NAME).is_dir():
        return Layout.SHARDS
    return Layout.FULL if (folder / _FULL_NAME).is_file() else Layout.PLAIN


def refuse_shards(folder: Path) -> None:
    """A checkpoint of shards can be gone on from; a model is read from it once they are joined.

    Raises:
        ModelError: if ``folder`` holds shards alone; says how to join them.
    """
    if find_layout(folder) is Layout.SHARDS and not (folder / "model.safetensors").is_file():
        raise ModelError(
            f"{folder} holds the shards of several processes: expected whole weights; join them with "
            f"`accelerate merge-weights {folder / _SHARDS_NAME} {folder}`"
        )


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
            "expected space for one; make room, then run the same command with --resume"
        ) from problem


def mark_whole(folder: Path, *, training: str) -> None:
    """State that all files in ``folder`` are written, by the training of this name."""
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in _iter_files(folder)}
    mark = {"training": training, "files": sizes, "crc32": compute_checksums(folder, list(sizes))}
    write_text_atomically(folder / MARK_NAME, json.dumps(mark, indent=1), replace=True)


def _iter_files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MARK_NAME)


def flush(folder: Path) -> None:
    """Wait until all files in ``folder`` are on the disk."""
    for path in _iter_files(folder):
        handle = os.open(path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def keep_last(checkpoints: Path, limit: int, *, last: int | None = None) -> None:
    """Remove all but the last ``limit`` whole checkpoints, and what was only half written or half removed.

    Args:
        checkpoints: their folder.
        limit: how many are kept.
        last: the step of the last that is good, those after it are damaged; default: all are good.
    """
    whole = [folder for folder in find_folders(checkpoints) if is_whole(folder)]
    kept = [folder for folder in whole if last is None or _step(folder) <= last][-limit:]
    for folder in find_folders(checkpoints):
        if folder not in kept:
            remove_folder(folder)
    for leftover in checkpoints.glob(f".checkpoint-*{LEFTOVER_SUFFIX}"):
        _remove_tree(leftover)


def _remove_tree(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


class CheckpointKeeper(TrainerCallback):
    """Marks each checkpoint once it is whole, and removes older ones before the next is written.

    At no time are there more than ``limit`` of them on the disk, or two where ``limit`` is one; and at all times, from
    the first on, one is there that was written whole. It is flushed to the disk before another goes, so that a power
    failure leaves it, too: which costs little where it has mostly got there by itself, since the next is written.
    """

    def __init__(self, checkpoints: Path, *, training: str, limit: int, wait_for_all: Callable[[], None]) -> None:
        self._checkpoints = checkpoints
        self._training = training
        self._limit = limit
        self._wait_for_all = wait_for_all

    def make_room(self) -> None:
        """Before a checkpoint is written: remove those that will be too many by it. All processes must call it."""
        if is_main():
            for folder in find_folders(self._checkpoints):
                if is_whole(folder):
                    flush(folder)
            keep_last(self._checkpoints, max(1, self._limit - 1))
        self._wait_for_all()

    def on_save(
        self, args: Any, state: Any, control: Any, model: Any = None, processing_class: Any = None, **_: Any
    ) -> None:
        self._wait_for_all()  # each process writes the state of its own random generators
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
