import numpy as np
import pytest

from ser_store.errors import MetricError
from ser_store.statistics.leak_effect import measure_leak_effect


def test_the_interval_of_a_difference_equals_published_figures():
    # R. G. Newcombe, "Interval estimation for the difference between independent proportions", 1998, table II,
    # method 10: 56/70 - 48/80 and 9/10 - 3/10.
    for given, n_given, kept, n_kept, low, high in [(56, 70, 48, 80, 0.0524, 0.3339), (9, 10, 3, 10, 0.1705, 0.8090)]:
        leaked = np.arange(n_given + n_kept) < n_given
        correct = np.concatenate([np.arange(n_given) < given, np.arange(n_kept) < kept])
        effect = measure_leak_effect("r@1", "twin", correct, leaked)
        assert effect.interval == pytest.approx((low, high), abs=5e-5)
        assert (effect.leaked.correct, effect.clean.correct) == (given, kept)
        assert effect.difference == pytest.approx(given / n_given - kept / n_kept)
        assert effect.verdict == "higher"


def test_the_same_accuracy_on_both_sides_tells_nothing():
    leaked = np.arange(100) < 50
    assert measure_leak_effect("r@1", "speaker", np.arange(100) % 2 == 0, leaked).verdict == "cannot tell"
    assert measure_leak_effect("r@1", "speaker", ~leaked, leaked).verdict == "lower"


@pytest.mark.parametrize("n_leaked", [0, 5])
def test_without_both_sides_there_is_nothing_to_compare(n_leaked):
    with pytest.raises(MetricError, match=f"{n_leaked} of 5 utterances are leaked: expected some"):
        measure_leak_effect("r@1", "twin", np.ones(5, dtype=bool), np.arange(5) < n_leaked)
