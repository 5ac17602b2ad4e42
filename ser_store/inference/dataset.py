"""Utterances as a model takes them: decoded, normalised one by one, padded to the longest of their batch."""

import os
import signal
from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ser_store.audio.decode import SAMPLE_RATE
from ser_store.audio.recordings import Recordings
from ser_store.backbones.description import Context
from ser_store.common.threads import open_pool
from ser_store.errors import SerstoreError
from ser_store.inference.features import count_samples_per_value, extract_features
from ser_store.inference.frozen_states import FrozenStates
from ser_store.inference.transforms import Variation

_READERS = min(8, os.cpu_count() or 1)
_AT_ONCE = 64
# Decoding costs 0.8 ms an utterance, 2 ms where it is to be resampled from 48 kHz; 1,440 of them take 0.35 GB.
CACHE_BYTES = 1 << 30


class SpeechCache:
    """Decoded samples under keys of their content; once they take ``limit`` bytes, no more are kept.

    Data-loading processes that are forked share what was there before them, and forget what they keep themselves.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self._room = limit
        self._kept: dict[bytes, NDArray[np.float32]] = {}

    def get(self, key: bytes) -> NDArray[np.float32] | None:
        """Return the samples ``(n,)`` float32, or None where they are not kept."""
        return self._kept.get(key)

    def keep(self, key: bytes, samples: NDArray[np.float32]) -> bool:
        """Keep ``samples`` if there is room; returns whether they are kept."""
        if key not in self._kept and samples.nbytes <= self._room:
            self._kept[key] = samples
            self._room -= samples.nbytes
        return key in self._kept


class SpeechDataset(torch.utils.data.Dataset[dict[str, Any]]):
    """The recordings ``rows``, as a model takes them.

    Each item has ``input_values`` (t,) or (t, n) float32, ``sample_count``, ``label`` and ``row``.

    Args:
        labels: ``(n,)`` class indices of all rows there are. Default: 0 for each.
        variation: what training does to the samples of an epoch; None leaves them as they were recorded.
        cache: where decoded samples are kept, as a model takes them where no epoch varies them; may be shared with
            others of the same feature extractor.
        context: see :func:`~ser_store.inference.features.extract_features`.
        frozen: has what the frozen layers say of each, which items then have instead: ``input_values`` (f, h), and as
            ``sample_count`` these frames.
    """

    def __init__(
        self,
        recordings: Recordings,
        rows: NDArray[np.int32],
        *,
        feature_extractor: Any,
        labels: NDArray[np.integer[Any]] | None = None,
        variation: Variation | None = None,
        cache: SpeechCache | None = None,
        context: Context = "utterance",
        frozen: FrozenStates | None = None,
    ) -> None:
        self._recordings = recordings
        self.labels = np.zeros(len(rows), dtype=np.int16) if labels is None else labels[rows]
        self._rows = rows.tolist()
        self._extractor = feature_extractor
        self._variation = variation
        self._context = context
        self._frozen = frozen
        # Log-mel frames of thirty seconds take more room than most utterances.
        self._keeps_samples = variation is not None or context == "full"
        self._cache = cache or SpeechCache(limit=0)
        self._keys = [self._name_content(row) for row in self._rows]
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """The items of a batch, which torch asks for at once; those that are new are decoded side by side."""
        if torch.utils.data.get_worker_info() is not None:
            _leave_ending_to_parent()
        if self._frozen is not None:
            return [self._describe_states(index, self._frozen) for index in indices]
        kept = {index: self._cache.get(self._keys[index]) for index in indices}
        new = [index for index, samples in kept.items() if samples is None]
        read = dict(zip(new, self._read_all(new), strict=True))
        items = [self._describe(index, read[index] if index in read else kept[index]) for index in indices]
        for index, samples in read.items():
            self._cache.keep(self._keys[index], samples)
        return items

    def without_states(self) -> "SpeechDataset":
        """Return the same utterances as their samples, in the same epoch."""
        plain = copy(self)
        plain._frozen = None
        return plain

    def name_states(self, index: int) -> bytes:
        """A key for what the frozen layers say of an item: equal where the samples are that they hear."""
        variation = "" if self._variation is None else self._variation.describe(self.epoch, row=self._rows[index])
        return f"{self._context} {variation} ".encode() + self._keys[index]

    def fill_cache(self) -> None:
        """Decode what fits now, for data-loading processes, which forget after each epoch what they decode."""
        for start in range(0, len(self), _AT_ONCE):
            indices = range(start, min(start + _AT_ONCE, len(self)))
            read = zip(indices, self._read_all(indices), strict=True)
            if not all(self._cache.keep(self._keys[index], samples) for index, samples in read):
                return  # no room

    def set_epoch(self, epoch: int) -> None:
        """Vary the items as in this epoch from now on."""
        self.epoch = epoch

    def load_lengths(self) -> list[int]:
        """Return the number of samples of each utterance before any variation, without decoding it."""
        seconds = self._recordings.load_seconds(np.array(self._rows, dtype=np.int32))
        return [round(one * SAMPLE_RATE) for one in seconds.tolist()]

    def _name_content(self, row: int) -> bytes:
        """A key for what :meth:`_read` gives: equal recordings have equal ones, wherever they lie."""
        content = self._recordings.identify(row)
        return b"varied " + content if self._keeps_samples else content

    def _read(self, index: int) -> NDArray[np.float32]:
        """What can be kept of an utterance: all that is the same in each epoch."""
        samples = self._recordings.load(self._rows[index])
        return samples if self._keeps_samples else self._prepare(samples)

    def _read_all(self, indices: Sequence[int]) -> list[NDArray[np.float32]]:
        if len(indices) < 2:
            return [self._read(index) for index in indices]
        return list(open_pool(os.getpid(), "readers", _READERS).map(self._read, indices))

    def _describe(self, index: int, kept: Any) -> dict[str, Any]:
        item = {"label": int(self.labels[index]), "row": self._rows[index]}
        if not self._keeps_samples:
            return {"input_values": kept, "sample_count": len(kept) * count_samples_per_value(self._extractor), **item}
        varied = kept
        if self._variation is not None:
            varied = self._variation(kept, epoch=self.epoch, row=self._rows[index])
        return {"input_values": self._prepare(varied), "sample_count": len(varied), **item}

    def _describe_states(self, index: int, frozen: FrozenStates) -> dict[str, Any]:
        frames = frozen.load(self.name_states(index))
        item = {"label": int(self.labels[index]), "row": self._rows[index]}
        return {"input_values": frames, "sample_count": len(frames), **item}

    def _prepare(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        return extract_features(samples, self._extractor, context=self._context)


def _leave_ending_to_parent() -> None:
    """In a data-loading process: ignore what ends the one that asks for the items, which ends this one in time.

    A batch system or a terminal sends its signals to both, and the other would miss the next batch.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def collate_speech(items: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Pad with zeros to the longest utterance of the batch.

    Returns:
        ``input_values`` (b, t) or (b, t, n) float32, ``attention_mask`` (b, t) int64 with 0 on padding, ``labels`` and
        ``rows`` (b,) int64; and of each utterance, in lists, ``lengths``, the values of t that it has, and
        ``sample_counts``.
    """
    if not items:
        raise SerstoreError("an empty batch: expected at least one utterance")
    lengths = [len(item["input_values"]) for item in items]
    values = torch.zeros(len(items), max(lengths), *items[0]["input_values"].shape[1:])
    mask = torch.zeros(len(items), max(lengths), dtype=torch.long)
    for place, (item, length) in enumerate(zip(items, lengths, strict=True)):
        values[place, :length] = torch.from_numpy(item["input_values"])
        mask[place, :length] = 1
    return {
        "input_values": values,
        "attention_mask": mask,
        "labels": torch.tensor([item["label"] for item in items]),
        "rows": torch.tensor([item["row"] for item in items]),
        "lengths": lengths,
        "sample_counts": [item["sample_count"] for item in items],
    }
