"""How fast the exhaustive search is beside what others vote with, after checking that they agree.

    python benchmarks/bench_vote.py [--runs 6] [--steps 14] [--k 5] [--utterances 288] [--classes 8]

The candidates are drawn: runs that find the same utterances hard, and steps of a run that resemble each other. Rows of
libraries that are not installed (pandas, mlxtend) are left out.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from importlib import import_module
from itertools import combinations, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vote_bound import measure_bound

from ser_store.voting import SearchResult, count_ensembles, hard_vote, search_ensembles

BASELINE_BLOCK = 2_000
BASELINE_BLOCKS = 10
CHECKED_CANDIDATES = 24
SINGLES = 40


def draw_candidates(
    runs: int, steps: int, n: int, n_classes: int, *, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Probabilities ``(runs * steps, n, c)`` and truth ``(n,)``; candidates of about 87%, the best five 97%."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(n_classes, size=n)
    shared = rng.normal(scale=1.5, size=(n, n_classes))
    shared[np.arange(n), truth] += 5.4
    by_run = shared + rng.normal(size=(runs, 1, n, n_classes))
    logits = by_run + rng.normal(scale=0.8, size=(runs, steps, n, n_classes))
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities = raised / raised.sum(axis=-1, keepdims=True)
    return probabilities.reshape(runs * steps, n, n_classes).astype(np.float32), truth


def vote_one_hot(onehot: NDArray[np.uint8], truth: NDArray[np.int64], combos: NDArray[np.intp]) -> NDArray[np.int64]:
    """Utterances right by ensemble: the search that one writes in numpy."""
    counted: NDArray[np.int64] = (onehot[combos].sum(1, dtype=np.uint8).argmax(-1) == truth).sum(1)
    return counted


def make_one_hot(predictions: NDArray[np.int16], n_classes: int) -> NDArray[np.uint8]:
    onehot: NDArray[np.uint8] = (predictions[..., None] == np.arange(n_classes)).astype(np.uint8)
    return onehot


def vote_means(
    probabilities: NDArray[np.float32], truth: NDArray[np.int64], combos: NDArray[np.intp]
) -> NDArray[np.int64]:
    """Utterances right by ensemble: the soft search that one writes in numpy."""
    counted: NDArray[np.int64] = (probabilities[combos].mean(1).argmax(-1) == truth).sum(1)
    return counted


class Recorded:
    """A fitted classifier whose predictions are known, for voters that want classifiers."""

    def __init__(self, predicted: NDArray[np.int16]) -> None:
        self.predicted = predicted

    def predict(self, _rows: Any) -> NDArray[np.int16]:
        return self.predicted


def vote_pandas(ballots: NDArray[np.int16]) -> Any:
    return import_module("pandas").DataFrame(ballots.T).mode(axis=1)[0].to_numpy()


def vote_scipy(ballots: NDArray[np.int16]) -> Any:
    return import_module("scipy.stats").mode(ballots, axis=0).mode


def vote_sklearn(ballots: NDArray[np.int16]) -> Any:
    names = [str(member) for member in range(len(ballots))]
    voter = import_module("sklearn.ensemble").VotingClassifier([(name, None) for name in names])
    voter.estimators_ = [Recorded(predicted) for predicted in ballots]
    voter.le_ = import_module("sklearn.preprocessing").LabelEncoder().fit(np.arange(int(ballots.max()) + 1))
    return voter.predict(np.empty((ballots.shape[1], 1)))


def vote_mlxtend(ballots: NDArray[np.int16]) -> Any:
    members = [Recorded(predicted) for predicted in ballots]
    voter_class = import_module("mlxtend.classifier").EnsembleVoteClassifier
    voter = voter_class(members, fit_base_estimators=False, use_clones=False)
    rows = np.empty((ballots.shape[1], 1))
    return voter.fit(rows, np.arange(ballots.shape[1]) % (int(ballots.max()) + 1)).predict(rows)


OTHERS: dict[str, tuple[str, Callable[[NDArray[np.int16]], Any]]] = {
    "pandas mode": ("pandas", vote_pandas),
    "mlxtend vote": ("mlxtend", vote_mlxtend),
    "scikit-learn vote": ("sklearn", vote_sklearn),
    "scipy.stats.mode": ("scipy", vote_scipy),
}


def time_others(predictions: NDArray[np.int16], *, k: int, n_classes: int) -> dict[str, float]:
    """Seconds per ensemble of what votes one ensemble at a time, where it agrees with :func:`hard_vote`."""
    every = max(1, count_ensembles(len(predictions), k) // SINGLES)
    combos = [list(members) for members in islice(combinations(range(len(predictions)), k), 0, None, every)][:SINGLES]
    expected = [hard_vote(predictions[members], n_classes=n_classes).predicted for members in combos]
    found = {}
    for name, (library, vote) in OTHERS.items():
        try:
            version = import_module(library).__version__
        except ImportError:
            print(f"{library} is not installed: {name} is left out")
            continue
        seconds = []
        for members, predicted in zip(combos, expected, strict=True):
            ballots = predictions[members]
            started = time.perf_counter()
            decided = vote(ballots)
            seconds.append(time.perf_counter() - started)
            if not np.array_equal(decided, predicted):
                raise SystemExit(f"{name} disagrees with the rule: nothing is timed")
        found[f"{name} {version}"] = float(np.median(seconds))
    return found


def check_agreement(
    vote: Callable[[NDArray[np.intp]], NDArray[np.int64]],
    predictions: NDArray[np.int16],
    truth: NDArray[np.int64],
    *,
    k: int,
    backends: tuple[str, ...],
    **case: Any,
) -> int:
    """The back ends against numpy's ``vote`` on some of the candidates; returns how many ensembles that are."""
    some = np.linspace(0, len(predictions) - 1, min(CHECKED_CANDIDATES, len(predictions)), dtype=int)
    combos = np.array(list(combinations(range(len(some)), k)))
    starts = range(0, len(combos), BASELINE_BLOCK)
    correct = np.concatenate([vote(some[combos[start : start + BASELINE_BLOCK]]) for start in starts])
    if "probabilities" in case:
        case["probabilities"] = case["probabilities"][some]
    for backend in backends:
        found = search_ensembles(predictions[some], truth, k=k, backend=backend, **case)
        best = [int(correct[(combos == score.members).all(axis=1)][0]) for score in found.results]
        agree = np.array_equal(found.histogram, np.bincount(correct, minlength=len(truth) + 1))
        if not agree or best != sorted(correct, reverse=True)[: len(best)]:
            raise SystemExit(f"back end {backend!r} disagrees with the search in numpy: nothing is timed")
    return len(combos)


