"""Metrics of classification, from truth and predictions; in pure numpy, equal to scikit-learn.

``accuracy`` is the field's WA, ``balanced_accuracy`` (the mean recall over classes) its UA or UAR. What classes that
never occur count for is written in :mod:`ser_store.metrics.confusion`, from which all of these are made.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ser_store.errors import MetricError
from ser_store.metrics.class_indices import check_predicted, check_same_length, check_truth
from ser_store.metrics.confusion import (
    PerClass,
    compute_balanced_accuracy_from_confusion,
    compute_metrics_from_confusion,
    compute_per_class_from_confusion,
    count_outcomes,
)


@dataclass(frozen=True)
class Average:
    """Precision, recall and F1 averaged over the classes, each in 0..1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Evaluation:
    """How one member, or one ensemble, does on ``n`` utterances of ``c`` classes.

    Attributes:
        n: utterances evaluated.
        correct: utterances predicted right; abstentions are not right.
        accuracy: ``correct / n``, in 0..1.
        balanced_accuracy: mean recall over the classes that occur in the truth, in 0..1.
        confusion: ``(c, c)`` int64, rows = true, columns = predicted; abstentions are in no column.
        per_class: precision, recall, F1 and support of every class.
        macro_avg: plain mean over the classes that occur in the truth; its recall is the balanced accuracy.
        weighted_avg: mean over all classes, weighted by support.
        kappa: Cohen's kappa, in -1..1; 0 is chance.
        mcc: Matthews' correlation coefficient R_K, in -1..1; 0 is chance.
    """

    n: int
    correct: int
    accuracy: float
    balanced_accuracy: float
    confusion: NDArray[np.int64]
    per_class: PerClass
    macro_avg: Average
    weighted_avg: Average
    kappa: float
    mcc: float

    def describe_figures(self, classes: Sequence[str]) -> dict[str, Any]:
        """Return the figures of every class, their averages and the correlations, as JSON documents have them.

        Args:
            classes: the names of the ``c`` classes.
        """
        scores = self.per_class
        names = ("precision", "recall", "f1", "support")
        return {
            "per_class": {
                label: dict(zip(names, (*scores.list_scores(place), int(scores.support[place])), strict=True))
                for place, label in enumerate(classes)
            },
            "macro_avg": vars(self.macro_avg),
            "weighted_avg": vars(self.weighted_avg),
            "kappa": self.kappa,
            "mcc": self.mcc,
        }


def compute_accuracy(truth: ArrayLike, predicted: ArrayLike) -> float:
    """Return the share of utterances that are predicted right, in 0..1.

    Args:
        truth: ``(n,)`` class indices.
        predicted: ``(n,)`` class indices; -1, an abstention, is wrong.

    Raises:
        MetricError: if the arrays are empty, differ in shape or hold no class indices.

    >>> compute_accuracy([0, 1, 2, 2], [0, 2, 2, -1])
    0.5
    """
    true, guess = check_truth(truth), check_predicted(predicted)
    check_same_length(true, _refuse_several(guess))
    return int(np.count_nonzero(true == guess)) / len(true)


def compute_balanced_accuracy(truth: ArrayLike, predicted: ArrayLike, *, n_classes: int) -> float:
    """Return the mean recall over the classes that occur in the truth, in 0..1.

    Args:
        truth: ``(n,)`` class indices in ``0..n_classes-1``.
        predicted: ``(n,)`` class indices, or -1, an abstention, which is wrong.
        n_classes: number of classes.

    Raises:
        MetricError: if the arrays are empty, differ in shape or leave the range.

    >>> compute_balanced_accuracy([0, 0, 0, 1], [0, 0, 1, 1], n_classes=3)
    0.8333333333333333
    """
    return float(compute_balanced_accuracy_from_confusion(_count(truth, predicted, n_classes)))


def evaluate_predictions(truth: ArrayLike, predicted: ArrayLike, *, n_classes: int) -> Evaluation:
    """Return all figures of a classification report, from truth and predictions of one member.

    Args:
        truth: ``(n,)`` class indices in ``0..n_classes-1``.
        predicted: ``(n,)`` class indices, or -1, an abstention: wrong, and in no column of the confusion matrix.
        n_classes: number of classes.

    Raises:
        MetricError: if the arrays are empty, differ in shape or leave the range.

    >>> found = evaluate_predictions([0, 0, 1, 1], [0, 1, 1, 1], n_classes=2)
    >>> found.correct, found.accuracy, found.per_class.recall.tolist()
    (3, 0.75, [0.5, 1.0])
    """
    return evaluate_outcomes(_count(truth, predicted, n_classes))


def evaluate_outcomes(outcomes: NDArray[np.int64]) -> Evaluation:
    """Return all figures of a classification report, from the counts of one member.

    Args:
        outcomes: ``(c, c + 1)`` as from :func:`ser_store.metrics.confusion.count_outcomes`.

    Raises:
        MetricError: if they are no such counts.

    >>> evaluate_outcomes(count_outcomes([0, 1], [0, -1], n_classes=2)).correct
    1
    """
    figures = {name: float(figure) for name, figure in compute_metrics_from_confusion(outcomes).items()}
    n_classes = len(outcomes)
    return Evaluation(
        n=int(outcomes.sum()),
        correct=int(np.trace(outcomes)),
        accuracy=figures["accuracy"],
        balanced_accuracy=figures["balanced_accuracy"],
        confusion=outcomes[:, :n_classes],
        per_class=compute_per_class_from_confusion(outcomes),
        macro_avg=_pick_average(figures, "macro"),
        weighted_avg=_pick_average(figures, "weighted"),
        kappa=figures["kappa"],
        mcc=figures["mcc"],
    )


def _pick_average(figures: dict[str, float], weighting: str) -> Average:
    return Average(**{name: figures[f"{weighting}_{name}"] for name in ("precision", "recall", "f1")})


def _count(truth: ArrayLike, predicted: ArrayLike, n_classes: int) -> NDArray[np.int64]:
    _refuse_several(np.asarray(predicted))
    return count_outcomes(truth, predicted, n_classes=n_classes)


def _refuse_several(predicted: NDArray[Any]) -> NDArray[Any]:
    if predicted.ndim != 1:
        raise MetricError(f"predicted has shape {predicted.shape}: expected (n,), one class index per utterance")
    return predicted
