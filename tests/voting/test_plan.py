"""What is said of a search before it is begun, against the search."""

from math import comb

import numpy as np
import pytest

from ser_store.errors import EnsembleError
from ser_store.voting import search_ensembles
from ser_store.voting.plan import describe_search, estimate_seconds, measure_rate


def draw_candidates(m, n):
    rng = np.random.default_rng(0)
    truth = rng.integers(8, size=n)
    return np.where(rng.random((m, n)) < 0.8, truth, rng.integers(8, size=(m, n))), truth


def test_the_time_is_the_number_of_ensembles_by_the_rate():
    assert estimate_seconds(84, 9, 288, rate=2e6) == comb(84, 9) / 2e6
    assert estimate_seconds(84, 30, 288, rate=1.0) == pytest.approx(comb(84, 30))


def test_a_rate_that_is_measured_predicts_the_search_within_a_factor_of_five():
    predictions, truth = draw_candidates(60, 288)
    rate = measure_rate(predictions, truth, k=5, n_classes=8, threads=1)
    result = search_ensembles(predictions, truth, k=5, n_classes=8, backend="bitsliced", threads=1)
    # Wide, as other processes share the machine.
    assert 1 / 5 < estimate_seconds(60, 5, 288, rate=rate) / result.seconds < 5


def test_more_threads_are_taken_to_be_as_much_faster():
    predictions, truth = draw_candidates(30, 64)
    one, many = (measure_rate(predictions, truth, k=5, n_classes=8, threads=threads) for threads in (1, 1000))
    assert many > 50 * one


@pytest.mark.parametrize(("m", "k"), [(1, 1), (2, 2), (3, 1), (4, 4), (84, 1), (84, 2), (84, 30)])
def test_every_number_of_members_has_an_estimate(m, k):
    assert 0 < estimate_seconds(m, k, 20) < float("inf")


@pytest.mark.parametrize(
    ("seconds", "amount"),
    [
        (0.25, "0.2 seconds"),
        (59, "59.0 seconds"),
        (90, "1.5 minutes"),
        (7200, "2.0 hours"),
        (1e6, "11.6 days"),
        (1e9, "31.7 years"),
        (1e18, "3e+10 years"),
    ],
)
def test_a_search_is_described_in_the_unit_that_fits(seconds, amount):
    expected = f"C(84,9) = 368,136,785,016 ensembles would take about {amount}; try --pruned or --greedy"
    assert describe_search(84, 9, seconds) == expected


def test_a_number_that_nobody_can_read_is_given_by_its_size():
    assert describe_search(84, 30, 1).startswith("C(84,30) = 5.4e+22 ensembles")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: estimate_seconds(3, 4, 10), "4 of 3 members on 10 utterances: expected 1 to 3 members"),
        (lambda: estimate_seconds(3, 2, 0), "on 0 utterances"),
        (lambda: estimate_seconds(3, 2, 9, rate=0), "the rate is 0: expected ensembles per second"),
        (lambda: measure_rate([[0]] * 9, [0], k=5, n_classes=300), "no rate for 5 of 9 members and 300 classes"),
        (lambda: measure_rate([[0]] * 9, [0], k=10, n_classes=2), "no rate for 10 of 9 members"),
    ],
)
def test_what_cannot_be_estimated_is_refused_in_one_line(call, message):
    with pytest.raises(EnsembleError, match=message):
        call()
