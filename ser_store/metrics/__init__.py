"""Metrics of classification, from arrays; in pure numpy, equal to scikit-learn."""

from ser_store.errors import MetricError
from ser_store.metrics.absent_classes import caution_absent_classes
from ser_store.metrics.calibration import compute_log_loss, log_softmax, softmax
from ser_store.metrics.class_indices import ABSTAINED
from ser_store.metrics.confusion import PerClass, compute_confusion
from ser_store.metrics.predictions import (
    Average,
    Evaluation,
    compute_accuracy,
    compute_balanced_accuracy,
    evaluate_outcomes,
    evaluate_predictions,
)

__all__ = [
    "ABSTAINED",
    "Average",
    "Evaluation",
    "MetricError",
    "PerClass",
    "caution_absent_classes",
    "compute_accuracy",
    "compute_balanced_accuracy",
    "compute_confusion",
    "compute_log_loss",
    "evaluate_outcomes",
    "evaluate_predictions",
    "log_softmax",
    "softmax",
]
