"""What an evaluation pass leaves behind: a member of the store and a point of the run's curves."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ser_store.backbones.digest import compute_digest, take_part_in_digest
from ser_store.backbones.loading import LoadedModel
from ser_store.common.log import report_differing_member
from ser_store.common.provenance import digest_recordings
from ser_store.corpora.splits.train_eval_rows import Rows, TrainEvalRows
from ser_store.errors import SerstoreError
from ser_store.heads.inputs import classify_by_speaker, find_speakers
from ser_store.inference.features import describe_preprocessing
from ser_store.inference.float16 import narrow_pooled
from ser_store.metrics import compute_log_loss, evaluate_predictions
from ser_store.recipes.recipe import Recipe
from ser_store.training.callbacks.curves import CurveWriter
from ser_store.training.distributed.processes import is_main, tell_all
from ser_store_h5.member import Member
from ser_store_h5.store import Store


class MemberCache:
    """Turns one evaluation pass into the member ``run@step``, once and whole."""

    def __init__(
        self,
        store: Store,
        run: str,
        loaded: LoadedModel,
        train_eval: TrainEvalRows,
        *,
        recipe: Recipe,
        curves: CurveWriter,
    ) -> None:
        self._store = store
        self._run = run
        self._loaded = loaded
        self._train_eval = train_eval
        self._recipe = recipe
        self._curves = curves
        self._cached = set(store.steps(run))

    def add(
        self,
        step: int,
        rows: Rows,
        logits: NDArray[np.float32],
        pooled: NDArray[np.float32],
        *,
        weights: Mapping[str, Tensor],
    ) -> dict[str, float]:
        """Write the member ``run@step``; returns loss and accuracies of the monitored part.

        All processes have to call it alike: the digest of a sharded model takes all of them, then the main one writes
        and the others are told. A member that is there already, since a run was killed after it and is trained again
        from before, is kept and compared. One with numbers that are not finite is not written, and its loss is NaN.

        Raises:
            SerstoreError: if the pass did not cover exactly the utterances it had to.
        """
        if not np.array_equal(rows, self._train_eval.evaluated):
            raise SerstoreError(
                f"the evaluation after step {step} covered {len(rows)} utterances: expected the "
                f"{len(self._train_eval.evaluated)} that are not trained on, each once; please report this"
            )
        if self._recipe.is_by_speaker:
            logits = classify_by_speaker(self._loaded.model.classifier, pooled, find_speakers(self._store.corpus, rows))
        if not (np.isfinite(logits).all() and np.isfinite(pooled).all()):
            return dict.fromkeys(("eval_loss", "eval_accuracy", "eval_balanced_accuracy"), float("nan"))
        digest = _take_digest(weights)
        return tell_all(lambda: self._cache(step, rows, logits, pooled, digest))

    def _cache(
        self, step: int, rows: Rows, logits: NDArray[np.float32], pooled: NDArray[np.float32], digest: str | None
    ) -> dict[str, float]:
        provenance = self._describe(rows, digest)
        self._write(Member(self._run, step, rows, logits, narrow_pooled(pooled), provenance=provenance))
        metrics = self._evaluate(rows, logits)
        self._curves.append_evaluation(
            step=step,
            on=self._train_eval.on,
            eval_loss=metrics["eval_loss"],
            accuracy=metrics["eval_accuracy"],
            balanced_accuracy=metrics["eval_balanced_accuracy"],
        )
        return metrics

    def _describe(self, rows: Rows, digest: str | None) -> dict[str, Any]:
        return {
            "source": "evaluation pass while training",
            "model_digest": digest,
            "audio_digest": digest_recordings(self._store.corpus, rows),
            "preprocessing": describe_preprocessing(self._loaded.feature_extractor),
            "precision": self._recipe.precision,
            **self._loaded.describe(),
        }

    def _write(self, member: Member) -> None:
        if member.step not in self._cached:
            self._store.write_member(member)
            self._cached.add(member.step)
            return
        kept = self._store.read_member(member.name)
        difference = _compute_difference(kept, member)
        if difference:
            report_differing_member(member.name, difference)

    def _evaluate(self, rows: Rows, logits: NDArray[np.float32]) -> dict[str, float]:
        corpus = self._store.corpus
        monitored = np.isin(rows, self._train_eval.monitored)
        truth = corpus.labels[rows[monitored]]
        evaluation = evaluate_predictions(truth, logits[monitored].argmax(axis=1), n_classes=len(corpus.classes))
        return {
            "eval_loss": compute_log_loss(truth, logits[monitored]),
            "eval_accuracy": evaluation.accuracy,
            "eval_balanced_accuracy": evaluation.balanced_accuracy,
        }


def _take_digest(weights: Mapping[str, Tensor]) -> str | None:
    """The digest of the weights, of which each process may hold a part; None in all but the main one."""
    if is_main():
        return compute_digest(weights)
    take_part_in_digest(weights)
    return None


def _compute_difference(kept: Member, again: Member) -> float:
    """The largest difference between the logits of a member and of its repetition; 0 where they are equal bit by bit.

    A member of other utterances, or one that has got no logits, differs without bounds.
    """
    if kept.logits is None or again.logits is None or not np.array_equal(kept.rows, again.rows):
        return float("inf")
    if kept.logits.tobytes() == again.logits.tobytes():
        return 0.0
    return float(np.abs(kept.logits - again.logits).max()) or float(np.finfo(np.float32).tiny)
