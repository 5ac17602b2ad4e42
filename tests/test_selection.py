import numpy as np
import pytest

from ser_store import selection
from ser_store.metrics import MetricError
from ser_store.selection import correct_selection_by_bootstrap, correct_selection_by_halves

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
                correct_selection_by_halves(choose_best(correct), n_utterances=288, repeats=20, seed=seed)
            )
    apparent = np.mean([selection.apparent for selection in selections]) - TRUE_ACCURACY
    corrected = np.array([selection.corrected for selection in selections]) - TRUE_ACCURACY
    standard_error = corrected.std() / len(corrected) ** 0.5
    assert apparent > 0.03
    assert abs(corrected.mean()) < 0.005
    assert abs(corrected.mean()) < 3 * standard_error


@pytest.mark.parametrize("method", ["bootstrap", "halves"])
def test_where_one_candidate_is_clearly_the_best_there_is_nothing_to_correct(method):
    correct = np.random.default_rng(5).random((10, 400)) < 0.3
    correct[7] = np.arange(400) % 10 > 0
    if method == "bootstrap":
        selection = correct_selection_by_bootstrap(correct)
    else:
        selection = correct_selection_by_halves(choose_best(correct), n_utterances=400)
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
    monkeypatch.setattr(selection, "_BLOCK_CELLS", 288 * 5)
    assert correct_selection_by_bootstrap(correct, repeats=37).corrected == pytest.approx(whole.corrected, rel=1e-12)


def test_the_same_seed_gives_the_same_figures_and_another_seed_others():
    correct = draw_equal_candidates(3)
    assert correct_selection_by_bootstrap(correct, seed=1) == correct_selection_by_bootstrap(correct, seed=1)
    assert correct_selection_by_bootstrap(correct, seed=1) != correct_selection_by_bootstrap(correct, seed=2)


def test_samples_that_leave_no_utterance_to_score_on_are_left_out():
    selection = correct_selection_by_bootstrap(np.array([[True, False]]), repeats=100)
    assert 0.2 < selection.corrected < 0.8


def test_the_search_is_called_on_disjoint_halves_of_all_utterances():
    seen = []

    def choose(chosen_on):
        seen.append(chosen_on)
        return np.ones(7, dtype=bool)

    correct_selection_by_halves(choose, n_utterances=7, repeats=3)
    assert len(seen) == 7
    for one, other in zip(seen[:-1:2], seen[1::2], strict=True):
        assert sorted([*one, *other]) == list(range(7))
        assert (len(one), len(other)) == (3, 4)
    assert seen[-1].tolist() == list(range(7))


@pytest.mark.parametrize(
    ("correct", "repeats", "message"),
    [
        (np.ones((0, 5), dtype=bool), 10, r"shape \(0, 5\) and type bool: expected \(n_candidates, n\) bool"),
        (np.ones((2, 5)), 10, "type float64: expected"),
        (np.ones((2, 1), dtype=bool), 10, "there are 1 utterances to choose and report on: expected at least 2"),
        (np.ones((2, 5), dtype=bool), 0, "repeats is 0: expected at least 1"),
    ],
)
def test_a_selection_of_nothing_is_refused(correct, repeats, message):
    with pytest.raises(MetricError, match=message):
        correct_selection_by_bootstrap(correct, repeats=repeats)


def test_a_search_that_returns_something_else_is_refused():
    with pytest.raises(MetricError, match=r"the search returned int64 of shape \(3,\): expected bool of shape \(4,\)"):
        correct_selection_by_halves(lambda _: np.arange(3), n_utterances=4)
