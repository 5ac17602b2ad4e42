import json
from dataclasses import replace
from itertools import combinations
from statistics import NormalDist

import numpy as np
import pytest

from ser_store.errors import MetricError, UncorrectableError
from ser_store.statistics import resampling
from ser_store.statistics.intervals import wilson_interval
from ser_store.statistics.repeated_choice import SelectionBias, weigh_classes_alike
from ser_store.statistics.resampling import iter_counts
from ser_store.statistics.selection import (
    correct_choices,
    correct_search,
    correct_selection_by_bootstrap,
)
from ser_store.voting import hard_vote, search_ensembles

TRUE_ACCURACY = 0.9


def draw_equal_candidates(seed: int, *, n_candidates: int = 26, n: int = 288) -> np.ndarray:
    """Candidates that are all right with the same probability, independently."""
    return np.random.default_rng(seed).random((n_candidates, n)) < TRUE_ACCURACY


def choose_best(correct: np.ndarray):
    return lambda chosen_on: correct[correct[:, chosen_on].sum(axis=1).argmax()]


@pytest.mark.parametrize("method", ["bootstrap", "halves"])
def test_of_equally_good_candidates_the_apparent_accuracy_is_far_too_high_and_the_corrected_nearly_unbiased(method):
    selections = []
    for seed in range(100):
        correct = draw_equal_candidates(seed)
        if method == "bootstrap":
            selections.append(correct_selection_by_bootstrap(correct, repeats=200, seed=seed))
        else:
            selections.append(
                correct_search(choose_best(correct), method="halves", n_utterances=288, repeats=20, seed=seed)
            )
    apparent = np.mean([selection.apparent for selection in selections]) - TRUE_ACCURACY
    corrected = np.array([selection.corrected for selection in selections]) - TRUE_ACCURACY
    standard_error = corrected.std() / len(corrected) ** 0.5
    assert apparent > 0.03
    assert abs(corrected.mean()) < 0.005
    assert abs(corrected.mean()) < 3 * standard_error


def test_what_all_samples_choose_at_once_is_corrected_as_their_outcomes_are():
    correct = draw_equal_candidates(0)

    def choose(samples, units):
        return correct[(samples[:, units] @ correct.T).argmax(axis=1)]

    best, speakers = correct[correct.sum(axis=1).argmax()], np.arange(288) % 24
    found = correct_choices(choose, best, groups=speakers)
    assert 0.001 < found.error < 0.005
    assert replace(found, error=None) == correct_selection_by_bootstrap(correct, groups=speakers, repeats=200)
    with pytest.raises(MetricError, match=r"expected bool of shape \(5, 288\)"):
        correct_choices(lambda samples, units: best, best, repeats=5)


def draw_unequal(rng):
    """Candidates of 80 to 93%, independent."""
    accuracies = np.linspace(0.8, 0.93, 26)
    return rng.random((26, 288)) < accuracies[:, None], accuracies


def draw_correlated(rng):
    """Candidates of 90% to whom the same utterances are difficult."""
    difficulty = 0.8 * rng.normal(size=288) + 0.6 * rng.normal(size=(26, 288))
    return difficulty < NormalDist().inv_cdf(0.9), np.full(26, 0.9)


def measure_biases(draw, *, draws: int = 100, **options) -> dict[str, np.ndarray]:
    """Apparent and corrected accuracy less the true one of the chosen, of every draw, and whether intervals hold it."""
    found = {"apparent": [], "corrected": [], "covered": []}
    for seed in range(draws):
        correct, accuracies = draw(np.random.default_rng(seed))
        truth = accuracies[correct.sum(axis=1).argmax()]
        selection = correct_selection_by_bootstrap(correct, repeats=200, seed=seed, **options)
        found["apparent"].append(selection.apparent - truth)
        found["corrected"].append(selection.corrected - truth)
        found["covered"].append(selection.low <= truth <= selection.high)
    return {name: np.array(values) for name, values in found.items()}


def test_of_unequal_candidates_the_corrected_accuracy_errs_a_little_on_the_low_side():
    biases = measure_biases(draw_unequal)
    # 0.34 points in a simulation of 1,000 draws.
    standard_error = biases["corrected"].std() / 10
    assert biases["apparent"].mean() > 0.015
    assert biases["corrected"].mean() == pytest.approx(-0.0034, abs=3 * standard_error)
    assert biases["covered"].mean() >= 0.95 - 3 * (0.05 * 0.95 / 100) ** 0.5


