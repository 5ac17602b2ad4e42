"""What to do when memory runs out: the same batch in smaller parts, so that nothing about the training changes."""

from collections.abc import Iterator, Mapping

from torch import Tensor

from ser_store.errors import SerstoreError

Batch = Mapping[str, Tensor]


class MemoryLimitError(SerstoreError):
    """Not even one utterance at a time fits into memory."""


def is_out_of_memory(problem: BaseException) -> bool:
    """Whether an exception says that memory ran out, on an accelerator or on the CPU."""
    import torch
    from accelerate.utils.memory import should_reduce_batch_size

    if isinstance(problem, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(problem, Exception) and should_reduce_batch_size(problem)


def free_memory() -> None:
    """Give back what the failed attempt left behind, so that the next one finds it."""
    from accelerate.utils.memory import clear_device_cache

    clear_device_cache(garbage_collection=True)


def count_utterances(batch: Batch) -> int:
    return len(batch["rows"])


def iter_parts(batch: Batch, size: int) -> Iterator[Batch]:
    """A batch in parts of at most ``size`` utterances, each padded no further than its own longest utterance."""
    count = count_utterances(batch)
    if size >= count:
        yield batch
        return
    for start in range(0, count, size):
        part = {name: values[start : start + size] for name, values in batch.items()}
        longest = int(part["attention_mask"].sum(dim=1).max())
        for name in ("input_values", "attention_mask"):
            part[name] = part[name][:, :longest]
        yield part


def halve(size: int) -> int:
    """The next smaller micro-batch: half of it, rounded up."""
    return -(-size // 2)


def explain_limit(step: int, *, phase: str) -> MemoryLimitError:
    """One utterance at a time does not fit: what does."""
    return MemoryLimitError(
        f"out of memory in {phase} after step {step} with a single utterance at a time: expected room for one; try "
        "--gradient-checkpointing, --precision bf16, a shorter maximum length, or a smaller --model"
    )


def explain_processes(step: int, *, size: int, processes: int) -> MemoryLimitError:
    """Several processes cannot each shrink their batches: they wait for one another after every one."""
    return MemoryLimitError(
        f"out of memory after step {step} with {size} utterances at a time on each of {processes} processes: expected "
        f"room for them; run the same command with --resume, which goes on from the last checkpoint with {halve(size)}"
    )
