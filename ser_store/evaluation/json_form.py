"""Evaluations as the JSON document of ``serstore evaluate``."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ser_store.metrics import Average, Evaluation
from ser_store.metrics.calibration import ProbabilityScores
from ser_store.metrics.confusion import normalise_confusion
from ser_store.statistics.intervals import Interval

if TYPE_CHECKING:
    from ser_store.evaluation import Evaluations, MemberEvaluation
    from ser_store.evaluation.slices import Slice, Slices

PROBABILITY_SCORES = ("top2", "log_loss", "brier", "ece")


def describe_evaluations(evaluations: "Evaluations", *, normalise: str | None = None) -> dict[str, Any]:
    grouped = {} if evaluations.by is None else {"by": evaluations.by}
    members = [_describe_member(member, normalise) for member in evaluations.members]
    asked = {"on": evaluations.on, "split": evaluations.split}
    return {**asked, **grouped, "members": members, "cautions": [*evaluations.cautions, *evaluations.loss_cautions]}


def _describe_member(member: "MemberEvaluation", normalise: str | None) -> dict[str, Any]:
    metrics = member.metrics
    document: dict[str, Any] = {"member": member.member, **_describe_accuracy(metrics, member.interval)}
    document["classes"] = list(member.classes)
    document["confusion"] = metrics.confusion.tolist()
    if normalise is not None:
        document["confusion_normalised"] = normalise_confusion(metrics.confusion, normalise).tolist()
        document["normalised_over"] = normalise
    document |= _describe_figures(metrics, member.probabilities, member.classes)
    if member.intervals:
        document["intervals"] = {name: list(interval.bounds) for name, interval in member.intervals.items()}
        cautions = {name: interval.caution for name, interval in member.intervals.items() if interval.caution}
        document |= {"interval_cautions": cautions} if cautions else {}
    if member.sliced is not None:
        document["groups"] = {one.group: _describe_slice(one, member.classes) for one in member.sliced.slices}
        document["gap"] = _describe_gap(member.sliced)
    return {**document, "cautions": list(member.cautions)}


def _describe_accuracy(metrics: Evaluation, interval: Interval) -> dict[str, Any]:
    return {
        "n": metrics.n,
        "correct": metrics.correct,
        "accuracy": metrics.accuracy,
        "balanced_accuracy": metrics.balanced_accuracy,
        "ci95": list(interval.bounds),
        "ci95_method": interval.method,
        "ci95_caution": interval.caution,
    }


def _describe_figures(
    metrics: Evaluation, probabilities: ProbabilityScores | None, classes: tuple[str, ...]
) -> dict[str, Any]:
    scores = metrics.per_class
    names = ("precision", "recall", "f1", "support")
    return {
        "per_class": {
            label: dict(zip(names, (*scores.list_scores(index), int(scores.support[index])), strict=True))
            for index, label in enumerate(classes)
        },
        "macro_avg": _describe_average(metrics.macro_avg),
        "weighted_avg": _describe_average(metrics.weighted_avg),
        "kappa": metrics.kappa,
        "mcc": metrics.mcc,
        **_describe_probabilities(probabilities),
    }


def _describe_average(average: Average) -> dict[str, float]:
    return {"precision": average.precision, "recall": average.recall, "f1": average.f1}


def _describe_probabilities(scores: ProbabilityScores | None) -> Mapping[str, float | None]:
    return {name: None if scores is None else getattr(scores, name) for name in PROBABILITY_SCORES}


def _describe_slice(one: "Slice", classes: tuple[str, ...]) -> dict[str, Any]:
    figures = _describe_figures(one.metrics, one.probabilities, classes)
    return {**_describe_accuracy(one.metrics, one.interval), **figures, "small": one.is_small}


def _describe_gap(sliced: "Slices") -> dict[str, Any]:
    test = sliced.test
    return {
        "best": sliced.best.group,
        "worst": sliced.worst.group,
        "gap": sliced.gap,
        "statistic": None if test is None else test.statistic,
        "p": None if test is None else test.p,
        "method": None if test is None else test.method,
        "caution": None if test is None else test.caution,
    }
