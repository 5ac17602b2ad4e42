"""How long the correction of a choice among all ensembles takes, beside the same with every ensemble voted each time.

    python benchmarks/bench_correction.py [--k 5] [--repeats 200] [--utterances 288] [--parts hard,soft]

5 of 84 members (6 runs at 14 steps) on 288 utterances of 24 speakers, 30,872,016 ensembles, whose best is chosen again
in each of 200 bootstrap samples of the speakers: once by ``find_best``, which leaves out what cannot be the best of
the sample, and once by ``search_problem``, which votes all. Both are the same to the last bit, which is checked before
a time is printed. Members of several accuracies, as the bounds leave out less where fewer are right.

Then as `vote` does it unless it is told how often: until the standard error of the figure by the number of repeats is
half a point. Hard voting so has the figure of 200 repeats within twice that error, which is checked; soft voting, of
all ensembles and of those with one step of each run, that of as many searches of all, to the last bit, of which the
first are run. The figures also go to benchmarks/results/correction.json.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from measuring.surroundings import describe_machine, list_package_versions
from measuring.voting_problem import VotingProblem
from ser_store.ensembles.correction import REPEAT_ERROR
from ser_store.statistics.repeated_choice import SelectionBias
from ser_store.statistics.selection import correct_search
from ser_store.voting.problem import Problem, pose_problem
from ser_store.voting.pruned import find_best
from ser_store.voting.search import EnsembleScore, search_problem

RESULT = Path(__file__).parent / "results" / "correction.json"
N_SPEAKERS = 24
# Shares of the answers that are drawn anew, which lowers the members' accuracy.
REDRAWN = (0.0, 0.2, 0.4)
# Repeats of soft votes of all ensembles.
FEW = 10
_BY_UTTERANCE = ("predictions", "probabilities")


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
    posed: VotingProblem, voting: dict[str, Any], find: Callable[[Problem], EnsembleScore], **repeats: Any
) -> Timed:
    """Correct the choice of the best of all ensembles, of ``predictions`` and what else a problem is posed by."""

    def pose(rows: NDArray[np.intp]) -> Problem:
        own = {name: value[:, rows] if name in _BY_UTTERANCE else value for name, value in voting.items()}
        return pose_problem(truth=posed.truth[rows], k=posed.k, n_classes=posed.n_classes, **own)

    def choose(rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        right: NDArray[np.bool_] = everything.vote(list(find(pose(rows)).members)).predicted == posed.truth
        return right

    everything = pose(np.arange(posed.n))
    speakers = np.arange(posed.n) % N_SPEAKERS
    wall, processor = time.perf_counter(), time.process_time()
    found = correct_search(choose, n_utterances=posed.n, groups=speakers, **repeats)
    return Timed(found, time.perf_counter() - wall, time.process_time() - processor)


def find_by_all(problem: Problem) -> EnsembleScore:
    """Return the best after a vote of all."""
    return search_problem(problem, top=1, backend="bitsliced" if problem.rule == "hard" else "summed").results[0]


def find_by_bounds(problem: Problem) -> EnsembleScore:
    """Return the best without those that cannot be it."""
    return find_best(problem, backend="bitsliced" if problem.rule == "hard" else "summed")


def measure_hard(posed: VotingProblem, redrawn: float, repeats: int) -> dict[str, Any]:
    """Correct hard voting by all, by bounds, and by bounds until the error is reached."""
    answers = {"predictions": draw_answers(posed, redrawn)}
    for find in (find_by_all, find_by_bounds):  # loads the compiled code
        time_correction(posed, answers, find, repeats=1)
    plain, quick = (time_correction(posed, answers, find, repeats=repeats) for find in (find_by_all, find_by_bounds))
    check(plain.found, quick.found)
    ended = time_correction(posed, answers, find_by_bounds, repeats=repeats, error=REPEAT_ERROR)
    if ended.found.repeats < repeats and abs(ended.found.corrected - plain.found.corrected) > 2 * REPEAT_ERROR:
        raise SystemExit(f"further than twice the error: {ended.found} and {plain.found}")
    return {"rule": "hard", "redrawn": redrawn, "all": plain, "bounds": quick, "until the error": ended}


def measure_soft(posed: VotingProblem, repeats: int, *, one_step_per_run: bool) -> dict[str, Any]:
    """Correct soft voting by bounds until the error is reached, and the first of these repeats by a vote of all."""
    groups = np.arange(posed.m) // posed.steps if one_step_per_run else None
    voting = {"predictions": posed.predictions, "probabilities": posed.probabilities, "rule": "soft", "groups": groups}
    time_correction(posed, voting, find_by_bounds, repeats=1)
    ended = time_correction(posed, voting, find_by_bounds, repeats=repeats, error=REPEAT_ERROR)
    row = {"rule": "soft, one step of each run" if one_step_per_run else "soft", "until the error": ended}
    if one_step_per_run:  # only numpy votes all of these
        return row
    few = min(FEW, repeats)
    plain, quick = (time_correction(posed, voting, find, repeats=few) for find in (find_by_all, find_by_bounds))
    check(plain.found, quick.found)
    return {**row, "all": plain, "bounds": quick}


def check(plain: SelectionBias, quick: SelectionBias) -> None:
    if plain != quick:
        raise SystemExit(f"the two ways differ: {plain} and {quick}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in {"runs": 6, "steps": 14, "k": 5, "utterances": 288, "classes": 8, "repeats": 200}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--parts", default="hard,soft")
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args()
    posed = VotingProblem(runs=args.runs, steps=args.steps, n=args.utterances, n_classes=args.classes, k=args.k)
    parts = args.parts.split(",")
    rows = [measure_hard(posed, redrawn, args.repeats) for redrawn in REDRAWN if "hard" in parts]
    rows += [measure_soft(posed, args.repeats, one_step_per_run=one) for one in (False, True) if "soft" in parts]
    for row in rows:
        for way, own in row.items():
            if isinstance(own, Timed):
                print(
                    f"{row['rule']}, {way}: {own.found.apparent:.2%} apparent, {own.found.corrected:.2%} corrected "
                    f"({own.found.describe()}): {own.wall:.1f} s, {own.processor:.1f} s of processors"
                )
    document = {"voting_problem": {"m": posed.m, "n": posed.n, "k": posed.k, "ensembles": posed.total}}
    document |= {
        "machine": describe_machine(),
        "versions": list_package_versions(("numpy", "numba")),
        "rows": [{name: asdict(own) if isinstance(own, Timed) else own for name, own in row.items()} for row in rows],
    }
    args.result.write_text(json.dumps(document, indent=1) + "\n")
    print(f"wrote {args.result}")


if __name__ == "__main__":
    main()
