"""The record that a run of fine-tuning begins with: what decides it, and where and with what it is trained."""

from pathlib import Path

from ser_store.backbones.loading import LoadedModel
from ser_store.common.provenance import describe_hardware, list_versions
from ser_store.corpora.splits.fitted import find_rows
from ser_store.corpora.splits.train_eval_rows import TrainEvalRows, digest_train_eval_rows
from ser_store.recipes.masking import read_masking
from ser_store.training.checkpointing.resume import Request
from ser_store.training.class_gaps import list_class_gaps
from ser_store_h5.corpus import Corpus
from ser_store_h5.fitted import KEY, Fitted
from ser_store_h5.runs import RunRecord


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
