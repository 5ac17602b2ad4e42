"""The rules against pure-Python oracles: on everything small, and on cases that Hypothesis makes."""

from decimal import Decimal
from fractions import Fraction
from itertools import product
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ser_store.errors import EnsembleError, UnknownNameError
from ser_store.metrics import softmax
from ser_store.voting.checks import TIES, check_weights
from ser_store.voting.quantize import Logits, count_weights
from ser_store.voting.rules import hard_vote, soft_log_vote, soft_vote


def vote_by_hand(votes, n_classes, tie, probabilities, accuracies, weights):
    """One utterance: ``votes`` of k members, their ``probabilities`` (k, c), ``accuracies`` and whole ``weights``."""
    counts = [sum(w for w, vote in zip(weights, votes, strict=True) if vote == c) for c in range(n_classes)]
    tied = [c for c in range(n_classes) if counts[c] == max(counts)]
    if len(tied) > 1 and tie == "confidence":
        given = list(zip(weights, probabilities, strict=True))
        return max(tied, key=lambda c: (sum(w * Fraction(float(p[c])) for w, p in given), -c)), True
    if len(tied) > 1 and tie == "best":
        by_merit = sorted(range(len(votes)), key=lambda member: (-accuracies[member], member))
        return next(votes[member] for member in by_merit if votes[member] in tied), True
    if len(tied) > 1 and tie == "abstain":
        return -1, True
    return tied[0], len(tied) > 1


def average_by_hand(probabilities, weights, *, log):
    """One utterance: the lowest of the classes with the highest weighted sum of (log-)``probabilities`` (k, c)."""

    def value(p):
        return round(log2(max(p, 2.0**-32)) * 2**35) if log else Fraction(p)

    columns = zip(*probabilities.astype(float).tolist(), strict=True)
    sums = [sum(w * value(p) for w, p in zip(weights, column, strict=True)) for column in columns]
    tied = [c for c, total in enumerate(sums) if total == max(sums)]
    return tied[0], len(tied) > 1


@st.composite
def elections(draw):
    k, n, c = draw(st.integers(1, 7)), draw(st.integers(1, 6)), draw(st.integers(2, 5))
    votes = draw(hnp.arrays(np.int16, (k, n), elements=st.integers(0, c - 1)))
    # Sixteenths make equal sums common.
    probabilities = draw(hnp.arrays(np.float32, (k, n, c), elements=st.integers(0, 16).map(lambda p: p / 16)))
    accuracies = draw(hnp.arrays(np.float64, k, elements=st.sampled_from([0.5, 0.75, 0.9])))
    weights = draw(st.none() | hnp.arrays(np.int64, k, elements=st.integers(0, 3)).filter(np.any))
    return votes, c, probabilities, accuracies, weights


def assert_equals_oracle(votes, n_classes, tie, probabilities, accuracies, weights=None):
    case = {"probabilities": probabilities, "accuracies": accuracies, "weights": weights}
    decided = hard_vote(votes, n_classes=n_classes, tie=tie, **case)
    whole = [1] * len(votes) if weights is None else [int(weight) for weight in weights]
    expected = [
        vote_by_hand(votes[:, u].tolist(), n_classes, tie, probabilities[:, u], accuracies, whole)
        for u in range(votes.shape[1])
    ]
    assert list(zip(decided.predicted.tolist(), decided.tied.tolist(), strict=True)) == expected


@pytest.mark.parametrize("tie", TIES)
@given(election=elections())
def test_hard_voting_equals_its_definition(election, tie):
    votes, n_classes, probabilities, accuracies, weights = election
    assert_equals_oracle(votes, n_classes, tie, probabilities, accuracies, weights)


@pytest.mark.parametrize("tie", TIES)
@pytest.mark.parametrize(("k", "n_classes"), [(1, 3), (2, 4), (3, 3), (4, 3), (4, 4), (5, 2), (6, 2)])
def test_hard_voting_equals_its_definition_on_every_small_case(k, n_classes, tie):
    votes = np.array(list(product(range(n_classes), repeat=k)), dtype=np.int16).T
    rng = np.random.default_rng(k)
    probabilities = rng.integers(0, 5, size=(*votes.shape, n_classes)).astype(np.float32) / 8
    for accuracies in (rng.permutation(k) / k, np.zeros(k)):
        for weights in (None, rng.permutation(k), np.ones(k)):
            if weights is None or weights.any():
                assert_equals_oracle(votes, n_classes, tie, probabilities, accuracies, weights)


