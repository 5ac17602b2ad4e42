import audmetric
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from ser_store.errors import MetricError
from ser_store.metrics import (
    caution_absent_classes,
    compute_accuracy,
    compute_balanced_accuracy,
    compute_confusion,
    evaluate_predictions,
)

CASES = {
    "random": (np.random.default_rng(1).integers(5, size=200), np.random.default_rng(2).integers(5, size=200), 5),
    "absent from truth": (np.array([0, 0, 2, 2]), np.array([1, 0, 2, 0]), 4),
    "absent from predictions": (np.array([0, 1, 2]), np.array([0, 0, 0]), 3),
    "absent from both": (np.array([0, 3, 3, 0]), np.array([3, 3, 0, 0]), 5),
    "one class, all right": (np.array([1, 1, 1]), np.array([1, 1, 1]), 3),
    "one true class": (np.array([1, 1, 1]), np.array([1, 0, 2]), 3),
    "nothing right": (np.array([0, 1]), np.array([1, 0]), 2),
    "one utterance": (np.array([0]), np.array([0]), 2),
    "abstentions": (np.array([0, 0, 1, 1, 2]), np.array([-1, 0, 1, -1, 1]), 3),
    "nothing but abstentions": (np.array([0, 1]), np.array([-1, -1]), 2),
}
# What scikit-learn says of predicted classes that are not true ones, and of truth that holds one class only.
ODD_CLASSES = pytest.mark.filterwarnings(
    "ignore:y_pred contains classes not in y_true:UserWarning",
    "ignore:A single label was found in:UserWarning",
)


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request):
    return request.param


def random_pairs():
    """Truth and predictions of a few classes, some of which never occur."""
    label = st.integers(0, 3)
    return st.lists(st.tuples(label, label), min_size=1, max_size=30).map(lambda pairs: np.array(pairs).T)


def check_against_scikit_learn(truth, predicted, n_classes):
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
    present = np.unique(truth)
    for average, name in ((evaluation.macro_avg, "macro"), (evaluation.weighted_avg, "weighted")):
        wanted = oracle.precision_recall_fscore_support(
            truth, predicted, labels=present, zero_division=0, average=name
        )[:3]
        assert (average.precision, average.recall, average.f1) == pytest.approx(wanted, abs=1e-15)
    assert evaluation.macro_avg.recall == evaluation.balanced_accuracy
    if set(predicted.tolist()) <= set(present.tolist()):
        wanted = oracle.f1_score(truth, predicted, average="macro", zero_division=0)
        assert evaluation.macro_avg.f1 == pytest.approx(wanted, abs=1e-15)
    # In scikit-learn, too, an abstention (-1) is a class of its own here.
    matthews = oracle.matthews_corrcoef(truth, predicted)
    assert evaluation.mcc == pytest.approx(matthews, abs=1e-12)
    if not (truth == truth[0]).all() or not (predicted == truth[0]).all():
        kappa = oracle.cohen_kappa_score(truth, predicted)
        assert evaluation.kappa == pytest.approx(kappa, abs=1e-12)


@ODD_CLASSES
def test_the_figures_equal_scikit_learn_s(case):
    check_against_scikit_learn(*case)


@ODD_CLASSES
@given(random_pairs())
def test_the_figures_of_any_labels_equal_scikit_learn_s(pair):
    check_against_scikit_learn(*pair, n_classes=5)


def test_the_figures_equal_audmetric_s(case):
    truth, predicted, n_classes = case
    if (predicted < 0).any():
        truth, predicted = truth[predicted >= 0], predicted[predicted >= 0]  # audmetric knows no abstention
    if not len(truth):
        return
    evaluation = evaluate_predictions(truth, predicted, n_classes=n_classes)
    present, true = sorted({*truth.tolist(), *predicted.tolist()}), sorted(set(truth.tolist()))
    labels = list(range(n_classes))
    assert evaluation.accuracy == audmetric.accuracy(truth, predicted, labels=labels)
    assert evaluation.confusion.tolist() == audmetric.confusion_matrix(truth, predicted, labels=labels)
    for ours, theirs in (
        (evaluation.per_class.precision, audmetric.precision_per_class),
        (evaluation.per_class.recall, audmetric.recall_per_class),
        (evaluation.per_class.f1, audmetric.fscore_per_class),
    ):
        assert ours[present] == pytest.approx(list(theirs(truth, predicted, labels=present, zero_division=0).values()))
    macro = evaluation.macro_avg
    for average, theirs in (
        (macro.precision, audmetric.unweighted_average_precision),
        (macro.recall, audmetric.unweighted_average_recall),
        (macro.f1, audmetric.unweighted_average_fscore),
    ):
        # Asked for some of the labels, audmetric leaves out utterances that are predicted as others.
        if true == present:
            assert average == pytest.approx(theirs(truth, predicted, labels=true, zero_division=0))


