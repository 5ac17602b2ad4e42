import numpy as np
import pytest

from ser_store.errors import MetricError
from ser_store.statistics import resampling
from ser_store.statistics.resampling import draw_counts, find_units, number_groups, resample_kinds, resample_sums


def test_a_sample_draws_as_many_units_as_there_are_and_each_as_often_as_any_other():
    counts = draw_counts(np.random.default_rng(1), 4000, 7)
    assert counts.shape == (4000, 7)
    assert (counts.sum(axis=1) == 7).all()
    # The variance of how often one of n is drawn is 1 - 1/n.
    standard_error = ((1 - 1 / 7) / 4000) ** 0.5
    assert np.abs(counts.mean(axis=0) - 1).max() < 4 * standard_error
    assert np.mean(counts == 0) == pytest.approx((1 - 1 / 7) ** 7, abs=0.01)


def test_samples_do_not_depend_on_the_size_of_blocks(monkeypatch):
    sums = np.random.default_rng(2).random((50, 3))
    whole = resample_sums(sums, repeats=41, seed=5)
    monkeypatch.setattr(resampling, "_BLOCK_CELLS", 50 * 4)
    np.testing.assert_allclose(resample_sums(sums, repeats=41, seed=5), whole, rtol=1e-12)


def test_groups_are_drawn_whole():
    units = find_units(6, ["a", "b", "a", "c", "b", "a"])
    by_unit = units.sum(np.array([[1.0], [10.0], [1.0], [100.0], [10.0], [1.0]]))
    assert by_unit.tolist() == [[3.0], [20.0], [100.0]]
    assert units.expand(np.array([[0, 2, 1]])).tolist() == [[0, 2, 0, 1, 2, 0]]
    for total in resample_sums(by_unit, repeats=50, seed=1)[:, 0].tolist():
        assert total in {3 * a + 20 * b + 100 * (3 - a - b) for a in range(4) for b in range(4 - a)}


def test_drawing_kinds_is_distributed_as_drawing_utterances_is():
    tallies = np.array([150, 0, 30, 20])
    utterances = np.repeat(np.eye(4)[[0, 2, 3]], [150, 30, 20], axis=0)
    quick, slow = (
        resample_kinds(tallies, repeats=4000, seed=1),
        resample_sums(utterances, repeats=4000, seed=2),
    )
    assert (quick.sum(axis=1) == 200).all()
    np.testing.assert_allclose(quick.mean(axis=0), slow.mean(axis=0), atol=0.4)
    np.testing.assert_allclose(np.cov(quick.T), np.cov(slow.T), atol=2.5)


@pytest.mark.parametrize(
    ("groups", "values"),
    [
        ([3, 1, 3], (1, 3)),
        (["m", "f", "m"], ("f", "m")),
        (np.array(["b", None, "b"], dtype=object), ("b", None)),
        ([True, False, True], (False, True)),
    ],
)
def test_groups_may_be_anything_hashable(groups, values):
    numbers, found = number_groups(groups, n=3)
    assert found == values
    assert [found[number] for number in numbers] == list(groups)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([1, 2], r"groups have shape \(2,\): expected \(3,\), one group per utterance"),
        ([7, 7, 7], "all 3 utterances are of speaker 7: expected two speakers or more"),
    ],
)
def test_groups_that_cannot_be_drawn_are_refused(groups, message):
    with pytest.raises(MetricError, match=message):
        find_units(3, groups)
