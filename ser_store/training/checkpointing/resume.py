"""Resuming: a run goes on with the utterances, the backbone and the processes that it was begun with."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ser_store.common.provenance import list_differences
from ser_store.corpora.splits.train_eval_rows import TrainEvalRows, digest_train_eval_rows
from ser_store.errors import SerstoreError, StoreError
from ser_store.training.request import Request, read_request
from ser_store_h5.runs import RunRecord


def compute_training_digest(record: RunRecord) -> str:
    """SHA-256 (hex) of what a run was begun with, which its checkpoints bear; where it was trained does not count."""
    # Which part is the validation part, the digest of the rows says.
    names = [entry.name for entry in fields(Request) if entry.name not in ("run", "valid")]
    begun = {name: record.details.get(name) for name in [*names, "sides_digest"]}
    return hashlib.sha256(json.dumps(begun, sort_keys=True).encode()).hexdigest()


def refuse_other_rows(record: RunRecord, train_eval: TrainEvalRows) -> None:
    """Compare the split with that the run was begun with.

    Raises:
        StoreError: if other utterances are trained on or evaluated now.
    """
    if record.details.get("sides_digest") != digest_train_eval_rows(train_eval):
        raise StoreError(
            f"the split {record.details.get('split')} is not the one that run {record.run} was begun with: expected "
            "the same utterances in the same parts; restore it, or train another with `run` NAME"
        )


def refuse_other_backbone(record: RunRecord, configuration: Mapping[str, Any]) -> None:
    """Compare how the backbone computes with how it did when the run was begun: its folder may have been changed.

    Raises:
        StoreError: if it computes otherwise.
    """
    differing = list_differences(record.details.get("configuration", configuration), configuration)
    if differing:
        raise StoreError(
            f"run {record.run} was begun with a backbone of another {', '.join(differing)}: expected the same; restore "
            "its folder, or train another with `run` NAME"
        )


def refuse_other_processes(record: RunRecord, processes: int) -> None:
    """Compare how many processes train now with how many there were: the batches are dealt out among them.

    Raises:
        SerstoreError: if their number differs.
    """
    before = record.details.get("resolved", {}).get("processes", processes)
    if before != processes:
        raise SerstoreError(
            f"run {record.run} was begun with {before} processes: got {processes}; a run is resumed as it was begun, "
            "so launch as many again, or train another with `run` NAME"
        )


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
        ``model``, ``init``, ``checkpoint``, ``split``, ``fold``, and ``valid`` where it has one.

    Raises:
        StoreError: if the record does not say how the run was begun.
    """
    request = read_request(record)
    checkpoint = None if request.checkpoint is None else Path(request.checkpoint)
    weights = {"model": pin_model(record), "init": request.init, "checkpoint": checkpoint}
    valid = {} if request.valid is None else {"valid": request.valid}
    return {**weights, "split": request.split, "fold": request.fold, **valid}
