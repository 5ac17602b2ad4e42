"""How far the corrected accuracy of what was chosen is from the true one, where the true one is known.

    python benchmarks/simulate_selection.py [--draws 400] [--repeats 400] [--utterances 288] [--seed 0]

Every world draws test sets and candidates of known true accuracy again and again, chooses the best on each set as
serstore does, and compares three figures with the true accuracy of what was chosen: the apparent one, the corrected one
by bootstrap, and the corrected one by halves. Printed are the mean differences in percentage points with their standard
errors, and how often the corrected figures' intervals of 95% hold the true accuracy. The figures also go to
benchmarks/results/selection.json.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.provenance import list_versions
from ser_store.statistics.repeated_choice import SelectionBias, score_outcomes, weigh_alike, weigh_classes_alike
from ser_store.statistics.selection import (
    correct_search,
    correct_selection_by_bootstrap,
)
from ser_store.voting import hard_vote, search_ensembles
from ser_store.voting.numpy_search import compute_outcomes
from ser_store.voting.problem import pose_problem

RESULTS = Path(__file__).parent / "results" / "selection.json"
N_CANDIDATES = 26
N_CLASSES = 8
N_SPEAKERS = 24
HALVES_REPEATS = 20
# The true accuracies of ensembles are those on so many utterances: known to 0.05 points.
N_KNOWN = 200_000
PHI = np.vectorize(NormalDist().cdf)


@dataclass(frozen=True)
class Trial:
    """One test set: what was chosen on it, what it was said to be, and what it is.

    Attributes:
        truth: the true accuracy of what was chosen.
        corrected: the corrections by their name.
    """

    truth: float
    corrected: dict[str, SelectionBias]


World = Callable[[np.random.Generator], Trial]


def correct_outcomes(right: NDArray[np.bool_], truths: NDArray[np.float64], **options: Any) -> Trial:
    """The choice among candidates whose outcomes are at hand, corrected in both ways."""
    weigh = options.get("weigh", weigh_alike)

    def choose(rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        counts = np.bincount(rows, minlength=right.shape[1])[None]
        chosen: NDArray[np.bool_] = right[score_outcomes(right, weigh(counts)).argmax()]
        return chosen

    best = int(score_outcomes(right, weigh(np.ones((1, right.shape[1]), dtype=np.intp))).argmax())
    repeats = options.pop("repeats")
    return Trial(
        truth=float(truths[best]),
        corrected={
            "bootstrap": correct_selection_by_bootstrap(right, repeats=repeats, **options),
            "halves": correct_search(
                choose, method="halves", n_utterances=right.shape[1], repeats=HALVES_REPEATS, **options
            ),
        },
    )


def make_independent_world(accuracies: NDArray[np.float64], *, n: int, repeats: int) -> World:
    """Candidates that err independently of each other."""

    def draw(rng: np.random.Generator) -> Trial:
        return correct_outcomes(rng.random((len(accuracies), n)) < accuracies[:, None], accuracies, repeats=repeats)

    return draw


def make_correlated_world(accuracy: float, *, share: float, n: int, repeats: int) -> World:
    """Equally good candidates to whom the same utterances are difficult: ``share`` is common of what makes them so."""
    threshold = NormalDist().inv_cdf(accuracy)

    def draw(rng: np.random.Generator) -> Trial:
        difficulty = sqrt(share) * rng.normal(size=n) + sqrt(1 - share) * rng.normal(size=(N_CANDIDATES, n))
        return correct_outcomes(difficulty < threshold, np.full(N_CANDIDATES, accuracy), repeats=repeats)

    return draw


def make_speaker_world(accuracy: float, *, spread: float, by_speaker: bool, n: int, repeats: int) -> World:
    """Equally good candidates; each has speakers that it is good at, and some speakers are difficult to all.

    The true accuracy is that on further speakers.
    """
    speakers = np.arange(n) % N_SPEAKERS
    centre = NormalDist().inv_cdf(accuracy) * sqrt(1 + 2 * spread**2)

    def draw(rng: np.random.Generator) -> Trial:
        ease = spread * rng.normal(size=N_SPEAKERS) + spread * rng.normal(size=(N_CANDIDATES, N_SPEAKERS))
        right = rng.random((N_CANDIDATES, n)) < PHI(centre + ease)[:, speakers]
        groups = speakers if by_speaker else None
        return correct_outcomes(right, np.full(N_CANDIDATES, accuracy), groups=groups, repeats=repeats)

    return draw


def make_balanced_world(*, n: int, repeats: int) -> World:
    """Equally good candidates on classes of unequal size and difficulty, chosen by balanced accuracy."""
    sizes = np.linspace(0.4, 1.6, N_CLASSES)
    truth = np.repeat(np.arange(N_CLASSES), np.round(sizes / sizes.sum() * n).astype(int))
    recalls = np.linspace(0.82, 0.96, N_CLASSES)

    def draw(rng: np.random.Generator) -> Trial:
        right = rng.random((N_CANDIDATES, len(truth))) < recalls[truth]
        known = np.full(N_CANDIDATES, recalls.mean())
        return correct_outcomes(right, known, weigh=weigh_classes_alike(truth), repeats=repeats)

    return draw


def make_ensemble_world(accuracies: NDArray[np.float64], *, searched: bool, n: int, repeats: int) -> World:
    """All 3- and 5-member ensembles of members of known accuracy, by hard voting.

    Args:
        accuracies: of the members, which find the same utterances difficult.
        searched: whether the real search runs in every repeat, or the outcomes of all ensembles are kept.
    """
    known, known_truth = draw_predictions(np.random.default_rng(1), accuracies, n=N_KNOWN)
    truths = list_outcomes(known, known_truth).mean(axis=1)

    def draw(rng: np.random.Generator) -> Trial:
        predictions, truth = draw_predictions(rng, accuracies, n=n)
        if not searched:
            return correct_outcomes(list_outcomes(predictions, truth), truths, repeats=repeats)

        def choose(rows: NDArray[np.intp]) -> NDArray[np.bool_]:
            members = find_best(predictions[:, rows], truth[rows])
            right: NDArray[np.bool_] = hard_vote(predictions[members], n_classes=N_CLASSES).predicted == truth
            return right

        chosen = find_best(predictions, truth)
        right = hard_vote(known[chosen], n_classes=N_CLASSES).predicted == known_truth
        return Trial(
            truth=float(right.mean()),
            corrected={
                "bootstrap": correct_search(choose, n_utterances=n, repeats=2 * HALVES_REPEATS),
                "halves": correct_search(choose, method="halves", n_utterances=n, repeats=HALVES_REPEATS),
            },
        )

    return draw


def draw_predictions(
    rng: np.random.Generator, accuracies: NDArray[np.float64], *, n: int
) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Predictions ``(m, n)`` and truth ``(n,)`` of members of these accuracies, to whom the same is difficult."""
    m = len(accuracies)
    truth = rng.integers(N_CLASSES, size=n)
    difficulty = sqrt(0.5) * rng.normal(size=n) + sqrt(0.5) * rng.normal(size=(m, n))
    thresholds = [[NormalDist().inv_cdf(accuracy)] for accuracy in accuracies]
    # Mistakes agree more often than by chance: half of them are the next class.
    shifts = np.where(rng.random((m, n)) < 0.5, 1, rng.integers(1, N_CLASSES, size=(m, n)))
    predicted = np.where(difficulty < thresholds, truth, (truth + shifts) % N_CLASSES)
    return predicted.astype(np.int16), truth


