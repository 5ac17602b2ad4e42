"""How often intervals of an accuracy hold the true one, where speakers differ.

    python benchmarks/simulate_intervals.py [--draws 1000] [--repeats 1000] [--seed 0]

Speakers are right with a probability of their own, normal on the logit scale; the true accuracy is its mean over all
speakers there could be. Compared are intervals of 95%: the bootstrap by speaker as serstore does it (on the
logit scale), the plain percentiles of the same samples, and Wilson's, which takes the utterances as independent. The
figures also go to benchmarks/results/intervals.json.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.common.provenance import list_versions
from ser_store.statistics.intervals import accuracy_interval
from ser_store.statistics.resampling import draw_counts

RESULTS = Path(__file__).parent / "results" / "intervals.json"
# Speakers and utterances of each, the centre of their logits, and how far they lie about it.
WORLDS = [
    (speakers, utterances, centre, spread)
    for speakers, utterances in ((24, 12), (24, 60), (10, 60), (5, 60), (3, 96), (2, 144))
    for centre, spread in ((1.0, 0.6), (2.5, 0.8), (3.5, 0.8))
]
METHODS = ("by speaker", "plain percentiles", "Wilson")


def find_intervals(right: NDArray[np.bool_], *, repeats: int, seed: int) -> dict[str, tuple[float, float]]:
    """Of outcomes ``(speakers, utterances)``."""
    n_speakers, n_utterances = right.shape
    counts = draw_counts(np.random.default_rng(seed), repeats, n_speakers)
    low, high = np.quantile(counts @ right.mean(axis=1) / n_speakers, [0.025, 0.975])
    speakers = np.repeat(np.arange(n_speakers), n_utterances)
    return {
        "by speaker": accuracy_interval(right.ravel(), groups=speakers, repeats=repeats, seed=seed).bounds,
        "plain percentiles": (float(low), float(high)),
        "Wilson": accuracy_interval(right.ravel()).bounds,
    }


def simulate(
    speakers: int, utterances: int, centre: float, spread: float, *, draws: int, repeats: int, seed: int
) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    truth = float((1 / (1 + np.exp(-centre - spread * rng.normal(size=1_000_000)))).mean())
    held = dict.fromkeys(METHODS, 0)
    for place in range(draws):
        accuracies = 1 / (1 + np.exp(-centre - spread * rng.normal(size=speakers)))
        right = rng.random((speakers, utterances)) < accuracies[:, None]
        for method, (low, high) in find_intervals(right, repeats=repeats, seed=place).items():
            held[method] += low <= truth <= high
    return {
        "speakers": speakers,
        "utterances": utterances,
        "truth": truth,
        "coverage": {method: count / draws for method, count in held.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("speakers  utterances each   truth " + "".join(f"{method:>20s}" for method in METHODS))
    found = []
    for world in WORLDS:
        one = simulate(*world, **vars(options))
        found.append(one)
        shares = "".join(f"{one['coverage'][method]:20.1%}" for method in METHODS)
        print(f"{one['speakers']:8d}{one['utterances']:17d}{one['truth']:8.1%} {shares}", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    document = {"options": vars(options), "versions": list_versions(), "worlds": found}
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
