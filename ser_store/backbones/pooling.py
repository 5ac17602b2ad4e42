"""Pooling: the frames of an utterance become one vector, and padded frames never count."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from ser_store.errors import UnknownNameError, describe_unknown

Pooling = Literal["mean", "sum", "max"]
POOLINGS: tuple[str, ...] = get_args(Pooling)


def pool_frames(hidden: Tensor, frame_counts: Sequence[int], pooling: str) -> Tensor:
    """One vector per utterance, ``(b, h)`` float32 whatever the precision of ``hidden``.

    Args:
        hidden: ``(b, f, h)``, the frames of ``b`` utterances, padded on the right.
        frame_counts: how many of the ``f`` frames each utterance has, at least one.
        pooling: ``mean``, ``sum`` or ``max`` over these frames.

    Raises:
        UnknownNameError: for any other pooling.
    """
    # So small a tensor is copied without waiting for the accelerator to come to the end of what it does.
    counts = torch.tensor(frame_counts).to(hidden.device, non_blocking=True)
    padded = torch.arange(hidden.shape[1], device=hidden.device) >= counts[:, None]
    if pooling == "max":
        return hidden.masked_fill(padded[:, :, None], -torch.inf).amax(dim=1).float()
    summed = hidden.masked_fill(padded[:, :, None], 0).sum(dim=1, dtype=torch.float32)
    if pooling == "mean":
        summed = summed / counts[:, None]
    elif pooling != "sum":
        raise UnknownNameError(describe_unknown("pooling", pooling, POOLINGS))
    return summed
