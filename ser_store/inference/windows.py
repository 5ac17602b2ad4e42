"""Utterances of any length: windows that pass the model one by one, pooled as if they had passed it together.

Attention over an hour is impossible; over windows of a stated length, memory is that of one window. What is pooled is
exact over the frames of all windows, each of which has looked at its own window.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ser_store.audio.decode import SAMPLE_RATE
from ser_store.backbones.description import Statistic
from ser_store.errors import UnknownNameError, describe_unknown

_COMBINED = ("mean", "sum", "max", "std")


def is_long(item: dict[str, Any], seconds: float) -> bool:
    """Whether an item of the dataset is longer than a window."""
    return bool(item["sample_count"] > seconds * SAMPLE_RATE)


def cut_windows(item: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
    """Return windows of an item, of equal length to one value, and of at most ``seconds``."""
    values, samples = item["input_values"], item["sample_count"]
    n, per_value = len(values), max(1, samples // len(values))
    count = -(-n // max(1, int(seconds * SAMPLE_RATE / per_value)))
    bounds = itertools.pairwise([n * place // count for place in range(count + 1)])
    return [
        {**item, "input_values": values[start:end], "sample_count": (end - start) * per_value} for start, end in bounds
    ]


def combine_windows(windows: Tensor, frame_counts: Sequence[int], statistics: Sequence[Statistic]) -> Tensor:
    """Pool what was pooled of windows: ``(..., h · n_statistics)`` float32 as of all their frames at once.

    Args:
        windows: ``(w, ..., h · n_statistics)``, what each window says.
        frame_counts: of each window.
        statistics: which vectors stand one after the other; a standard deviation needs the mean before it.

    >>> mean_and_std = torch.tensor([[1.0, 0.0], [4.0, 0.0]])
    >>> combine_windows(mean_and_std, [2, 1], ["mean", "std"])
    tensor([2.0000, 1.4142])
    """
    shares = torch.tensor(frame_counts, dtype=torch.float64, device=windows.device)
    shares = (shares / shares.sum()).reshape(-1, *[1] * (windows.ndim - 1))
    parts = dict(zip(statistics, windows.double().chunk(len(statistics), dim=-1), strict=True))
    combined = []
    for statistic, part in parts.items():
        if statistic == "mean":
            combined.append((part * shares).sum(dim=0))
        elif statistic == "sum":
            combined.append(part.sum(dim=0))
        elif statistic == "max":
            combined.append(part.amax(dim=0))
        elif statistic == "std":
            means = parts["mean"]
            apart = means - (means * shares).sum(dim=0)
            combined.append(((part.square() + apart.square()) * shares).sum(dim=0).sqrt())
        else:
            raise UnknownNameError(describe_unknown("statistic", statistic, _COMBINED))
    return torch.cat(combined, dim=-1).float()