def list_outcomes(predictions: NDArray[np.int16], truth: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which utterances each of the 3- and 5-member ensembles gets right."""
    options: dict[str, Any] = {"n_classes": N_CLASSES, "rule": "hard", "tie": "lowest", "probabilities": None}
    return np.concatenate([compute_outcomes(pose_problem(predictions, truth, k=k, **options)) for k in (3, 5)])


def find_best(predictions: NDArray[np.int16], truth: NDArray[np.int64]) -> list[int]:
    """The members of the best ensemble of 3 or 5."""
    found = [search_ensembles(predictions, truth, k=k, n_classes=N_CLASSES, top=1).results[0] for k in (3, 5)]
    return list(max(found, key=lambda score: score.correct).members)


def list_worlds(n: int, repeats: int) -> dict[str, World]:
    options: dict[str, Any] = {"n": n, "repeats": repeats}
    equal, unequal = np.full(N_CANDIDATES, 0.9), np.linspace(0.8, 0.93, N_CANDIDATES)
    six_equal, six_unequal = np.full(6, 0.87), np.array([0.8, 0.82, 0.85, 0.87, 0.9, 0.92])
    return {
        "26 equal": make_independent_world(equal, **options),
        "26 equal, correlated": make_correlated_world(0.9, share=0.7, **options),
        "26 of 80 to 93%": make_independent_world(unequal, **options),
        "26 equal, 60 utterances": make_independent_world(equal, n=60, repeats=repeats),
        "26 of 80 to 93%, 60 utterances": make_independent_world(unequal, n=60, repeats=repeats),
        "26 equal, balanced accuracy": make_balanced_world(**options),
        "ensembles of 6 equal": make_ensemble_world(six_equal, searched=False, **options),
        "ensembles of 6 equal, searched": make_ensemble_world(six_equal, searched=True, **options),
        "ensembles of 6 of 80 to 92%": make_ensemble_world(six_unequal, searched=False, **options),
        "24 speakers, by utterance": make_speaker_world(0.9, spread=0.5, by_speaker=False, **options),
        "24 speakers, by speaker": make_speaker_world(0.9, spread=0.5, by_speaker=True, **options),
    }


def simulate(world: World, *, draws: int, seed: int) -> dict[str, Any]:
    """Biases in percentage points, their standard errors, and the coverage of intervals."""
    trials = [world(np.random.default_rng([seed, place])) for place in range(draws)]
    truths = np.array([trial.truth for trial in trials])
    figures = {"apparent": np.array([trial.corrected["bootstrap"].apparent for trial in trials])}
    coverage = {}
    for method in trials[0].corrected:
        selections = [trial.corrected[method] for trial in trials]
        figures[method] = np.array([selection.corrected for selection in selections])
        low, high = (np.array([getattr(selection, bound) for selection in selections]) for bound in ("low", "high"))
        coverage[method] = float(((low <= truths) & (truths <= high)).mean())
    biases = {name: summarise(100 * (figure - truths)) for name, figure in figures.items()}
    return {"truth": float(truths.mean()), "bias": biases, "coverage": coverage}


def summarise(differences: NDArray[np.float64]) -> dict[str, float]:
    return {"mean": float(differences.mean()), "se": float(differences.std(ddof=1) / sqrt(len(differences)))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=400)
    parser.add_argument("--utterances", type=int, default=288)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{options.draws} draws of {options.utterances} utterances; bias in points ± standard error; (coverage)\n")
    print(f"{'candidates':32s}{'truth':>8s}{'apparent':>15s}{'bootstrap':>24s}{'halves':>24s}")
    found = {}
    for name, world in list_worlds(options.utterances, options.repeats).items():
        found[name] = one = simulate(world, draws=options.draws, seed=options.seed)
        cells = {method: f"{bias['mean']:+.2f} ± {bias['se']:.2f}" for method, bias in one["bias"].items()}
        for method, share in one["coverage"].items():
            cells[method] += f"  ({share:.0%})"
        print(f"{name:32s}{one['truth']:8.2%}{cells['apparent']:>15s}", end="")
        print(f"{cells['bootstrap']:>24s}{cells['halves']:>24s}", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    document = {"options": vars(options), "versions": list_versions(), "worlds": found}
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