def time_numpy(vote: Callable[[NDArray[np.intp]], NDArray[np.int64]], *, m: int, k: int, block: int) -> float:
    """Seconds per ensemble of numpy's ``vote``, over some of the ensembles, ``block`` at a time."""
    every = max(1, count_ensembles(m, k) // (block * BASELINE_BLOCKS))
    combos = np.array(list(islice(combinations(range(m), k), 0, None, every)))[: block * BASELINE_BLOCKS]
    seconds = []
    for start in range(0, len(combos), block):
        some = combos[start : start + block]
        started = time.perf_counter()
        vote(some)
        seconds.append((time.perf_counter() - started) / len(some))
    return float(np.median(seconds))


def time_search(predictions: NDArray[np.int16], truth: NDArray[np.int64], **case: Any) -> SearchResult:
    """The fastest of three searches."""
    found = [search_ensembles(predictions, truth, **case) for _ in range(3)]
    return min(found, key=lambda result: result.seconds)


def time_ours(
    predictions: NDArray[np.int16], truth: NDArray[np.int64], *, compiled: str, **case: Any
) -> list[tuple[str, float, float | None]]:
    """Batched numpy and the back end ``compiled``: names, seconds per ensemble, seconds for all."""
    # Batched numpy is timed on the first candidates: nobody waits for it to finish what is compiled in a second.
    few = case["k"]
    while few < len(predictions) and count_ensembles(few, case["k"]) < 20_000:
        few += 1
    part = {**case, "probabilities": case["probabilities"][:few]} if "probabilities" in case else case
    batched = time_search(predictions[:few], truth, backend="batched", **part)
    rows: list[tuple[str, float, float | None]] = [("ours, batched numpy", batched.seconds / batched.searched, None)]
    for threads in sorted({1, os.cpu_count() or 1}):
        found = time_search(predictions, truth, backend=compiled, threads=threads, **case)
        name = f"ours, {compiled}, {threads} thread{'s' if threads > 1 else ''}"
        rows.append((name, found.seconds / found.searched, found.seconds))
    return rows


def print_rows(rows: list[tuple[str, float, float | None]], *, baseline: float, total: int) -> None:
    print(f"{'search':30}{'ns/ensemble':>16}{'ensembles/s':>16}{'ratio':>10}{'all, s':>12}")
    for name, seconds, whole in rows:
        shown = f"{whole:12.3f}" if whole else f"{seconds * total:11.1f}*"
        print(f"{name:30}{seconds * 1e9:16,.2f}{1 / seconds:16,.0f}{baseline / seconds:10,.3g}{shown}")
    print("* extrapolated\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("runs", 6), ("steps", 14), ("k", 5), ("utterances", 288), ("classes", 8), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    args = parser.parse_args()
    probabilities, truth = draw_candidates(args.runs, args.steps, args.utterances, args.classes, seed=args.seed)
    predictions = probabilities.argmax(axis=-1).astype(np.int16)
    onehot = make_one_hot(predictions, args.classes)
    m, k = len(predictions), args.k
    hard: dict[str, Any] = {"k": k, "n_classes": args.classes}
    soft: dict[str, Any] = {**hard, "rule": "soft", "probabilities": probabilities}

    def by_one_hot(combos: NDArray[np.intp]) -> NDArray[np.int64]:
        return vote_one_hot(onehot, truth, combos)

    def by_means(combos: NDArray[np.intp]) -> NDArray[np.int64]:
        return vote_means(probabilities, truth, combos)

    checked = check_agreement(by_one_hot, predictions, truth, backends=("batched", "bitsliced", "summed"), **hard)
    check_agreement(by_means, predictions, truth, backends=("batched", "summed"), **soft)
    print(f"all back ends agree with the searches in numpy on {checked:,} ensembles, hard and soft")
    total = count_ensembles(m, k)
    accuracies = (predictions == truth).mean(axis=1)
    print(
        f"{k} of {m} candidates ({accuracies.min():.3f} to {accuracies.max():.3f}), "
        f"{args.utterances} utterances, {args.classes} classes: {total:,} ensembles"
    )
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors, numpy {np.__version__}\n")

    others = [(name, seconds, None) for name, seconds in time_others(predictions, **hard).items()]
    one_hot = time_numpy(by_one_hot, m=m, k=k, block=BASELINE_BLOCK)
    ours = time_ours(predictions, truth, compiled="bitsliced", **hard)
    print("\nhard voting")
    print_rows([*others, ("one-hot numpy", one_hot, None), *ours], baseline=one_hot, total=total)
    print(measure_bound(predictions, truth, seconds=ours[1][1], **hard), end="\n\n")
    # Blocks of a size that suits it: 100 ensembles are 9 MB.
    means = time_numpy(by_means, m=m, k=k, block=100)
    print("soft voting")
    ours = time_ours(predictions, truth, compiled="summed", **soft)
    print_rows([("float32 numpy", means, None), *ours], baseline=means, total=total)


if __name__ == "__main__":
    main()