def test_balanced_accuracy_and_macro_averages_leave_out_the_classes_that_are_never_true():
    evaluation = evaluate_predictions([0, 0, 1], [0, 2, 1], n_classes=4)
    assert evaluation.balanced_accuracy == evaluation.macro_avg.recall == 0.75
    assert evaluation.macro_avg.f1 == pytest.approx((2 / 3 + 1) / 2)


@pytest.mark.parametrize(("truth", "n_classes"), [([0, 1, 2, 2], 4), ([1, 1], 3), ([0], 2)])
def test_where_everything_is_right_every_average_is_1_whatever_classes_are_absent(truth, n_classes):
    evaluation = evaluate_predictions(truth, truth, n_classes=n_classes)
    assert evaluation.balanced_accuracy == 1.0
    for average in (evaluation.macro_avg, evaluation.weighted_avg):
        assert (average.precision, average.recall, average.f1) == (1.0, 1.0, 1.0)


def test_a_class_that_is_never_true_has_no_scores_and_one_never_predicted_has_0_as_in_the_averages():
    per_class = evaluate_predictions([0, 0, 1], [0, 2, 2], n_classes=4).per_class
    assert [per_class.list_scores(place) for place in range(4)] == [
        (1.0, 0.5, pytest.approx(2 / 3)),
        (0.0, 0.0, 0.0),  # never predicted
        (None, None, None),  # predicted, never true
        (None, None, None),
    ]


CLASSES = ("angry", "calm", "happy", "sad")


@pytest.mark.parametrize(
    ("truth", "predicted", "cautions"),
    [
        ([0, 1, 2, 3], [0, 0, 0, 0], ()),
        (
            [0, 1, 2],
            None,
            ("sad does not occur here: balanced accuracy and macro averages are those of the other 3 classes",),
        ),
        (
            [0, 1],
            [[0, 3], [0, -1]],
            (
                "happy, sad do not occur here: balanced accuracy and macro averages are those of the other 2 classes",
                "sad is predicted, but never true here: wrong, and in no average",
            ),
        ),
        (
            [2, 2],
            [2, 2],
            (
                "angry, calm, sad do not occur here: balanced accuracy and macro averages are those of happy alone",
                "with a single true class Cohen's kappa and Matthews' correlation are 0, whatever is predicted",
            ),
        ),
    ],
)
def test_absent_classes_are_named(truth, predicted, cautions):
    assert caution_absent_classes(truth, CLASSES, predicted=predicted) == cautions


def test_of_many_absent_classes_the_first_are_named():
    [absent, _] = caution_absent_classes([0], [f"c{place:02}" for place in range(20)])
    assert absent.startswith("c01, c02, c03, c04, c05, c06, c07, c08 and 11 more do not occur here")


def test_kappa_and_matthews_are_0_where_there_is_one_class_only():
    evaluation = evaluate_predictions([1, 1, 1], [1, 1, 1], n_classes=3)
    assert (evaluation.accuracy, evaluation.kappa, evaluation.mcc) == (1.0, 0.0, 0.0)


def test_kappa_and_matthews_are_1_where_all_of_several_classes_is_right():
    evaluation = evaluate_predictions([0, 1, 1], [0, 1, 1], n_classes=3)
    assert (evaluation.kappa, evaluation.mcc) == (1.0, 1.0)


def test_abstentions_are_wrong_and_in_no_column_of_the_confusion_matrix():
    evaluation = evaluate_predictions([0, 0, 1], [-1, 0, -1], n_classes=2)
    assert evaluation.confusion.tolist() == [[1, 0], [0, 0]]
    assert evaluation.per_class.support.tolist() == [2, 1]
    assert evaluation.per_class.recall.tolist() == [0.5, 0.0]
    assert evaluation.accuracy == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([], [], r"truth has shape \(0,\): expected \(n,\), one class index per utterance"),
        ([0], [], r"predicted has shape \(0,\): expected \(n,\), one class index per utterance"),
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


def test_no_classes_are_refused():
    with pytest.raises(MetricError, match="n_classes is 0: expected at least 1"):
        evaluate_predictions([0], [0], n_classes=0)


def test_figures_of_one_member_are_not_made_of_several_members_predictions():
    for compute in (evaluate_predictions, compute_balanced_accuracy):
        with pytest.raises(MetricError, match=r"predicted has shape \(2, 1\): expected \(n,\)"):
            compute([0], [[0], [0]], n_classes=2)
    with pytest.raises(MetricError, match=r"predicted has shape \(2, 1\): expected \(n,\)"):
        compute_accuracy([0], [[0], [0]])
