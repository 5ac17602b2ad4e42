"""How far corrected figures and intervals can be trusted where speakers are few.

    python benchmarks/simulate_few_speakers.py [--draws 400] [--repeats 300] [--utterances 8] [--seed 0]

Every world draws test parts of 2 to 12 speakers again and again, with 8 utterances for each on the average. Twelve
members of known true accuracy vote by threes; the best of the 220 ensembles is chosen as ``serstore vote`` chooses it,
and its corrected figure is compared with its true accuracy on further speakers. Worlds differ in

- sizes: all speakers have as many utterances, or the second has half as many as the first, the third a third, …;
- speakers: all are as easy, or they lie apart by 0.8 standard deviations of what makes an utterance difficult;
- members: all are as good, or they lie apart from 54% to 82% (of easy speakers).

In all of them members have speakers whom they are good at. Two more kinds of worlds: one speaker has half of all
utterances; every utterance is by a speaker of its own, as where speakers are not known.

Columns: bias of the apparent and of the corrected figure, in points, with its standard error; how often the corrected
figure's interval of 95% holds the true accuracy; how often the mean of the samples lies above the apparent figure
(where the corrected one is held, or, in the share in brackets, further above and given up); how often the interval
reaches from 0 to 1 and says nothing; how often the interval that ``serstore evaluate`` gives for a member by itself
holds the member's true accuracy; and whether serstore prints a corrected figure, or a note in its place. Figures go to
benchmarks/results/few_speakers.json.

The fewest units are those from which on, in every world of its kind, no more than 1% of the intervals say nothing, 90%
of them hold the truth, and the bias is within 3 points.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.provenance import list_versions
from ser_store.errors import UncorrectableError
from ser_store.evaluation.uncertainty import choose_rule, find_accuracy_intervals
from ser_store.statistics.repeated_choice import (
    FEWEST_GROUPS,
    FEWEST_UTTERANCES,
    find_limits,
    make_scorer,
    summarise_scores,
)
from ser_store.statistics.resampling import find_units, iter_counts
from ser_store.voting.numpy_search import compute_outcomes
from ser_store.voting.problem import pose_problem

RESULTS = Path(__file__).parent / "results" / "few_speakers.json"
SPEAKERS = (2, 3, 4, 5, 6, 8, 10, 12)
UTTERANCES = (4, 6, 8, 10, 12, 20, 40)
N_MEMBERS, N_CLASSES = 12, 4
# Standard deviations of speakers, where they differ, and of what members make of them; that of utterances is 1.
SPREAD, OWN_SPREAD = 0.8, 0.3
EQUAL, UNEQUAL = np.full(N_MEMBERS, 0.5), np.linspace(0.1, 0.9, N_MEMBERS)
# Utterances on which true accuracies are known to 0.15 points, drawn in parts.
N_KNOWN, N_PART = 120_000, 5_000


@dataclass(frozen=True)
class World:
    """Test parts that are drawn alike.

    Attributes:
        units: speakers, or utterances of as many speakers.
        sizes: ``equal``, ``unequal``, ``half`` (one speaker has half of all) or ``single``.
        speakers: ``equal`` or ``unequal``.
        members: ``equal`` or ``unequal``.
    """

    units: int
    sizes: str
    speakers: str
    members: str

    @property
    def spread(self) -> float:
        return SPREAD if self.speakers == "unequal" else 0.0

    @property
    def is_printed(self) -> bool:
        return self.units >= (FEWEST_UTTERANCES if self.sizes == "single" else FEWEST_GROUPS)

    def draw_speakers(self, rng: np.random.Generator, mean: int) -> NDArray[np.intp]:
        """The speaker of every utterance."""
        sizes = np.full(self.units, 1 if self.sizes == "single" else mean)
        if self.sizes == "half":
            sizes[0] *= self.units - 1
        if self.sizes == "unequal":
            shares = rng.permutation(1 / np.arange(1, self.units + 1))
            sizes = np.maximum(1, np.round(shares / shares.sum() * self.units * mean)).astype(np.intp)
        return np.repeat(np.arange(self.units), sizes)


def draw_members(
    rng: np.random.Generator, speakers: NDArray[np.intp], world: World
) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Predictions ``(12, n)``, and the truth ``(n,)``."""
    n, n_speakers = len(speakers), int(speakers.max()) + 1
    skills = EQUAL if world.members == "equal" else UNEQUAL
    ease = skills[:, None] * sqrt(1 + OWN_SPREAD**2 + world.spread**2)
    ease = ease + world.spread * rng.normal(size=n_speakers)[speakers]
    ease = ease + OWN_SPREAD * rng.normal(size=(N_MEMBERS, n_speakers))[:, speakers]
    ease = ease + sqrt(0.5) * rng.normal(size=n) + sqrt(0.5) * rng.normal(size=(N_MEMBERS, n))
    truth = rng.integers(N_CLASSES, size=n)
    # Mistakes agree more often than by chance: half of them are the next class.
    shifts = np.where(rng.random((N_MEMBERS, n)) < 0.5, 1, rng.integers(1, N_CLASSES, size=(N_MEMBERS, n)))
    return np.where(ease > 0, truth, (truth + shifts) % N_CLASSES).astype(np.int16), truth


