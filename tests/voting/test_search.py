"""The search against voting every combination of ``itertools`` with the rules themselves."""

import csv
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from vote_samples import search_by_hand

from ser_store.errors import EnsembleError, UnknownNameError
from ser_store.voting import TIES, hard_vote, search_ensembles
from ser_store.voting import numpy_search as batched
from ser_store.voting.problem import pose_problem
from ser_store.voting.quantize import Logits


def assert_finds_what_hands_find(predictions, truth, *, k, backend="auto", **case):
    expected = search_by_hand(predictions, truth, k=k, **case)
    result = search_ensembles(predictions, truth, k=k, top=7, backend=backend, **case)
    found = [(score.members, score.correct, score.balanced_accuracy, score.ties) for score in result.results]
    assert found == expected[:7]
    assert result.searched == len(expected) == comb(len(predictions), k)
    assert result.complete
    n_right = [correct for _, correct, _, _ in expected]
    np.testing.assert_array_equal(result.histogram, np.bincount(n_right, minlength=len(truth) + 1))


@st.composite
def candidates(draw):
    m, n, c = draw(st.integers(1, 8)), draw(st.integers(1, 12)), draw(st.integers(2, 11))
    k = draw(st.integers(1, m))
    predictions = draw(hnp.arrays(np.int16, (m, n), elements=st.integers(0, c - 1)))
    truth = draw(hnp.arrays(np.int16, n, elements=st.integers(0, c - 1)))
    probabilities = draw(hnp.arrays(np.float32, (m, n, c), elements=st.integers(0, 8).map(lambda p: p / 8)))
    weights = draw(st.none() | hnp.arrays(np.int64, m, elements=st.integers(0, 3)).filter(np.any))
    return (
        predictions,
        truth,
        {
            "k": k,
            "n_classes": c,
            "probabilities": probabilities,
            "weights": weights,
            "objective": draw(st.sampled_from(["accuracy", "balanced_accuracy"])),
        },
    )


@pytest.mark.parametrize("tie", TIES)
@given(case=candidates())
def test_the_hard_search_finds_what_voting_every_combination_finds(case, tie):
    predictions, truth, case = case
    assert_finds_what_hands_find(predictions, truth, tie=tie, **case)


@pytest.mark.parametrize("rule", ["soft", "soft-log"])
@given(case=candidates())
def test_the_soft_search_finds_what_voting_every_combination_finds(case, rule):
    predictions, truth, case = case
    assert_finds_what_hands_find(predictions, truth, rule=rule, **case)


WEIGHTS = {
    "decimals": [0.1, 0.1, 0.2, 0.3, 0.3, 0.6, 0.7],
    "all digits": [0.1, 0.8194444444444444, 1 / 3, 1 / 3, 2 / 3, 0.1, 0.30000000000000004],
    "of every size": [1e-18, 1e-18, 2e-18, 0.5, 3e18, 3e18, 6e18],
}


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize(
    ("rule", "tie"), [*(("hard", tie) for tie in TIES), ("soft", "lowest"), ("soft-log", "lowest")]
)
def test_an_ensemble_scores_alone_what_it_scores_in_a_search(rule, tie, weights):
    rng = np.random.default_rng(4)
    truth, predictions = rng.integers(3, size=60), rng.integers(3, size=(7, 60))
    logits = rng.integers(-2, 3, size=(7, 60, 3)).astype(np.float32)
    given, case = np.array(weights), {"n_classes": 3, "rule": rule, "tie": tie}
    for k in (2, 3, 4):
        found = search_ensembles(predictions, truth, k=k, probabilities=Logits(logits), weights=given, top=99, **case)
        for score in found.results:
            chosen = list(score.members)
            alone = {"probabilities": Logits(logits[chosen]), "weights": given[chosen] * 3}
            (own,) = search_ensembles(predictions[chosen], truth, k=k, **alone, **case).results
            assert (own.correct, own.balanced_accuracy, own.ties) == (
                score.correct,
                score.balanced_accuracy,
                score.ties,
            )
    expected = search_by_hand(predictions, truth, k=3, probabilities=Logits(logits), weights=given, **case)
    found = search_ensembles(predictions, truth, k=3, probabilities=Logits(logits), weights=given, top=99, **case)
    assert [(score.members, score.correct, score.balanced_accuracy, score.ties) for score in found.results] == expected


