import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ser_store.metrics import MetricError
from ser_store.statistics.distributions import (
    compute_chi_square_tail,
    find_normal_quantile,
    find_student_quantile,
)


@given(st.floats(1e-6, 600), st.integers(1, 500))
def test_the_tail_of_chi_square_equals_scipy_s(statistic, freedom):
    expected = stats.chi2.sf(statistic, freedom)
    assert compute_chi_square_tail(statistic, freedom=freedom) == pytest.approx(expected, rel=1e-10, abs=1e-300)


@pytest.mark.parametrize(("statistic", "tail"), [(0, 1.0), (math.inf, 0.0), (1e5, 0.0)])
def test_the_tail_of_chi_square_ends_at_0_and_1(statistic, tail):
    assert compute_chi_square_tail(statistic, freedom=3) == tail


@given(st.floats(1e-8, 1 - 1e-8), st.one_of(st.integers(1, 300), st.sampled_from([2_000, 99_999])))
def test_student_s_quantile_equals_scipy_s(probability, freedom):
    expected = stats.t.ppf(probability, freedom)
    # Beside the median a quantile is the difference of numbers near one half: 4e-9 was seen.
    assert find_student_quantile(probability, freedom=freedom) == pytest.approx(expected, rel=1e-9, abs=1e-8)


@given(st.floats(1e-10, 1 - 1e-10))
def test_the_normal_s_quantile_equals_scipy_s(probability):
    assert find_normal_quantile(probability) == pytest.approx(stats.norm.ppf(probability), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda: find_normal_quantile(0), "a probability is 0: expected a number between 0 and 1"),
        (lambda: find_student_quantile(1.0, freedom=3), r"a probability is 1\.0"),
        (lambda: find_student_quantile(0.5, freedom=0), "there are 0 degrees of freedom"),
        (lambda: compute_chi_square_tail(-1.0, freedom=3), r"a chi-square statistic is -1\.0: expected 0 or greater"),
        (lambda: compute_chi_square_tail(math.nan, freedom=3), "a chi-square statistic is nan"),
    ],
)
def test_what_has_no_tail_is_refused(compute, message):
    with pytest.raises(MetricError, match=message):
        compute()
