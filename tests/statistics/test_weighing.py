import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from ser_store.statistics.repeated_choice import score_outcomes, weigh_alike, weigh_classes_alike


def test_the_scores_equal_scikit_learn_s_of_the_utterances_drawn():
    rng = np.random.default_rng(1)
    truth, predicted = rng.integers(4, size=40), rng.integers(4, size=40)
    rows = rng.integers(40, size=(20, 40))
    counts = np.array([np.bincount(row, minlength=40) for row in rows])
    accuracies = score_outcomes(predicted == truth, weigh_alike(counts))
    balanced = score_outcomes(predicted == truth, weigh_classes_alike(truth)(counts))
    np.testing.assert_allclose(accuracies, [oracle.accuracy_score(truth[row], predicted[row]) for row in rows])
    for row, score in zip(rows, balanced, strict=True):
        recalls = [np.mean(predicted[row][truth[row] == label] == label) for label in np.unique(truth[row])]
        np.testing.assert_allclose(score, np.mean(recalls))


def test_classes_that_a_sample_lacks_do_not_count():
    weigh = weigh_classes_alike([5, 5, 0, 2])
    assert weigh(np.array([[2, 0, 1, 0], [0, 0, 0, 0]])).tolist() == [[1.0, 0.0, 1.0, 0.0], [0.0] * 4]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_the_balanced_accuracy_of_outcomes_stays_within_its_limits(truth):
    weights = weigh_classes_alike(truth)(np.ones((1, len(truth)), dtype=np.intp))[0]
    for outcome in (True, False):
        score = score_outcomes(np.full(len(truth), outcome), weights)
        assert 0 <= score <= 1
        assert score == pytest.approx(float(outcome))
