"""How fast the exhaustive search is beside what others vote with, after checking that they agree; how its time grows;
and how fast it could be.

    pip install '.[bench]'
    python benchmarks/bench_vote.py [--runs 6] [--steps 14] [--k 5] [--utterances 288] [--classes 8] [--long]

5 of 84 members (6 runs at 14 steps) on 288 utterances of 8 classes. Prints tables and writes
benchmarks/results/vote.json. --long searches 7 of 84 as well, 4,529,365,776 ensembles.
"""

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from measuring.voting import compare_voting, search
from measuring.voting_problem import VotingProblem
from measuring.voting_table import print_voting
from ser_store.voting.compiled.bitsliced import encode_candidates, search_bitsliced_part
from ser_store.voting.compiled.parts import count_processors, iter_parts
from ser_store_h5.progress import bar
from vote_bound import measure_bound

RESULT = Path(__file__).parent / "results" / "vote.json"
# One of these is changed at a time.
USUAL = {"members": 84, "utterances": 288, "k": 5}
GROWTH = {"members": (40, 60, 84, 120, 168), "utterances": (288, 576, 1152, 2304), "k": (3, 4, 5, 6, 7)}
GROWTH_PARTS, GROWTH_REPEATS = 24, 9


def measure_growth(posed: VotingProblem) -> list[dict[str, Any]]:
    """Nanoseconds an ensemble, one thread, hard voting, as one size grows."""
    rows = []
    for name, values in GROWTH.items():
        for value in values:
            size = {**USUAL, name: value}
            # Members are all of one run, so that only their number changes.
            drawn = replace(posed, runs=1, steps=size["members"], n=size["utterances"], k=size["k"])
            rows.append({"growing": name, **size, "nanoseconds": _time_parts(drawn) * 1e9})
    return rows


def _time_parts(posed: VotingProblem) -> float:
    """Seconds an ensemble of parts spread evenly over the search; the fastest time, as other processes only add."""
    problem = posed.pose("hard")
    candidates = encode_candidates(problem)
    parts = list(iter_parts(candidates))
    some = parts[:: -(-len(parts) // GROWTH_PARTS)]
    n_ensembles = sum(part.count_ensembles(candidates) for part in some)
    floor = search(posed, "hard", backend="bitsliced", m=posed.k + 1).results[0].correct
    seconds = []
    for _ in range(GROWTH_REPEATS):
        started = time.perf_counter()
        for part in some:
            search_bitsliced_part(candidates, part, top=20, floor=floor)
        seconds.append(time.perf_counter() - started)
    return min(seconds) / n_ensembles


def print_growth(rows: list[dict[str, Any]]) -> None:
    """Beside the smallest of a kind, and what growing flat in members and linearly in words and in k would be."""
    print(f"\n{'members':>8}{'utterances':>12}{'k':>4}{'ns/ensemble':>14}{'ratio':>8}{'allowed':>9}")
    for row in rows:
        first = next(other for other in rows if other["growing"] == row["growing"])
        allowed = -(-row["utterances"] // 64) / -(-first["utterances"] // 64) * row["k"] / first["k"]
        ratio = row["nanoseconds"] / first["nanoseconds"]
        sizes = f"{row['members']:8}{row['utterances']:12}{row['k']:4}"
        print(f"{sizes}{row['nanoseconds']:14.2f}{ratio:8.2f}{allowed:9.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options = {"runs": 6, "steps": 14, "k": 5, "utterances": 288, "classes": 8, "repeats": 7, "seed": 0}
    for name, value in options.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--long", action="store_true", help="search 7 of them as well")
    parser.add_argument("--result", type=Path, default=RESULT)
    args = parser.parse_args()
    posed = VotingProblem(
        runs=args.runs, steps=args.steps, n=args.utterances, n_classes=args.classes, k=args.k, seed=args.seed
    )
    compared = compare_voting(posed, repeats=args.repeats, progress=bar)
    print_voting(compared)
    for name, library in compared.missing.items():
        print(f"{name} is left out: {library} is not installed")
    document = compared.to_json()
    bound = measure_bound(posed)
    if bound is not None:
        print(f"\n{bound.describe()}")
        document["bound"] = asdict(bound)
    document["growth"] = measure_growth(posed)
    print_growth(document["growth"])
    if args.long:
        threads = count_processors()
        found = search(replace(posed, k=7), "hard", backend="bitsliced", threads=threads, progress=bar)
        document["long"] = {"k": 7, "ensembles": found.searched, "seconds": found.seconds, "threads": threads}
        print(f"\n7 of {posed.m}: {found.searched:,} ensembles in {found.seconds:.1f} s, {threads} threads")
    args.result.parent.mkdir(exist_ok=True)
    args.result.write_text(json.dumps(document, indent=1) + "\n")
    print(f"\nwrote {args.result}")


if __name__ == "__main__":
    main()
