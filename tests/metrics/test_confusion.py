import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as oracle

from ser_store.errors import MetricError, UnknownNameError
from ser_store.metrics import evaluate_predictions
from ser_store.metrics.confusion import (
    compute_accuracy_from_confusion,
    compute_balanced_accuracy_from_confusion,
    compute_confusion,
    compute_kappa_from_confusion,
    compute_matthews_from_confusion,
    compute_metrics_from_confusion,
    compute_per_class_from_confusion,
    count_outcomes,
    normalise_confusion,
)

ONE_FIGURE = (
    compute_accuracy_from_confusion,
    compute_balanced_accuracy_from_confusion,
    compute_kappa_from_confusion,
    compute_matthews_from_confusion,
)


@pytest.fixture
def members():
    """Truth of 40 utterances in 4 classes of which one never occurs, and what 2 × 3 members predict."""
    rng = np.random.default_rng(0)
    return rng.integers(3, size=40), rng.integers(-1, 4, size=(2, 3, 40))


def test_the_figures_of_many_members_are_those_of_each_alone(members):
    truth, predicted = members
    outcomes = count_outcomes(truth, predicted, n_classes=4)
    assert outcomes.shape == (2, 3, 4, 5)
    figures = compute_metrics_from_confusion(outcomes)
    per_class = compute_per_class_from_confusion(outcomes)
    for place in np.ndindex(2, 3):
        alone = evaluate_predictions(truth, predicted[place], n_classes=4)
        np.testing.assert_array_equal(outcomes[place][:, :4], alone.confusion)
        np.testing.assert_array_equal(compute_confusion(truth, predicted, n_classes=4)[place], alone.confusion)
        assert {name: figure[place] for name, figure in figures.items()} == {
            "accuracy": alone.accuracy,
            "balanced_accuracy": alone.balanced_accuracy,
            "macro_precision": alone.macro_avg.precision,
            "macro_recall": alone.macro_avg.recall,
            "macro_f1": alone.macro_avg.f1,
            "weighted_precision": alone.weighted_avg.precision,
            "weighted_recall": alone.weighted_avg.recall,
            "weighted_f1": alone.weighted_avg.f1,
            "kappa": alone.kappa,
            "mcc": alone.mcc,
        }
        for name in ("precision", "recall", "f1", "support"):
            np.testing.assert_array_equal(getattr(per_class, name)[place], getattr(alone.per_class, name))


def test_rows_of_outcomes_sum_to_the_supports_abstentions_included(members):
    truth, predicted = members
    sums = count_outcomes(truth, predicted, n_classes=4).sum(axis=-1)
    assert (sums == np.bincount(truth, minlength=4)).all()


@pytest.mark.parametrize("over", ["true", "predicted", "all"])
def test_normalised_confusion_equals_scikit_learn_s(over):
    truth, predicted = np.array([0, 0, 1, 1, 1, 3]), np.array([0, 1, 1, 1, 0, 0])
    normalize = {"predicted": "pred"}.get(over, over)
    expected = oracle.confusion_matrix(truth, predicted, labels=range(4), normalize=normalize)
    ours = normalise_confusion(compute_confusion(truth, predicted, n_classes=4), over)
    np.testing.assert_allclose(ours, expected, atol=1e-15)


def test_normalisation_over_the_true_class_counts_abstentions():
    assert normalise_confusion(count_outcomes([0, 0], [0, -1], n_classes=2))[0].tolist() == [0.5, 0.0, 0.5]


def test_every_figure_of_no_utterances_is_0():
    assert set(map(float, compute_metrics_from_confusion(np.zeros((3, 3), dtype=int)).values())) == {0.0}


def test_matthews_and_kappa_of_very_many_utterances_do_not_overflow():
    few = np.array([[40, 10], [20, 30]])
    for compute in (compute_kappa_from_confusion, compute_matthews_from_confusion):
        assert compute(few * 10**11) == pytest.approx(compute(few), rel=1e-12)


def confusions():
    """Counts or weights of a few classes: any, all right, all wrong, or of a single class."""
    cell = st.one_of(st.integers(0, 60).map(float), st.floats(0, 9).map(lambda weight: round(weight, 3)))
    shape = st.integers(1, 6).flatmap(lambda c: st.sampled_from([(c, c), (c, c + 1)]))
    counts = shape.flatmap(lambda shape: arrays(np.float64, shape, elements=cell))
    return st.tuples(counts, st.sampled_from(["any", "right", "wrong", "one class"])).map(lambda pair: _keep(*pair))


def _keep(counts, kind):
    c = len(counts)
    if kind == "right":
        counts[~np.eye(*counts.shape, dtype=bool)] = 0
    elif kind == "wrong":
        counts[np.diag_indices(c)] = 0
    elif kind == "one class":
        counts[1:] = 0
    return counts


@given(confusions())
@settings(max_examples=300)
def test_rounding_takes_no_figure_out_of_its_limits(counts):
    per_class = compute_per_class_from_confusion(counts)
    for figures in (per_class.precision, per_class.recall, per_class.f1):
        assert ((figures >= 0) & (figures <= 1)).all()
    for name, figure in compute_metrics_from_confusion(counts).items():
        assert (-1 if name in ("kappa", "mcc") else 0) <= figure <= 1, name
    for over in ("true", "predicted", "all"):
        assert ((normalise_confusion(counts, over) >= 0) & (normalise_confusion(counts, over) <= 1)).all()


def test_weights_of_a_single_true_class_leave_nothing_to_correlate_whatever_rounding_makes_of_it():
    weights = [[0.0, 52.0, 8.969, 3.994], [0.0] * 4, [0.0] * 4]
    assert compute_matthews_from_confusion(weights) == compute_kappa_from_confusion(weights) == 0.0


@given(st.lists(st.integers(1, 400), min_size=2, max_size=8))
def test_of_a_perfect_member_every_figure_is_1_and_of_an_always_wrong_one_of_two_classes_the_correlation_is_minus_1(
    supports,
):
    assert set(map(float, compute_metrics_from_confusion(np.diag(supports)).values())) == {1.0}
    a, b = supports[:2]
    figures = compute_metrics_from_confusion([[0, a], [b, 0]])
    assert figures.pop("mcc") == -1.0
    assert -1 <= figures.pop("kappa") < 0
    assert set(map(float, figures.values())) == {0.0}


@pytest.mark.parametrize(
    ("confusion", "message"),
    [
        ([1, 2], r"shape \(2,\): expected \(\.\.\., c, c\)"),
        (np.zeros((3, 2)), r"shape \(3, 2\): expected \(\.\.\., c, c\)"),
        (np.zeros((2, 4)), r"shape \(2, 4\): expected \(\.\.\., c, c\)"),
        (np.zeros((0, 0)), r"shape \(0, 0\)"),
        ([["1", "2"], ["3", "4"]], "type <U1: expected counts"),
        ([[1, -1], [0, 1]], "negative or not finite"),
        ([[1, np.nan], [0, 1]], "negative or not finite"),
        ([[1, np.inf], [0, 1]], "negative or not finite"),
    ],
)
def test_what_is_no_confusion_matrix_is_refused_in_one_line(confusion, message):
    for compute in (
        *ONE_FIGURE,
        compute_per_class_from_confusion,
        compute_metrics_from_confusion,
        normalise_confusion,
    ):
        with pytest.raises(MetricError, match=message):
            compute(confusion)


def test_an_unknown_normalisation_is_refused_by_name():
    with pytest.raises(UnknownNameError, match="pred"):
        normalise_confusion([[1, 0], [0, 1]], "pred")
