"""Data parallelism: one process trains, evaluates and writes; the others train and evaluate with it.

``torchrun`` and ``accelerate launch`` start the same command once for each device and say in the environment which of
them a process is. The main process alone touches the store; the others are told what came of it.
"""

import atexit
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ser_store.errors import SerstoreError

T = TypeVar("T")

# A follower that meets the same stated problem as the main process leaves it time to say so: the launcher ends all
# processes as soon as one of them fails.
GRACE_SECONDS = 10.0


def count_processes() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process is the one that writes."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def stated_once() -> Iterator[None]:
    """A stated problem that all processes meet alike is left to the main process; the others end without a word."""
    try:
        yield
    except SerstoreError:
        if is_main():
            raise
        time.sleep(GRACE_SECONDS)
        raise SystemExit(1) from None


def choose_device() -> None:
    """Before the processes meet: without an accelerator, they compute on the CPU, which accelerate wants to be told."""
    import torch

    if count_processes() > 1 and not torch.accelerator.is_available():
        os.environ.setdefault("ACCELERATE_USE_CPU", "true")


def tell_all(compute: Callable[[], T]) -> T:
    """What ``compute`` gives in the main process, in every process. All must call it."""
    if count_processes() == 1:
        return compute()
    from accelerate.utils import broadcast_object_list

    told: list[T | None] = [compute() if is_main() else None]
    broadcast_object_list(told, from_process=0)
    value: T = told[0]  # type: ignore[assignment]  # None stood for what the main process had not said yet
    return value


def compute_mean(value: float, device: Any) -> float:
    """The mean of a number over all processes, rounded to float32. All must call it."""
    if count_processes() == 1:
        return value
    import torch
    from accelerate.utils import reduce

    told: torch.Tensor = reduce(torch.tensor(value, device=device), reduction="mean")
    return told.item()


def wait_for_all() -> None:
    """Wait until every process is here."""
    if count_processes() > 1:
        from accelerate.utils import wait_for_everyone

        wait_for_everyone()


def leave_together() -> None:
    """At the end of the program, take leave of the other processes, as torch asks for."""
    if count_processes() > 1:
        atexit.register(_leave)


def _leave() -> None:
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()
