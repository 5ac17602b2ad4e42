"""What the frozen layers of a backbone say of utterances: computed once, kept on disk, read in every later epoch."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.backbones.configuration import describe_configuration
from ser_store_h5.disk.atomic import LEFTOVER_SUFFIX

# Half the room, and more digits than these computations have.
_NARROW = ("bf16", "fp16")


class FrozenStates:
    """Frames ``(f, h)`` of utterances, each in a file named after what it was computed from.

    Files appear whole or not at all, so that several runs may share a folder; one that a fault of the disk has spoiled
    is computed again. The folder may be removed at any time between two runs.

    Args:
        folder: of the files, whatever backbones they are of.
        identity: of the frozen part: everything beside the samples that decides what it says.
        precision: as in :class:`~ser_store.recipes.recipe.Recipe`.
    """

    def __init__(self, folder: Path, *, identity: str, precision: str) -> None:
        self._folder = folder / hashlib.sha256(f"{identity} {precision}".encode()).hexdigest()[:16]
        self._dtype = np.dtype(np.float16 if precision in _NARROW else np.float32)
        self._folder.mkdir(parents=True, exist_ok=True)

    def load(self, key: bytes) -> NDArray[np.float32]:
        """Return the frames ``(f, h)`` float32 under a key.

        Raises:
            OSError, ValueError, EOFError: if they are not there whole.
        """
        kept: NDArray[np.floating[Any]] = np.load(self._find(key), allow_pickle=False)
        return kept.astype(np.float32)

    def keep(self, key: bytes, frames: NDArray[np.float32]) -> None:
        """Write the frames under a key, whatever was there."""
        path = self._find(key)
        temporary = path.with_name(f".{path.name}.{os.getpid()}{LEFTOVER_SUFFIX}")
        with temporary.open("wb") as file:
            np.save(file, frames.astype(self._dtype))
        temporary.replace(path)

    def has(self, key: bytes) -> bool:
        """Return whether frames are there under a key, whole."""
        try:
            np.load(self._find(key), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return False
        return True

    def _find(self, key: bytes) -> Path:
        return self._folder / f"{hashlib.sha256(key).hexdigest()[:32]}.npy"


def find_frozen_folder(store: Path) -> Path:
    """Beside the store, which holds nothing but what its format names: ``ser.store.frozen``."""
    return store.with_name(f"{store.name}.frozen")


def digest_frozen(model: Any) -> str:
    """SHA-256 (hex) of a classifier's frozen parameters by name, dtype and bytes, and how its backbone computes."""
    digest = hashlib.sha256(repr(sorted(describe_configuration(model.config.backbone_config).items())).encode())
    for name, parameter in sorted(model.backbone.named_parameters()):
        if not parameter.requires_grad:
            digest.update(f"{name} {parameter.dtype} ".encode() + parameter.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
