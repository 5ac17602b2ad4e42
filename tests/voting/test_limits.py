"""The sizes that every search promises to take, and what is missing, which none takes."""

import numpy as np
import pytest
from vote_samples import draw_candidates, from_arrays, search_by_hand

from ser_store.errors import EnsembleError
from ser_store.voting import TIES, greedy, hard_vote, pruned, scores, search_ensembles, soft_log_vote, soft_vote
from ser_store.voting.cluster import distributed

search_greedy = from_arrays(greedy.search_greedy)
search_pruned = from_arrays(pruned.search_pruned)
search_distributed = from_arrays(distributed.search_distributed)
compute_scores = from_arrays(scores.compute_scores)

# CodedVotes, members, utterances, classes: the ends of what is promised, and the edges of words of 64 utterances.
CORNERS = [
    (16, 15, 65, 64),
    (17, 15, 1, 64),
    (6, 1, 64, 2),
    (5, 2, 1, 2),
    (7, 4, 64, 64),
    (8, 5, 63, 2),
    (9, 3, 129, 3),
]
EVERY_RULE = [*(("hard", tie) for tie in TIES), ("soft", "lowest"), ("soft-log", "lowest")]
# Every rule at every corner, and with and without weights at every other.
CASES = [(*rule, (i + j) % 2, *corner) for i, rule in enumerate(EVERY_RULE) for j, corner in enumerate(CORNERS)]


def draw(m, n, n_classes):
    """Predictions, truth, and probabilities that agree with the predictions."""
    predictions, truth = draw_candidates(m, n, n_classes, accuracy=0.6, seed=m)
    probabilities = np.random.default_rng(m).integers(1, 9, size=(m, n, n_classes)).astype(np.float32)
    np.put_along_axis(probabilities, predictions[..., None].astype(np.intp), 10, axis=2)
    return predictions, truth, probabilities / probabilities.sum(axis=2, keepdims=True)


def list_figures(results):
    return [(score.members, score.correct, score.balanced_accuracy, score.ties) for score in results]


@pytest.mark.parametrize(("rule", "tie", "weighted", "m", "k", "n", "n_classes"), CASES)
def test_every_rule_is_searched_at_the_ends_of_what_is_promised(m, k, n, n_classes, weighted, rule, tie):
    predictions, truth, probabilities = draw(m, n, n_classes)
    case = {"k": k, "n_classes": n_classes, "rule": rule, "tie": tie, "probabilities": probabilities}
    case |= {"weights": np.arange(1, m + 1) if weighted else None}
    expected = search_by_hand(predictions, truth, **case)
    backends = ["batched"]
    if k > 1 and tie in ("lowest", "abstain"):
        backends += ["summed"] if weighted or rule != "hard" else ["summed", "bitsliced"]
    for backend in backends:
        found = search_ensembles(predictions, truth, backend=backend, top=5, **case)
        assert list_figures(found.results) == expected[:5]
        assert found.histogram.tolist() == np.bincount([row[1] for row in expected], minlength=n + 1).tolist()
    spread = search_distributed(predictions, truth, backend="threading", n_jobs=2, top=5, **case)
    assert list_figures(spread.results) == expected[:5]
    scores = compute_scores(predictions, truth, **case)
    assert scores.tolist() == [row[1] for row in sorted(expected)]


@pytest.mark.parametrize("tie", ["lowest", "abstain"])
@pytest.mark.parametrize(("m", "k", "n", "n_classes"), CORNERS)
def test_the_pruned_search_takes_the_same_sizes(m, k, n, n_classes, tie):
    predictions, truth, _ = draw(m, n, n_classes)
    case = {"k": k, "n_classes": n_classes, "tie": tie}
    found = search_pruned(predictions, truth, top=5, **case)
    assert list_figures(found.results) == search_by_hand(predictions, truth, **case)[:5]
    assert found.proved


