"""Diversity against scikit-learn and counting by hand."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import cohen_kappa_score

from ser_store.errors import EnsembleError
from ser_store.voting import diversity
from ser_store.voting.diversity import compute_ensemble_diversity, compute_pair_diversity


def compare_by_hand(one, other, truth):
    """Disagreement, Q and double fault of two members."""
    outcomes = [(a == y, b == y) for a, b, y in zip(one.tolist(), other.tolist(), truth.tolist(), strict=True)]
    n11, n00 = outcomes.count((True, True)), outcomes.count((False, False))
    n10, n01 = outcomes.count((True, False)), outcomes.count((False, True))
    products = n11 * n00 + n01 * n10
    q = (n11 * n00 - n01 * n10) / products if products else np.nan
    return (n10 + n01) / len(truth), q, n00 / len(truth)


def score_kappa(one, other):
    """Cohen's kappa by scikit-learn, which warns where it is undefined instead of only returning NaN."""
    if len({*one.tolist(), *other.tolist()}) == 1:
        return np.nan
    return cohen_kappa_score(one, other)


@st.composite
def members(draw):
    m, n, c = draw(st.integers(1, 6)), draw(st.integers(1, 15)), draw(st.integers(2, 5))
    predictions = draw(hnp.arrays(np.int16, (m, n), elements=st.integers(0, c - 1)))
    return predictions, draw(hnp.arrays(np.int16, n, elements=st.integers(0, c - 1))), c


@given(members())
def test_pairs_are_as_diverse_as_counted_by_hand_and_by_scikit_learn(case):
    predictions, truth, n_classes = case
    found = compute_pair_diversity(predictions, truth, n_classes=n_classes)
    for i, one in enumerate(predictions):
        for j, other in enumerate(predictions):
            disagreement, q, double_fault = compare_by_hand(one, other, truth)
            assert found.disagreement[i, j] == pytest.approx(disagreement)
            assert found.q_statistic[i, j] == pytest.approx(q, nan_ok=True)
            assert found.double_fault[i, j] == pytest.approx(double_fault)
            assert found.kappa[i, j] == pytest.approx(score_kappa(one, other), nan_ok=True)


@given(members())
def test_an_ensemble_is_as_diverse_as_its_pairs_on_average(case):
    predictions, truth, n_classes = case
    found = compute_ensemble_diversity(predictions, truth, n_classes=n_classes)
    by_hand = [compare_by_hand(one, other, truth) for one, other in combinations(predictions, 2)]
    kappas = [score_kappa(one, other) for one, other in combinations(predictions, 2)]
    measures = [*zip(*by_hand, strict=True), kappas] if by_hand else [[], [], [], []]
    defined = [[value for value in values if not np.isnan(value)] for values in measures]
    expected = [sum(values) / len(values) if values else np.nan for values in defined]
    figures = [found.disagreement, found.q_statistic, found.double_fault, found.kappa]
    assert figures == pytest.approx(expected, nan_ok=True, abs=1e-12)


@given(members())
def test_the_oracle_is_right_wherever_any_member_is(case):
    predictions, truth, n_classes = case
    found = compute_ensemble_diversity(predictions, truth, n_classes=n_classes)
    reached = [any(member[u] == truth[u] for member in predictions) for u in range(len(truth))]
    assert found.oracle_accuracy == pytest.approx(sum(reached) / len(truth))


def test_every_measure_has_the_value_that_its_formula_gives():
    truth = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    one = [0, 0, 0, 0, 0, 0, 1, 1, 1, 1]
    other = [0, 0, 0, 0, 1, 1, 0, 1, 1, 1]
    found = compute_pair_diversity([one, other], truth, n_classes=2)
    assert found.disagreement[0, 1] == 0.3
    assert found.q_statistic[0, 1] == (4 * 3 - 2 * 1) / (4 * 3 + 2 * 1)
    assert found.double_fault[0, 1] == 0.3
    assert found.kappa[0, 1] == pytest.approx((0.7 - 0.5) / (1 - 0.5))


def test_what_is_undefined_is_nan_and_left_out_of_the_mean():
    truth = np.array([0, 1, 0, 1])
    always_right, sometimes = truth, np.array([0, 1, 1, 0])
    pairs = compute_pair_diversity([always_right, sometimes, sometimes], truth, n_classes=2)
    assert np.isnan(pairs.q_statistic[0]).all()
    assert pairs.q_statistic[1, 2] == 1
    ensemble = compute_ensemble_diversity([always_right, sometimes, sometimes], truth, n_classes=2)
    assert ensemble.q_statistic == 1
    constant = compute_pair_diversity([[0, 0], [0, 0], [1, 1]], [0, 1], n_classes=2)
    np.testing.assert_array_equal(constant.kappa, [[np.nan, np.nan, 0], [np.nan, np.nan, 0], [0, 0, np.nan]])


def test_an_ensemble_of_one_has_no_pairs_but_an_oracle():
    found = compute_ensemble_diversity([[0, 1, 1]], [0, 1, 0], n_classes=2)
    assert np.isnan([found.disagreement, found.q_statistic, found.double_fault, found.kappa]).all()
    assert found.oracle_accuracy == pytest.approx(2 / 3)


def test_utterances_are_counted_block_by_block_to_the_same_figures(monkeypatch):
    rng = np.random.default_rng(0)
    predictions, truth = rng.integers(4, size=(5, 100)), rng.integers(4, size=100)
    expected = compute_pair_diversity(predictions, truth, n_classes=4)
    monkeypatch.setattr(diversity, "_BLOCK", 7)
    found = compute_pair_diversity(predictions, truth, n_classes=4)
    for measure in ("disagreement", "q_statistic", "double_fault", "kappa"):
        np.testing.assert_array_equal(getattr(found, measure), getattr(expected, measure))


@pytest.mark.parametrize(
    ("predictions", "truth", "message"),
    [
        ([[0, 1]], [0, 1, 1], r"truth is int64 of shape \(3,\): expected integers of shape \(2,\)"),
        ([[0, 2]], [0, 1], r"predictions leave 0\.\.1 in 1 places, the first is 2"),
        ([], [], "predictions are float64 of shape"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_line(predictions, truth, message):
    for compute in (compute_pair_diversity, compute_ensemble_diversity):
        with pytest.raises(EnsembleError, match=message):
            compute(predictions, truth, n_classes=2)
