"""Greedy selection against adding every candidate in turn and voting by the rules themselves."""

import csv
from collections import Counter
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from vote_samples import from_arrays

from ser_store.errors import EnsembleError, UnknownNameError
from ser_store.metrics import compute_balanced_accuracy
from ser_store.voting import TIES, greedy, hard_vote, search_ensembles, soft_log_vote, soft_vote
from ser_store.voting.top_k import weigh_utterances

search_greedy = from_arrays(greedy.search_greedy)


def vote_by_rule(predictions, truth, probabilities, members, *, n_classes, rule, tie):
    if rule == "soft":
        return soft_vote(probabilities[members])
    if rule == "soft-log":
        return soft_log_vote(probabilities[members])
    accuracies = (predictions == truth).mean(axis=1)[members]
    options = {"probabilities": probabilities[members], "accuracies": accuracies}
    return hard_vote(predictions[members], n_classes=n_classes, tie=tie, **options)


def share_by_hand(predictions, truth, members, n_classes):
    """Utterances right, where every tie is decided by lot."""
    right = Fraction(0)
    for votes, label in zip(predictions[members].T.tolist(), truth.tolist(), strict=True):
        counts = [votes.count(c) for c in range(n_classes)]
        tied = [c for c in range(n_classes) if counts[c] == max(counts)]
        right += Fraction(label in tied, len(tied))
    return right


def select_by_hand(predictions, truth, probabilities, k, *, repeats, draws_lots, **options):
    """The candidates in the order added, with utterances right, balanced accuracy and ties after each."""
    added, figures = [], []
    balances = weigh_utterances(truth.astype(int), options["n_classes"])
    for _ in range(k):
        extended = []
        for candidate in range(len(predictions)):
            if candidate in added and not repeats:
                continue
            members = sorted([*added, candidate])
            votes = vote_by_rule(predictions, truth, probabilities, members, **options)
            balanced = compute_balanced_accuracy(truth, votes.predicted, n_classes=options["n_classes"])
            correct = int((votes.predicted == truth).sum())
            merit = (correct, int((votes.predicted == truth) @ balances))
            if draws_lots:
                shares = [
                    share_by_hand(predictions[:, [u]], truth[[u]], members, options["n_classes"])
                    for u in range(len(truth))
                ]
                merit = (
                    sum(shares),
                    sum(share * int(balance) for share, balance in zip(shares, balances, strict=True)),
                )
            extended.append(((correct, balanced, int(votes.tied.sum())), merit, candidate))
        if not extended:
            break
        best = max(extended, key=lambda found: (round(float(found[1][0]), 6), round(float(found[1][1]), 6), -found[2]))
        added.append(best[2])
        figures.append(best[0])
    return added, figures


@st.composite
def candidates(draw):
    m, n, c = draw(st.integers(1, 6)), draw(st.integers(1, 12)), draw(st.integers(2, 6))
    predictions = draw(hnp.arrays(np.int16, (m, n), elements=st.integers(0, c - 1)))
    truth = draw(hnp.arrays(np.int16, n, elements=st.integers(0, c - 1)))
    probabilities = draw(hnp.arrays(np.float32, (m, n, c), elements=st.integers(0, 8).map(lambda p: p / 8)))
    return predictions, truth, probabilities, draw(st.integers(1, 8)), c


def list_path(result):
    """The ensembles after each addition."""
    return sorted(result.results, key=lambda score: len(score.members))


def list_added(result):
    ensembles = [(), *(score.members for score in list_path(result))]
    return [one for before, after in pairwise(ensembles) for one in (Counter(after) - Counter(before)).elements()]


@pytest.mark.parametrize(
    ("rule", "tie"), [*(("hard", tie) for tie in TIES), ("soft", "lowest"), ("soft-log", "lowest")]
)
@given(case=candidates())
def test_the_path_is_the_best_of_those_that_trying_every_candidate_takes(case, rule, tie):
    predictions, truth, probabilities, k, n_classes = case
    options = {"n_classes": n_classes, "rule": rule, "tie": tie}
    kinds = [(False, False), (False, True), (True, False)] if rule == "hard" else [(False, False), (True, False)]
    paths = [
        select_by_hand(predictions, truth, probabilities, k, repeats=repeats, draws_lots=draws_lots, **options)
        for repeats, draws_lots in kinds
    ]
    added, figures = max(paths, key=lambda path: max((figure[:2], -size) for size, figure in enumerate(path[1])))
    result = search_greedy(predictions, truth, k=k, probabilities=probabilities, **options)
    assert list_added(result) == added
    assert [(score.correct, score.balanced_accuracy, score.ties) for score in list_path(result)] == figures
    assert [list(score.members) for score in list_path(result)] == [
        sorted(added[: size + 1]) for size in range(len(added))
    ]
    assert result.complete
    m = len(predictions)
    assert result.searched == k * m + (len(kinds) - 1) * sum(range(max(0, m - k) + 1, m + 1))