def list_outcomes(predictions: NDArray[np.int16], truth: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which utterances each of the 220 ensembles gets right."""
    options: dict[str, Any] = {"n_classes": N_CLASSES, "rule": "hard", "tie": "lowest", "probabilities": None}
    return compute_outcomes(pose_problem(predictions, truth, k=3, **options))


@cache
def find_truths(speakers: str, members: str, seed: int) -> tuple[NDArray[np.float64], float]:
    """The true accuracies of the ensembles, ``(220,)``, and that of the last member."""
    world = World(N_PART, "single", speakers, members)
    rng = np.random.default_rng([seed, 1])
    ensembles: list[NDArray[np.float64]] = []
    last = []
    for _ in range(N_KNOWN // N_PART):
        predictions, truth = draw_members(rng, np.arange(N_PART), world)
        ensembles.append(list_outcomes(predictions, truth).mean(axis=1))
        last.append(float((predictions[-1] == truth).mean()))
    truths = np.mean(ensembles, axis=0)
    return (np.full(len(truths), truths.mean()) if world.members == "equal" else truths), float(np.mean(last))


def simulate(world: World, *, draws: int, repeats: int, utterances: int, seed: int) -> dict[str, Any]:
    truths, own_truth = find_truths(world.speakers, world.members, seed)
    apparent, errors, above, given_up, covered, empty, own_covered = [], [], 0, 0, 0, 0, 0
    for place in range(draws):
        rng = np.random.default_rng([seed, world.units, place])
        speakers = world.draw_speakers(rng, utterances)
        predictions, said = draw_members(rng, speakers, world)
        outcomes = list_outcomes(predictions, said)
        best = int(outcomes.sum(axis=1).argmax())
        found = float(outcomes[best].mean())
        apparent.append(found - truths[best])
        # As correct_selection_by_bootstrap, but also of fewer units than it takes.
        units = find_units(len(said), None if world.sizes == "single" else speakers)
        score = make_scorer(outcomes, units)
        [(scores, n_outside)] = [score(counts) for counts in iter_counts(place, repeats=repeats, n_units=units.count)]
        above += scores.mean() > found + 1e-9
        shared: dict[str, Any] = {"limits": find_limits(outcomes), "repeats": repeats, "method": ""}
        try:
            selection = summarise_scores(found, scores, n_outside, units=units, **shared)
        except UncorrectableError:
            given_up += 1
        else:
            errors.append(selection.corrected - truths[best])
            low, high = selection.bounds or (0.0, 1.0)
            covered += low <= truths[best] <= high
            empty += low <= 0 and high >= 1
        rule = choose_rule(None if world.sizes == "single" else speakers)
        [interval] = find_accuracy_intervals((predictions[-1] == said)[None], rule)
        own_covered += interval.low <= own_truth <= interval.high
    return {
        "apparent": summarise(apparent),
        "corrected": summarise(errors),
        "coverage": covered / len(errors),
        "above": above / draws,
        "given_up": given_up / draws,
        "says_nothing": empty / len(errors),
        "own_coverage": own_covered / draws,
        "own_caution": interval.caution,
    }


def summarise(errors: list[float]) -> dict[str, float]:
    """In points."""
    return {"bias": 100 * float(np.mean(errors)), "se": 100 * float(np.std(errors, ddof=1)) / sqrt(len(errors))}


def list_worlds() -> list[World]:
    kinds = ("equal", "unequal")
    worlds = [World(units, *kind) for kind in product(kinds, kinds, kinds) for units in SPEAKERS]
    worlds += [World(units, "half", "unequal", "equal") for units in SPEAKERS if units > 2]
    return worlds + [World(units, "single", kind, kind) for kind in kinds for units in UTTERANCES]


def format_row(world: World, found: dict[str, Any]) -> str:
    corrected = found["corrected"]
    return (
        f"{world.units:5d}  {world.sizes:8s}{world.speakers:10s}{world.members:9s}"
        f"{found['apparent']['bias']:+9.1f}{corrected['bias']:+11.1f} ± {corrected['se']:.1f}"
        f"{found['coverage']:10.1%}{found['above']:7.1%} ({found['given_up']:.1%})"
        f"{found['says_nothing']:14.1%}{found['own_coverage']:12.1%}{'!' if found['own_caution'] else ' '}"
        f"  {'figure' if world.is_printed else 'note'}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--utterances", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows, worlds = [], list_worlds()
    for place, world in enumerate(worlds, start=1):
        print(f"\r{place} of {len(worlds)} worlds", end="", file=sys.stderr, flush=True)
        rows.append((world, simulate(world, **vars(options))))
    print(file=sys.stderr)
    document = {
        "options": vars(options),
        "versions": list_versions(),
        "fewest": {"speakers": FEWEST_GROUPS, "utterances": FEWEST_UTTERANCES},
        "worlds": [{**asdict(world), **found, "is_printed": world.is_printed} for world, found in rows],
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")
    print(f"{options.draws} test parts of each world; bias in points; !: with a caution\n")
    print("units  sizes   speakers  members   apparent  corrected   coverage  above         says nothing  evaluate's")
    for world, found in rows:
        print(format_row(world, found))


if __name__ == "__main__":
    main()
