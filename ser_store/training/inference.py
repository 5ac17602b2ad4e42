"""A model's forward passes outside of training."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ser_store.training.speech_dataset import SpeechDataset, collate_speech

_AUTOCAST = {"fp16": torch.float16, "bf16": torch.bfloat16}


def iter_batches(
    model: Any, dataset: SpeechDataset, *, batch_size: int, precision: str = "fp32"
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Logits (b, c) and pooled (b, d) float32 of one batch after the other, in the dataset's order.

    Args:
        precision: as in :class:`~ser_store.training.recipe.Recipe`, so that a checkpoint says here what it said in the
            evaluation passes of its training.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device).eval()
    for start in range(0, len(dataset), batch_size):
        batch = collate_speech([dataset[index] for index in range(start, min(start + batch_size, len(dataset)))])
        with torch.inference_mode(), exact_convolutions(precision), _autocast(device, precision):
            said = model(batch["input_values"].to(device), attention_mask=batch["attention_mask"].to(device))
        yield said.logits.float().cpu().numpy(), said.pooled.float().cpu().numpy()


@contextmanager
def exact_convolutions(precision: str) -> Iterator[None]:
    """Within, ``fp32`` is what it says on a GPU too, where convolutions else round to the 10 bits of TF32."""
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = precision != "fp32"
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = allowed


@contextmanager
def single_torch_thread() -> Iterator[None]:
    """Within, torch computes in the calling thread alone; afterwards as before."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    if precision not in _AUTOCAST:
        return nullcontext()
    return torch.autocast(device.type, dtype=_AUTOCAST[precision])