def test_of_correlated_candidates_the_corrected_accuracy_is_unbiased():
    biases = measure_biases(draw_correlated)
    standard_error = biases["corrected"].std() / 10
    assert biases["apparent"].mean() > 0.02
    assert abs(biases["corrected"].mean()) < 3 * standard_error
    assert standard_error < 0.002
    assert biases["covered"].mean() >= 0.95 - 3 * (0.05 * 0.95 / 100) ** 0.5


def test_where_candidates_have_their_speakers_drawing_utterances_is_too_optimistic_and_drawing_speakers_is_not():
    speakers = np.repeat(np.arange(24), 12)

    def draw(rng):
        # Each of the candidates, 80% on further speakers, is good at some speakers and bad at others.
        return rng.random((26, 288)) < rng.uniform(0.6, 1.0, size=(26, 24))[:, speakers], np.full(26, 0.8)

    by_utterance, by_speaker = measure_biases(draw), measure_biases(draw, groups=speakers)
    standard_error = by_speaker["corrected"].std() / 10
    assert by_utterance["apparent"].mean() > 0.04
    assert by_utterance["corrected"].mean() > 0.008
    assert abs(by_speaker["corrected"].mean()) < 3 * standard_error
    assert standard_error < 0.003


def draw_members(rng, *, n: int, accuracies=(0.82, 0.84, 0.85, 0.86, 0.86, 0.87)):
    """Predictions ``(6, n)`` of members to whom the same utterances are difficult, and the truth of 4 classes."""
    truth = rng.integers(4, size=n)
    difficulty = 0.6 * rng.normal(size=n) + 0.8 * rng.normal(size=(6, n))
    thresholds = [[NormalDist().inv_cdf(accuracy)] for accuracy in accuracies]
    wrong = (truth + rng.integers(1, 4, size=(6, n))) % 4
    return np.where(difficulty < thresholds, truth, wrong), truth


@pytest.mark.parametrize("method", ["bootstrap", "halves"])
def test_the_real_search_over_voting_ensembles_is_corrected_to_what_the_ensemble_is_worth(method):
    known, known_truth = draw_members(np.random.default_rng(0), n=50_000)
    worth = {
        members: float((hard_vote(known[list(members)], n_classes=4).predicted == known_truth).mean())
        for members in combinations(range(6), 3)
    }
    apparent, corrected = [], []
    for seed in range(60):
        predictions, truth = draw_members(np.random.default_rng([1, seed]), n=100)

        def find(rows, predictions=predictions, truth=truth):
            return search_ensembles(predictions[:, rows], truth[rows], k=3, n_classes=4, top=1).results[0].members

        def choose(rows, predictions=predictions, truth=truth, find=find):
            return hard_vote(predictions[list(find(rows))], n_classes=4).predicted == truth

        if method == "bootstrap":
            selection = correct_search(choose, n_utterances=100, repeats=20, seed=seed)
        else:
            selection = correct_search(choose, method="halves", n_utterances=100, repeats=10, seed=seed)
        apparent.append(selection.apparent - worth[find(np.arange(100))])
        corrected.append(selection.corrected - worth[find(np.arange(100))])
    standard_error = np.std(corrected) / 60**0.5
    assert np.mean(apparent) > 0.02
    # Choosing on part of the utterances costs up to half a point here.
    assert -0.005 - 3 * standard_error < np.mean(corrected) < 3 * standard_error


@pytest.mark.parametrize("method", ["bootstrap", "halves"])
def test_where_one_candidate_is_clearly_the_best_there_is_nothing_to_correct(method):
    correct = np.random.default_rng(5).random((10, 400)) < 0.3
    correct[7] = np.arange(400) % 10 > 0
    if method == "bootstrap":
        selection = correct_selection_by_bootstrap(correct)
    else:
        selection = correct_search(choose_best(correct), method="halves", n_utterances=400)
    assert selection.apparent == 0.9
    assert selection.corrected == pytest.approx(0.9, abs=0.002)
    assert selection.method == method


def test_the_bootstrap_equals_its_definition_written_out():
    correct = draw_equal_candidates(1, n_candidates=5, n=12)
    rng = np.random.default_rng(9)
    scores = []
    for bag in rng.integers(12, size=(50, 12)):
        chosen = max(range(5), key=lambda candidate: sum(correct[candidate, i] for i in bag))
        outside = [i for i in range(12) if i not in bag]
        scores.append(sum(correct[chosen, i] for i in outside) / len(outside))
    selection = correct_selection_by_bootstrap(correct, repeats=50, seed=9)
    assert selection.corrected == pytest.approx(np.mean(scores), rel=1e-12)
    assert selection.apparent == correct.mean(axis=1).max()


