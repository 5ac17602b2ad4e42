"""Utterances as a model takes them: decoded, normalised one by one, padded to the longest of their batch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ser_store.audio import SAMPLE_RATE, load_speech
from ser_store.errors import CorpusError, SerstoreError
from ser_store_h5.corpus import Corpus

# Part of a member's provenance: what happened to the samples before the model saw them.
PREPROCESSING = "16 kHz mono, each utterance normalised by the model's feature extractor, v1"


class SpeechDataset(torch.utils.data.Dataset[dict[str, Any]]):
    """The utterances ``rows`` of a corpus; each item has ``input_values`` (t,) float32, ``label`` and ``row``."""

    def __init__(self, corpus: Corpus, rows: NDArray[np.int32], *, audio: Path, feature_extractor: Any) -> None:
        if corpus.paths is None:
            raise CorpusError(f"corpus {corpus.name} has no recordings")
        self._paths = [audio / path for path in corpus.paths[rows].tolist()]
        self._labels = corpus.labels[rows].tolist()
        self._rows = rows.tolist()
        self._extractor = feature_extractor

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        samples = load_speech(self._paths[index])
        # One utterance at a time: normalisation over a padded batch would depend on who else is in it.
        values = self._extractor(samples, sampling_rate=SAMPLE_RATE).input_values[0]
        return {
            "input_values": np.asarray(values, dtype=np.float32),
            "label": self._labels[index],
            "row": self._rows[index],
        }


def collate_speech(items: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Pad with zeros to the longest utterance of the batch.

    Returns:
        ``input_values`` (b, t) float32, ``attention_mask`` (b, t) int64 with 0 on padding, ``labels`` and ``rows``
        (b,) int64.
    """
    if not items:
        raise SerstoreError("an empty batch: expected at least one utterance")
    lengths = [len(item["input_values"]) for item in items]
    values = torch.zeros(len(items), max(lengths))
    mask = torch.zeros(len(items), max(lengths), dtype=torch.long)
    for place, (item, length) in enumerate(zip(items, lengths, strict=True)):
        values[place, :length] = torch.from_numpy(item["input_values"])
        mask[place, :length] = 1
    return {
        "input_values": values,
        "attention_mask": mask,
        "labels": torch.tensor([item["label"] for item in items]),
        "rows": torch.tensor([item["row"] for item in items]),
    }