@pytest.mark.parametrize(("rule", "tie"), EVERY_RULE)
@pytest.mark.parametrize(("m", "k", "n", "n_classes"), CORNERS)
def test_the_greedy_search_takes_the_same_sizes(m, k, n, n_classes, rule, tie):
    predictions, truth, probabilities = draw(m, n, n_classes)
    case = {"n_classes": n_classes, "rule": rule, "tie": tie, "probabilities": probabilities}
    found = search_greedy(predictions, truth, k=k, **case)
    path = sorted(found.results, key=lambda score: len(score.members))
    assert len(path) == k
    assert list_figures(path[:1]) == search_by_hand(predictions, truth, k=1, **case)[:1]


def test_a_million_utterances_are_voted_alike_by_all_that_take_them():
    rng = np.random.default_rng(0)
    truth = (rng.random(1_000_000) < 0.5).astype(np.int16)
    predictions = truth ^ (rng.random((4, 1_000_000)) < 0.2)
    probabilities = np.where(predictions[..., None] == np.arange(2), np.float32(0.75), np.float32(0.25))
    case = {"k": 3, "n_classes": 2, "probabilities": probabilities}
    expected = [
        int((hard_vote(np.delete(predictions, left, axis=0), n_classes=2).predicted == truth).sum())
        for left in range(4)
    ]
    # Soft voting of members that are all equally sure is hard voting.
    for options in ({"backend": "batched"}, {"backend": "bitsliced"}, {"rule": "soft"}):
        found = search_ensembles(predictions, truth, top=1, **case, **options)
        assert found.results[0].correct == max(expected)
        assert np.flatnonzero(found.histogram).tolist() == sorted(set(expected))
    with pytest.raises(EnsembleError, match=r"on 1000000 utterances: expected .* tables that fit; take 'auto'"):
        search_ensembles(predictions, truth, backend="summed", **case)


MISSING = (
    r"{} are missing: member 1 lacks 1 \(utterance 3\), member 2 lacks 5 \(utterances 0, 1, 2, …\), member 3 lacks 1 "
    r"\(utterance 4\) and 1 more; expected one of every member for each of 5 utterances; leave out those members or"
)


@pytest.mark.parametrize("search", [search_ensembles, search_pruned, search_greedy, search_distributed, compute_scores])
def test_missing_predictions_are_refused_with_the_list(search):
    predictions = np.zeros((6, 5), dtype=np.int16)
    predictions[[1, 3, 4], [3, 4, 2]] = predictions[2] = -1
    with pytest.raises(EnsembleError, match=MISSING.format("predictions")):
        search(predictions, np.zeros(5, dtype=np.int16), k=2, n_classes=2)


@pytest.mark.parametrize("search", [search_ensembles, search_greedy, search_distributed, compute_scores])
@pytest.mark.parametrize("options", [{"rule": "soft"}, {"rule": "soft-log"}, {"tie": "confidence"}])
def test_missing_probabilities_are_refused_with_the_list(search, options):
    probabilities = np.full((6, 5, 2), 0.5)
    probabilities[[1, 3, 4], [3, 4, 2], 1] = probabilities[2] = np.nan
    predictions, truth = np.zeros((6, 5), dtype=np.int16), np.zeros(5, dtype=np.int16)
    with pytest.raises(EnsembleError, match=MISSING.format("probabilities")):
        search(predictions, truth, k=2, n_classes=2, probabilities=probabilities, **options)


@pytest.mark.parametrize("vote", [soft_vote, soft_log_vote])
def test_a_vote_without_a_members_probabilities_is_refused(vote):
    with pytest.raises(EnsembleError, match=r"probabilities are missing: member 1 lacks 1 \(utterance 0\); expected"):
        vote([[[0.5, 0.5]], [[np.nan, 0.5]]])


@pytest.mark.parametrize("n_classes", [-1, 0, 1, 2**15 + 1])
def test_classes_that_cannot_be_told_apart_in_16_bits_are_refused(n_classes):
    with pytest.raises(EnsembleError, match=f"n_classes is {n_classes}: expected 2 to 32768 classes to vote on"):
        hard_vote([[0]], n_classes=n_classes)


def test_the_last_class_that_16_bits_tell_wins():
    found = search_ensembles([[2**15 - 1, 0], [2**15 - 1, 1]], [2**15 - 1, 1], k=2, n_classes=2**15)
    assert found.results[0].correct == 1
    assert hard_vote([[2**15 - 1]], n_classes=2**15).predicted.tolist() == [2**15 - 1]
