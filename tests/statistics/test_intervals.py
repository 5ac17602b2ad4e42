from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from sklearn import metrics as oracle

from ser_store.errors import MetricError
from ser_store.metrics.confusion import compute_metrics_from_confusion, count_outcomes
from ser_store.statistics.bootstrap import (
    Interval,
    compute_t_factor,
    find_bounds,
    find_student_quantile,
    resample_intervals,
)
from ser_store.statistics.intervals import (
    accuracy_interval,
    mean_interval,
    metric_intervals,
    wilson_interval,
)
from ser_store.statistics.resampling import iter_counts, resample_kinds

TRUE_ACCURACY = 0.9


def draw_by_speaker(rng: np.random.Generator, *, n_speakers: int, per_speaker: int) -> tuple[np.ndarray, np.ndarray]:
    """Outcomes of speakers who are 60 to 100% right, 80% on average, and the speaker of each."""
    speakers = np.repeat(np.arange(n_speakers), per_speaker)
    accuracies = rng.uniform(0.6, 1.0, size=n_speakers)
    return rng.random(len(speakers)) < accuracies[speakers], speakers


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
    ("correct", "n", "message"),
    [(1, 0, "1 correct of 0"), (3, 2, "3 correct of 2")],
)
def test_an_interval_of_impossible_counts_is_refused(correct, n, message):
    with pytest.raises(MetricError, match=message):
        wilson_interval(correct, n)


def test_without_groups_the_accuracy_s_interval_is_wilson_s():
    correct = np.arange(288) < 279
    assert accuracy_interval(correct) == Interval(*wilson_interval(279, 288), "Wilson")


def test_with_groups_they_are_drawn_and_the_method_names_them():
    correct, speakers = draw_by_speaker(np.random.default_rng(1), n_speakers=24, per_speaker=12)
    interval = accuracy_interval(correct, groups=speakers)
    assert (interval.method, interval.n_groups, interval.caution) == ("bootstrap by speaker", 24, None)
    assert interval.low < correct.mean() < interval.high


def test_the_bootstrap_by_speaker_covers_the_truth_as_often_as_it_says_where_that_of_utterances_does_not():
    rng, repeats = np.random.default_rng(7), 300
    covered = {"speakers": 0, "utterances": 0}
    for _ in range(repeats):
        correct, speakers = draw_by_speaker(rng, n_speakers=24, per_speaker=30)
        by_speaker = accuracy_interval(correct, groups=speakers, repeats=400)
        covered["speakers"] += by_speaker.low <= 0.8 <= by_speaker.high
        by_utterance = accuracy_interval(correct)
        covered["utterances"] += by_utterance.low <= 0.8 <= by_utterance.high
    # Three standard errors of a share of 95% among 300 are 3.8 points.
    assert covered["speakers"] / repeats == pytest.approx(0.95, abs=0.038)
    assert covered["utterances"] / repeats < 0.85


@pytest.mark.parametrize("n_speakers", [2, 5])
def test_of_few_speakers_the_interval_still_covers_the_truth_where_percentiles_do_not(n_speakers):
    rng, repeats = np.random.default_rng(8), 300
    covered = by_percentiles = 0
    for _ in range(repeats):
        correct, speakers = draw_by_speaker(rng, n_speakers=n_speakers, per_speaker=60)
        interval = accuracy_interval(correct, groups=speakers, repeats=400)
        covered += interval.low <= 0.8 <= interval.high
        by_speaker = correct.reshape(n_speakers, 60).mean(axis=1)
        means = by_speaker[rng.integers(n_speakers, size=(400, n_speakers))].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        by_percentiles += low <= 0.8 <= high
    assert covered / repeats == pytest.approx(0.95, abs=0.038)
    assert by_percentiles / repeats < 0.89


def test_without_limits_the_interval_is_student_s_and_within_limits_the_logit_s():
    values = np.random.default_rng(3).normal(size=30)
    free = mean_interval(values, repeats=40_000)
    expected = stats.t.interval(0.95, 29, loc=values.mean(), scale=values.std(ddof=1) / 30**0.5)
    assert free.bounds == pytest.approx(expected, abs=0.01)
    assert compute_t_factor(10) == pytest.approx(stats.t.ppf(0.975, 9) * (10 / 9) ** 0.5)
    logit = special.expit(special.logit((0.7 + 1) / 2) + np.array([-1, 1]) * 0.1 / (2 * 0.85 * 0.15))
    assert find_bounds(0.7, 0.1, limits=(-1, 1)) == pytest.approx(tuple(2 * logit - 1))
    assert find_bounds(0.5, 0.2, limits=(0, np.inf)) == pytest.approx((0.5 * np.exp(-0.4), 0.5 * np.exp(0.4)))
    assert find_bounds(0.5, 1e9, limits=(0, 1)) == pytest.approx((0, 1), abs=1e-12)


