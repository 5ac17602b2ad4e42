"""What to do when memory runs out: the same batch in smaller parts, so that nothing about the training changes."""

import ctypes
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ser_store.errors import MemoryLimitError

Batch = Mapping[str, Any]

# As the allocators of torch on CUDA, ROCm, XPU, MPS, Gaudi and the CPU say it, the CUDA libraries, and the drivers.
_WANT_OF_MEMORY = re.compile(
    r"\bout of memory\b|(can't allocate|not enough) memory|PT_DEVMEM Allocation failed"
    r"|_(ALLOC_FAILED|OUT_OF_((DEVICE|HOST)_)?MEMORY|ERROR_MEMORY_ALLOCATION)\b|\b(cuda|hip)Error(MemoryAllocation|OutOfMemory)\b",
    re.IGNORECASE,
)
_PADDED = ("input_values", "attention_mask")
# How oneDNN, which convolves on a CPU, and C++ call it; neither says more.
_WORDLESS = frozenset(
    {
        "could not create a primitive",
        "could not create a memory object",
        "could not execute a primitive",
        "std::bad_alloc",
    }
)


def is_out_of_memory(problem: BaseException) -> bool:
    """Return whether an exception says that memory ran out, on an accelerator or on the CPU."""
    import torch

    if isinstance(problem, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(problem)
    return isinstance(problem, RuntimeError) and (text in _WORDLESS or _WANT_OF_MEMORY.search(text) is not None)


def free_memory() -> None:
    """Give back what the failed attempt left behind, so that the next one finds it."""
    from accelerate.utils.memory import clear_device_cache

    from ser_store.inference.memory import give_back_freed

    clear_device_cache(garbage_collection=True)
    # A heap that keeps what is freed keeps it in pieces, too small for the next attempt.
    give_back_freed()
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)


def count_utterances(batch: Batch) -> int:
    return len(batch["rows"])


def iter_parts(batch: Batch, size: int) -> Iterator[Batch]:
    """Yield a batch in parts of at most ``size`` utterances, each padded no further than its own longest utterance."""
    for start in range(0, count_utterances(batch), size):
        yield take_utterances(batch, start, start + size)


def take_utterances(batch: Batch, start: int, stop: int) -> Batch:
    """Return the utterances ``start:stop`` of a batch, padded no further than the longest of them."""
    if start == 0 and stop >= count_utterances(batch):
        return batch
    part = {name: values[start:stop] for name, values in batch.items()}
    longest = max(part["lengths"])
    for name in _PADDED:
        part[name] = part[name][:, :longest]
    return part


def sort_by_length(batch: Batch) -> Batch:
    """Return a batch's utterances by falling length, so that its parts have little padding."""
    order = sorted(range(count_utterances(batch)), key=lambda place: -batch["lengths"][place])
    return {
        name: [values[place] for place in order] if isinstance(values, list) else values[order]
        for name, values in batch.items()
    }


def join_batches(batches: Sequence[Batch]) -> Batch:
    """Return batches as one, padded to the longest utterance of all."""
    if len(batches) == 1:
        return batches[0]
    from torch import Tensor, cat
    from torch.nn.functional import pad

    longest = max(length for batch in batches for length in batch["lengths"])
    joined: dict[str, Any] = {}
    for name in batches[0]:
        parts = [batch[name] for batch in batches]
        if name in _PADDED:
            parts = [pad(part, (*(0, 0) * (part.ndim - 2), 0, longest - part.shape[1])) for part in parts]
        joined[name] = cat(parts) if isinstance(parts[0], Tensor) else [one for part in parts for one in part]
    return joined


def halve(size: int) -> int:
    """Return the next smaller micro-batch: half of it, rounded up."""
    return -(-size // 2)


def explain_limit(step: int, *, phase: str) -> MemoryLimitError:
    """Return the error for memory that ran out where smaller batches do not help: in loading, or in the optimizer."""
    return MemoryLimitError(
        f"out of memory in {phase} after step {step}, outside of the model's passes: expected room for a batch of "
        "recordings and for the optimizer; try a smaller "
        "`per_device_train_batch_size` with more `gradient_accumulation_steps`, fewer `dataloader_num_workers`, or a "
        "smaller `model`"
    )


def explain_single(step: int, *, phase: str) -> MemoryLimitError:
    """Return the error for a training that has no room for one utterance at a time."""
    return MemoryLimitError(
        f"out of memory in {phase} after step {step} with a single utterance at a time: expected room for one; try "
        "`gradient_checkpointing`, `precision` bf16, a smaller `max_seconds`, or a smaller `model`"
    )


def explain_utterance(member: str, utterance: str) -> MemoryLimitError:
    """Return the error for an extraction that has no room for one utterance."""
    return MemoryLimitError(
        f"{member}: out of memory with the utterance {utterance} alone: expected room for it; set `window_seconds` "
        "where it is long (`window` of `predict()`), end what else takes memory, or leave the recording out"
    )


def explain_processes(step: int, *, size: int, processes: int) -> MemoryLimitError:
    """Return the error for processes that train together: none can shrink its batches alone."""
    return MemoryLimitError(
        f"out of memory after step {step} with {size} utterances at a time on each of {processes} processes: expected "
        f"room for them; call `finetune()` with `resume`, which goes on from the last checkpoint with {halve(size)}"
    )
