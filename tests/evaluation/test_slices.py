import numpy as np
import pytest

from ser_store.errors import CorpusError, UnknownNameError
from ser_store.evaluation.slices import find_groups, slice_members
from ser_store.evaluation.uncertainty import choose_rule
from ser_store.metrics import evaluate_predictions
from ser_store.metrics.calibration import evaluate_logits
from ser_store.statistics.intervals import balanced_accuracy_interval, wilson_interval
from ser_store_h5.corpus import Corpus


def cut(truth, predicted, groups, **options):
    options = {"by": "sex", "n_classes": 3, "rule": choose_rule(None), **options}
    return slice_members(np.asarray(truth), np.atleast_2d(predicted), np.asarray(groups), **options)


def test_figures_of_a_group_are_those_of_its_utterances_alone():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(3, size=90), rng.integers(3, size=(2, 90))
    groups, logits = rng.choice(["f", "m"], size=90), rng.normal(size=(90, 3))
    sliced = cut(truth, predicted, groups, logits=[logits, None], balanced=True)
    for member, slices in enumerate(sliced):
        assert [one.group for one in slices.slices] == ["f", "m"]
        for one in slices.slices:
            inside = groups == one.group
            alone = evaluate_predictions(truth[inside], predicted[member][inside], n_classes=3)
            assert (one.metrics.n, one.metrics.correct) == (alone.n, alone.correct)
            assert (one.metrics.balanced_accuracy, one.metrics.mcc) == (alone.balanced_accuracy, alone.mcc)
            assert one.interval.bounds == wilson_interval(alone.correct, alone.n)
            own = balanced_accuracy_interval(truth[inside], predicted[member][inside], n_classes=3)
            assert one.balanced_interval == own
            expected = evaluate_logits(truth[inside], logits[inside]) if member == 0 else None
            assert one.probabilities == expected


def test_a_group_that_is_always_wrong_is_the_worst_and_no_chance():
    groups = np.repeat(["f", "m", "x"], 30)
    right = np.zeros(90, dtype=int)
    [slices] = cut(right, np.where(groups == "m", 1, 0), groups)
    assert (slices.worst.group, slices.best.group, slices.gap) == ("m", "f", 1.0)
    assert slices.test.p < 0.001


def test_groups_that_do_equally_well_are_no_gap():
    groups = np.tile(["f", "m"], 30)
    [slices] = cut(np.zeros(60, dtype=int), np.repeat([0, 1], 30), groups)
    assert slices.gap == 0
    assert slices.test.p > 0.5


def test_small_groups_are_flagged_and_neither_worst_nor_best():
    groups = np.repeat(["f", "m", "x"], [20, 20, 9])
    predicted = np.zeros(49, dtype=int)
    predicted[:5] = 1
    predicted[-9:] = 1
    [slices] = cut(np.zeros(49, dtype=int), predicted, groups)
    assert [one.is_small for one in slices.slices] == [False, False, True]
    assert (slices.worst.group, slices.best.group) == ("f", "m")


def test_small_groups_are_compared_where_there_are_no_others():
    [slices] = cut([0, 0, 0, 0], [0, 0, 0, 1], ["f", "f", "m", "m"])
    assert (slices.worst.group, slices.gap) == ("m", 0.5)


def test_one_group_alone_has_no_gap_and_no_test():
    [slices] = cut([0, 0, 0], [0, 0, 1], ["f", "f", "f"])
    assert slices.test is None
    assert slices.gap == 0


def test_the_test_of_sexes_deals_whole_speakers_and_that_of_speakers_utterances():
    speakers = np.repeat([f"s{i}" for i in range(8)], 10)
    sex = np.repeat(["f", "m"], 40)
    predicted = np.where(np.arange(80) < 30, 1, 0)
    truth = np.zeros(80, dtype=int)
    [by_sex] = cut(truth, predicted, sex, speakers=speakers)
    assert "of speakers" in by_sex.test.method
    [by_speaker] = cut(truth, predicted, speakers, by="speaker", speakers=speakers)
    assert by_speaker.test.method == "permutation of utterances"


def test_groups_of_numbers_come_by_size():
    [slices] = cut([0] * 40, [0] * 40, np.tile([10, 9], 20))
    assert [one.group for one in slices.slices] == ["9", "10"]


@pytest.fixture
def corpus():
    n = 80
    return Corpus(
        name="c",
        ids=np.array([f"u{i:03}" for i in range(n)]),
        labels=(np.arange(n) % 2).astype(np.int16),
        classes=("calm", "sad"),
        columns={"take": np.arange(n) % 3, "number": np.arange(n)},
    )


def test_utterances_are_grouped_by_label_or_column(corpus):
    assert find_groups(corpus, "label")[:3].tolist() == ["calm", "sad", "calm"]
    assert find_groups(corpus, "take")[:4].tolist() == [0, 1, 2, 0]


def test_unknown_columns_and_those_that_group_nothing_are_refused(corpus):
    with pytest.raises(UnknownNameError, match="unknown column 'speaker': expected one of take"):
        find_groups(corpus, "speaker")
    with pytest.raises(CorpusError, match="column number has 80 values: expected one that groups the utterances"):
        find_groups(corpus, "number")
