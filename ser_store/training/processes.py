"""Several processes: one trains, evaluates and writes; the others train and evaluate with it.

``torchrun`` and ``accelerate launch`` start the same command once for each device and say in the environment which of
them a process is. The main process alone touches the store; the others are told what came of it.
"""

import atexit
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from ser_store.errors import ProcessLostError, SerstoreError

T = TypeVar("T")

# A follower that meets the same stated problem as the main process leaves it time to say so: the launcher ends all
# processes as soon as one of them fails.
GRACE_SECONDS = 10.0
_STORE_PATIENCE = timedelta(seconds=2)


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


@contextmanager
def not_alone(run: str) -> Iterator[None]:
    """Within, the end of another process is a stated problem, as far as the connections to it tell.

    Raises:
        ProcessLostError: if another process has ended.
    """
    try:
        yield
    except RuntimeError as problem:
        if count_processes() == 1 or not is_lost_connection(problem):
            raise
        raise ProcessLostError(
            f"another of the {count_processes()} processes that train {run} has ended: expected all of them to stay; "
            "what was written is complete, and the same command with --resume goes on from there"
        ) from problem


def is_lost_connection(problem: BaseException) -> bool:
    """Whether an exception says that another process is not there any more."""
    from torch.distributed import DistError

    # gloo has no type of its own; what it says begins with the place in its sources.
    by_gloo = isinstance(problem, RuntimeError) and "/gloo/" in str(problem).partition("]")[0]
    return by_gloo or isinstance(problem, DistError)


def outlive_launcher() -> None:
    """Leave this process the time to close what it writes and to say why it ends, once another process is lost.

    The launcher would end it within a tenth of a second; what is asked for here ends by itself, and soon.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def claim_last_word() -> bool:
    """Whether this process is the first of those that train together to say why it all ends.

    What ends one process ends the others, each with a problem of its own; the store of the launcher counts them.
    """
    if count_processes() == 1:
        return True
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # documented there, and not in its stubs

    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    try:
        port = int(os.environ["MASTER_PORT"])
        store = TCPStore(os.environ["MASTER_ADDR"], port, is_master=False, timeout=_STORE_PATIENCE)
        return bool(store.add(f"serstore/last word/{attempt}", 1) == 1)
    except (KeyError, ValueError, RuntimeError):
        return True  # nobody is left to count


def choose_device() -> None:
    """Before the processes meet: without an accelerator, they compute on the CPU, which accelerate wants to be told."""
    import torch

    if count_processes() > 1 and not torch.accelerator.is_available():
        os.environ.setdefault("ACCELERATE_USE_CPU", "true")


def refuse_other_precision(precision: str) -> None:
    """Compare the recipe's precision with that in accelerate's configuration, which would quietly win.

    Raises:
        SerstoreError: if they differ.
    """
    configured = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    # In tf32 the numbers are those of fp32.
    if configured not in ("no", precision):
        raise SerstoreError(
            f"accelerate's configuration has mixed_precision {configured}, and the recipe's precision is {precision}: "
            "expected the same, or mixed_precision: 'no'; name one with --precision, or mend the configuration"
        )


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