def test_the_published_members_make_the_best_ensemble_of_three_and_not_the_best_member_three_times(paper_predictions):
    with paper_predictions.open(newline="") as table:
        rows = list(csv.DictReader(table))
    classes = sorted({row["emotion"] for row in rows})
    truth = np.array([classes.index(row["emotion"]) for row in rows])
    predictions = np.array([[classes.index(row[name]) for row in rows] for name in list(rows[0])[2:]])
    found = {k: search_greedy(predictions, truth, k=k, n_classes=8).results[0] for k in range(1, 7)}
    assert [score.correct for score in found.values()] == [267, 267, 278, 281, 281, 283]
    assert [found[k].members for k in (1, 2, 3)] == [(1,), (1,), (1, 3, 5)]
    # With two votes each for two of them, these reach more than any others do with one.
    assert found[6].members == (0, 1, 1, 3, 3, 5)


@pytest.mark.parametrize("tie", TIES)
@given(case=candidates(), k=st.integers(1, 6))
def test_a_selection_is_never_worse_than_one_that_adds_nobody_again(case, k, tie):
    predictions, truth, probabilities, _, n_classes = case
    options = {"n_classes": n_classes, "rule": "hard", "tie": tie}
    plain = select_by_hand(predictions, truth, probabilities, k, repeats=False, draws_lots=False, **options)[1]
    found = search_greedy(predictions, truth, k=k, probabilities=probabilities, n_classes=n_classes, tie=tie)
    assert found.results[0].correct >= max(figure[0] for figure in plain)


def draw_candidates(*, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(4, size=60)
    return np.where(rng.random((12, 60)) < 0.6, truth, rng.integers(4, size=(12, 60))), truth


def test_the_selection_begins_with_the_best_single_candidate():
    predictions, truth = draw_candidates()
    best = search_ensembles(predictions, truth, k=1, n_classes=4).results[0]
    assert search_greedy(predictions, truth, k=1, n_classes=4).results == (best,)


def test_the_best_on_the_path_has_the_most_right_and_of_equals_the_fewest_members():
    predictions, truth = draw_candidates()
    result = search_greedy(predictions, truth, k=15, n_classes=4)
    merits = [(score.correct, score.balanced_accuracy) for score in list_path(result)]
    assert result.results[0] == list_path(result)[merits.index(max(merits))]
    assert result.results[0].correct > list_path(result)[0].correct


def test_a_selection_ends_when_nothing_is_gained_by_adding_anybody_again():
    result = search_greedy([[0, 1, 1], [1, 1, 0]], [0, 1, 1], k=4, n_classes=2)
    assert list_added(result) == [0, 1]
    assert result.results[0].members == (0,)


def test_an_interrupted_selection_returns_the_path_so_far():
    def interrupt(items, /, *, total, label):
        for count, item in enumerate(items):
            if count == 2:
                raise KeyboardInterrupt
            yield item

    predictions, truth = draw_candidates()
    result = search_greedy(predictions, truth, k=5, n_classes=4, progress=interrupt)
    assert not result.complete
    assert result.results == search_greedy(predictions, truth, k=2, n_classes=4).results


def test_progress_covers_the_additions_one_by_one():
    seen = []

    def watch(items, /, *, total, label):
        for item in items:
            seen.append((total, label))
            yield item

    predictions, truth = draw_candidates()
    search_greedy(predictions, truth, k=3, n_classes=4, progress=watch)
    assert seen == [(3, "adding")] * 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"k": 0}, EnsembleError, "k is 0: expected 1 to 16384 additions"),
        ({"k": 16385}, EnsembleError, "k is 16385: expected"),
        ({"rule": "soft"}, EnsembleError, "this voting rule needs probabilities"),
        ({"tie": "worst"}, UnknownNameError, "unknown tie rule 'worst'"),
    ],
)
def test_a_selection_that_cannot_be_made_is_refused_in_one_line(options, error, message):
    with pytest.raises(error, match=message):
        search_greedy([[0, 1], [1, 1]], [0, 1], **{"k": 2, "n_classes": 2, **options})
