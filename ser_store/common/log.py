"""What loading and training a model have to report, to whoever listens to the logger ``ser_store``."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ser_store.errors import list_some

LOGGER = logging.getLogger("ser_store")


def report_loaded(loaded: Any) -> None:
    """Name the weights that a checkpoint lacked, those it had in vain, and what it leaves to be guessed.

    Args:
        loaded: a :class:`~ser_store.backbones.loading.LoadedModel`.
    """
    backbone = loaded.backbone_key
    if loaded.missing_keys:
        LOGGER.info("%s: not in the checkpoint, initialised at random: %s", backbone, list_some(loaded.missing_keys))
    if loaded.unused_keys:
        LOGGER.info("%s: in the checkpoint, but of no use here: %s", backbone, list_some(loaded.unused_keys))
    if loaded.is_normalising_unasked:
        LOGGER.info(
            "%s: no preprocessor_config.json in the checkpoint: each utterance is normalised to zero mean and unit "
            "variance, as most backbones expect it; put one with do_normalize false there if this one does not",
            backbone,
        )


def report_name(run: str, usual: str) -> None:
    """Say why a run is not called after its model alone, where it is not."""
    if run != usual:
        LOGGER.info("%s: the run is called so since %s is of another split or fold", run, usual)


def report_cautions(run: str, cautions: Sequence[str]) -> None:
    """Say before a training what its figures will not show."""
    for caution in cautions:
        LOGGER.info("caution: %s: %s", run, caution)


def report_left_out(lines: Sequence[str]) -> None:
    """Say which damaged runs a command about all runs does without."""
    for line in lines:
        LOGGER.info("caution: %s", line)


def report_precision(run: str, precision: str) -> None:
    """Say what an automatic precision has become."""
    LOGGER.info("%s: precision auto is %s here", run, precision)


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
        "`warmup_steps`, or `warmup_ratio`",
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
