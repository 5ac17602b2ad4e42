"""What loading and training a model have to report, to whoever listens to the logger ``ser_store``."""

import logging
from collections.abc import Sequence
from pathlib import Path

LOGGER = logging.getLogger("ser_store")
SHOWN = 3


def report_keys(backbone: str, *, missing: Sequence[str], unused: Sequence[str]) -> None:
    """Name the weights that a checkpoint lacked, and those it had in vain."""
    if missing:
        LOGGER.info("%s: not in the checkpoint, initialised at random: %s", backbone, _list(missing))
    if unused:
        LOGGER.info("%s: in the checkpoint, but of no use here: %s", backbone, _list(unused))


def _list(keys: Sequence[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(keys[:SHOWN]) + more


def report_out_of_memory(run: str, step: int, *, phase: str, size: int, times: int | None = None) -> None:
    """Say with what a run goes on after its batches did not fit into memory."""
    passes = f", {times} times for each optimizer step as large as before" if times else ""
    LOGGER.info("%s: out of memory in %s after step %d: goes on with %d at a time%s", run, phase, step, size, passes)


def report_differing_member(member: str, difference: float) -> None:
    """Say that a member that was trained once more after a kill has come out otherwise."""
    LOGGER.info(
        "%s: trained again, its logits differ by up to %.2g from those cached before: the first are kept; expected on "
        "a GPU, or with other versions or another machine",
        member,
        difference,
    )


def report_endless_warmup(warmup: int, steps: int) -> None:
    """Say that the learning rate never gets to its peak."""
    LOGGER.info(
        "the warm-up takes %d steps and the training %d: the learning rate does not get to its peak; expected fewer "
        "--warmup-steps, or --warmup-share",
        warmup,
        steps,
    )


def report_damaged_checkpoint(folder: Path, file: str) -> None:
    """Say that a checkpoint is not gone on from."""
    LOGGER.info("%s is damaged (%s): training goes on from what was written before it", folder, file)


def report_idle_gpus(count: int) -> None:
    """Say that one GPU of several is used, and how all would be."""
    LOGGER.info(
        "%d GPUs are there, one of them is used: `torchrun --nproc-per-node=%d --no-python serstore finetune …` trains "
        "on all; choose one with CUDA_VISIBLE_DEVICES",
        count,
        count,
    )
