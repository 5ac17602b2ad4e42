"""A model's forward passes outside of training."""

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ser_store.backbones.families.invariance import known_lengths
from ser_store.backbones.halves import compute_lower
from ser_store.backbones.model import LayerChoice
from ser_store.common.threads import open_pool
from ser_store.inference.dataset import SpeechDataset, collate_speech
from ser_store.inference.frozen_states import FrozenStates
from ser_store.inference.memory import kept_heap
from ser_store.inference.windows import combine_windows, cut_windows, is_long
from ser_store_h5.progress import Progress, silent

_AUTOCAST = {"fp16": torch.float16, "bf16": torch.bfloat16}


def cut_batches(lengths: Sequence[float], *, size: int, most: float = math.inf) -> list[range]:
    """Return the places of each batch, one after the other: at most ``size``, and ``most`` in length with the padding.

    An utterance longer than ``most`` is a batch of its own.

    >>> cut_batches([5, 5, 3, 3, 3], size=4, most=10)
    [range(0, 2), range(2, 5)]
    """
    batches, start, longest = [], 0, 0.0
    for place, length in enumerate(lengths):
        longest = max(longest, length)
        if place > start and (place - start == size or longest * (place - start + 1) > most):
            batches.append(range(start, place))
            start, longest = place, length
    return [*batches, range(start, len(lengths))] if len(lengths) else []


def iter_batches(
    model: Any,
    dataset: SpeechDataset,
    batches: Iterable[Sequence[int]],
    *,
    precision: str = "fp32",
    layers: LayerChoice | None = None,
    window_seconds: float = math.inf,
    device: str | None = None,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield logits (b, c) and pooled (b, d) float32 of one batch after the other.

    While a batch is computed, the next one is decoded.

    Args:
        batches: places in the dataset, see :func:`cut_batches`; those longer than a window are alone in theirs.
        layers: of which the pooled ones are, (b, n_layers, d). Default: the last hidden states alone, (b, d).
        precision: as in :class:`~ser_store.recipes.recipe.Recipe`, so that a checkpoint says here what it said in the
            evaluation passes of its training.
        window_seconds: what is longer passes the model in windows, see :mod:`ser_store.inference.windows`.
        device: ``cpu`` or ``cuda``. Default: see :func:`find_device`.
    """
    own = find_device() if device is None else torch.device(device)
    model = model.to(own).eval()

    def forward(items: Sequence[dict[str, Any]], chosen: LayerChoice | None) -> Any:
        batch = collate_speech(items)
        values, mask = batch["input_values"].to(own), batch["attention_mask"].to(own)
        return model(values, attention_mask=mask, sample_counts=batch["sample_counts"], layers=chosen)

    with kept_heap():
        for items in _iter_read_ahead(dataset, batches):
            with torch.inference_mode(), stated_rounding(precision), _autocast(own, precision):
                if len(items) == 1 and is_long(items[0], window_seconds):
                    windows = cut_windows(items[0], window_seconds)
                    logits, pooled = _join(model, windows, lambda one, chosen: forward([one], chosen), layers)
                else:
                    said = forward(items, layers)
                    logits, pooled = said.logits, said.pooled if layers is None else said.layers
            yield logits.float().cpu().numpy(), pooled.float().cpu().numpy()


def _join(
    model: Any, windows: Sequence[dict[str, Any]], forward: Callable[..., Any], layers: LayerChoice | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (1, c) and pooled (1, d), or (1, n_layers, d), of the windows of one utterance."""
    has_std = layers is not None and "std" in layers.statistics
    asked = LayerChoice(layers.numbers, ("mean", "std")) if layers is not None and has_std else layers
    said = [forward(window, asked) for window in windows]
    counts = model.backbone.count_frames([window["sample_count"] for window in windows])
    pooled = combine_windows(torch.cat([one.pooled for one in said]), counts, (model.config.pooling,))[None]
    logits = model.classifier(pooled)
    if layers is None or asked is None:
        return logits, pooled
    joined = combine_windows(torch.cat([one.layers for one in said]), counts, asked.statistics)[None]
    # The mean was asked for beside a standard deviation that may be wanted alone.
    return logits, joined[..., -joined.shape[-1] // 2 :] if layers.statistics == ("std",) else joined


def find_device() -> torch.device:
    """Return where training computes, and so extraction does: an accelerator (CUDA, MPS, XPU), else the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def fill_frozen(
    frozen: FrozenStates,
    model: Any,
    utterances: SpeechDataset,
    places: Sequence[int],
    *,
    size: int,
    precision: str,
    progress: Progress = silent,
) -> None:
    """Compute and keep what enters a model's ``entry_layer`` where that is missing, ``size`` utterances at a time.

    Args:
        utterances: as their dataset varies them in its epoch.
        places: which of them.
        precision: see :func:`iter_batches`.
    """
    lengths = utterances.load_lengths()
    longest_first = sorted(places, key=lambda place: -lengths[place])
    missing = [place for place in longest_first if not frozen.has(utterances.name_states(place))]
    batches = [missing[start : start + size] for start in range(0, len(missing), size)]
    if not batches:
        return
    shown = progress(batches, total=len(batches), label="caching frozen layers")
    device = find_device()
    model = model.to(device).eval()
    with kept_heap():
        for places, items in zip(shown, _iter_read_ahead(utterances.without_states(), batches), strict=True):
            batch = collate_speech(items)
            values, mask = batch["input_values"].to(device), batch["attention_mask"].to(device)
            with (
                torch.inference_mode(),
                stated_rounding(precision),
                _autocast(device, precision),
                known_lengths(model.backbone, batch["sample_counts"]) as counts,
            ):
                states = compute_lower(model.backbone, model.entry_layer, values, mask).float().cpu().numpy()
            for place, frames, count in zip(places, states, counts, strict=True):
                frozen.keep(utterances.name_states(place), frames[:count])


def _iter_read_ahead(dataset: SpeechDataset, batches: Iterable[Sequence[int]]) -> Iterator[list[dict[str, Any]]]:
    reader = open_pool(os.getpid(), "reading ahead", 1)
    to_come = (reader.submit(dataset.__getitems__, places) for places in batches)
    ahead = deque(islice(to_come, 2))
    try:
        while ahead:
            yield ahead.popleft().result()
            ahead.extend(islice(to_come, 1))
    finally:
        for batch in ahead:
            batch.cancel()
        wait(ahead)


@contextmanager
def stated_rounding(precision: str) -> Iterator[None]:
    """Let a GPU round what it multiplies in float32 as the precision says; afterwards as before.

    ``fp32`` rounds nothing, where torch's convolutions else round to the 10 bits of TF32; ``tf32`` rounds in products
    of matrices too; ``fp16`` and ``bf16`` leave it at convolutions. torch's older flags alone are used, here and in all
    of this package: once its newer ones are set, as transformers sets them for good, the older cannot be read any more.
    """
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = precision != "fp32"
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


def _autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    if precision not in _AUTOCAST:
        return nullcontext()
    return torch.autocast(device.type, dtype=_AUTOCAST[precision])
