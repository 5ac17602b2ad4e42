"""What is left of the best ensemble's figure, against making the whole choice again by hand."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from ensemble_samples import N_TEST, N, interrupt_in, runs_of, search

from ser_store import Correction, Store, vote
from ser_store.errors import EnsembleError
from ser_store.statistics.repeated_choice import weigh_classes_alike
from ser_store.statistics.selection import correct_search, correct_selection_by_bootstrap
from ser_store.voting.greedy import search_greedy
from ser_store.voting.problem import pose_problem


def test_choosing_on_one_part_and_reporting_on_another(sample):
    report = search(sample, select_on="valid", min_accuracy=0.4, weights="accuracy", top=5, correction="bootstrap")
    reaching = [name for name in sample.names if sample.right(name, sample.valid).mean() >= 0.4]
    weights = {name: int(sample.right(name, sample.valid).sum()) for name in reaching}
    chosen = sample.rank(3, names=reaching, rows=sample.valid, weights=weights)[:5]
    assert [(one.members, one.chosen.correct) for one in report.ensembles] == [one[:2] for one in chosen]
    for one in report.ensembles:
        votes = sample.decide(one.members, sample.test, weights=weights)
        assert one.score.correct == (votes.predicted == sample.truth[sample.test]).sum()
        assert one.score.n == N_TEST
    document = report.to_json()
    selection = document["selection"]
    assert (selection["method"], selection["repeats"]) == ("held out: chosen on valid", 0)
    assert selection["apparent"] == document["results"][0]["chosen"]["accuracy"]
    assert selection["corrected"] == document["results"][0]["accuracy"]
    assert document["chosen_on"] == "valid"
    alone = max(reaching, key=lambda name: (sample.right(name, sample.valid).sum(), name))
    assert sample.right(report.best_single[0], sample.valid).sum() == sample.right(alone, sample.valid).sum()
    assert report.best_single[1] == sample.right(report.best_single[0], sample.test).mean()


def test_who_decides_ties_is_chosen_where_the_ensemble_is(sample):
    report = search(sample, k=2, select_on="valid", tie="best", top=1000)
    for one in report.ensembles:
        votes = sample.decide(one.members, sample.test, tie="best", accuracies_on=sample.valid)
        assert one.score.correct == (votes.predicted == sample.truth[sample.test]).sum()


def speakers_of(sample):
    return sample.store.corpus.speakers[sample.test]


def test_the_best_figure_is_corrected_by_speaker(sample):
    report = search(sample, k=[2, 3], correction="bootstrap", seed=3)
    outcomes = [
        sample.decide(members, sample.test).predicted == sample.truth[sample.test]
        for k in (2, 3)
        for members in combinations(sample.names, k)
    ]
    expected = correct_selection_by_bootstrap(np.array(outcomes), groups=speakers_of(sample), seed=3)
    assert report.selection == expected
    assert (report.selection.method, report.selection.repeats) == ("bootstrap by speaker", 1000)
    assert report.selection.apparent == report.ensembles[0].score.accuracy > report.selection.corrected


def test_the_conditions_hold_in_the_correction(sample):
    report = search(sample, correction="bootstrap", one_step_per_run=True, include=["base@20"])
    outcomes = [
        sample.decide(members, sample.test).predicted == sample.truth[sample.test]
        for members in combinations(sample.names, 3)
        if len(runs_of(members)) == 3 and "base@20" in members
    ]
    assert report.selection == correct_selection_by_bootstrap(np.array(outcomes), groups=speakers_of(sample))


@pytest.mark.parametrize(
    "options", [{"k": [2, 3]}, {"k": 3, "rule": "soft", "one_step_per_run": True}, {"by": "utterance"}], ids=str
)
def test_one_pass_over_all_ensembles_gives_what_all_their_outcomes_give(sample, options, monkeypatch):
    kept = search(sample, correction="bootstrap", repeats=40, **options)
    monkeypatch.setattr("ser_store.ensembles.correction.MAX_OUTCOMES", 0)
    passed = search(sample, correction="bootstrap", repeats=40, **options).selection
    assert replace(passed, error=None) == kept.selection
    assert 0 < passed.error < 0.05
    assert search(sample, correction="bootstrap", **options).selection.repeats == (60 if "by" in options else 200)


def test_the_objective_is_what_is_corrected(sample):
    report = search(sample, correction="bootstrap", by="desk", objective="balanced_accuracy")
    truth = sample.truth[sample.test]
    outcomes = [sample.decide(members, sample.test).predicted == truth for members in combinations(sample.names, 3)]
    desks = sample.store.corpus.columns["desk"][sample.test]
    expected = correct_selection_by_bootstrap(
        np.array(outcomes), groups=desks, group_name="desk", weigh=weigh_classes_alike(truth)
    )
    assert report.selection == expected
    assert report.selection.apparent == pytest.approx(report.ensembles[0].score.balanced_accuracy)
    assert report.to_json()["selection"]["of"] == "balanced_accuracy"


@pytest.mark.parametrize("correct", ["bootstrap", "halves"])
@pytest.mark.parametrize(
    "options",
    [
        {"min_accuracy": 0.62, "k": [2, 3]},
        {"weights": "accuracy"},
        {"tie": "best", "k": 2},
        {"min_accuracy": 0.6, "one_step_per_run": True, "k": 2},
        {"search": "greedy", "k": 3},
    ],
    ids=str,
)
def test_all_that_is_chosen_is_chosen_again_in_every_repeat(sample, options, correct):
    options = {"k": 3, **options}
    report = search(sample, correction=correct, by="utterance", repeats=12, top=1, **options)
    expected = correct_search(
        lambda rows: choose_by_hand(sample, rows, **options), method=correct, n_utterances=N_TEST, repeats=12
    )
    assert report.selection == replace(expected, caution=report.selection.caution)
    assert report.cautions == (
        "corrected by utterance though speakers are known: for these speakers, too high for others",
    )
    assert report.selection.apparent == report.ensembles[0].score.accuracy


def choose_by_hand(
    sample, rows, *, k, min_accuracy=0.0, weights=None, tie="lowest", one_step_per_run=False, search="auto"
):
    """What the whole choice on some of the test utterances gets right of all of them."""
    truth = sample.truth[sample.test]
    if search == "greedy":
        predictions = np.array([sample.predicted[name] for name in sample.names])
        found = search_greedy(pose_problem(predictions[:, rows], sample.truth[rows], k=k, n_classes=4))
        return (
            sample.decide([sample.names[place] for place in found.results[0].members], sample.test).predicted == truth
        )
    accuracies = {name: sample.right(name, rows).mean() for name in sample.names}
    allows = (lambda members: len(runs_of(members)) == len(members)) if one_step_per_run else lambda members: True
    ranked, least = [], min_accuracy
    while not ranked:
        names = [name for name in sample.names if accuracies[name] >= least]
        given = {name: int(sample.right(name, rows).sum()) for name in names} if weights else None
        ranked = sample.rank(k, names=names, rows=rows, allows=allows, weights=given, tie=tie)
        least = max((accuracy for accuracy in accuracies.values() if accuracy < least), default=0.0)
    best = ranked[0][0]
    return sample.decide(best, sample.test, weights=given, tie=tie, accuracies_on=rows).predicted == truth


def test_a_correction_too_long_is_left_with_a_note(sample, monkeypatch):
    monkeypatch.setattr("ser_store.ensembles.correction.MAX_SECONDS", 1e-6)
    report = search(sample, correction="bootstrap", weights="accuracy")
    assert report.selection is None
    assert "`repeats` 10 takes the time" in report.note
    assert search(sample, correction="bootstrap", weights="accuracy", repeats=3).selection.repeats == 3


@pytest.mark.parametrize("correct", ["bootstrap", "halves"])
@pytest.mark.parametrize("options", [{}, {"weights": "accuracy"}], ids=["outcomes kept", "searched again"])
def test_groups_that_are_too_few_leave_a_note_in_place_of_a_figure(sample, correct, options):
    document = search(sample, correction=correct, by="room", **options).to_json()
    assert document["selection"] is None
    assert document["note"].startswith("not corrected: 3 rooms are too few to tell what the choice costs")


@pytest.mark.parametrize("n_speakers", [1, 2, 5, 7])
def test_few_speakers_are_never_replaced_by_their_utterances(sample, n_speakers):
    report = search(with_speakers(sample, np.arange(N) % n_speakers), correction="bootstrap")
    assert report.selection is None
    assert report.note.startswith(f"not corrected: {n_speakers} speaker")


def with_speakers(sample, numbers):
    store = Store(sample.store.path)
    store.__dict__["corpus"] = replace(sample.store.corpus, speakers=np.array([f"s{number}" for number in numbers]))
    return replace(sample, store=store)


def test_one_named_ensemble_needs_no_correction(sample):
    names = ["base@10", "large@10", "xl@10"]
    report = vote(sample.store, names)
    assert report.selection.corrected == report.selection.apparent == report.ensembles[0].score.accuracy
    assert (report.selection.method, report.selection.repeats) == ("none: nothing was chosen", 0)
    # By what is right on these utterances it is weighted, though.
    assert vote(sample.store, names, weights="accuracy", correction=Correction(repeats=20)).selection.repeats == 20


def test_intervals_are_by_speaker_where_three_are_known(sample, paper_store):
    assert search(sample).ensembles[0].interval.method == "bootstrap by speaker"
    document = vote(Store(paper_store), k=3, all_combos=True).to_json()
    assert document["ci95_method"] == "bootstrap by speaker"
    low, high = document["results"][0]["ci95"]
    assert low < document["results"][0]["accuracy"] < high


def test_an_interrupted_correction_leaves_the_search(sample):
    options = {"weights": "accuracy", "correction": "bootstrap", "progress": interrupt_in("correcting", after=2)}
    report = search(sample, top=1000, **options)
    assert (report.complete, report.selection) == (False, None)
    assert len(report.ensembles) == 84


def test_groups_of_one_are_refused(sample):
    store = Store(sample.store.path)
    store.__dict__["corpus"] = replace(sample.store.corpus, columns={"language": np.array(["en"] * N)})
    with pytest.raises(EnsembleError, match="`by` language: all 40 utterances are of one"):
        search(replace(sample, store=store), correction="bootstrap", by="language")
