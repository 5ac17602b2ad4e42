from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from ser_store.errors import MetricError
from ser_store.statistics.group_gaps import compare_groups

SPEAKERS = np.repeat(np.arange(24), 12)
SEXES = np.array(["f", "m"])[SPEAKERS % 2]
EMOTIONS = np.tile(np.arange(4), 72)


def test_the_statistic_is_pearson_s_and_p_near_the_chi_square_distribution_s():
    correct = np.random.default_rng(1).random(288) < np.array([0.95, 0.9, 0.9, 0.8])[EMOTIONS]
    gap = compare_groups(correct, EMOTIONS)
    table = [[np.sum(correct[e == EMOTIONS]), np.sum(~correct[e == EMOTIONS])] for e in range(4)]
    expected = stats.chi2_contingency(table, correction=False)
    assert gap.statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert gap.p == pytest.approx(expected.pvalue, abs=0.04)
    assert gap.method == "permutation of utterances"


def test_speakers_in_one_group_each_are_dealt_whole_and_all_ways_tried_where_they_are_few():
    correct = np.random.default_rng(2).random(72) < 0.7
    speakers, sexes = SPEAKERS[:72], SEXES[:72]
    gap = compare_groups(correct, sexes, units=speakers)
    by_speaker = correct.reshape(6, 12).sum(axis=1)
    statistics = []
    for order in permutations(range(6)):
        is_first = np.isin(np.arange(6), order[:3])
        table = [[by_speaker[group].sum(), 36 - by_speaker[group].sum()] for group in (is_first, ~is_first)]
        statistics.append(stats.chi2_contingency(table, correction=False).statistic)
    assert gap.p == pytest.approx(np.mean(np.array(statistics) >= gap.statistic - 1e-9))
    assert gap.method == "permutation of speakers, exact"
    assert gap.caution == "only 20 ways to assign the speakers to groups: no p below 0.050"


def test_dealing_speakers_at_random_gives_about_the_p_of_all_ways():
    correct = np.random.default_rng(3).random(120) < 0.7
    speakers, sexes = SPEAKERS[:120], SEXES[:120]
    exact = compare_groups(correct, sexes, units=speakers)
    drawn = compare_groups(correct, sexes, units=speakers, repeats=251)
    assert (exact.method, drawn.method) == ("permutation of speakers, exact", "permutation of speakers")
    assert drawn.p == pytest.approx(exact.p, abs=4 * (exact.p * (1 - exact.p) / 251) ** 0.5 + 1 / 251)


def test_where_speakers_differ_permuting_utterances_raises_false_alarms_between_sexes_and_dealing_speakers_does_not():
    rng = np.random.default_rng(4)
    alarms = {"utterances": 0, "speakers": 0}
    for _ in range(200):
        correct = rng.random(288) < rng.uniform(0.5, 1.0, size=24)[SPEAKERS]
        alarms["utterances"] += compare_groups(correct, SEXES, repeats=200).p < 0.05
        alarms["speakers"] += compare_groups(correct, SEXES, units=SPEAKERS, repeats=200).p < 0.05
    assert alarms["utterances"] / 200 > 0.1
    assert alarms["speakers"] / 200 < 0.05 + 3 * (0.05 * 0.95 / 200) ** 0.5


def test_groups_that_each_speaker_is_in_are_compared_within_speakers():
    rng = np.random.default_rng(5)
    # The first four speakers are easy and give twice as many utterances of emotion 0.
    speakers = np.repeat(np.arange(8), 30)
    emotions = np.where(speakers < 4, np.tile([0, 0, 1], 80), np.tile([0, 1, 1], 80))
    alarms = {"over": 0, "within": 0}
    for _ in range(100):
        correct = rng.random(240) < np.where(speakers < 4, 0.95, 0.6)
        alarms["over"] += compare_groups(correct, emotions, repeats=200).p < 0.05
        within = compare_groups(correct, emotions, units=speakers, repeats=200)
        alarms["within"] += within.p < 0.05
        assert within.method == "permutation of utterances within speaker"
    assert alarms["over"] / 100 > 0.2
    assert alarms["within"] / 100 < 0.05 + 3 * (0.05 * 0.95 / 100) ** 0.5


def test_speakers_themselves_are_compared_by_permuting_utterances():
    correct = np.random.default_rng(6).random(288) < np.where(SPEAKERS == 3, 0.3, 0.95)
    gap = compare_groups(correct, SPEAKERS, units=SPEAKERS)
    assert gap == compare_groups(correct, SPEAKERS)
    assert gap.p < 0.001


def test_a_real_gap_between_the_sexes_is_found():
    correct = np.random.default_rng(7).random(288) < np.where(SEXES == "f", 0.95, 0.75)
    gap = compare_groups(correct, SEXES, units=SPEAKERS)
    assert gap.p < 0.01
    assert gap.method == "permutation of speakers"


def test_where_all_are_right_there_is_no_gap():
    gap = compare_groups(np.ones(12, dtype=bool), [1, 2, 3] * 4)
    assert (gap.statistic, gap.p) == (0.0, 1.0)


def test_the_same_seed_gives_the_same_p():
    correct = np.random.default_rng(8).random(288) < 0.8
    assert compare_groups(correct, EMOTIONS, seed=1) == compare_groups(correct, EMOTIONS, seed=1)


@pytest.mark.parametrize(
    ("correct", "groups", "options", "message"),
    [
        ([True, False], [1, 1], {}, "all utterances are of group 1: expected two groups or more to compare"),
        ([True, False], [1], {}, r"groups have shape \(1,\): expected \(2,\)"),
        ([1, 0], [1, 2], {}, "type int64: expected"),
        ([True, False], [1, 2], {"repeats": 0}, "repeats is 0"),
        ([True, False], [1, 2], {"units": [1, 2, 3]}, r"groups have shape \(3,\)"),
    ],
)
def test_groups_that_cannot_be_compared_are_refused(correct, groups, options, message):
    with pytest.raises(MetricError, match=message):
        compare_groups(correct, groups, **options)


def test_groups_of_one_speaker_each_are_said_to_be_speakers():
    """The permutation of utterances tells two speakers apart, and nothing of the sexes they stand for."""
    speakers = np.repeat(["s1", "s2"], 40)
    sexes = np.where(speakers == "s1", "female", "male")
    right = np.arange(80) % 40 < np.where(speakers == "s1", 35, 20)
    assert compare_groups(right, sexes, units=speakers).caution == (
        "each group is one speaker: it is the speakers that are compared"
    )
    assert compare_groups(right, speakers, units=speakers).caution is None
