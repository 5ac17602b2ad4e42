"""How long the correction of a choice among all ensembles takes, beside the same with every ensemble voted each time.

    python benchmarks/bench_correction.py [--k 5] [--repeats 200] [--utterances 288]

5 of 84 members (6 runs at 14 steps) on 288 utterances of 24 speakers, 30,872,016 ensembles, whose best is chosen again
in each of 200 bootstrap samples of the speakers: once by ``find_best``, which leaves out what cannot be the best of
the sample, and once by ``search_problem``, which votes all. Both are the same to the last bit, which is checked before
a time is printed. Members of several accuracies, as the bounds leave out less where fewer are right. The figures also
go to benchmarks/results/correction.json.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from measuring.surroundings import describe_machine, list_package_versions
from measuring.voting_problem import VotingProblem
from ser_store.statistics.repeated_choice import SelectionBias
from ser_store.statistics.selection import correct_search
from ser_store.voting.problem import Problem, pose_problem
from ser_store.voting.pruned import find_best
from ser_store.voting.search import EnsembleScore, search_problem

RESULT = Path(__file__).parent / "results" / "correction.json"
N_SPEAKERS = 24
# Shares of the answers that are drawn anew, which lowers the members' accuracy.
REDRAWN = (0.0, 0.2, 0.4)


@dataclass(frozen=True)
class Timed:
    """A correction, and what it took.

    Attributes:
        found: the figures.
        wall: seconds.
        processor: seconds of all processors together.
    """

    found: SelectionBias
    wall: float
    processor: float


def draw_answers(posed: VotingProblem, redrawn: float) -> NDArray[np.int16]:
    """Return the members' answers, ``(m, n)``, a share of them drawn anew."""
    rng = np.random.default_rng([posed.seed, 3])
    answers = posed.predictions
    return np.where(rng.random(answers.shape) < redrawn, rng.integers(posed.n_classes, size=answers.shape), answers)


def time_correction(
    posed: VotingProblem, answers: NDArray[np.int16], find: Callable[[Problem], EnsembleScore], repeats: int
) -> Timed:
    """Correct the choice of the best of all ensembles."""

    def choose(rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        sample = pose_problem(answers[:, rows], posed.truth[rows], k=posed.k, n_classes=posed.n_classes)
        everything = pose_problem(answers, posed.truth, k=posed.k, n_classes=posed.n_classes)
        right: NDArray[np.bool_] = everything.vote(list(find(sample).members)).predicted == posed.truth
        return right

    speakers = np.arange(posed.n) % N_SPEAKERS
    wall, processor = time.perf_counter(), time.process_time()
    found = correct_search(choose, n_utterances=posed.n, groups=speakers, repeats=repeats)
    return Timed(found, time.perf_counter() - wall, time.process_time() - processor)


def find_by_all(problem: Problem) -> EnsembleScore:
    """Return the best after a vote of all."""
    return search_problem(problem, top=1, backend="bitsliced").results[0]


def find_by_bounds(problem: Problem) -> EnsembleScore:
    """Return the best without those that cannot be it."""
    return find_best(problem, backend="bitsliced")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"runs": 6, "steps": 14, "k": 5, "utterances": 288, "classes": 8, "repeats": 200}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args()
    posed = VotingProblem(runs=args.runs, steps=args.steps, n=args.utterances, n_classes=args.classes, k=args.k)
    rows = []
    for redrawn in REDRAWN:
        answers = draw_answers(posed, redrawn)
        for find in (find_by_all, find_by_bounds):  # loads the compiled code
            time_correction(posed, answers, find, 1)
        plain, quick = (time_correction(posed, answers, find, args.repeats) for find in (find_by_all, find_by_bounds))
        if plain.found != quick.found:
            raise SystemExit(f"the two ways differ: {plain.found} and {quick.found}")
        rows.append({"redrawn": redrawn, "all": asdict(plain), "bounds": asdict(quick)})
        print(
            f"members {(answers == posed.truth).mean():.1%} right, best {quick.found.apparent:.2%} apparent, "
            f"{quick.found.corrected:.2%} corrected in {args.repeats} repeats: {plain.wall:.1f} s with a vote of all "
            f"{posed.total:,} ensembles ({plain.processor:.1f} s of processors), {quick.wall:.1f} s by bounds "
            f"({quick.processor:.1f} s)"
        )
    document = {"voting_problem": {"m": posed.m, "n": posed.n, "k": posed.k, "ensembles": posed.total}}
    document |= {"machine": describe_machine(), "versions": list_package_versions(("numpy", "numba")), "rows": rows}
    args.result.write_text(json.dumps(document, indent=1) + "\n")
    print(f"wrote {args.result}")


if __name__ == "__main__":
    main()
