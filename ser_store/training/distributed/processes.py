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
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from ser_store.errors import ProcessLostError, SerstoreError

T = TypeVar("T")

# A follower that meets the same stated problem as the main process leaves it time to say so: the launcher ends all
# processes as soon as one of them fails.
GRACE_SECONDS = 10.0
_ALLOCATION = frozenset({"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"})
_STORE_PATIENCE = timedelta(seconds=2)
_WAY_OUT = "mend the file that `accelerate launch --config_file` names"


def count_processes() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process is the one that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def find_share() -> slice:
    """Return which of many items are this process' own, where each takes others."""
    return slice(int(os.environ.get("RANK", "0")), None, count_processes())


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
def not_alone(
    run: str, *, doing: str = "train", way_on: str = "the same call with `resume` goes on from there"
) -> Iterator[None]:
    """Within, the end of another process is a stated problem, as far as the connections to it tell.

    Args:
        run: what they work at together.
        doing: what they do to it.
        way_on: what to do then.

    Raises:
        ProcessLostError: if another process has ended.
    """
    try:
        yield
    except RuntimeError as problem:
        if count_processes() == 1 or not is_lost_connection(problem):
            raise
        raise ProcessLostError(
            f"another of the {count_processes()} processes that {doing} {run} has ended: expected all of them to stay; "
            f"what was written is complete, and {way_on}"
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
    """Before the processes meet: without an accelerator, they compute on the CPU, which accelerate wants to be told.

    CUDA's memory grows in segments, of which batches of many lengths leave no holes, unless the environment says how.
    """
    import torch

    if count_processes() > 1 and not torch.accelerator.is_available():
        os.environ.setdefault("ACCELERATE_USE_CPU", "true")
    if torch.cuda.is_available() and not _ALLOCATION & os.environ.keys():
        torch.cuda.memory._set_allocator_settings("expandable_segments:True")


def meet() -> None:
    """Let several processes find each other, where no Trainer does it: without, all would think they were alone."""
    if count_processes() == 1:
        return
    import torch
    from accelerate import PartialState

    choose_device()
    PartialState(cpu=not torch.accelerator.is_available())
    leave_together()


def refuse_other_precision(precision: str) -> None:
    """Compare the recipe's precision with that in accelerate's configuration, which would quietly win.

    Raises:
        SerstoreError: if they differ.
    """
    configured = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    # In tf32 the numbers are those of fp32.
    if configured not in ("no", precision):
        raise SerstoreError(
            f"accelerate's configuration has mixed_precision {configured}, and `precision` is {precision}: expected "
            "the same, or mixed_precision: 'no'; choose it by `precision`, or mend the configuration"
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


def gather(value: T) -> list[T]:
    """What each process has, in every process. All must call it."""
    if count_processes() == 1:
        return [value]
    from accelerate.utils import gather_object

    told: list[T] = gather_object([value])
    return told


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


def is_sharded(accelerator: Any) -> bool:
    """Whether accelerate was told to shard what is trained, by FSDP: all processes then compute the same layers."""
    return find_plugin(accelerator) is not None


def find_plugin(accelerator: Any) -> Any:
    """How accelerate was told to shard: its ``FullyShardedDataParallelPlugin``, or None."""
    return getattr(accelerator.state, "fsdp_plugin", None)


def read_plugin() -> Any:
    """What :func:`find_plugin` will give in a training, from the environment that ``accelerate launch`` makes.

    Raises:
        SerstoreError: for the first version of FSDP.
    """
    from accelerate.utils import FullyShardedDataParallelPlugin, parse_flag_from_env

    if not parse_flag_from_env("ACCELERATE_USE_FSDP"):
        return None
    _refuse_version(int(os.environ.get("FSDP_VERSION", "1")))  # which asks for an accelerator right away
    return FullyShardedDataParallelPlugin()


def refuse_sharding(plugin: Any, *, layerdrop: float, lora: int | None = None) -> None:
    """Compare how accelerate is to shard with how a model that drops layers with this probability can be.

    Args:
        lora: rank of adapters, which cannot be.

    Raises:
        SerstoreError: naming what must be otherwise.
    """
    _refuse_version(plugin.fsdp_version)
    if plugin.activation_checkpointing:
        # accelerate 1.15 asks torch not to keep the state of the random generators (fsdp2_apply_ac).
        raise SerstoreError(
            "accelerate's configuration has fsdp_activation_checkpointing, which draws other dropout masks on the way "
            f"back than on the way forth: expected `gradient_checkpointing` instead; {_WAY_OUT}"
        )
    if lora is not None:
        raise SerstoreError(
            f"`lora` is {lora} and accelerate shards by FSDP, which takes whole weights: expected one of the two; "
            "adapters need a fraction of the memory"
        )
    if layerdrop:
        raise SerstoreError(
            f"the backbone drops layers with probability {layerdrop}, in each process others, and with FSDP each waits "
            "for all: expected none; set `layerdrop` to 0"
        )


def _refuse_version(version: int) -> None:
    if version != 2:
        raise SerstoreError(
            f"accelerate's configuration has fsdp_version {version}: expected fsdp_version: 2; {_WAY_OUT}"
        )


def keep_float32(accelerator: Any) -> None:
    """Leave what a sharded model puts out as it was computed, and gradients on their way to others in float32.

    In bf16, accelerate has both rounded to it, and the loss with them: 2.1579 would be 2.1562. Gradients of accumulated
    batches are exchanged after each: after the last alone, they would lie in each process as a whole until then.
    """
    import torch

    plugin = accelerator.state.fsdp_plugin
    if plugin.mixed_precision_policy is not None:
        plugin.mixed_precision_policy = replace(
            plugin.mixed_precision_policy, reduce_dtype=torch.float32, output_dtype=None
        )
    accelerator.gradient_state.plugin_kwargs["sync_each_batch"] = True
