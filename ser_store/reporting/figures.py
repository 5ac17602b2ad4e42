"""What the page shows of members and ensembles: figures of other rooms, as JSON."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.ensembles.report import VoteReport
from ser_store.ensembles.vote import vote
from ser_store.evaluation import Evaluations
from ser_store.evaluation.steps import steps as compare_steps
from ser_store.metrics.predictions import evaluate_predictions
from ser_store.reporting.question import Asked
from ser_store.statistics.repeated_choice import SelectionBias
from ser_store.voting.checks import count_unanswered
from ser_store.voting.diversity import compute_pair_diversity
from ser_store_h5.names import parse_member
from ser_store_h5.store import Store

# Members of a page's matrix of disagreement.
MOST_COMPARED = 24
_DEFAULT_SIZE = 3


def list_members(store: Store, found: Evaluations) -> list[dict[str, Any]]:
    """Return the members with their figures, by name."""
    described = []
    for one in sorted(found.members, key=lambda one: one.member):
        record, scores = store.run(parse_member(one.member)[0]), one.probabilities
        described.append(
            {
                "name": one.member,
                "kind": record.kind,
                "backbone": record.backbone,
                "n": one.metrics.n,
                "correct": one.metrics.correct,
                "accuracy": one.metrics.accuracy,
                "bounds": list(one.interval.bounds),
                "balanced_accuracy": one.metrics.balanced_accuracy,
                "macro_f1": one.metrics.macro_avg.f1,
                "log_loss": None if scores is None else scores.log_loss,
                "cautions": list(one.cautions),
            }
        )
    return described


def search_best(asked: Asked, candidates: Sequence[str]) -> VoteReport | None:
    """Return the best of all ensembles of ``k`` candidates, corrected for the choice; None where there is no choice."""
    if len(candidates) < 2:
        return None
    k = asked.k or (_DEFAULT_SIZE if len(candidates) > _DEFAULT_SIZE else 1)
    return vote(
        asked.store,
        candidates,
        k=k,
        all_combos=True,
        on=asked.on,
        split=asked.split,
        top=1,
        progress=asked.progress,
    )


def describe_choice(report: VoteReport) -> dict[str, Any]:
    """Return the best figure as it appears and as it is left by the correction, and among what it was chosen."""
    best, selection = report.ensembles[0], report.selection
    distribution = report.distribution
    return {
        "k": report.ks[0],
        "of": len(report.candidates),
        "searched": report.searched,
        "members": list(best.members),
        "correct": best.score.correct,
        "n": best.score.n,
        "apparent": best.score.accuracy,
        "apparent_bounds": list(best.interval.bounds),
        "corrected": None if selection is None else _describe_correction(selection),
        "note": report.note,
        "gain": best.gain,
        "best_single": {"member": report.best_single[0], "accuracy": report.best_single[1]},
        "distribution": None if distribution is None else distribution.to_json(),
    }


def _describe_correction(selection: SelectionBias) -> dict[str, Any]:
    return {
        "accuracy": selection.corrected,
        "bounds": None if selection.bounds is None else list(selection.bounds),
        "repeats": selection.repeats,
        "method": selection.method,
        "described": selection.describe(),
    }


def iter_curves(asked: Asked, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield accuracy and loss by step of every run that has several."""
    runs = [run for run in dict.fromkeys(parse_member(name)[0] for name in names) if len(asked.store.steps(run)) > 1]
    if not runs:
        return
    for run in compare_steps(asked.store, runs, on=asked.on, split=asked.split).runs:
        correction = run.correction
        yield {
            "run": run.run,
            "selected": run.selected,
            "best": run.best,
            "divergence": run.divergence,
            "verdict": run.verdict,
            "corrected": None if correction is None else correction.corrected,
            "steps": [
                {
                    name: getattr(one, name)
                    for name in ("step", "accuracy", "balanced_accuracy", "eval_loss", "train_loss")
                }
                for one in run.steps
            ],
        }


def compare_errors(
    names: Sequence[str], predicted: NDArray[np.int16], truth: NDArray[np.int16], n_classes: int
) -> dict[str, Any] | None:
    """Return for every two members the share of utterances that exactly one gets right; of many, the most accurate."""
    if len(names) < 2:
        return None
    accuracies = [evaluate_predictions(truth, own, n_classes=n_classes).accuracy for own in predicted]
    order = sorted(range(len(names)), key=lambda place: -accuracies[place])[:MOST_COMPARED]
    ballots, counted = count_unanswered(predicted[order], n_classes)
    shares = compute_pair_diversity(ballots, truth, n_classes=counted).disagreement
    return {"members": [names[place] for place in order], "of": len(names), "shares": shares.tolist()}
