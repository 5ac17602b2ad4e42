"""How fast the exhaustive search is beside a batched one-hot search in numpy, after checking that they agree.

    python benchmarks/bench_vote.py [--runs 6] [--steps 14] [--k 5] [--utterances 288] [--classes 8]

The candidates are drawn: runs that find the same utterances hard, and steps of a run that resemble each other.
"""

import argparse
import os
import platform
import time
from itertools import combinations, islice

import numpy as np
from numpy.typing import NDArray

from ser_store.voting import SearchResult, count_ensembles, search_ensembles

BASELINE_BLOCK = 2_000
BASELINE_BLOCKS = 10
CHECKED_CANDIDATES = 24


def draw_candidates(
    runs: int, steps: int, n: int, n_classes: int, *, seed: int
) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Predictions ``(runs * steps, n)`` and truth ``(n,)``; candidates of about 87%, the best five 97%."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(n_classes, size=n)
    shared = rng.normal(scale=1.5, size=(n, n_classes))
    shared[np.arange(n), truth] += 5.4
    by_run = shared + rng.normal(size=(runs, 1, n, n_classes))
    logits = by_run + rng.normal(scale=0.8, size=(runs, steps, n, n_classes))
    return logits.argmax(axis=-1).reshape(runs * steps, n).astype(np.int16), truth


def vote_one_hot(onehot: NDArray[np.uint8], truth: NDArray[np.int64], combos: NDArray[np.intp]) -> NDArray[np.int64]:
    """Utterances right by ensemble: the search that one writes in numpy."""
    counted: NDArray[np.int64] = (onehot[combos].sum(1, dtype=np.uint8).argmax(-1) == truth).sum(1)
    return counted


def make_one_hot(predictions: NDArray[np.int16], n_classes: int) -> NDArray[np.uint8]:
    onehot: NDArray[np.uint8] = (predictions[..., None] == np.arange(n_classes)).astype(np.uint8)
    return onehot


def check_agreement(predictions: NDArray[np.int16], truth: NDArray[np.int64], *, k: int, n_classes: int) -> int:
    """Both back ends against the one-hot search on some of the candidates; returns how many ensembles that are."""
    some = predictions[np.linspace(0, len(predictions) - 1, min(CHECKED_CANDIDATES, len(predictions)), dtype=int)]
    combos = np.array(list(combinations(range(len(some)), k)))
    onehot = make_one_hot(some, n_classes)
    correct = np.concatenate(
        [
            vote_one_hot(onehot, truth, combos[start : start + BASELINE_BLOCK])
            for start in range(0, len(combos), BASELINE_BLOCK)
        ]
    )
    for backend in ("batched", "bitsliced"):
        found = search_ensembles(some, truth, k=k, n_classes=n_classes, backend=backend)
        best = [int(correct[(combos == score.members).all(axis=1)][0]) for score in found.results]
        agree = np.array_equal(found.histogram, np.bincount(correct, minlength=len(truth) + 1))
        if not agree or best != sorted(correct, reverse=True)[: len(best)]:
            raise SystemExit(f"back end {backend!r} disagrees with the one-hot search: nothing is timed")
    return len(combos)


def time_one_hot(predictions: NDArray[np.int16], truth: NDArray[np.int64], *, k: int, n_classes: int) -> float:
    """Seconds per ensemble of the one-hot search, over some of the ensembles."""
    onehot = make_one_hot(predictions, n_classes)
    every = max(1, count_ensembles(len(predictions), k) // (BASELINE_BLOCK * BASELINE_BLOCKS))
    spread = islice(combinations(range(len(predictions)), k), 0, None, every)
    combos = np.array(list(spread))[: BASELINE_BLOCK * BASELINE_BLOCKS]
    seconds = []
    for start in range(0, len(combos), BASELINE_BLOCK):
        block = combos[start : start + BASELINE_BLOCK]
        started = time.perf_counter()
        vote_one_hot(onehot, truth, block)
        seconds.append((time.perf_counter() - started) / len(block))
    return float(np.median(seconds))


def time_search(
    predictions: NDArray[np.int16],
    truth: NDArray[np.int64],
    *,
    k: int,
    n_classes: int,
    backend: str,
    threads: int | None = None,
) -> SearchResult:
    """The fastest of three searches."""
    found = [
        search_ensembles(predictions, truth, k=k, n_classes=n_classes, backend=backend, threads=threads)
        for _ in range(3)
    ]
    return min(found, key=lambda result: result.seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("runs", 6), ("steps", 14), ("k", 5), ("utterances", 288), ("classes", 8), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    predictions, truth = draw_candidates(args.runs, args.steps, args.utterances, args.classes, seed=args.seed)
    case = {"k": args.k, "n_classes": args.classes}

    n_checked = check_agreement(predictions, truth, **case)
    print(f"both back ends agree with the one-hot search on {n_checked:,} ensembles")
    total = count_ensembles(len(predictions), args.k)
    accuracies = (predictions == truth).mean(axis=1)
    print(
        f"{args.k} of {len(predictions)} candidates ({accuracies.min():.3f} to {accuracies.max():.3f}), "
        f"{args.utterances} utterances, {args.classes} classes: {total:,} ensembles"
    )
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors, numpy {np.__version__}\n")

    one_hot = time_one_hot(predictions, truth, **case)
    # Batched numpy is timed on the first candidates: nobody waits for it to finish what is compiled in a second.
    few = args.k
    while few < len(predictions) and count_ensembles(few, args.k) < 100_000:
        few += 1
    rows: list[tuple[str, float, float | None]] = [("one-hot numpy", one_hot, None)]
    batched = time_search(predictions[:few], truth, backend="batched", **case)
    rows.append(("batched numpy", batched.seconds / batched.searched, None))
    for threads in sorted({1, os.cpu_count() or 1}):
        found = time_search(predictions, truth, backend="bitsliced", threads=threads, **case)
        name = f"bit-sliced, {threads} thread{'s' if threads > 1 else ''}"
        rows.append((name, found.seconds / found.searched, found.seconds))
    print(f"{'search':24}{'ns/ensemble':>14}{'ensembles/s':>16}{'ratio':>9}{'all, s':>10}")
    for name, seconds, whole in rows:
        shown = f"{whole:10.3f}" if whole else f"{seconds * total:9.1f}*"
        print(f"{name:24}{seconds * 1e9:14.2f}{1 / seconds:16,.0f}{one_hot / seconds:9.1f}{shown}")
    print("* extrapolated")


if __name__ == "__main__":
    main()