@pytest.mark.parametrize("freedom", [*range(1, 40), 59, 287, 1_439, 7_440, 99_999])
def test_student_s_quantile_equals_scipy_s_over_a_grid(freedom):
    for confidence in (1e-3, 0.1, 0.5, 0.68, 0.9, 0.95, 0.99, 0.999):
        expected = stats.t.ppf((1 + confidence) / 2, freedom)
        assert find_student_quantile(confidence, freedom=freedom) == pytest.approx(expected, rel=1e-10)


@given(st.floats(1e-6, 1 - 1e-6), st.integers(1, 600))
def test_student_s_quantile_bounds_the_share_that_was_asked_for(confidence, freedom):
    bound = find_student_quantile(confidence, freedom=freedom)
    assert 2 * special.stdtr(freedom, -bound) == pytest.approx(1 - confidence, rel=1e-7, abs=1e-12)


@pytest.mark.parametrize(
    ("confidence", "freedom", "message"),
    [(1.0, 3, r"confidence is 1\.0: expected"), (0.5, 0, "there are 0 degrees of freedom: expected at least 1")],
)
def test_what_has_no_quantile_is_refused(confidence, freedom, message):
    with pytest.raises(MetricError, match=message):
        find_student_quantile(confidence, freedom=freedom)


@given(st.floats(1e-6, 1 - 1e-6), st.floats(0, 10))
def test_bounds_stay_within_the_limits_and_hold_the_figure(centre, half_width):
    low, high = find_bounds(centre, half_width, limits=(0.0, 1.0))
    assert 0 <= low <= centre <= high <= 1


@pytest.mark.parametrize("all_right", [True, False])
def test_where_all_are_right_or_wrong_the_interval_is_wilson_s_though_groups_are_known(all_right):
    interval = accuracy_interval(np.full(20, all_right), groups=np.arange(20) % 4)
    assert interval == Interval(*wilson_interval(20 * all_right, 20), "Wilson")
    assert interval.low < interval.high
    metrics = metric_intervals([0, 1, 0, 1], [0, 1, 0, 1] if all_right else [1, 0, 1, 0], n_classes=2)
    assert metrics["macro_f1"].bounds == (all_right, all_right)
    assert metrics["macro_f1"].caution == "the samples do not show how far the figure can be trusted"


@pytest.mark.parametrize("groups", [None, np.arange(120) % 12], ids=["utterances", "groups"])
def test_the_metrics_intervals_are_those_of_the_same_samples_scored_by_scikit_learn(groups):
    rng = np.random.default_rng(4)
    truth = rng.integers(3, size=120)
    predicted = np.where(rng.random(120) < 0.7, truth, rng.integers(3, size=120))
    if groups is None:
        # Cells of the confusion matrix, the last column being of abstentions.
        tallies = np.bincount(truth * 4 + predicted, minlength=12)
        cells = [np.repeat(np.arange(12), sample) for sample in resample_kinds(tallies, repeats=60, seed=9)]
    else:
        counts = next(iter_counts(9, repeats=60, n_units=12))
        cells = [np.repeat(truth * 4 + predicted, sample[groups]) for sample in counts]
    intervals = metric_intervals(truth, predicted, n_classes=3, groups=groups, repeats=60, seed=9)
    scorers = {
        "balanced_accuracy": oracle.balanced_accuracy_score,
        "macro_f1": lambda t, p: oracle.f1_score(t, p, average="macro"),
        "weighted_precision": lambda t, p: oracle.precision_score(t, p, average="weighted"),
        "kappa": oracle.cohen_kappa_score,
        "mcc": oracle.matthews_corrcoef,
    }
    for name, score in scorers.items():
        spread = np.std([score(*divmod(sample, 4)) for sample in cells])
        half_width = compute_t_factor(120 if groups is None else 12) * spread
        limits = (-1, 1) if name in ("kappa", "mcc") else (0, 1)
        bounds = find_bounds(score(truth, predicted), half_width, limits=limits)
        assert intervals[name].bounds == pytest.approx(bounds, abs=1e-12), name
        assert intervals[name].low < score(truth, predicted) < intervals[name].high
    assert intervals["accuracy"] == intervals["weighted_recall"]
    assert intervals["accuracy"] == accuracy_interval(truth == predicted, groups=groups, repeats=60, seed=9)


@pytest.mark.parametrize("groups", [None, 2, 5], ids=["utterances", "2 speakers", "5 speakers"])
@pytest.mark.parametrize("kind", ["right", "wrong", "one class", "any", "one utterance"])
def test_intervals_hold_their_figures_and_stay_within_the_limits(kind, groups):
    rng = np.random.default_rng(12)
    for n in [1] if kind == "one utterance" else [6, 41, 90]:
        truth = np.zeros(n, dtype=int) if kind == "one class" else rng.integers(3, size=n)
        predicted = {"right": truth, "wrong": (truth + 1) % 3}.get(kind, rng.integers(-1, 4, size=n))
        if groups is not None and n < groups:
            continue
        speakers = None if groups is None else np.arange(n) % groups
        figures = compute_metrics_from_confusion(count_outcomes(truth, predicted, n_classes=4))
        found = metric_intervals(truth, predicted, n_classes=4, groups=speakers, repeats=100)
        for name, figure in figures.items():
            assert (-1 if name in ("kappa", "mcc") else 0) <= found[name].low <= figure <= found[name].high <= 1
            # A point is no interval: it says that it is none.
            assert (found[name].low < found[name].high) or found[name].caution, name


