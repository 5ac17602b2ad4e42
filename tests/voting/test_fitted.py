"""Combinations with fitted weights: what is fitted where, and that nothing fitted has seen whom it scores."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ser_store.metrics.calibration import log_softmax
from ser_store.voting.fitted import (
    FITS,
    compute_loss,
    cross_fit,
    fit_greedy_pool,
    fit_pool,
    fit_weights,
    sum_weighted,
)

N, CLASSES = 240, 4
GROUPS = np.arange(N) % 6


def draw(*skills, seed=3, scale=1.0):
    """Labels, and log-probabilities of members that know them more or less well."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=N)
    scores = rng.normal(size=(len(skills), N, CLASSES))
    scores[:, np.arange(N), labels] += np.array(skills)[:, None]
    return log_softmax(scores * scale), labels


def test_the_weight_of_one_member_is_its_inverse_temperature():
    scores, labels = draw(1.5, scale=5.0)

    def lose(weight):
        return log_loss(labels, np.exp(log_softmax(weight * scores[0])))

    found = minimize_scalar(lose, bounds=(0, 2), method="bounded", options={"xatol": 1e-8}).x
    assert fit_weights(scores, labels)[0] == pytest.approx(found, abs=1e-4)
    assert found < 0.4


def test_a_sum_is_that_of_plain_numpy():
    scores, _ = draw(1.0, 0.5)
    expected = log_softmax(0.3 * scores[0] + 2.0 * scores[1])
    np.testing.assert_allclose(sum_weighted(scores, [0.3, 2.0]), expected, atol=1e-12)


@pytest.mark.parametrize("rule", FITS)
def test_what_is_said_of_a_group_does_not_depend_on_its_labels(rule):
    scores, labels = draw(1.5, 0.8, 0.4)
    own = GROUPS == 2
    permuted = labels.copy()
    permuted[own] = np.random.default_rng(1).permutation(labels[own])
    assert (permuted != labels).sum() > 10
    before, after = (cross_fit(FITS[rule], scores, one, GROUPS)[0] for one in (labels, permuted))
    np.testing.assert_array_equal(before[own], after[own])
    assert (before[~own] != after[~own]).any()


@pytest.mark.parametrize("rule", FITS)
def test_what_is_fitted_without_a_group_is_a_plain_fit_of_the_others(rule):
    scores, labels = draw(1.5, 0.8)
    said, fits = cross_fit(FITS[rule], scores, labels, GROUPS)
    own = GROUPS == 4
    alone = FITS[rule](scores[:, ~own], labels[~own], GROUPS[~own])
    np.testing.assert_array_equal(said[own], alone.combine(scores[:, own]))
    assert len(fits) == 6
    np.testing.assert_allclose(np.exp(said).sum(axis=1), 1)


def test_stacking_is_that_of_scikit_learn():
    scores, labels = draw(1.5, 0.8)
    own, features = GROUPS == 0, np.concatenate(list(scores), axis=1)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    expected = model.fit(features[~own], labels[~own]).predict_proba(features[own])
    np.testing.assert_allclose(np.exp(cross_fit(FITS["stack"], scores, labels, GROUPS)[0][own]), expected, atol=1e-9)


def test_a_greedy_pool_leaves_out_what_says_nothing_and_pools_the_rest():
    scores, labels = draw(1.5, 0.0, 1.2, 0.0)
    weights = fit_greedy_pool(scores, labels, GROUPS).weights
    assert weights[[1, 3]].max() < 0.05
    chosen = np.flatnonzero(weights)
    np.testing.assert_array_equal(weights[chosen], fit_weights(scores[chosen], labels))


def test_a_greedy_pool_stops_where_the_loss_on_groups_left_out_rises():
    """Members that say nothing lower the loss where they are fitted, and raise it elsewhere."""
    scores, labels = draw(1.5, *[0.0] * 12)
    weights = fit_greedy_pool(scores, labels, GROUPS).weights
    assert (weights > 0).sum() < (fit_weights(scores, labels) > 0).sum()
    one, all_of = (
        compute_loss(cross_fit(fit, scores, labels, GROUPS)[0], labels) for fit in (fit_greedy_pool, fit_pool)
    )
    assert one < all_of


def test_of_a_member_that_is_sure_and_wrong_little_is_left_in_a_pool():
    scores, labels = draw(1.0, 0.2)
    scores[1] = log_softmax(20 * scores[1])
    weights = fit_pool(scores, labels, GROUPS).weights
    assert weights[1] < 0.05 * weights[0]
