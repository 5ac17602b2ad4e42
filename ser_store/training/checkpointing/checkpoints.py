"""The Trainer's checkpoints on disk: which of them are whole, which are kept, and the last to go on from.

The Trainer writes ``checkpoint-N`` in place, one file after the other. A checkpoint counts here only once it holds a
mark, written when all processes are done with it, that names the training, every file, its size and a checksum.
"""

import json
import os
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from ser_store.common.log import report_damaged_checkpoint
from ser_store.errors import ModelError, SerstoreError, StoreError
from ser_store_h5.disk.atomic import LEFTOVER_SUFFIX, remove_folder, remove_tree, write_text_atomically
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

MARK_NAME = "whole.json"
_STATE_NAME = "trainer_state.json"
_FULL_NAME = "pytorch_model_fsdp.bin"
_SHARDS_NAME = "pytorch_model_fsdp_0"
_FOLDER = re.compile(r"checkpoint-(\d+)")
# Archives with a CRC-32 of each tensor, as torch writes them; to compute another would take as long as to write them.
_ARCHIVES = {".pt", ".pth", ".bin"}
_BLOCK_BYTES = 1 << 22


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
                "folder away, then go on with `resume`"
            )
        # Marks of earlier releases have no checksums.
        damaged = _find_damage(folder, list(mark["files"]), checksums=mark["crc32"]) if "crc32" in mark else None
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


def choose_layout(plugin: Any) -> Layout:
    """How the Trainer's checkpoints will lie on disk."""
    if plugin is None:
        return Layout.PLAIN
    return Layout.FULL if plugin.state_dict_type.name == "FULL_STATE_DICT" else Layout.SHARDS


def refuse_other_layout(start: Path, layout: Layout) -> None:
    """Compare the checkpoint that is gone on from with those that this training would write.

    Raises:
        SerstoreError: if they differ.
    """
    found = find_layout(start)
    if found is not layout:
        raise SerstoreError(
            f"{start} was written {found.value}: got a training {layout.value}; resume with the configuration of "
            "accelerate that the run was begun with"
        )


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


def mark_whole(folder: Path, *, training: str, checksums: Mapping[str, int]) -> None:
    """State that all files in ``folder`` are written, by the training of this name; of some, checksums are known."""
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in _iter_files(folder)}
    others = [name for name in sizes if name not in checksums]
    mark = {"training": training, "files": sizes, "crc32": {**_compute_checksums(folder, others), **checksums}}
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
        remove_tree(leftover)


def _compute_checksums(folder: Path, names: list[str]) -> dict[str, int]:
    """CRC-32 of those of the files that are no archives with their own."""
    return {name: _compute_crc32(folder / name) for name in names if (folder / name).suffix not in _ARCHIVES}


def _find_damage(folder: Path, names: list[str], *, checksums: Mapping[str, int]) -> str | None:
    """The first of the files whose bytes are not those that were written; None if all are."""
    for name in names:
        path = folder / name
        is_archive = path.suffix in _ARCHIVES
        if _is_damaged(path) if is_archive else checksums.get(name, 0) != _compute_crc32(path):
            return name
    return None


def _compute_crc32(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _is_damaged(archive: Path) -> bool:
    try:
        with zipfile.ZipFile(archive) as opened:
            return opened.testzip() is not None
    except Exception:  # noqa: BLE001 - one flipped byte of the directory can make anything of it
        return True


def list_checkpoints(store: Store, record: RunRecord) -> dict[int, Path]:
    """Step to folder of the whole checkpoints that a run still has, ascending."""
    stated = record.details.get("checkpoints")
    found: dict[int, Path] = {}
    for folder in (store.run_folder(record.run) / "checkpoints", *([Path(str(stated))] if stated else [])):
        for checkpoint in folder.glob("checkpoint-*"):
            step = checkpoint.name.removeprefix("checkpoint-")
            if step.isdigit() and is_whole(checkpoint):
                found.setdefault(int(step), checkpoint)
    return dict(sorted(found.items()))


def find_checkpoint(store: Store, record: RunRecord, step: int | None) -> tuple[int, Path]:
    """Step and folder of the checkpoint to extract from.

    Raises:
        ModelError: naming the steps that have one, or saying how its shards are joined.
    """
    there = list_checkpoints(store, record)
    if not there and record.kind != "finetune":
        raise ModelError(
            f"run {record.run} is of kind {record.kind}, which has no checkpoints: expected a fine-tuned run"
        )
    if not there:
        raise ModelError(
            f"run {record.run} has no checkpoint left: expected one in {store.run_folder(record.run) / 'checkpoints'}; "
            "name its folder with `checkpoint` DIR and its step with `step` N"
        )
    if step is None:
        selected = record.selected.step if record.selected else -1
        step = selected if selected in there else max(there)
    if step not in there:
        raise ModelError(
            f"run {record.run} has no checkpoint of step {step}: there are {', '.join(map(str, there))}; `finetune()` "
            "keeps more with `save_total_limit`"
        )
    refuse_shards(there[step])
    return step, there[step]


def choose_folder(begun: RunRecord | None, given: str | os.PathLike[str] | None, *, default: Path) -> Path:
    """The folder of a run's checkpoints; that of a new run must have none, for old ones are removed from it.

    Raises:
        StoreError: if it has some, or is a file.
    """
    folder = default if given is None else Path(given)
    if folder.exists() and not folder.is_dir():
        raise StoreError(
            f"{folder} is a file: expected a folder for the checkpoints; name another with `checkpoints` DIR"
        )
    if begun is not None:
        stated = Path(str(begun.details.get("checkpoints", folder)))  # one that came in a pack does not say
        return stated if given is None and stated.is_dir() else folder
    others = find_folders(folder)
    if others:
        raise StoreError(
            f"{folder} holds {others[-1].name} of another training: expected a folder without checkpoints, since "
            "all but the last are removed; remove them, or name another folder with `checkpoints` DIR"
        )
    return folder
