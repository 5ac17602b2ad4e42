import numpy as np
import pytest

from ser_store.errors import CorpusError, UnknownNameError
from ser_store.evaluation.uncertainty import choose_rule, find_accuracy_intervals, find_intervals
from ser_store.metrics import evaluate_predictions
from ser_store.metrics.calibration import evaluate_logits
from ser_store.statistics.intervals import accuracy_interval, wilson_interval

SPEAKERS = np.repeat(["a", "b", "c", "d"], 15)


@pytest.fixture
def members():
    """Truth of 60 utterances in 3 classes and what two members predict, the first at random, the second all right."""
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=60)
    return truth, np.stack([np.where(rng.random(60) < 0.7, truth, 0), truth])


@pytest.mark.parametrize(
    ("speakers", "kind", "chosen"),
    [
        (SPEAKERS, "auto", "speaker"),
        (SPEAKERS[:40], "auto", "speaker"),
        (SPEAKERS[:30], "auto", "wilson"),
        (SPEAKERS[:15], "auto", "wilson"),
        (None, "auto", "wilson"),
        (SPEAKERS[:30], "speaker", "speaker"),
        (SPEAKERS, "wilson", "wilson"),
        (SPEAKERS, "bootstrap", "bootstrap"),
    ],
)
def test_speakers_are_drawn_whole_where_three_or_more_are_known_and_nothing_else_was_asked_for(speakers, kind, chosen):
    rule = choose_rule(speakers, kind)
    assert rule.kind == chosen
    assert (rule.speakers is not None) == (chosen == "speaker")


@pytest.mark.parametrize(
    ("speakers", "message"),
    [(None, "no speakers are known here: expected two or more"), (SPEAKERS[:15], "1 speaker is known here")],
)
def test_intervals_by_speaker_are_refused_where_there_are_none_to_draw_from(speakers, message):
    with pytest.raises(CorpusError, match=message):
        choose_rule(speakers, "speaker")


def test_an_unknown_interval_is_refused_by_name():
    with pytest.raises(UnknownNameError, match="unknown interval 'wilsn': expected one of wilson"):
        choose_rule(SPEAKERS, "wilsn")


def test_the_rule_within_one_speaker_is_wilson_s():
    assert choose_rule(SPEAKERS).within(SPEAKERS == "a").kind == "wilson"
    assert choose_rule(SPEAKERS).within(SPEAKERS != "a").kind == "speaker"
    assert choose_rule(SPEAKERS, "bootstrap").within(SPEAKERS == "a").kind == "bootstrap"


def test_intervals_of_many_members_are_those_of_each_alone(members):
    truth, predicted = members
    correct = predicted == truth
    by_speaker = find_accuracy_intervals(correct, choose_rule(SPEAKERS))
    alone = [accuracy_interval(right, groups=SPEAKERS) for right in correct]
    np.testing.assert_allclose([one.bounds for one in by_speaker], [one.bounds for one in alone])
    assert by_speaker[0].method == "bootstrap by speaker"
    by_wilson = find_accuracy_intervals(correct, choose_rule(None))
    assert [interval.bounds for interval in by_wilson] == [wilson_interval(right.sum(), 60) for right in correct]


@pytest.mark.parametrize("kind", ["bootstrap", "speaker"])
def test_where_all_are_right_the_interval_is_wilson_s_whatever_is_drawn(members, kind):
    truth, predicted = members
    perfect = find_accuracy_intervals(predicted == truth, choose_rule(SPEAKERS, kind))[1]
    assert (perfect.method, perfect.bounds) == ("Wilson", wilson_interval(60, 60))


@pytest.mark.parametrize("kind", ["wilson", "bootstrap", "speaker"])
def test_every_figure_lies_in_its_interval(members, kind):
    truth, predicted = members
    logits = np.random.default_rng(1).normal(size=(60, 3)) + 2 * np.eye(3)[predicted[0]]
    said = logits.argmax(axis=1)
    found = find_intervals(truth, said, n_classes=3, rule=choose_rule(SPEAKERS, kind), logits=logits)
    metrics, scores = evaluate_predictions(truth, said, n_classes=3), evaluate_logits(truth, logits)
    figures = {
        "accuracy": metrics.accuracy,
        "balanced_accuracy": metrics.balanced_accuracy,
        "macro_precision": metrics.macro_avg.precision,
        "macro_recall": metrics.macro_avg.recall,
        "macro_f1": metrics.macro_avg.f1,
        "weighted_precision": metrics.weighted_avg.precision,
        "weighted_recall": metrics.weighted_avg.recall,
        "weighted_f1": metrics.weighted_avg.f1,
        "kappa": metrics.kappa,
        "mcc": metrics.mcc,
        "top2": scores.top2,
        "log_loss": scores.log_loss,
        "brier": scores.brier,
    }
    assert set(found) == set(figures)
    for name, figure in figures.items():
        assert found[name].low < figure < found[name].high, name
    assert (found["accuracy"].method == "Wilson") == (kind == "wilson")
    assert found["weighted_recall"] == found["accuracy"]


def test_members_that_hold_labels_only_have_no_intervals_of_probabilities(members):
    truth, predicted = members
    found = find_intervals(truth, predicted[0], n_classes=3, rule=choose_rule(None))
    assert {"accuracy", "mcc"} < set(found)
    assert not {"top2", "log_loss", "brier", "ece"} & set(found)


@pytest.mark.parametrize(("n_speakers", "count"), [(1, "1 speaker is"), (2, "2 speakers are")])
def test_where_speakers_are_too_few_to_be_drawn_every_interval_says_so(members, n_speakers, count):
    truth, predicted = members
    rule = choose_rule(np.arange(60) % n_speakers)
    caution = f"intervals take utterances as independent: {count} too few"
    assert find_accuracy_intervals(predicted == truth, rule)[0].caution == caution
    found = find_intervals(truth, predicted[0], n_classes=3, rule=rule)
    assert {interval.caution for interval in found.values()} == {caution}


def test_within_one_speaker_of_several_an_interval_needs_no_caution_and_within_two_it_does():
    rule = choose_rule(SPEAKERS)
    assert rule.within(SPEAKERS == "a").caution is None
    assert rule.within(SPEAKERS < "c").caution == "intervals take utterances as independent: 2 speakers are too few"
    assert choose_rule(None).caution is choose_rule(SPEAKERS, "wilson").caution is None


@pytest.mark.parametrize("n_speakers", [None, 2, 3, 60])
def test_intervals_of_probabilities_stay_within_the_limits_of_the_figures(n_speakers):
    # Nearly always right and sure of it, and once wrong and sure: the losses of speakers differ as much as they can.
    truth, logits = np.zeros(60, dtype=int), np.tile([9.0, 0.0, 0.0], (60, 1))
    logits[7] = [0.0, 40.0, 0.0]
    speakers = None if n_speakers is None else np.arange(60) % n_speakers
    rule = choose_rule(speakers, "bootstrap" if speakers is None else "speaker")
    found = find_intervals(truth, logits.argmax(axis=1), n_classes=3, rule=rule, logits=logits)
    scores = evaluate_logits(truth, logits)
    assert 0 < found["top2"].low <= scores.top2 <= found["top2"].high <= 1
    assert 0 < found["log_loss"].low < scores.log_loss < found["log_loss"].high
    assert 0 < found["brier"].low < scores.brier < found["brier"].high <= 2
