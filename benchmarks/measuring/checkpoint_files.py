"""Checkpoints of full-size backbones, really written: as large as any, whatever the weights are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from ser_store.backbones.checkpoint import quiet_transformers
from ser_store.backbones.model import SpeechClassifier, build_config
from ser_store.backbones.source import find_source


@dataclass(frozen=True)
class CheckpointFile:
    """The weights of a classifier on disk.

    Attributes:
        parameters: counted on tensors that have shapes and no memory (torch's meta device).
        bytes: of the files that fine-tuning writes for them, without those that only describe the model.
    """

    parameters: int
    bytes: int


def write_checkpoints(keys: Sequence[str], *, n_classes: int, folder: Path) -> dict[str, CheckpointFile]:
    """Write the classifier of each backbone once, in float32, and remove it again; those of the same layout together.

    Args:
        keys: of the catalogue.
        n_classes: of the head.
        folder: where the files are for a while, one checkpoint at a time.

    Raises:
        OSError: if there is no space for one.
    """
    written: dict[str, CheckpointFile] = {}
    layouts: dict[tuple[object, ...], CheckpointFile] = {}
    for key in keys:
        source = find_source(key, init="random", checkpoint=None)
        config = build_config(source.config, [str(place) for place in range(n_classes)], pooling="mean")
        with torch.device("meta"):
            model = SpeechClassifier(config)
        layout = tuple((name, tensor.shape, tensor.dtype) for name, tensor in model.state_dict().items())
        if layout not in layouts:
            layouts[layout] = _write(model, folder)
        written[key] = layouts[layout]
    return written


def _write(model: SpeechClassifier, folder: Path) -> CheckpointFile:
    parameters = sum(parameter.numel() for parameter in model.parameters())
    model.to_empty(device="cpu")
    with TemporaryDirectory(dir=folder) as checkpoint, quiet_transformers():
        model.save_pretrained(checkpoint)
        return CheckpointFile(parameters, sum(path.stat().st_size for path in Path(checkpoint).glob("*.safetensors")))