@pytest.mark.parametrize("log", [False, True])
@given(election=elections())
def test_soft_voting_equals_its_definition(election, log):
    probabilities, weights = election[2], election[4]
    decided = (soft_log_vote if log else soft_vote)(probabilities, weights=weights)
    whole = [1] * len(probabilities) if weights is None else weights.tolist()
    expected = [average_by_hand(probabilities[:, u], whole, log=log) for u in range(probabilities.shape[1])]
    assert list(zip(decided.predicted.tolist(), decided.tied.tolist(), strict=True)) == expected


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(("k", "n_classes"), [(1, 3), (2, 3), (3, 2)])
def test_soft_voting_equals_its_definition_on_every_small_case(k, n_classes, log):
    grid = list(product(product([0.0, 0.25, 0.5, 1.0], repeat=n_classes), repeat=k))
    probabilities = np.array(grid).transpose(1, 0, 2)
    for weights in ([1] * k, list(range(k, 0, -1))):
        decided = (soft_log_vote if log else soft_vote)(probabilities, weights=weights)
        expected = [average_by_hand(probabilities[:, u], weights, log=log) for u in range(len(grid))]
        assert list(zip(decided.predicted.tolist(), decided.tied.tolist(), strict=True)) == expected


def test_a_probability_of_zero_counts_32_bits_against_a_class_and_not_as_a_veto():
    assert soft_log_vote([[[0.0, 2.0**-31]], [[1.0, 0.25]]]).predicted.tolist() == [0]
    assert soft_log_vote([[[0.0, 2.0**-29]], [[1.0, 0.25]]]).predicted.tolist() == [1]
    assert soft_log_vote([[[0.0, 2.0**-40]], [[1.0, 1.0]]]).tied.tolist() == [True]


@pytest.mark.parametrize(
    ("weights", "whole"),
    [
        ([0.1, 0.1, 0.1, 0.3], [1, 1, 1, 3]),
        ([1, 1, 1, 3], [1, 1, 1, 3]),
        ([0.1, 0.1, 0.2], [1, 1, 2]),
        (np.array([0.1, 0.7], dtype=np.float32), [1, 7]),
        ([2.0**17, 1.0], [2**17, 1]),
        ([Fraction(1, 3), Fraction(1, 2)], [2, 3]),
        ([True, False], [1, 0]),
        ([1e-7, 1e7], [1, 10**14]),
        ([1 / 3, 1 / 3, 2 / 3], [1, 1, 2]),
        ([0.1 + 0.2, 0.6], [1, 2]),
        ([0.8194444444444444, 3 * 0.8194444444444444, 0.5], [59, 177, 36]),
        ([0.123456789, 0.246913578], [1, 2]),
        ([1e-300, 1e300], [1, 10**600]),
    ],
)
def test_weights_are_whole_numbers_in_the_proportions_in_which_they_are_written(weights, whole):
    assert count_weights(check_weights(weights, len(whole))).tolist() == whole


@given(
    weights=st.lists(st.decimals(0, 10, places=3), min_size=1, max_size=9).filter(any),
    factor=st.integers(1, 1000),
    shift=st.integers(-6, 6),
)
def test_weights_in_the_same_proportions_are_the_same_whole_numbers(weights, factor, shift):
    multiplied = [float(weight * factor * Decimal(10) ** shift) for weight in weights]
    assert count_weights(np.array(multiplied)).tolist() == count_weights(np.array(weights, dtype=float)).tolist()


def draw_weighted(draw, *, wide):
    """Weights as people write them, or with all the digits of a float, of every size; zeros and equal ones among
    them."""
    size = draw(st.integers(1, 6))
    plain = st.integers(0, 30).map(lambda tenths: tenths / 10)
    digits = st.floats(1e-200, 1) | st.sampled_from([0.0, 0.1, 1 / 3, 0.8194444444444444, 1e-9, 1e20])
    return np.array(draw(st.lists(digits if wide else plain, min_size=size, max_size=size).filter(any)))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("rule", ["soft", *(f"hard {tie}" for tie in TIES)])
@given(data=st.data())
def test_weights_of_any_number_of_digits_are_counted_exactly(rule, wide, data):
    weights = draw_weighted(data.draw, wide=wide)
    k, n, c = len(weights), 4, 3
    votes = data.draw(hnp.arrays(np.int16, (k, n), elements=st.integers(0, c - 1)))
    eighths = data.draw(hnp.arrays(np.float32, (k, n, c), elements=st.integers(0, 8).map(lambda p: p / 8)))
    exact = count_weights(weights).tolist()
    most = Fraction(weights.max()) / max(exact)
    assert all(abs(w * most - Fraction(own)) <= own * 1e-11 for w, own in zip(exact, weights, strict=True))
    accuracies = np.arange(k) % 3
    if rule == "soft":
        decided = soft_vote(eighths, weights=weights)
        expected = [average_by_hand(eighths[:, u], exact, log=False) for u in range(n)]
    else:
        tie = rule.partition(" ")[2]
        decided = hard_vote(votes, n_classes=c, tie=tie, probabilities=eighths, accuracies=accuracies, weights=weights)
        expected = [vote_by_hand(votes[:, u].tolist(), c, tie, eighths[:, u], accuracies, exact) for u in range(n)]
    assert list(zip(decided.predicted.tolist(), decided.tied.tolist(), strict=True)) == expected


