from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ser_store.errors import MetricError
from ser_store.statistics.matched_tests import cochran_q, flip_groups, holm, mcnemar


def make_pair(b: int, c: int, both: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Two members of whom the first alone is right ``b`` times, and the second ``c`` times."""
    first = np.repeat([True, False, True], [b, c, both])
    second = np.repeat([False, True, True], [b, c, both])
    return first, second


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_s_p_equals_scipy_s_exact_binomial_test(b, c):
    found = mcnemar(*make_pair(b, c))
    expected = stats.binomtest(b, b + c).pvalue if b + c else 1.0
    assert found == pytest.approx(expected, rel=1e-10, abs=1e-300)


def test_mcnemar_s_p_stays_right_where_it_is_tiny():
    assert mcnemar(*make_pair(900, 4)) == pytest.approx(stats.binomtest(4, 904).pvalue, rel=1e-10)


def test_no_p_is_0_however_far_members_lie_apart():
    first, second = np.ones(3000, dtype=bool), np.zeros(3000, dtype=bool)
    assert 0 < mcnemar(first, second) < 1e-300
    assert 0 < flip_groups(np.full(3000, 2)) < 1e-300
    assert 0 < cochran_q(np.stack([first, second])).p < 1e-300


def test_cochran_s_q_equals_its_definition_and_of_two_members_mcnemar_s_statistic():
    # J. L. Fleiss, B. Levin, M. C. Paik, "Statistical methods for rates and proportions", 2003, formula 13.34.
    rng = np.random.default_rng(1)
    correct = rng.random((4, 60)) < np.array([0.9, 0.8, 0.7, 0.7])[:, None]
    found = cochran_q(correct)
    means = correct.mean()
    numerator = 4 * 3 * np.square(correct.sum(axis=1) - 60 * means).sum()
    denominator = (correct.sum(axis=0) * (4 - correct.sum(axis=0))).sum()
    assert found.q == pytest.approx(numerator / denominator, rel=1e-12)
    assert found.df == 3
    assert found.p == pytest.approx(stats.chi2.sf(found.q, 3), rel=1e-10)
    first, second = make_pair(15, 6)
    assert cochran_q(np.stack([first, second])).q == pytest.approx((15 - 6) ** 2 / (15 + 6))


def test_members_that_are_right_and_wrong_together_do_not_differ():
    found = cochran_q(np.tile([True, False, True], (3, 1)))
    assert (found.q, found.df, found.p) == (0.0, 2, 1.0)
    assert mcnemar([True, False], [True, False]) == 1.0


def test_cochran_s_test_raises_no_more_false_alarms_than_it_says():
    rng = np.random.default_rng(2)
    p_values = [cochran_q(rng.random((5, 200)) < 0.85).p for _ in range(1000)]
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.02)


def test_holm_s_p_values_equal_the_definition():
    # The published example of S. Holm's procedure as in R: p.adjust(c(0.01, 0.02, 0.03, 0.04), "holm").
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.6, 0.2, 0.7]).tolist() == pytest.approx([1.0, 0.6, 1.0])
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_lies_between_p_and_bonferroni_s(p):
    adjusted = holm(p)
    order = np.argsort(p, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()
    assert (adjusted >= np.array(p)).all()
    assert (adjusted <= np.minimum(1, np.array(p) * len(p)) + 1e-12).all()


@given(st.lists(st.integers(-6, 6), min_size=1, max_size=9))
def test_flipping_groups_counts_all_ways_to_swap(differences):
    reached = abs(sum(differences))
    totals = [abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
              for signs in product((-1, 1), repeat=len(differences))]  # fmt: skip
    expected = sum(total >= reached for total in totals) / len(totals)
    assert flip_groups(np.array(differences)) == pytest.approx(expected, rel=1e-12)


@given(st.integers(0, 60), st.integers(0, 60))
def test_with_every_utterance_a_group_flipping_is_mcnemar_s_test(b, c):
    flipped = flip_groups(np.repeat([1, -1, 0], [b, c, 4]))
    assert flipped == pytest.approx(mcnemar(*make_pair(b, c)), rel=1e-12)


def test_flipping_groups_is_exact_for_many_groups_too():
    rng = np.random.default_rng(3)
    differences = rng.integers(-5, 8, size=60)
    signs = rng.choice([-1, 1], size=(200_000, 60))
    drawn = np.mean(np.abs(signs @ differences) >= abs(differences.sum()))
    assert flip_groups(differences) == pytest.approx(drawn, abs=4 * (drawn / 200_000) ** 0.5)


def test_where_speakers_differ_mcnemar_raises_false_alarms_and_flipping_speakers_does_not():
    rng = np.random.default_rng(4)
    alarms = {"mcnemar": 0, "flipped": 0}
    for _ in range(300):
        # Each of two equally good members has speakers that it is good at.
        accuracies = rng.uniform(0.5, 1.0, size=(2, 24))
        correct = rng.random((2, 24, 12)) < accuracies[..., None]
        alarms["mcnemar"] += mcnemar(*correct.reshape(2, -1)) < 0.05
        by_speaker = correct.sum(axis=2)
        alarms["flipped"] += flip_groups(by_speaker[0] - by_speaker[1]) < 0.05
    assert alarms["mcnemar"] / 300 > 0.1
    assert alarms["flipped"] / 300 < 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda: mcnemar([True], [True, False]), "the first has 1 utterances and the second 2: expected the same"),
        (lambda: mcnemar([1], [0]), "type int64: expected"),
        (lambda: cochran_q(np.ones((1, 4), dtype=bool)), r"shape \(1, 4\) and type bool: expected \(m, n\) bool"),
        (lambda: holm([0.1, 1.2]), r"p-values have shape \(2,\): expected \(m,\), each in 0\.\.1"),
        (lambda: flip_groups([0.5]), r"type float64: expected \(g,\) whole numbers"),
    ],
)
def test_what_cannot_be_tested_is_refused(compute, message):
    with pytest.raises(MetricError, match=message):
        compute()
