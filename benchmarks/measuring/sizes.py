"""How small the store is beside the checkpoints it replaces, for each of the published backbones."""

import shutil
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from measuring.surroundings import list_package_versions
from ser_store.backbones.catalogue import list_backbones
from ser_store.errors import SerstoreError
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

# Table 6 of Gavali & Verma, "Ensemble of Large Self-Supervised Transformers for Improving Speech Emotion Recognition",
# IJDMMM 17(2), 2025: sizes of the fine-tuned models on disk.
PUBLISHED_BYTES = {
    "w2v2-large": 1_270_000_000,
    "xlsr53": 1_270_000_000,
    "hubert-base": 380_000_000,
    "hubert-xlarge": 3_860_000_000,
    "unispeech-large": 1_270_000_000,
    "unispeech-ml": 1_270_000_000,
}

# Left free on the disk when a checkpoint is written; and the most that names and shapes of all weights take in a file.
_ROOM, _HEADER = 1 << 30, 1 << 20


@dataclass(frozen=True)
class BackboneSize:
    """One backbone: a checkpoint, and the member file that is kept of it.

    Attributes:
        backbone: the catalogue's key.
        hidden_size: numbers in a pooled representation.
        parameters: with a head for eight classes.
        weights_bytes: of the parameters in float32, by arithmetic.
        checkpoint_bytes: of the file that fine-tuning writes for them; as ``weights_bytes`` where none was written.
        is_written: whether it was.
        published_bytes: what Table 6 of the paper says.
        member_bytes: a member file as it was written: pooled representations float16, logits float32.
    """

    backbone: str
    hidden_size: int
    parameters: int
    weights_bytes: int
    checkpoint_bytes: int
    is_written: bool
    published_bytes: int
    member_bytes: int

    @property
    def ratio(self) -> float:
        return self.checkpoint_bytes / self.member_bytes


@dataclass(frozen=True)
class SizeComparison:
    """All backbones, each at ``steps`` steps, on ``n`` utterances of ``n_classes`` classes."""

    n: int
    n_classes: int
    steps: int
    backbones: tuple[BackboneSize, ...]

    @property
    def members(self) -> int:
        return self.steps * len(self.backbones)

    @property
    def checkpoints_bytes(self) -> int:
        """Size of the checkpoints of all steps of all backbones."""
        return self.steps * sum(one.checkpoint_bytes for one in self.backbones)

    @property
    def store_bytes(self) -> int:
        """Size of the member files of all steps of all backbones."""
        return self.steps * sum(one.member_bytes for one in self.backbones)

    @property
    def ratio(self) -> float:
        return self.checkpoints_bytes / self.store_bytes

    def to_json(self) -> dict[str, Any]:
        totals = {"members": self.members, "checkpoints_bytes": self.checkpoints_bytes}
        return {
            "n": self.n,
            "n_classes": self.n_classes,
            "steps": self.steps,
            "backbones": [{**vars(one), "ratio": one.ratio} for one in self.backbones],
            **totals,
            "store_bytes": self.store_bytes,
            "ratio": self.ratio,
            "versions": list_package_versions(("ser-store", "h5py", "numpy")),
        }


def compare_sizes(
    *, n: int = 1440, n_classes: int = 8, steps: int = 14, folder: Path | None = None, with_checkpoints: bool = True
) -> SizeComparison:
    """Write one member of each hidden size and one checkpoint of each backbone, and set them beside each other.

    Args:
        n: utterances; RAVDESS has 1,440.
        steps: cached steps of each backbone; the published recipe makes 14.
        folder: where the files are written, for a while. Default: the system's temporary folder.
        with_checkpoints: write checkpoints where torch and transformers are installed and there is space for one at a
            time, 3.9 GB; else their sizes are those of the catalogue's parameters.

    Raises:
        SerstoreError: if a checkpoint that was written is not as large as its parameters.
    """
    backbones = [backbone for backbone in list_backbones() if backbone.key in PUBLISHED_BYTES]
    with tempfile.TemporaryDirectory(dir=folder, prefix=".serstore-bench-") as scratch:
        written = {
            hidden: _write_member(Path(scratch) / str(hidden), n=n, n_classes=n_classes, hidden=hidden)
            for hidden in sorted({backbone.hidden_size for backbone in backbones})
        }
        checkpoints = {}
        if with_checkpoints and _can_write(Path(scratch), max(one.bytes_fp32 for one in backbones)):
            checkpoints = _write_checkpoints([one.key for one in backbones], n_classes=n_classes, folder=Path(scratch))
    return SizeComparison(
        n,
        n_classes,
        steps,
        tuple(
            BackboneSize(
                backbone=backbone.key,
                hidden_size=backbone.hidden_size,
                parameters=backbone.parameters,
                weights_bytes=backbone.bytes_fp32,
                checkpoint_bytes=checkpoints.get(backbone.key, backbone.bytes_fp32),
                is_written=backbone.key in checkpoints,
                published_bytes=PUBLISHED_BYTES[backbone.key],
                member_bytes=written[backbone.hidden_size],
            )
            for backbone in backbones
        ),
    )


def _can_write(folder: Path, size: int) -> bool:
    return shutil.disk_usage(folder).free > size + _ROOM and all(map(find_spec, ("torch", "transformers")))


def _write_checkpoints(keys: list[str], *, n_classes: int, folder: Path) -> dict[str, int]:
    from measuring.checkpoint_files import write_checkpoints

    written = write_checkpoints(keys, n_classes=n_classes, folder=folder)
    for key, file in written.items():
        surplus = file.bytes - 4 * file.parameters
        if not 0 <= surplus <= _HEADER:
            raise SerstoreError(
                f"the checkpoint of {key} takes {file.bytes:,} bytes: expected {4 * file.parameters:,} for its "
                "parameters in float32, and a header; please report this"
            )
    return {key: file.bytes for key, file in written.items()}


def _write_member(path: Path, *, n: int, n_classes: int, hidden: int) -> int:
    """Size of the file of one member; nothing is compressed, so the numbers do not matter."""
    rows = np.arange(n, dtype=np.int32)
    classes = tuple(f"class-{place:04d}" for place in range(n_classes))
    labels = (rows % n_classes).astype(np.int16)
    store = Store.create(path, Corpus("measured", np.array([f"u{row:09d}" for row in rows]), labels, classes))
    store.add_run(RunRecord("measured", "finetune", "measured"))
    pooled, logits = np.zeros((n, hidden), dtype=np.float16), np.zeros((n, n_classes), dtype=np.float32)
    store.write_member(Member("measured", 0, rows, logits, pooled))
    return store.describe_member("measured@0").bytes
