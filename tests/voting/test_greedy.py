"""Greedy selection against adding every candidate in turn and voting by the rules themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ser_store.errors import EnsembleError, UnknownNameError
from ser_store.metrics import compute_balanced_accuracy
from ser_store.voting import TIES, hard_vote, search_ensembles, soft_log_vote, soft_vote
from ser_store.voting.greedy import search_greedy


def vote_by_rule(predictions, truth, probabilities, members, *, n_classes, rule, tie):
    if rule == "soft":
        return soft_vote(probabilities[members])
    if rule == "soft-log":
        return soft_log_vote(probabilities[members])
    accuracies = (predictions == truth).mean(axis=1)[members]
    options = {"probabilities": probabilities[members], "accuracies": accuracies}
    return hard_vote(predictions[members], n_classes=n_classes, tie=tie, **options)


def select_by_hand(predictions, truth, probabilities, k, **options):
    """The candidates in the order added, with utterances right, balanced accuracy and ties after each."""
    added, figures = [], []
    for _ in range(k):
        extended = []
        for candidate in range(len(predictions)):
            votes = vote_by_rule(predictions, truth, probabilities, sorted([*added, candidate]), **options)
            balanced = compute_balanced_accuracy(truth, votes.predicted, n_classes=options["n_classes"])
            correct = int((votes.predicted == truth).sum())
            extended.append((correct, balanced, int(votes.tied.sum()), candidate))
        best = min(extended, key=lambda found: (-found[0], -round(found[1], 12), found[3]))
        added.append(best[3])
        figures.append(best[:3])
    return added, figures


@st.composite
def candidates(draw):
    m, n, c = draw(st.integers(1, 6)), draw(st.integers(1, 12)), draw(st.integers(2, 6))
    predictions = draw(hnp.arrays(np.int16, (m, n), elements=st.integers(0, c - 1)))
    truth = draw(hnp.arrays(np.int16, n, elements=st.integers(0, c - 1)))
    probabilities = draw(hnp.arrays(np.float32, (m, n, c), elements=st.integers(0, 8).map(lambda p: p / 8)))
    return predictions, truth, probabilities, draw(st.integers(1, 8)), c


@pytest.mark.parametrize(
    ("rule", "tie"), [*(("hard", tie) for tie in TIES), ("soft", "lowest"), ("soft-log", "lowest")]
)
@given(case=candidates())
def test_the_path_is_the_one_that_trying_every_candidate_takes(case, rule, tie):
    predictions, truth, probabilities, k, n_classes = case
    options = {"n_classes": n_classes, "rule": rule, "tie": tie}
    added, figures = select_by_hand(predictions, truth, probabilities, k, **options)
    result = search_greedy(predictions, truth, k=k, probabilities=probabilities, **options)
    assert list(result.added) == added
    assert [(score.correct, score.balanced_accuracy, score.ties) for score in result.path] == figures
    assert [list(score.members) for score in result.path] == [sorted(added[: size + 1]) for size in range(k)]
    assert result.complete
    assert result.voted == k * len(predictions)


def draw_candidates(*, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(4, size=60)
    return np.where(rng.random((12, 60)) < 0.6, truth, rng.integers(4, size=(12, 60))), truth


def test_the_selection_begins_with_the_best_single_candidate():
    predictions, truth = draw_candidates()
    best = search_ensembles(predictions, truth, k=1, n_classes=4).results[0]
    assert search_greedy(predictions, truth, k=1, n_classes=4).path == (best,)


def test_the_best_on_the_path_has_the_most_right_and_of_equals_the_fewest_members():
    predictions, truth = draw_candidates()
    result = search_greedy(predictions, truth, k=15, n_classes=4)
    merits = [(score.correct, score.balanced_accuracy) for score in result.path]
    assert result.best == result.path[merits.index(max(merits))]
    assert result.best.correct > result.path[0].correct


def test_a_candidate_may_be_added_more_often_than_there_are_candidates():
    result = search_greedy([[0, 1, 1], [1, 1, 0]], [0, 1, 1], k=4, n_classes=2)
    assert result.added == (0, 0, 0, 0)
    assert result.path[-1].members == (0, 0, 0, 0)
    assert result.best.members == (0,)


def test_an_interrupted_selection_returns_the_path_so_far():
    def interrupt(items, /, *, total, label):
        for count, item in enumerate(items):
            if count == 2:
                raise KeyboardInterrupt
            yield item

    predictions, truth = draw_candidates()
    result = search_greedy(predictions, truth, k=5, n_classes=4, progress=interrupt)
    assert not result.complete
    assert result.path == search_greedy(predictions, truth, k=2, n_classes=4).path


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