def test_the_bootstrap_does_not_depend_on_the_size_of_its_blocks(monkeypatch):
    correct = draw_equal_candidates(2)
    whole = correct_selection_by_bootstrap(correct, repeats=37)
    monkeypatch.setattr(resampling, "_BLOCK_CELLS", 288 * 5)
    assert correct_selection_by_bootstrap(correct, repeats=37).corrected == pytest.approx(whole.corrected, rel=1e-12)


def test_the_same_seed_gives_the_same_figures_and_another_seed_others():
    correct = draw_equal_candidates(3)
    assert correct_selection_by_bootstrap(correct, seed=1) == correct_selection_by_bootstrap(correct, seed=1)
    assert correct_selection_by_bootstrap(correct, seed=1) != correct_selection_by_bootstrap(correct, seed=2)


def test_samples_that_leave_no_utterance_to_score_on_are_left_out():
    # All ten utterances are drawn once in one of 2,756 samples.
    correct = np.arange(10)[None] % 2 == 0
    assert any((counts == 1).all(axis=1).any() for counts in iter_counts(5, repeats=10_000, n_units=10))
    assert correct_selection_by_bootstrap(correct, repeats=10_000, seed=5).corrected == pytest.approx(0.5, abs=0.01)


def test_the_search_is_called_on_disjoint_halves_of_all_utterances():
    seen = []

    def choose(chosen_on):
        seen.append(chosen_on)
        return np.ones(11, dtype=bool)

    correct_search(choose, method="halves", n_utterances=11, repeats=3)
    assert len(seen) == 7
    for one, other in zip(seen[:-1:2], seen[1::2], strict=True):
        assert sorted([*one, *other]) == list(range(11))
        assert (len(one), len(other)) == (5, 6)
    assert seen[-1].tolist() == list(range(11))


@pytest.mark.parametrize(
    ("correct", "repeats", "message"),
    [
        (np.ones((0, 5), dtype=bool), 10, r"shape \(0, 5\) and type bool: expected \(n_candidates, n\) bool"),
        (np.ones((2, 5), dtype=int), 10, "type int64: expected"),
        (np.full((2, 5), np.nan), 10, "type float64: expected .* finite float"),
        (np.ones((2, 1), dtype=bool), 10, "1 utterance is too few to tell what the choice costs: expected 10 or more"),
        (np.ones((2, 5), dtype=bool), 0, "repeats is 0: expected at least 1"),
    ],
)
def test_a_selection_of_nothing_is_refused(correct, repeats, message):
    with pytest.raises(MetricError, match=message):
        correct_selection_by_bootstrap(correct, repeats=repeats)


def test_a_search_that_returns_something_else_is_refused():
    with pytest.raises(MetricError, match=r"the search returned int64 of shape \(3,\): expected bool, or finite"):
        correct_search(lambda _: np.arange(3), method="halves", n_utterances=14)


@pytest.mark.parametrize("by_class", [False, True], ids=["accuracy", "balanced accuracy"])
@pytest.mark.parametrize("by_speaker", [False, True], ids=["utterances", "speakers"])
def test_running_the_search_on_every_sample_gives_what_the_outcomes_of_all_candidates_give(by_class, by_speaker):
    rng = np.random.default_rng(11)
    correct, truth = rng.random((9, 60)) < 0.8, rng.integers(3, size=60)
    speakers = np.arange(60) % 8 if by_speaker else None

    def choose(rows):
        if not by_class:
            return correct[correct[:, rows].sum(axis=1).argmax()]
        recalls = [correct[:, rows[truth[rows] == label]].mean(axis=1) for label in np.unique(truth[rows])]
        return correct[np.mean(recalls, axis=0).round(10).argmax()]

    options = {"repeats": 80, "seed": 3, "groups": speakers}
    if by_class:
        options["weigh"] = weigh_classes_alike(truth)
    from_outcomes = correct_selection_by_bootstrap(correct, **options)
    searched = correct_search(choose, n_utterances=60, **options)
    assert searched.method == from_outcomes.method == ("bootstrap by speaker" if by_speaker else "bootstrap")
    for field in ("apparent", "corrected", "low", "high"):
        assert getattr(searched, field) == pytest.approx(getattr(from_outcomes, field), abs=1e-12)