def add_logits_by_hand(logits, weights):
    """One utterance: the lowest of the classes with the highest weighted sum of ``logits`` (k, c), none of them far
    below the highest."""
    sums = [sum(w * Fraction(z) for w, z in zip(weights, of, strict=True)) for of in zip(*logits.tolist(), strict=True)]
    tied = [c for c, total in enumerate(sums) if total == max(sums)]
    return tied[0], len(tied) > 1


NEAR = st.integers(-9, 9) | st.integers(-90, 90).map(lambda tenths: tenths / 10) | st.floats(-8, 8, width=32)


@given(data=st.data())
def test_the_sums_of_logits_are_exact(data):
    k, n, c = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 5)), data.draw(st.integers(2, 5))
    logits = data.draw(hnp.arrays(np.float32, (k, n, c), elements=NEAR.map(np.float32)))
    # Logits in float32 below 2**-17 are no whole number of steps.
    logits[np.abs(logits) < 2.0**-17] = 0
    weights = data.draw(st.none() | hnp.arrays(np.int64, k, elements=st.integers(0, 3)).filter(np.any))
    decided = soft_log_vote(Logits(logits), weights=weights)
    whole = [1] * k if weights is None else weights.tolist()
    expected = [add_logits_by_hand(logits[:, u], whole) for u in range(n)]
    assert list(zip(decided.predicted.tolist(), decided.tied.tolist(), strict=True)) == expected


def test_a_logit_far_below_the_highest_has_no_veto():
    # 2**-32 are 22.18 nats; the probability of the highest is almost 1.
    assert soft_log_vote(Logits(np.array([[[0.0, -200.0]], [[0.0, 22.1]]]))).predicted.tolist() == [0]
    assert soft_log_vote(Logits(np.array([[[0.0, -200.0]], [[-22.5, 0.0]], [[0.0, 0.1]]]))).predicted.tolist() == [1]
    assert soft_log_vote(Logits(np.array([[[1e30, -1e30]], [[-1e30, 1e30]]]))).tied.tolist() == [True]


def test_logits_are_voted_as_their_probabilities_are():
    logits = np.random.default_rng(3).normal(size=(5, 200, 4))
    probabilities = softmax(logits)
    for vote in (soft_vote, soft_log_vote):
        np.testing.assert_array_equal(vote(Logits(logits)).predicted, vote(probabilities).predicted)


@given(st.permutations(range(5)), st.permutations(range(5)), st.integers(0, 99))
def test_logits_that_change_places_leave_a_tie(one, other, seed):
    logits = np.random.default_rng(seed).normal(size=5).astype(np.float32)
    members = np.array([logits[list(one)], logits[list(other)]])
    # Each has what the other had where they change places.
    members = np.concatenate([members, members[:, ::-1]])
    middle = [0, 4]
    for vote in (soft_vote, soft_log_vote):
        decided = vote(Logits(members[:, None, middle]))
        assert (decided.predicted.tolist(), decided.tied.tolist()) == ([0], [True])


@pytest.mark.parametrize("columns", [([0.1, 0.3], [0.2, 0.2]), ([0.6, 0.3, 0.6], [0.4, 0.7, 0.4])])
def test_decimals_of_equal_sums_are_a_tie(columns):
    assert soft_vote(np.array(columns).T[:, None, :]).tied.tolist() == [True]


@given(elections(), st.randoms(use_true_random=False))
def test_the_order_of_the_members_does_not_matter(election, random):
    votes, n_classes, _, accuracies, _ = election
    k = len(votes)
    # Thirds and tenths: their floating-point sums do depend on the order.
    probabilities = np.random.default_rng(random.randrange(1000)).choice([0.1, 0.2, 1 / 3], size=election[2].shape)
    accuracies = accuracies + np.arange(k) / 100
    order = random.sample(range(k), k)
    for tie in TIES:
        kwargs = {"n_classes": n_classes, "tie": tie}
        one = hard_vote(votes, probabilities=probabilities, accuracies=accuracies, **kwargs)
        other = hard_vote(votes[order], probabilities=probabilities[order], accuracies=accuracies[order], **kwargs)
        np.testing.assert_array_equal(one.predicted, other.predicted)
    for vote in (soft_vote, soft_log_vote):
        np.testing.assert_array_equal(vote(probabilities).predicted, vote(probabilities[order]).predicted)


