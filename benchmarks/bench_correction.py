"""How long the correction of a choice among all ensembles takes, beside the same search repeated in each sample.

    python benchmarks/bench_correction.py [--k 5] [--repeats 200] [--plain 10] [--parts hard,soft]

5 of 84 members (6 runs at 14 steps) on 288 utterances of 24 speakers, 30,872,016 ensembles, whose best is chosen again
in 200 bootstrap samples of the speakers, as `vote` does it: in one pass over all ensembles. Members of several
accuracies, and weak ones that err independently; by hard votes, by soft votes, and by soft votes with one step of each
run.

Beside it the plain way, ``search_problem`` on each sample, which votes all; of the first few samples, since each takes
as long as the next. Before a time is printed, what both choose in these samples must have equally many right there: of
equals the plain way takes the better balanced, the pass the first. Times are those of the processors together, which
others that work on the machine lengthen less, and by the clock. Figures also go to benchmarks/results/correction.json.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from measuring.surroundings import describe_machine, list_package_versions
from measuring.voting_problem import VotingProblem
from ser_store.statistics.selection import correct_choices
from ser_store.voting.problem import Problem, pose_problem
from ser_store.voting.pruned import find_best
from ser_store.voting.resampled import find_bests
from ser_store.voting.search import search_problem

RESULT = Path(__file__).parent / "results" / "correction.json"
N_SPEAKERS = 24
# Shares of the answers that are drawn anew, which lowers the members' accuracy.
REDRAWN = (0.0, 0.2, 0.4)
# Accuracies of weak members.
WEAK = (0.3, 0.6)

T = TypeVar("T")


def iter_problems(posed: VotingProblem, parts: list[str]) -> Iterator[tuple[str, Problem]]:
    """Yield what is searched, by a name."""
    shared: dict[str, Any] = {"truth": posed.truth, "k": posed.k, "n_classes": posed.n_classes}
    rng = np.random.default_rng([posed.seed, 3])
    if "hard" in parts:
        for redrawn in REDRAWN:
            anew = rng.integers(posed.n_classes, size=posed.predictions.shape)
            answers = np.where(rng.random(anew.shape) < redrawn, anew, posed.predictions)
            yield f"hard, {redrawn:.0%} redrawn", pose_problem(answers, **shared)
        wrong = (posed.truth + rng.integers(1, posed.n_classes, size=posed.predictions.shape)) % posed.n_classes
        is_right = rng.random(wrong.shape) < rng.uniform(*WEAK, size=(posed.m, 1))
        yield "hard, weak and independent", pose_problem(np.where(is_right, posed.truth, wrong), **shared)
    if "soft" in parts:
        shared |= {"predictions": posed.predictions, "probabilities": posed.probabilities, "rule": "soft"}
        yield "soft", pose_problem(**shared)
        yield "soft, one step of each run", pose_problem(**shared, groups=np.arange(posed.m) // posed.steps)


def measure(name: str, problem: Problem, *, repeats: int, plain: int) -> dict[str, Any]:
    """Correct the choice of the best in one pass, and choose again in the first samples by a search of all."""
    samples: list[NDArray[np.intp]] = []
    chosen: list[NDArray[np.intp]] = []

    def choose(drawn: NDArray[np.intp], speakers: NDArray[np.intp]) -> NDArray[np.bool_]:
        chosen[:], samples[:] = find_bests(problem, drawn, speakers), drawn[:, speakers]
        return np.array([tell_right(problem, members) for members in chosen])

    speakers = np.arange(problem.n) % N_SPEAKERS
    best = tell_right(problem, find_by_all(problem))
    find_bests(problem.keep(np.arange(problem.k + 1)), np.ones((1, N_SPEAKERS), dtype=np.intp), speakers)  # compiles
    found, *one_pass = clock(lambda: correct_choices(choose, best, groups=speakers, repeats=repeats))
    few = samples[:plain]
    searched, *each = clock(lambda: [find_by_all(take(problem, np.repeat(np.arange(problem.n), one))) for one in few])
    for sample, members, by_all in zip(few, chosen, searched, strict=False):
        right = [int(tell_right(problem, one) @ sample) for one in (members, by_all)]
        if right[0] != right[1]:
            raise SystemExit(
                f"{name}: the pass chooses {members} with {right[0]} right, the search {by_all}: {right[1]}"
            )
    wall, processors = (seconds / len(few) for seconds in each)
    ratio = found.repeats * processors / one_pass[1]
    print(
        f"{name}: {found.apparent:.2%} apparent, {found.corrected:.2%} corrected ({found.describe()}): "
        f"{one_pass[0]:.1f} s, {one_pass[1]:.1f} s of processors; a search takes {wall:.2f} s, {processors:.2f} s of "
        f"processors, and {found.repeats} of them {ratio:.0f} times as long",
        flush=True,
    )
    return {
        "rule": name,
        "found": asdict(found),
        "one_pass": {"wall": one_pass[0], "processors": one_pass[1]},
        "one_search": {"wall": wall, "processors": processors, "of": len(few)},
        "searches_to_pass": ratio,
    }


def clock(run: Callable[[], T]) -> tuple[T, float, float]:
    """Return what ``run`` returns, and the seconds that it takes: by the clock, and of all processors together."""
    wall, processors = time.perf_counter(), time.process_time()
    returned = run()
    return returned, time.perf_counter() - wall, time.process_time() - processors


def take(problem: Problem, rows: NDArray[np.intp]) -> Problem:
    """Return the problem on some of its utterances."""
    steps = None if problem.steps is None else problem.steps[:, rows]
    return replace(problem, predictions=problem.predictions[:, rows], truth=problem.truth[rows], steps=steps)


def tell_right(problem: Problem, members: Any) -> NDArray[np.bool_]:
    """Return which utterances an ensemble gets right, ``(n,)``."""
    right: NDArray[np.bool_] = problem.vote(list(members)).predicted == problem.truth
    return right


def find_by_all(problem: Problem) -> tuple[int, ...]:
    """Return the best after a vote of all; of sums with constraints, which only numpy votes all of, by bounds."""
    if problem.constraints is not None:
        return find_best(problem, backend="summed").members
    backend = "bitsliced" if problem.rule == "hard" else "summed"
    return search_problem(problem, top=1, backend=backend).results[0].members


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = {"runs": 6, "steps": 14, "k": 5, "utterances": 288, "classes": 8, "repeats": 200, "plain": 10}
    for name, value in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--parts", default="hard,soft")
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args()
    posed = VotingProblem(runs=args.runs, steps=args.steps, n=args.utterances, n_classes=args.classes, k=args.k)
    problems = iter_problems(posed, args.parts.split(","))
    document = {
        "voting_problem": {"m": posed.m, "n": posed.n, "k": posed.k, "ensembles": posed.total},
        "machine": describe_machine(),
        "versions": list_package_versions(("numpy", "numba")),
        "rows": [measure(name, problem, repeats=args.repeats, plain=args.plain) for name, problem in problems],
    }
    args.result.write_text(json.dumps(document, indent=1) + "\n")
    print(f"wrote {args.result}")


if __name__ == "__main__":
    main()
