"""CodedVotes to vote with, and the search that votes every combination of ``itertools`` by the rules themselves."""

from itertools import combinations

import numpy as np

from ser_store.metrics import compute_accuracy, compute_balanced_accuracy
from ser_store.voting import hard_vote, pose_problem, soft_log_vote, soft_vote


def draw_candidates(m, n, n_classes, *, accuracy, shared=0.3, seed=0):
    """CodedVotes of about this accuracy that share what they find hard, ``(m, n)``, and the truth, ``(n,)``."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(n_classes, size=n)
    hard = rng.random(n) < shared
    right = rng.random((m, n)) < np.where(hard, accuracy / 2, accuracy)
    return np.where(right, truth, rng.integers(n_classes, size=(m, n))).astype(np.int16), truth


def from_arrays(search):
    """``search`` of a posed problem, as a function of arrays."""

    def run(predictions, truth, *, k, n_classes, **options):
        names = ("rule", "tie", "probabilities", "weights", "objective", "groups", "required")
        asked = {name: options.pop(name) for name in names if name in options}
        return search(pose_problem(predictions, truth, k=k, n_classes=n_classes, **asked), **options)

    return run


def search_by_hand(
    predictions,
    truth,
    *,
    k,
    n_classes,
    tie="lowest",
    rule="hard",
    probabilities=None,
    weights=None,
    objective="accuracy",
):
    """All ensembles as (members, correct, balanced accuracy, ties), in the stated order."""
    found = []
    for members in combinations(range(len(predictions)), k):
        chosen = list(members)
        probs = None if probabilities is None else probabilities[chosen]
        accuracies = [compute_accuracy(truth, predictions[member]) for member in chosen]
        weighed = None if weights is None or not any(weights[chosen]) else weights[chosen]
        if weights is not None and weighed is None:
            # Members that all weigh nothing tie all classes.
            probs, weighed = None if probs is None else np.zeros_like(probs), np.ones(k)
            votes = soft_vote(np.zeros((k, len(truth), n_classes)))
            if tie == "abstain":
                votes.predicted[:] = -1
            elif tie == "best":
                votes.predicted[:] = predictions[chosen[int(np.argmax(accuracies))]]
        elif rule == "hard":
            figures = {"probabilities": probs, "accuracies": accuracies, "weights": weighed}
            votes = hard_vote(predictions[chosen], n_classes=n_classes, tie=tie, **figures)
        else:
            votes = {"soft": soft_vote, "soft-log": soft_log_vote}[rule](probs, weights=weighed)
        correct = int((votes.predicted == truth).sum())
        balanced = compute_balanced_accuracy(truth, votes.predicted, n_classes=n_classes)
        found.append((members, correct, balanced, int(votes.tied.sum())))

    def rank(ensemble):
        figures = [-ensemble[1], -round(ensemble[2], 12)]
        return *(figures if objective == "accuracy" else figures[::-1]), ensemble[0]

    return sorted(found, key=rank)
