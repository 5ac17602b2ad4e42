import numpy as np
import pytest

from ser_store.errors import MetricError
from ser_store.statistics.comparisons import compare_pairs
from ser_store.statistics.intervals import mean_interval
from ser_store.statistics.matched_tests import flip_groups, holm, mcnemar

SPEAKERS = np.repeat(np.arange(24), 12)


@pytest.fixture
def correct():
    return np.random.default_rng(1).random((4, 288)) < np.array([0.95, 0.7, 0.94, 0.85])[:, None]


def test_every_pair_is_compared_once_in_the_order_of_the_names(correct):
    pairs = compare_pairs(correct, ["a", "b", "c", "d"])
    assert [pair.first + pair.second for pair in pairs] == ["ab", "ac", "ad", "bc", "bd", "cd"]
    assert [pair.verdict for pair in pairs] == ["better", "cannot tell", "better", "worse", "worse", "better"]


@pytest.mark.parametrize("groups", [None, SPEAKERS], ids=["utterances", "speakers"])
def test_each_comparison_is_that_of_the_two_alone_with_holm_s_correction(correct, groups):
    pairs = compare_pairs(correct, ["a", "b", "c", "d"], groups=groups)
    np.testing.assert_allclose([pair.p_holm for pair in pairs], holm([pair.p for pair in pairs]))
    for pair in pairs:
        first, second = (correct["abcd".index(name)] for name in (pair.first, pair.second))
        assert (pair.only_first, pair.only_second) == (sum(first & ~second), sum(second & ~first))
        assert pair.difference == pytest.approx(first.mean() - second.mean())
        differences = first.astype(int) - second
        if groups is None:
            assert pair.p == mcnemar(first, second)
            assert pair.method == "McNemar"
        else:
            assert pair.p == flip_groups(differences.reshape(24, 12).sum(axis=1))
            assert pair.method == "permutation by speaker"
        alone = mean_interval(differences, limits=(-1, 1), groups=groups)
        assert pair.interval.bounds == pytest.approx(alone.bounds, abs=1e-12)
        assert pair.interval.method == alone.method


def test_of_equally_good_members_one_cannot_tell_however_many_there_are():
    rng = np.random.default_rng(2)
    alarms = 0
    for _ in range(100):
        pairs = compare_pairs(rng.random((6, 200)) < 0.9, list("abcdef"), repeats=1)
        alarms += any(pair.verdict != "cannot tell" for pair in pairs)
    assert alarms / 100 < 0.05 + 3 * (0.05 * 0.95 / 100) ** 0.5


def test_of_four_speakers_no_difference_can_be_told():
    few = np.random.default_rng(3).random((2, 48)) < np.array([[0.95], [0.5]])
    assert compare_pairs(few, ["a", "b"])[0].verdict == "better"
    by_speaker = compare_pairs(few, ["a", "b"], groups=SPEAKERS[:48])[0]
    assert (by_speaker.verdict, by_speaker.p) == ("cannot tell", 2 / 2**4)


@pytest.mark.parametrize("groups", [None, np.arange(60) % 6], ids=["utterances", "speakers"])
def test_of_two_that_are_right_on_the_same_utterances_the_difference_is_still_not_known_to_be_0(groups):
    right = np.random.default_rng(4).random(60) < 0.8
    [pair] = compare_pairs(np.stack([right, right]), ["a", "b"], groups=groups)
    assert (pair.difference, pair.p, pair.verdict) == (0.0, 1.0, "cannot tell")
    # Wilson's bound of 0 in 60 utterances.
    assert pair.interval.bounds == pytest.approx((-0.0602, 0.0602), abs=1e-4)
    assert pair.interval.method == "Wilson"


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["a"], {}, "there are 1 names for 4 members: expected as many"),
        (list("abcd"), {"alpha": 5}, "alpha is 5: expected a number between 0 and 1"),
        (list("abcd"), {"groups": [1] * 288}, "all 288 utterances are of speaker 1"),
        (list("abcd"), {"repeats": 0}, "repeats is 0"),
    ],
)
def test_members_that_cannot_be_compared_are_refused(correct, names, options, message):
    with pytest.raises(MetricError, match=message):
        compare_pairs(correct, names, **options)