def test_equal_means_are_a_tie_although_their_floating_point_sums_differ():
    columns = np.array([[0.1, 0.3], [0.2, 0.2], [0.3, 0.1]])
    assert columns[:, 0].sum() != columns[::-1, 0].sum() or sum(columns[:, 0]) != sum(columns[:, 1])
    decided = soft_vote(columns[:, None, ::-1])
    assert decided.predicted.tolist() == [0]
    assert decided.tied.tolist() == [True]


def test_of_equally_accurate_members_the_earlier_decides():
    votes = [[2], [1]]
    for accuracies, winner in (([0.5, 0.5], 2), ([0.5, 0.6], 1)):
        assert hard_vote(votes, n_classes=3, tie="best", accuracies=accuracies).predicted.tolist() == [winner]


def test_the_best_member_is_passed_over_where_its_class_is_not_tied():
    votes = [[0], [1], [1], [2], [2]]
    accuracies = [0.9, 0.1, 0.2, 0.8, 0.0]
    assert hard_vote(votes, n_classes=3, tie="best", accuracies=accuracies).predicted.tolist() == [2]


HALF = np.full((2, 1, 2), 0.5)


@pytest.mark.parametrize(
    ("votes", "kwargs", "message"),
    [
        ([0, 1], {}, r"votes are int64 of shape \(2,\): expected integers of shape \(members, utterances\)"),
        ([[0.0]], {}, "votes are float64"),
        (np.empty((0, 3), dtype=int), {}, r"of shape \(0, 3\)"),
        ([[0], [2]], {}, r"leave 0..1 in 1 places, the first is 2 of member 1 for utterance 0"),
        ([[0, -1], [1, -1]], {}, r"votes are missing: member 0 lacks 1 \(utterance 1\), member 1 lacks 1 \("),
        ([[0], [1]], {"n_classes": 1}, "n_classes is 1: expected 2 to 32768 classes"),
        ([[0], [1]], {"tie": "confidence"}, r"needs probabilities: expected an array of shape \(2, 1, 2\)"),
        ([[0], [1]], {"tie": "confidence", "probabilities": HALF[:1]}, r"shape \(1, 1, 2\): expected \(2, 1, 2\)"),
        ([[0], [1]], {"tie": "confidence", "probabilities": HALF - 1}, r"range from -0.5 to -0.5: expected 0..1"),
        (
            [[0], [1]],
            {"tie": "confidence", "probabilities": HALF * np.nan},
            "probabilities are missing: member 0",
        ),
        ([[0], [1]], {"tie": "best"}, "needs the members' accuracies"),
        ([[0], [1]], {"tie": "best", "accuracies": [0.5]}, "expected 2 numbers, one per member"),
        ([[0], [1]], {"tie": "best", "accuracies": [0.5, np.nan]}, "expected 2 numbers, one per member"),
        ([[0], [1]], {"weights": [1]}, r"weights have shape \(1,\): expected \(2,\), one per member"),
        ([[0], [1]], {"weights": [1, -1]}, r"weights range from -1.0 to 1.0: expected finite numbers from 0 on"),
        ([[0], [1]], {"weights": [0, 0]}, "not all of them 0"),
        ([[0], [1]], {"weights": [np.inf, 1]}, "expected finite numbers"),
        (
            [[0], [1]],
            {"tie": "confidence", "probabilities": Logits(np.full((2, 1, 2), np.inf))},
            "logits range from inf to inf: expected finite numbers",
        ),
        ([[0], [1]], {"weights": [np.nan, 1]}, "weights range from nan to nan"),
    ],
)
def test_votes_that_cannot_be_counted_are_refused_in_one_line(votes, kwargs, message):
    with pytest.raises(EnsembleError, match=message):
        hard_vote(votes, **{"n_classes": 2, **kwargs})


def test_probabilities_of_another_shape_are_refused():
    with pytest.raises(EnsembleError, match=r"probabilities have shape \(1, 2\): expected \(k, n, n_classes\)"):
        soft_vote([[0.5, 0.5]])


def test_an_unknown_tie_rule_offers_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown tie rule 'lowset': expected one of lowest \(nearest\)"):
        hard_vote([[0]], n_classes=2, tie="lowset")
