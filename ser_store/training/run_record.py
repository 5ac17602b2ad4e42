"""The record of a run of fine-tuning: what decides it, where and with what it is trained, and how far it has got."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from ser_store.backbones.loading import LoadedModel
from ser_store.common.provenance import describe_hardware, list_versions
from ser_store.corpora.splits.fitted import find_rows
from ser_store.corpora.splits.train_eval_rows import Rows, TrainEvalRows, digest_train_eval_rows
from ser_store.recipes.masking import read_masking
from ser_store.training.callbacks.curves import read_seconds
from ser_store.training.request import Request
from ser_store_h5.corpus import Corpus
from ser_store_h5.fitted import KEY, Fitted
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

# With fewer, a class is some recordings and not a way to speak. Where no class has as many, the corpus is a trial.
HANDFUL = 5


def describe_run(
    request: Request, train_eval: TrainEvalRows, loaded: LoadedModel, *, corpus: Corpus, checkpoints: Path
) -> RunRecord:
    """The record, running.

    Args:
        request: what was asked for.
        train_eval: who is trained on and who is evaluated.
        loaded: the model, prepared as the recipe says.
        corpus: of the store.
        checkpoints: their folder.
    """
    described = loaded.describe()
    return RunRecord(
        run=request.run,
        kind="finetune",
        backbone=loaded.backbone_key,
        state="running",
        details={
            **request.to_json(),
            "split": request.split or corpus.default_split,
            "on": train_eval.on,
            "n_train": len(train_eval.train),
            "n_evaluated": len(train_eval.evaluated),
            "cautions": list(list_class_gaps(corpus, train_eval)),
            "sides_digest": digest_train_eval_rows(train_eval),
            KEY: Fitted.on_rows(find_rows(corpus, loaded.model.config.trained_on), len(corpus)).to_json(),
            "origin": loaded.origin,
            "masking": vars(read_masking(loaded.model)),
            "attention": described["attention"],
            "configuration": described["configuration"],
            "missing_keys": list(loaded.missing_keys),
            "unused_keys": list(loaded.unused_keys),
            "checkpoints": str(checkpoints.resolve()),
            "versions": list_versions(),
            "hardware": describe_hardware(),
        },
    )


def list_class_gaps(corpus: Corpus, train_eval: TrainEvalRows) -> tuple[str, ...]:
    """One line each for classes without a training utterance, with a few, and without one in the monitored part."""
    learned, monitored = (count_classes(corpus, rows) for rows in (train_eval.train, train_eval.monitored))
    absent = [name for name, count in learned.items() if count == 0]
    few = [f"{name} {count}" for name, count in learned.items() if 0 < count < HANDFUL <= max(learned.values())]
    unseen = [name for name, count in monitored.items() if count == 0]
    lines = (
        (absent, f"no training utterance is {' or '.join(absent)}: the model cannot learn to answer so"),
        (few, f"classes of fewer than {HANDFUL} training utterances, from which little is learned: {', '.join(few)}"),
        (unseen, f"no utterance of {train_eval.on} is {' or '.join(unseen)}: its figures say nothing of that"),
    )
    return tuple(line for names, line in lines if names)


def count_classes(corpus: Corpus, rows: Rows) -> dict[str, int]:
    """How many of the utterances ``rows`` are of each class, in the classes' order."""
    counts = np.bincount(corpus.labels[rows], minlength=len(corpus.classes))
    return dict(zip(corpus.classes, counts.tolist(), strict=True))


class RunJournal:
    """Keeps ``run.json`` up to date.

    Every note begins from what the file says then: a step may have been selected while the run was trained.
    """

    def __init__(self, store: Store, run: str) -> None:
        self._store = store
        self._run = run
        self._before = read_seconds(store.curves(run))
        if store.has_run(run):
            self._before = max(self._before, float(store.run(run).details.get("seconds") or 0.0))
        self._started = time.perf_counter()

    def seconds(self) -> float:
        """How long the run has been trained, all its sessions together, as far as their curves go."""
        return self._before + time.perf_counter() - self._started

    def note(self, *, state: str | None = None, **details: Any) -> RunRecord:
        """Add to the record; returns it."""
        record = self._store.run(self._run).updated(state=state, **details)
        self._store.update_run(record)
        return record