def test_speakers_who_are_few_or_of_whom_one_has_most_utterances_are_named():
    correct = np.random.default_rng(13).random(240) < 0.7
    two, skewed = np.arange(240) % 2, np.maximum(0, np.arange(240) - 220)
    assert accuracy_interval(correct, groups=np.arange(240) % 3).caution is None
    assert accuracy_interval(correct, groups=two).caution == (
        "2 speakers are few: the interval holds the truth less often than it says"
    )
    assert accuracy_interval(correct, groups=skewed).caution == (
        "the 20 speakers have so unequal numbers of utterances that they count as 1.2: the interval holds the truth "
        "less often than it says"
    )


def test_speakers_of_equal_accuracy_show_no_spread_whatever_rounding_makes_of_it():
    # Ten utterances of each speaker, seven of them right: 0.7 has no exact binary form.
    correct, speakers = np.tile(np.arange(10) < 7, 6), np.repeat(np.arange(6), 10)
    assert mean_interval(correct, groups=speakers).low == mean_interval(correct, groups=speakers).high
    assert accuracy_interval(correct, groups=speakers).bounds == wilson_interval(42, 60)


def test_abstentions_count_as_wrong_in_every_sample():
    truth, predicted = np.zeros(30, dtype=int), np.where(np.arange(30) % 3, 0, -1)
    intervals = metric_intervals(truth, predicted, n_classes=2)
    assert intervals["macro_recall"].bounds == intervals["balanced_accuracy"].bounds
    assert intervals["balanced_accuracy"].low < 2 / 3 < intervals["balanced_accuracy"].high
    assert intervals["weighted_precision"].bounds == (1.0, 1.0)


def test_the_intervals_of_the_metrics_cover_the_true_ones():
    rng = np.random.default_rng(10)
    # Rows = true, columns = predicted, shares of all utterances; abstentions last.
    shares = np.array([[0.4, 0.05, 0.03, 0.02], [0.04, 0.2, 0.05, 0.01], [0.05, 0.05, 0.1, 0.0]])
    known = {name: float(value) for name, value in compute_metrics_from_confusion(shares).items()}
    covered = dict.fromkeys(known, 0)
    for _ in range(200):
        true, guess = divmod(rng.choice(12, size=150, p=shares.ravel()), 4)
        for name, interval in metric_intervals(true, np.where(guess == 3, -1, guess), n_classes=3, repeats=200).items():
            covered[name] += interval.low <= known[name] <= interval.high
    # Three standard errors of a share of 95% among 200, and a point for what is not linear in them.
    assert min(covered.values()) / 200 > 0.95 - 0.047 - 0.01
    assert np.mean(list(covered.values())) / 200 == pytest.approx(0.95, abs=0.03)


def test_what_is_a_function_of_sums_has_an_interval_too():
    values = np.stack([np.arange(50.0), np.ones(50)], axis=1)
    found = resample_intervals(
        values, lambda sums: {"ratio": sums[:, 0] / sums[:, 1]}, limits=(0, 49), repeats=500, seed=3
    )
    assert found == {"ratio": mean_interval(np.arange(50.0), limits=(0, 49), repeats=500, seed=3)}


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    values = np.random.default_rng(6).random(40)
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda: accuracy_interval([]), r"correct is of shape \(0,\) and type float64: expected \(n,\) bool"),
        (lambda: accuracy_interval([1, 0]), "type int64: expected"),
        (lambda: accuracy_interval([True, False], groups=[1, 1]), "all 2 utterances are of speaker 1: expected two"),
        (lambda: accuracy_interval([True, False], groups=[1]), r"groups have shape \(1,\): expected \(2,\)"),
        (lambda: accuracy_interval([True, False], groups=[1, 2], repeats=0), "repeats is 0: expected at least 1"),
        (lambda: mean_interval([1.0, np.nan]), r"values have shape \(2,\): expected \(n,\) finite numbers"),
        (lambda: mean_interval([1.0, 2.0], limits=(0, 1)), r"figure mean is 1\.5: expected 0 to 1; state its limits"),
        (lambda: metric_intervals([0, 2], [0, 1], n_classes=2), r"truth holds 2: expected 0\.\.1"),
    ],
)
def test_what_has_no_interval_is_refused(compute, message):
    with pytest.raises(MetricError, match=message):
        compute()
