"""The checkpoints that a run has on disk."""

from pathlib import Path

from ser_store.errors import ModelError
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


def list_checkpoints(store: Store, record: RunRecord) -> dict[int, Path]:
    """Step to folder of the whole checkpoints that a run still has, ascending."""
    from ser_store.training.checkpointing.checkpoints import (
        is_whole,  # loads transformers, which frozen extraction may not need
    )

    folders = [store.run_folder(record.run) / "checkpoints", Path(str(record.details.get("checkpoints", "")) or ".")]
    found: dict[int, Path] = {}
    for folder in folders:
        for checkpoint in folder.glob("checkpoint-*"):
            step = checkpoint.name.removeprefix("checkpoint-")
            if step.isdigit() and is_whole(checkpoint):
                found.setdefault(int(step), checkpoint)
    return dict(sorted(found.items()))


def find_checkpoint(store: Store, record: RunRecord, step: int | None) -> tuple[int, Path]:
    """Step and folder of the checkpoint to extract from.

    Raises:
        ModelError: naming the steps that have one, or saying how its shards are joined.
    """
    from ser_store.training.checkpointing.checkpoints import refuse_shards

    there = list_checkpoints(store, record)
    if not there:
        raise ModelError(
            f"run {record.run} has no checkpoint left: expected one in {store.run_folder(record.run) / 'checkpoints'}; "
            "name its folder with --checkpoint DIR and its step with --step N"
        )
    if step is None:
        selected = record.selected.step if record.selected else -1
        step = selected if selected in there else max(there)
    if step not in there:
        raise ModelError(
            f"run {record.run} has no checkpoint of step {step}: there are {', '.join(map(str, there))}; more are kept "
            "with `serstore finetune --save-total-limit N`"
        )
    refuse_shards(there[step])
    return step, there[step]