def test_weights_of_decimals_are_whole_numbers_whoever_stands_beside():
    # Of 0.1, 0.1 and 0.2 the first two weigh as much as the third.
    predictions, truth = [[1, 0], [1, 0], [0, 1], [0, 0]], [1, 1]
    case = {"k": 3, "n_classes": 2}
    alone = search_ensembles(predictions[:3], truth, weights=[0.1, 0.1, 0.2], **case).results[0]
    beside = search_ensembles(predictions, truth, weights=[0.1, 0.1, 0.2, 0.3], **case).results
    whole = search_ensembles(predictions, truth, weights=[1, 1, 2, 3], **case).results
    assert (alone.correct, alone.ties) == (0, 2)
    assert alone in beside
    assert beside == whole
    (tied,) = search_ensembles(
        [[0, 1], [0, 1], [0, 1], [1, 0]], [0, 0], k=4, n_classes=2, weights=[0.1, 0.1, 0.1, 0.3]
    ).results
    assert (tied.correct, tied.ties) == (2, 2)


def test_the_best_balanced_come_first_when_asked_for():
    truth = np.array([0] * 6 + [1])
    predictions = np.array([[0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 1, 1]])
    found = [
        search_ensembles(predictions, truth, k=1, n_classes=2, objective=objective, top=2).results
        for objective in ("accuracy", "balanced_accuracy")
    ]
    assert [[score.members[0] for score in results] for results in found] == [[2, 0], [2, 1]]


@pytest.mark.parametrize("tie", TIES)
@pytest.mark.parametrize(("k", "n_classes"), [(7, 8), (8, 8), (9, 64), (5, 20)])
def test_fields_of_every_width_hold_their_margins(k, n_classes, tie):
    rng = np.random.default_rng(k)
    truth = rng.integers(n_classes, size=30)
    # Few votes for many classes, and unanimous ones, right and wrong: the ends of the margins' range.
    predictions = rng.integers(n_classes, size=(10, 30))
    predictions[:, :10] = truth[:10]
    predictions[:, 10:20] = (truth[10:20] + 1) % n_classes
    probabilities = rng.random((10, 30, n_classes), dtype=np.float32)
    assert_finds_what_hands_find(predictions, truth, k=k, n_classes=n_classes, tie=tie, probabilities=probabilities)


def test_more_members_than_a_byte_counts_can_vote():
    truth = np.zeros(3, dtype=np.int16)
    predictions = np.zeros((301, 3), dtype=np.int16)
    predictions[:151, 1] = 1
    predictions[:150, 2] = 1
    result = search_ensembles(predictions, truth, k=301, n_classes=2)
    assert result.results[0].correct == 2


def test_the_published_ensembles_are_found(paper_predictions):
    with paper_predictions.open(newline="") as table:
        rows = list(csv.DictReader(table))
    classes = sorted({row["emotion"] for row in rows})
    names = list(rows[0])[2:]
    truth = np.array([classes.index(row["emotion"]) for row in rows])
    predictions = np.array([[classes.index(row[name]) for row in rows] for name in names], dtype=np.int16)
    for k, searched, correct in ((5, 6, 279), (3, 20, 278)):
        result = search_ensembles(predictions, truth, k=k, n_classes=8)
        assert result.searched == searched
        assert [score.correct for score in result.results[:2]] == [correct, result.results[1].correct]
        assert result.results[1].correct < correct
        best = [names[member] for member in result.results[0].members]
        assert ("hubert-base@900" in best) == (k == 5)


@pytest.mark.parametrize("block_bytes", [1, 100, 2**22])
def test_the_result_does_not_depend_on_the_size_of_the_blocks(monkeypatch, block_bytes):
    rng = np.random.default_rng(7)
    truth, predictions = rng.integers(3, size=20), rng.integers(3, size=(9, 20))
    expected = search_ensembles(predictions, truth, k=4, n_classes=3, top=11)
    monkeypatch.setattr(batched, "BLOCK_BYTES", block_bytes)
    result = search_ensembles(predictions, truth, k=4, n_classes=3, top=11)
    assert result.results == expected.results
    np.testing.assert_array_equal(result.histogram, expected.histogram)


