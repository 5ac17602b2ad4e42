import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from ser_store.errors import MetricError
from ser_store.metrics.calibration import (
    compute_calibration_error,
    compute_log_loss,
    evaluate_logits,
    log_softmax,
    score_utterances,
    softmax,
)


@pytest.fixture(params=[1, 2, 60], ids=lambda n: f"{n} utterances")
def scored(request):
    """Truth, of which class 3 is never true, and logits of 4 classes."""
    rng = np.random.default_rng(request.param)
    n = request.param
    return rng.integers(3, size=n), rng.normal(scale=4, size=(n, 4)).astype(np.float32)


def test_log_loss_and_brier_equal_scikit_learn_s(scored):
    truth, logits = scored
    probabilities = softmax(logits)
    expected = oracle.log_loss(truth, probabilities, labels=range(4))
    assert compute_log_loss(truth, logits) == pytest.approx(expected, rel=1e-12)
    expected = oracle.brier_score_loss(truth, probabilities, labels=range(4), scale_by_half=False)
    assert evaluate_logits(truth, logits).brier == pytest.approx(expected, rel=1e-12)


def test_top_2_accuracy_equals_scikit_learn_s(scored):
    truth, logits = scored
    expected = oracle.top_k_accuracy_score(truth, logits, k=2, labels=range(4))
    assert evaluate_logits(truth, logits).top2 == expected


def test_of_equal_logits_the_lowest_class_comes_first():
    rng = np.random.default_rng(5)
    truth, logits = rng.integers(4, size=200), rng.integers(3, size=(200, 4)).astype(np.float32)
    first_two = np.argsort(-logits, axis=1, kind="stable")[:, :2]
    assert score_utterances(truth, logits)["top2"].tolist() == (first_two == truth[:, None]).any(axis=1).tolist()
    assert evaluate_logits([1, 2], [[0.0, 0.0, 0.0]] * 2).top2 == 0.5


def loop_calibration_error(truth, logits, n_bins):
    """The definition, a bin at a time."""
    probabilities = softmax(logits)
    confidence, said = probabilities.max(axis=1), np.asarray(logits).argmax(axis=1)
    error = 0.0
    for place in range(n_bins):
        inside = (confidence > place / n_bins) & (confidence <= (place + 1) / n_bins)
        if inside.any():
            error += inside.mean() * abs((said == truth)[inside].mean() - confidence[inside].mean())
    return error


@given(st.integers(0, 10_000), st.integers(1, 40), st.sampled_from([1, 10, 15]))
def test_the_calibration_error_is_its_definition(seed, n, n_bins):
    rng = np.random.default_rng(seed)
    truth, logits = rng.integers(3, size=n), rng.normal(scale=3, size=(n, 3))
    found = compute_calibration_error(truth, logits, n_bins=n_bins)
    assert found == pytest.approx(loop_calibration_error(truth, logits, n_bins), abs=1e-12)


def test_the_calibration_error_is_0_where_confidence_and_accuracy_agree():
    four_fifths = [[np.log(4), 0.0]] * 5
    assert compute_calibration_error([0, 0, 0, 0, 1], four_fifths) == pytest.approx(0, abs=1e-15)
    assert compute_calibration_error([1, 1, 1, 1, 1], four_fifths) == pytest.approx(0.8)


def test_certainty_falls_into_the_last_bin():
    assert compute_calibration_error([0, 1], [[1e4, 0.0], [1e4, 0.0]]) == 0.5


def test_brier_is_twice_the_positive_class_s_score_of_two_classes():
    truth, logits = [0, 1, 1], [[1.0, 0.0], [0.3, 0.5], [2.0, 0.0]]
    one_sided = np.mean((softmax(logits)[:, 1] - truth) ** 2)
    assert evaluate_logits(truth, logits).brier == pytest.approx(2 * one_sided)


def test_all_figures_come_together(scored):
    truth, logits = scored
    scores = evaluate_logits(truth, logits)
    assert scores.log_loss == compute_log_loss(truth, logits)
    assert scores.ece == compute_calibration_error(truth, logits)


def test_log_loss_is_exact_for_logits_that_overflow_the_exponential():
    assert compute_log_loss([0, 1], [[1e4, 0.0], [1e4, 0.0]]) == 5e3
    assert log_softmax([1000.0, 1000.0]).tolist() == pytest.approx([-np.log(2)] * 2)


def test_softmax_sums_to_one_over_the_last_axis():
    probabilities = softmax(np.random.default_rng(4).normal(size=(2, 5, 3)) * 30)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-14)


@pytest.mark.parametrize(
    ("truth", "logits", "message"),
    [
        ([], np.empty((0, 2)), r"truth has shape \(0,\)"),
        ([0, 1], [[0.0, 1.0]], r"logits have shape \(1, 2\): expected \(2, n_classes\)"),
        ([0], [[]], r"logits have shape \(1, 0\): expected \(1, n_classes\)"),
        ([0, 2], [[0.0, 1.0], [1.0, 0.0]], r"truth holds 2: expected 0\.\.1"),
        ([0, 1], [[np.nan, 1.0], [1.0, np.inf]], "2 of 4 logits are not finite"),
    ],
)
def test_logits_that_do_not_fit_are_refused_in_one_line(truth, logits, message):
    for compute in (compute_log_loss, compute_calibration_error, evaluate_logits):
        with pytest.raises(MetricError, match=message):
            compute(truth, logits)


def test_softmax_of_nothing_is_refused():
    with pytest.raises(MetricError, match=r"logits have shape \(0, 3\): expected \(n, n_classes\)"):
        softmax(np.empty((0, 3)))


def test_the_number_of_bins_is_checked():
    with pytest.raises(MetricError, match="n_bins is 0: expected at least 1"):
        compute_calibration_error([0], [[1.0, 0.0]], n_bins=0)


@given(
    st.integers(2, 5).flatmap(
        lambda c: st.lists(
            st.tuples(st.integers(0, c - 1), st.lists(st.floats(-800, 800, width=32), min_size=c, max_size=c)),
            min_size=1,
            max_size=12,
        )
    )
)
def test_the_figures_of_probabilities_stay_within_their_limits(scored):
    truth, logits = [true for true, _ in scored], np.array([row for _, row in scored], dtype=np.float32)
    scores = evaluate_logits(truth, logits)
    assert 0 <= scores.top2 <= 1
    assert (scores.top2 == 1) or logits.shape[1] > 2
    assert scores.log_loss >= 0
    assert 0 <= scores.brier <= 2
    assert 0 <= scores.ece <= 1
    assert 0 <= compute_calibration_error(truth, logits, n_bins=1) <= scores.ece + 1e-12


def test_a_loss_of_nothing_is_0_and_not_minus_0():
    assert f"{compute_log_loss([0], [[1000.0, 0.0]]):.3f}" == "0.000"


def test_in_a_single_bin_the_calibration_error_is_accuracy_against_mean_confidence():
    truth, logits = np.array([0, 1, 1]), np.array([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    confidence = softmax(logits).max(axis=1).mean()
    assert compute_calibration_error(truth, logits, n_bins=1) == pytest.approx(abs(2 / 3 - confidence))
