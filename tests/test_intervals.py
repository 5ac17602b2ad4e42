from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_store.intervals import wilson_interval
from ser_store.metrics import MetricError

TRUE_ACCURACY = 0.9


def test_the_wilson_interval_equals_published_figures():
    # R. G. Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I, method 3.
    for correct, n, lo, hi in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)]:
        assert wilson_interval(correct, n) == pytest.approx((lo, hi), abs=5e-5)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_wilson_interval_holds_the_accuracy_and_stays_in_0_to_1(counts):
    correct, n = counts
    lo, hi = wilson_interval(correct, n)
    assert 0 <= lo <= correct / n <= hi <= 1
    assert (lo == 0) == (correct == 0)
    assert (hi == 1) == (correct == n)


def test_the_wilson_interval_covers_the_truth_about_as_often_as_it_says():
    n, p = 288, TRUE_ACCURACY
    covered = sum(
        comb(n, correct) * p**correct * (1 - p) ** (n - correct)
        for correct in range(n + 1)
        if wilson_interval(correct, n)[0] <= p <= wilson_interval(correct, n)[1]
    )
    assert covered == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize(
    ("correct", "n", "confidence", "message"),
    [(1, 0, 0.95, "1 correct of 0"), (3, 2, 0.95, "3 correct of 2"), (1, 2, 95, "confidence is 95: expected")],
)
def test_an_interval_of_impossible_counts_is_refused(correct, n, confidence, message):
    with pytest.raises(MetricError, match=message):
        wilson_interval(correct, n, confidence=confidence)
