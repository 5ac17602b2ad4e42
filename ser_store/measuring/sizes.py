"""How small the store is beside the checkpoints it replaces, for each of the published backbones."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ser_store.backbones.catalogue import list_backbones
from ser_store.measuring.surroundings import list_package_versions
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


@dataclass(frozen=True)
class BackboneSize:
    """One backbone: a checkpoint, and the member file that is kept of it.

    Attributes:
        backbone: the catalogue's key.
        hidden_size: numbers in a pooled representation.
        parameters: with a head for eight classes.
        checkpoint_bytes: parameters in float32, no optimizer state.
        published_bytes: what Table 6 of the paper says.
        member_bytes: a member file as it was written: pooled representations float16, logits float32.
    """

    backbone: str
    hidden_size: int
    parameters: int
    checkpoint_bytes: int
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


def compare_sizes(*, n: int = 1440, n_classes: int = 8, steps: int = 14, folder: Path | None = None) -> SizeComparison:
    """Write one member of each hidden size, and set it beside the checkpoint it replaces.

    Args:
        n: utterances; RAVDESS has 1,440.
        steps: cached steps of each backbone; the published recipe makes 14.
        folder: where the files are written, for a while. Default: the system's temporary folder.
    """
    backbones = [backbone for backbone in list_backbones() if backbone.key in PUBLISHED_BYTES]
    with tempfile.TemporaryDirectory(dir=folder, prefix=".serstore-bench-") as scratch:
        written = {
            hidden: _write_member(Path(scratch) / str(hidden), n=n, n_classes=n_classes, hidden=hidden)
            for hidden in sorted({backbone.hidden_size for backbone in backbones})
        }
    return SizeComparison(
        n,
        n_classes,
        steps,
        tuple(
            BackboneSize(
                backbone=backbone.key,
                hidden_size=backbone.hidden_size,
                parameters=backbone.parameters,
                checkpoint_bytes=backbone.bytes_fp32,
                published_bytes=PUBLISHED_BYTES[backbone.key],
                member_bytes=written[backbone.hidden_size],
            )
            for backbone in backbones
        ),
    )


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
