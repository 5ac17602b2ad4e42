import numpy as np
import pytest
from sklearn import metrics as oracle

from ser_store.metrics import (
    MetricError,
    compute_accuracy,
    compute_balanced_accuracy,
    compute_confusion,
    compute_log_loss,
    evaluate_predictions,
    log_softmax,
    softmax,
)

CASES = {
    "random": (np.random.default_rng(1).integers(5, size=200), np.random.default_rng(2).integers(5, size=200), 5),
    "absent from truth": (np.array([0, 0, 2, 2]), np.array([1, 0, 2, 0]), 4),
    "absent from predictions": (np.array([0, 1, 2]), np.array([0, 0, 0]), 3),
    "single class": (np.array([1, 1, 1]), np.array([1, 1, 1]), 3),
    "nothing right": (np.array([0, 1]), np.array([1, 0]), 2),
    "one utterance": (np.array([0]), np.array([0]), 2),
    "abstentions": (np.array([0, 0, 1, 1, 2]), np.array([-1, 0, 1, -1, 1]), 3),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request):
    return request.param


@pytest.mark.filterwarnings("ignore::UserWarning")  # scikit-learn warns of predicted classes that are not in the truth
def test_the_figures_equal_scikit_learn_s(case):
    truth, predicted, n_classes = case
    labels = range(n_classes)
    evaluation = evaluate_predictions(truth, predicted, n_classes=n_classes)
    assert evaluation.n == len(truth)
    assert evaluation.correct == oracle.accuracy_score(truth, predicted, normalize=False)
    assert evaluation.accuracy == compute_accuracy(truth, predicted) == oracle.accuracy_score(truth, predicted)
    balanced = oracle.balanced_accuracy_score(truth, predicted)
    assert evaluation.balanced_accuracy == pytest.approx(balanced, abs=1e-15)
    assert compute_balanced_accuracy(truth, predicted, n_classes=n_classes) == evaluation.balanced_accuracy
    np.testing.assert_array_equal(evaluation.confusion, oracle.confusion_matrix(truth, predicted, labels=labels))
    expected = oracle.precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)
    per_class = evaluation.per_class
    for figure, wanted in zip(
        (per_class.precision, per_class.recall, per_class.f1, per_class.support), expected, strict=True
    ):
        np.testing.assert_allclose(figure, wanted, atol=1e-15)
    for average, name in ((evaluation.macro_avg, "macro"), (evaluation.weighted_avg, "weighted")):
        wanted = oracle.precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0, average=name)[
            :3
        ]
        assert (average.precision, average.recall, average.f1) == pytest.approx(wanted, abs=1e-15)


def test_abstentions_are_wrong_and_in_no_column_of_the_confusion_matrix():
    evaluation = evaluate_predictions([0, 0, 1], [-1, 0, -1], n_classes=2)
    assert evaluation.confusion.tolist() == [[1, 0], [0, 0]]
    assert evaluation.per_class.support.tolist() == [2, 1]
    assert evaluation.per_class.recall.tolist() == [0.5, 0.0]
    assert evaluation.accuracy == pytest.approx(1 / 3)


def test_log_loss_equals_scikit_learn_s():
    rng = np.random.default_rng(3)
    truth, logits = rng.integers(4, size=60), rng.normal(scale=4, size=(60, 4)).astype(np.float32)
    expected = oracle.log_loss(truth, softmax(logits), labels=range(4))
    assert compute_log_loss(truth, logits) == pytest.approx(expected, rel=1e-12)


def test_log_loss_is_exact_for_logits_that_overflow_the_exponential():
    assert compute_log_loss([0, 1], [[1e4, 0.0], [1e4, 0.0]]) == 5e3
    assert log_softmax([1000.0, 1000.0]).tolist() == pytest.approx([-np.log(2)] * 2)


def test_softmax_sums_to_one_over_the_last_axis():
    probabilities = softmax(np.random.default_rng(4).normal(size=(2, 5, 3)) * 30)
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1, rtol=1e-14)


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([], [], r"truth has shape \(0,\): expected \(n,\), one class index per utterance"),
        ([[0]], [0], r"truth has shape \(1, 1\)"),
        ([0, 1], [0], "predicted has 1 entries: expected 2, as many as truth"),
        ([0, 3], [0, 1], r"truth holds 3: expected 0\.\.2"),
        ([0, 1], [0, 3], r"predicted holds 3: expected -1\.\.2"),
        ([-1, 1], [0, 1], "truth holds -1: expected class indices from 0 up"),
        ([0, 1], [0, -2], "predicted holds -2: expected class indices from -1 up"),
        ([0.0, 1.0], [0, 1], "truth is of type float64: expected integers"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_line(truth, predicted, message):
    for compute in (evaluate_predictions, compute_confusion, compute_balanced_accuracy):
        with pytest.raises(MetricError, match=message):
            compute(truth, predicted, n_classes=3)


@pytest.mark.parametrize(
    ("truth", "logits", "message"),
    [
        ([0, 1], [[0.0, 1.0]], r"logits have shape \(1, 2\): expected \(2, n_classes\)"),
        ([0, 2], [[0.0, 1.0], [1.0, 0.0]], r"truth holds 2: expected 0\.\.1"),
        ([0, 1], [[np.nan, 1.0], [1.0, np.inf]], "2 of 4 logits are not finite"),
    ],
)
def test_logits_that_do_not_fit_are_refused_in_one_line(truth, logits, message):
    with pytest.raises(MetricError, match=message):
        compute_log_loss(truth, logits)