def test_the_search_is_given_drawn_utterances_as_often_as_they_were_drawn_and_last_all_of_them():
    seen = []

    def choose(rows):
        seen.append(rows)
        return np.arange(16) % 2 == 0

    speakers = np.array(list("aabbbcccddeefghh"))
    correct_search(choose, n_utterances=16, repeats=30, groups=speakers)
    assert seen[-1].tolist() == list(range(16))
    for rows in seen[:-1]:
        assert (np.diff(rows) >= 0).all()
        counts = np.bincount(rows, minlength=16)
        assert all(len(set(counts[speakers == speaker])) == 1 for speaker in "abcdefgh")
        assert sum(counts[list("aabbbcccddeefghh").index(speaker)] for speaker in "abcdefgh") == 8


def test_speakers_are_dealt_to_halves_whole():
    seen = []

    def choose(rows):
        seen.append(set(rows.tolist()))
        return np.ones(27, dtype=bool)

    selection = correct_search(choose, method="halves", n_utterances=27, repeats=5, groups=np.arange(27) // 3)
    assert selection.method == "halves by speaker"
    for rows in seen[:-1]:
        assert set(range(27)) - rows in seen
        assert len(rows) in (12, 15)
        assert {row // 3 * 3 + place for row in rows for place in range(3)} == rows


def test_a_threshold_is_corrected_for_too_when_the_search_sets_it():
    # Members are left out by their accuracy on the very utterances: the search sees it anew in every sample.
    predictions, truth = draw_members(np.random.default_rng(12), n=80)
    right = predictions == truth

    def choose(rows):
        accuracies = right[:, rows].mean(axis=1)
        kept = np.flatnonzero(accuracies >= min(0.85, np.sort(accuracies)[-3]))
        found = search_ensembles(predictions[kept][:, rows], truth[rows], k=3, n_classes=4, top=1).results[0]
        return hard_vote(predictions[kept[list(found.members)]], n_classes=4).predicted == truth

    selection = correct_search(choose, n_utterances=80, repeats=40)
    assert selection.low < selection.corrected < selection.apparent
    assert selection.repeats == 40


def test_scores_other_than_right_and_wrong_are_corrected_in_the_same_way():
    scores = -np.random.default_rng(13).exponential(size=(12, 90))
    selection = correct_selection_by_bootstrap(scores)
    assert selection.apparent == pytest.approx(scores.mean(axis=1).max(), rel=1e-12)
    assert selection.low < selection.corrected < selection.apparent
    assert selection.corrected == pytest.approx(-1, abs=0.15)


def test_the_spread_is_that_of_a_mean_where_nothing_is_chosen():
    correct = np.random.default_rng(14).random((1, 400)) < 0.8
    selection = correct_selection_by_bootstrap(correct)
    low, high = wilson_interval(int(correct.sum()), 400)
    assert selection.optimism == pytest.approx(0, abs=0.003)
    assert (selection.low, selection.high) == pytest.approx((low, high), abs=0.005)
    halves = correct_search(lambda _: correct[0], method="halves", n_utterances=400)
    assert (halves.low, halves.high) == pytest.approx((low, high), abs=0.01)


def test_where_all_are_right_the_interval_is_still_not_a_point():
    selection = correct_selection_by_bootstrap(np.ones((3, 50), dtype=bool))
    assert (selection.corrected, selection.optimism) == (1.0, 0.0)
    assert (selection.low, selection.high) == wilson_interval(50, 50)


def correct_in_every_way(correct: np.ndarray, **options):
    """The three corrections of the choice of the best candidate, as functions of no arguments."""
    search = {"choose": choose_best(correct), "n_utterances": correct.shape[1], **options}
    return (
        lambda: correct_selection_by_bootstrap(correct, repeats=100, **options),
        lambda: correct_search(repeats=20, **search),
        lambda: correct_search(method="halves", repeats=20, **search),
    )


@pytest.mark.parametrize("n_speakers", [1, 2, 3, 5, 7])
def test_of_too_few_speakers_there_is_no_figure_whichever_way(n_speakers):
    speakers = np.arange(40) % n_speakers
    for correct in correct_in_every_way(draw_equal_candidates(4, n=40), groups=speakers, group_name="actor"):
        with pytest.raises(UncorrectableError, match=rf"^{n_speakers} actors? (is|are) too few to tell .* expected 8"):
            correct()
    with pytest.raises(UncorrectableError, match=r"^9 utterances are too few to tell .* expected 10 or more"):
        correct_selection_by_bootstrap(draw_equal_candidates(4, n=9))
    assert correct_selection_by_bootstrap(draw_equal_candidates(4, n=10)).repeats == 1000
    assert correct_selection_by_bootstrap(draw_equal_candidates(4, n=40), groups=np.arange(40) % 8).repeats == 1000


def draw_unlike_speakers(seed: int, n_speakers: int) -> tuple[np.ndarray, np.ndarray]:
    """Two candidates on speakers of very unequal size and difficulty, and the speaker of each utterance."""
    rng = np.random.default_rng(seed)
    sizes = rng.permutation(np.ceil(60 / np.arange(1, n_speakers + 1)).astype(int))
    speakers = np.repeat(np.arange(n_speakers), sizes)
    return rng.random((2, len(speakers))) < rng.uniform(0.2, 1, size=n_speakers)[speakers], speakers


def test_a_corrected_figure_never_lies_above_the_apparent_one_and_its_interval_lies_within_the_limits():
    selections, refusals = [], []
    for seed in range(60):
        outcomes, speakers = draw_unlike_speakers(seed, n_speakers=8 + seed % 5)
        for correct in correct_in_every_way(outcomes, groups=speakers):
            try:
                selections.append(correct())
            except UncorrectableError as error:
                refusals.append(str(error))
    for selection in selections:
        assert 0 <= selection.low <= selection.corrected <= selection.high <= 1
        assert selection.corrected <= selection.apparent
        assert selection.low < selection.high
    assert all("that were left out did better than all together" in refusal for refusal in refusals)
    # A large and difficult speaker hides the cost of the choice in some stores, but not in most.
    assert 0 < len(refusals) < len(selections) / 2
    assert 0 < sum(selection.corrected == selection.apparent for selection in selections) < len(selections) / 2


def test_of_a_large_speaker_who_is_difficult_to_all_no_figure_hides_what_the_choice_costs():
    # Nine of ten utterances are of one speaker, of whom a third is right; of the others nearly all is.
    speakers = np.maximum(0, np.arange(200) - 180)
    rng = np.random.default_rng(1)
    outcomes = rng.random((12, 200)) < np.where(speakers == 0, 0.33, 0.95)
    with pytest.raises(UncorrectableError, match=r"left out did better than all together, 0\.\d+ against 0\.4"):
        correct_selection_by_bootstrap(outcomes, groups=speakers)


def test_a_selection_goes_to_json_with_its_optimism_and_its_interval():
    selection = correct_selection_by_bootstrap(draw_equal_candidates(5), repeats=50)
    document = json.loads(json.dumps(selection.to_json()))
    assert list(document)[:4] == ["apparent", "corrected", "repeats", "method"]
    assert document["optimism"] == document["apparent"] - document["corrected"]
    assert document["interval"] == [selection.low, selection.high]
    assert SelectionBias(0.9, 0.9, 0, "none").to_json()["interval"] is None


def test_progress_counts_the_searches():
    shown = []

    def progress(items, /, *, total, label):
        shown.append((total, label))
        return items

    options = {"method": "halves", "n_utterances": 14, "repeats": 3}
    correct_search(lambda _: np.ones(14, dtype=bool), progress=progress, **options)
    assert shown == [(7, "correcting for the choice")]


@pytest.mark.parametrize("by", [{}, {"groups": np.arange(96) % 24}])
def test_repeats_that_end_by_their_error_are_the_first_of_all(by):
    right = np.random.default_rng(3).random((30, 96)) < 0.8

    def choose(rows):
        return right[right[:, rows].mean(axis=1).argmax()]

    options = {"n_utterances": 96, **by}
    ended = correct_search(choose, error=0.006, **options)
    assert 20 < ended.repeats < 200
    assert 0 < ended.error <= 0.006
    assert ended.to_json()["error"] == ended.error
    assert "points by their number" in ended.describe()
    plain = correct_search(choose, repeats=ended.repeats, **options)
    assert replace(ended, error=None) == plain
    assert plain.error is None
    assert "error" not in plain.to_json()
    all_of_them = correct_search(choose, **options)
    assert ended.corrected == pytest.approx(all_of_them.corrected, abs=3 * 0.006)
    assert correct_search(choose, error=1e-6, repeats=30, **options).repeats == 30
    assert correct_search(choose, error=1.0, **options).repeats == 20