@pytest.mark.parametrize("block_bytes", [1, 100, 2**22])
def test_what_every_ensemble_gets_right_comes_in_lexicographic_order(monkeypatch, block_bytes):
    monkeypatch.setattr(batched, "BLOCK_BYTES", block_bytes)
    rng = np.random.default_rng(7)
    truth, predictions = rng.integers(3, size=20), rng.integers(3, size=(7, 20))
    problem = pose_problem(predictions, truth, k=4, n_classes=3, rule="hard", tie="lowest", probabilities=None)
    found = batched.compute_outcomes(problem)
    every = combinations(range(7), 4)
    expected = [hard_vote(predictions[list(members)], n_classes=3).predicted == truth for members in every]
    np.testing.assert_array_equal(found, expected)


EVERY_RULE = [*(("hard", tie) for tie in TIES), ("soft", "lowest"), ("soft-log", "lowest")]


@pytest.mark.parametrize("objective", ["accuracy", "balanced_accuracy"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("rule", "tie"), EVERY_RULE)
def test_the_figures_of_an_ensemble_do_not_depend_on_the_order_of_the_members(rule, tie, weighted, objective):
    rng = np.random.default_rng(9)
    truth, predictions = rng.integers(3, size=30), rng.integers(3, size=(8, 30))
    for member in range(8):
        # All of different accuracy: of equals the tie rule `best` takes the earlier.
        predictions[member, : 3 * member] = truth[: 3 * member]
        predictions[member, 3 * member :] = (truth[3 * member :] + 1 + member % 2) % 3
    probabilities = rng.choice([0.1, 0.2, 1 / 3], size=(8, 30, 3))
    weights = rng.integers(4, size=8) / 10 if weighted else None
    order = rng.permutation(8)
    case = {"k": 4, "n_classes": 3, "rule": rule, "tie": tie, "objective": objective, "top": 70}
    backends = ["batched"]
    if tie in ("lowest", "abstain"):
        backends += ["summed"] if weighted or rule != "hard" else ["summed", "bitsliced"]
    found = []
    for backend in backends:
        for chosen in (np.arange(8), order):
            own = {"probabilities": probabilities[chosen], "weights": weights if weights is None else weights[chosen]}
            result = search_ensembles(predictions[chosen], truth, backend=backend, threads=2, **own, **case)
            rows = [
                (frozenset(chosen[list(score.members)].tolist()), score.correct, score.balanced_accuracy, score.ties)
                for score in result.results
            ]
            figures = [row[1:3] if objective == "accuracy" else row[2:0:-1] for row in rows]
            ranked = list(zip(figures, (score.members for score in result.results), strict=True))
            assert ranked == sorted(ranked, key=lambda rank: ([-figure for figure in rank[0]], rank[1]))
            found.append((set(rows), result.histogram.tolist()))
    assert len(found[0][0]) == 70
    assert all(one == found[0] for one in found)


def test_of_ensembles_that_score_the_same_the_lexicographically_first_come_first():
    predictions = np.zeros((12, 5), dtype=np.int16)
    result = search_ensembles(predictions, np.zeros(5, dtype=np.int16), k=3, n_classes=2, top=4)
    assert [score.members for score in result.results] == list(combinations(range(12), 3))[:4]


def test_of_ensembles_with_as_many_right_the_better_balanced_come_first():
    truth = np.array([0, 0, 0, 0, 1])
    predictions = np.array([[0, 0, 0, 0, 0], [0, 0, 0, 1, 1]])
    result = search_ensembles(predictions, truth, k=1, n_classes=2)
    assert [score.members for score in result.results] == [(1,), (0,)]


def test_supports_whose_common_multiple_leaves_64_bits_still_order_by_balanced_accuracy():
    sizes = [101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151]
    truth = np.repeat(np.arange(11), sizes)
    predictions = np.tile(truth, (11, 1))
    for member in range(11):
        predictions[member, np.flatnonzero(truth == member)[0]] = (member + 1) % 11
    result = search_ensembles(predictions, truth, k=1, n_classes=11)
    assert [score.members for score in result.results] == [(member,) for member in range(10, -1, -1)]


def test_an_interrupted_search_returns_the_best_so_far(monkeypatch):
    monkeypatch.setattr(batched, "BLOCK_BYTES", 1000)

    def interrupt(items, /, *, total, label):
        for count, item in enumerate(items):
            if count == 3:
                raise KeyboardInterrupt
            yield item

    rng = np.random.default_rng(8)
    truth, predictions = rng.integers(3, size=20), rng.integers(3, size=(9, 20))
    result = search_ensembles(predictions, truth, k=4, n_classes=3, progress=interrupt)
    assert not result.complete
    assert 0 < result.searched < comb(9, 4)
    assert result.histogram.sum() == result.searched
    assert result.results[0].correct == np.flatnonzero(result.histogram)[-1]


def test_progress_covers_the_search_block_by_block(monkeypatch):
    monkeypatch.setattr(batched, "BLOCK_BYTES", 1000)
    seen = []

    def watch(items, /, *, total, label):
        for item in items:
            seen.append((total, label))
            yield item

    search_ensembles(np.zeros((9, 20), dtype=np.int16), np.zeros(20, dtype=np.int16), k=4, n_classes=3, progress=watch)
    assert seen == [(len(seen), "voting")] * len(seen)
    assert len(seen) > 3


THREE = np.zeros((3, 4), dtype=np.int16)


@pytest.mark.parametrize(
    ("predictions", "truth", "kwargs", "message"),
    [
        (THREE, [0] * 4, {"k": 5}, "k is 5 with 3 members: expected 1 to 3; name more members or a smaller k"),
        (THREE, [0] * 4, {"k": 0}, "k is 0 with 3 members"),
        (THREE, [0] * 3, {}, r"truth is int64 of shape \(3,\): expected integers of shape \(4,\)"),
        (THREE, [0, 1, 2, 0], {}, r"truth ranges from 0 to 2: expected 0\.\.1"),
        (THREE + 2, [0] * 4, {}, r"predictions leave 0..1 in 12 places, the first is 2 of member 0 for utterance 0"),
        (
            THREE - 1,
            [0] * 4,
            {},
            r"predictions are missing: member 0 lacks 4 \(utterances 0, 1, 2, …\), mem",
        ),
        (THREE, [0] * 4, {"rule": "soft"}, r"this voting rule needs probabilities: expected .* \(3, 4, 2\)"),
        (THREE, [0] * 4, {"tie": "confidence"}, "needs probabilities"),
        (THREE, [0] * 4, {"rule": "soft", "tie": "best"}, "tie rule 'best' with soft voting: expected 'lowest'"),
        (THREE, [0] * 4, {"rule": "soft-log", "tie": "best"}, "tie rule 'best' with soft-log voting"),
        (THREE, [0] * 4, {"weights": [1, 2]}, r"weights have shape \(2,\): expected \(3,\)"),
        (THREE, [0] * 4, {"top": 0}, "`top` is 0: expected a whole number from 1 on"),
        (np.zeros((200, 4), dtype=int), [0] * 4, {"k": 100}, r"9.1e\+58 ensembles of 100 of 200 members"),
    ],
)
def test_a_search_that_cannot_be_made_is_refused_in_one_line(predictions, truth, kwargs, message):
    with pytest.raises(EnsembleError, match=message):
        search_ensembles(predictions, truth, **{"k": 2, "n_classes": 2, **kwargs})


def test_an_unknown_objective_offers_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown objective 'balanced': expected one of balanced_accuracy"):
        search_ensembles(THREE, [0] * 4, k=2, n_classes=2, objective="balanced")


def test_an_unknown_rule_offers_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown voting rule 'sotf': expected one of soft \(nearest\)"):
        search_ensembles(THREE, [0] * 4, k=2, n_classes=2, rule="sotf")
