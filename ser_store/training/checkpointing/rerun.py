"""A run once more: from the very weights that it was trained from, on the same utterances."""

from pathlib import Path
from typing import Any

from ser_store.training.checkpointing.resume import read_request
from ser_store_h5.runs import RunRecord


def pin_model(record: RunRecord) -> str:
    """The model that a run was begun with; one of the hub by the commit it was then, whatever its branch is by now.

    Raises:
        StoreError: if the record does not say how the run was begun.
    """
    model = read_request(record).model
    revision = record.details.get("origin", {}).get("revision")
    return f"{model.partition('@')[0]}@{revision}" if revision else model


def read_source(record: RunRecord) -> dict[str, Any]:
    """What :func:`.finetuning.finetune` takes for another run from the same weights, on the same utterances.

    Returns:
        ``model``, ``init``, ``checkpoint``, ``split`` and ``fold``.

    Raises:
        StoreError: if the record does not say how the run was begun.
    """
    request = read_request(record)
    checkpoint = None if request.checkpoint is None else Path(request.checkpoint)
    weights = {"model": pin_model(record), "init": request.init, "checkpoint": checkpoint}
    return {**weights, "split": request.split, "fold": request.fold}
