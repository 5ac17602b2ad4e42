"""The search with pruning against the exhaustive one."""

from itertools import combinations, islice
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vote_samples import draw_candidates, from_arrays

from ser_store.errors import EnsembleError, UnknownNameError
from ser_store.voting import hard_vote, pruned, search_ensembles
from ser_store.voting.compiled.bitsliced import encode_candidates
from ser_store.voting.compiled.bounding import begin
from ser_store.voting.compiled.workspace import make_tree
from ser_store.voting.numpy_search import search_locally
from ser_store.voting.problem import pose_problem
from ser_store.voting.search import search_problem

search_pruned = from_arrays(pruned.search_pruned)


def assert_equals_exhaustive(predictions, truth, **case):
    pruned = search_pruned(predictions, truth, threads=2, **case)
    full = search_ensembles(predictions, truth, backend="batched", **case)
    assert pruned.results == full.results
    assert pruned.proved
    assert pruned.bound == full.results[0].correct
    assert pruned.searched <= full.searched
    return pruned


@st.composite
def cases(draw):
    m, n = draw(st.integers(1, 14)), draw(st.integers(1, 150))
    n_classes = draw(st.integers(2, 9))
    accuracy = draw(st.sampled_from([0.0, 0.3, 0.7, 0.9, 0.98]))
    predictions, truth = draw_candidates(m, n, n_classes, accuracy=accuracy, seed=draw(st.integers(0, 2**32 - 1)))
    return predictions, truth, draw(st.integers(1, m)), n_classes, draw(st.sampled_from([1, 3, 20, 5000]))


@pytest.mark.parametrize("tie", ["lowest", "abstain"])
@settings(max_examples=80)
@given(case=cases())
def test_pruning_finds_what_the_exhaustive_search_finds(case, tie):
    predictions, truth, k, n_classes, top = case
    assert_equals_exhaustive(predictions, truth, k=k, n_classes=n_classes, tie=tie, top=top)


@pytest.mark.parametrize("objective", ["accuracy", "balanced_accuracy"])
@pytest.mark.parametrize("tie", ["lowest", "abstain", "best"])
@settings(max_examples=60)
@given(case=cases())
def test_the_best_alone_is_the_first_of_the_exhaustive_search(case, tie, objective):
    predictions, truth, k, n_classes, _ = case
    backend = "bitsliced" if tie != "best" and k > 1 else "auto"
    problem = pose_problem(predictions, truth, k=k, n_classes=n_classes, tie=tie, objective=objective)
    alone = pruned.find_best(problem, backend=backend, threads=2)
    assert alone == search_problem(problem, top=1, backend="batched").results[0]


@pytest.mark.parametrize("constrained", [{}, {"groups": True}, {"groups": True, "required": True}, {"required": True}])
@pytest.mark.parametrize("voting", [{"rule": "soft"}, {"rule": "soft", "objective": "balanced_accuracy"}, "weighted"])
@settings(max_examples=25)
@given(case=cases())
def test_the_best_of_sums_alone_is_the_first_of_the_exhaustive_search(case, voting, constrained):
    predictions, truth, k, n_classes, seed = case
    m, rng = len(predictions), np.random.default_rng(seed)
    options = {"weights": rng.integers(1, 9, size=m)} if voting == "weighted" else dict(voting)
    if voting != "weighted":
        shares = rng.dirichlet(np.ones(n_classes), size=(m, len(truth))).astype(np.float32)
        options["probabilities"] = shares + 2 * np.eye(n_classes, dtype=np.float32)[predictions]
        options["probabilities"] /= options["probabilities"].sum(axis=-1, keepdims=True)
    if "groups" in constrained:
        options["groups"] = np.arange(m) // 2
    if "required" in constrained:
        options["required"] = [[0, m - 1], [0]]
    try:
        problem = pose_problem(predictions, truth, k=k, n_classes=n_classes, **options)
        exhaustive = search_problem(problem, top=1, backend="batched").results[0]
    except EnsembleError:  # no ensemble of so many is allowed
        return
    backend = "summed" if problem.bounded_by == "summed" else "auto"
    assert pruned.find_best(problem, backend=backend, threads=2) == exhaustive


def test_the_best_alone_keeps_to_constraints():
    predictions, truth = draw_candidates(12, 60, 4, accuracy=0.7)
    groups = np.arange(12) // 2
    problem = pose_problem(predictions, truth, k=4, n_classes=4, groups=groups, required=[[0, 1]])
    alone = pruned.find_best(problem)
    assert alone == search_problem(problem, top=1, backend="batched").results[0]
    assert alone.members[0] < 2


@settings(max_examples=60)
@given(case=cases(), chosen=st.randoms(use_true_random=False))
def test_no_ensemble_gets_more_right_than_the_bound_of_its_beginning(case, chosen):
    predictions, truth, k, n_classes, _ = case
    problem = pose_problem(predictions, truth, k=k, n_classes=n_classes, rule="hard", tie="lowest", probabilities=None)
    candidates = encode_candidates(problem)
    scores = np.zeros(candidates.end, dtype=np.int64)
    members = sorted(chosen.sample(range(problem.m), k))
    correct = (hard_vote(predictions[members], n_classes=n_classes).predicted == truth).sum()
    # The tree has rows for beginnings of up to k - 3 members.
    for size in range(max(1, k - 2)):
        prefix = np.array(members[:size], dtype=np.int64) + candidates.first
        assert begin(candidates, make_tree(candidates), prefix, scores) >= correct


@pytest.mark.parametrize(
    ("m", "n", "k", "n_classes"), [(26, 288, 5, 8), (22, 70, 7, 3), (20, 100, 9, 4), (24, 64, 4, 2)]
)
def test_pruning_saves_most_of_the_work_where_candidates_err_alike(m, n, k, n_classes):
    rng = np.random.default_rng(m)
    truth = rng.integers(n_classes, size=n)
    difficulty = rng.normal(size=n)
    wrong = difficulty + 0.3 * rng.normal(size=(m, n)) > rng.uniform(0.5, 1.5, size=(m, 1))
    predictions = np.where(wrong, (truth + 1) % n_classes, truth)
    pruned = assert_equals_exhaustive(predictions, truth, k=k, n_classes=n_classes, top=5)
    assert pruned.searched < comb(m, k) / 2


def test_of_candidates_that_are_all_alike_the_lexicographically_first_ensembles_come_first():
    truth = np.arange(40) % 4
    predictions = np.tile(np.where(truth == 3, 0, truth), (30, 1)).astype(np.int16)
    result = search_pruned(predictions, truth, k=15, n_classes=4, top=6)
    assert [score.members for score in result.results] == list(islice(combinations(range(30), 15), 6))
    assert result.proved
    assert result.bound == 30
    assert result.searched < 10**6 < comb(30, 15)


def test_the_result_does_not_depend_on_the_number_of_threads():
    predictions, truth = draw_candidates(18, 90, 5, accuracy=0.7)
    one, five = (search_pruned(predictions, truth, k=6, n_classes=5, threads=threads) for threads in (1, 5))
    assert one.results == five.results


def test_exchanging_members_finds_ensembles_that_have_as_many_right_as_it_says():
    predictions, truth = draw_candidates(15, 60, 4, accuracy=0.6)
    problem = pose_problem(predictions, truth, k=5, n_classes=4, rule="hard", tie="lowest", probabilities=None)
    found = search_locally(problem, top=30)
    assert len(found) == 30
    for members, correct in found.items():
        assert list(members) == sorted(set(members))
        assert correct == (problem.vote(list(members)).predicted == truth).sum()
    assert max(found.values()) == search_ensembles(predictions, truth, k=5, n_classes=4).results[0].correct


def test_time_that_ends_leaves_the_best_so_far_and_a_bound_that_holds():
    predictions, truth = draw_candidates(25, 90, 5, accuracy=0.6)
    full = search_pruned(predictions, truth, k=8, n_classes=5, top=3)
    result = search_pruned(predictions, truth, k=8, n_classes=5, top=3, max_seconds=1e-9)
    assert full.proved
    assert not result.proved
    assert len(result.results) == 3
    assert result.results[0].correct <= full.results[0].correct <= result.bound <= 90
    assert result.complete
    assert list(result.results) == sorted(
        result.results, key=lambda score: (-score.correct, -round(score.balanced_accuracy, 12), score.members)
    )


def test_an_interrupted_search_returns_the_best_so_far():
    def interrupt(items, /, *, total, label):
        for count, item in enumerate(items):
            if count == 2:
                raise KeyboardInterrupt
            yield item

    predictions, truth = draw_candidates(14, 50, 4, accuracy=0.7)
    result = search_pruned(predictions, truth, k=6, n_classes=4, progress=interrupt)
    assert not result.proved
    assert result.results
    assert len({score.members for score in result.results}) == len(result.results)


def test_progress_covers_every_branch():
    seen = []

    def watch(items, /, *, total, label):
        for item in items:
            seen.append((total, label))
            yield item

    predictions, truth = draw_candidates(14, 50, 4, accuracy=0.7)
    search_pruned(predictions, truth, k=6, n_classes=4, progress=watch)
    assert seen == [(comb(10, 2), "proving")] * comb(10, 2)


FIVE = np.zeros((5, 4), dtype=np.int16)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"k": 6}, EnsembleError, "k is 6 with 5 members: expected 1 to 5"),
        ({"k": 0}, EnsembleError, "k is 0 with 5 members"),
        ({"tie": "best"}, EnsembleError, "ties by 'best' among 2 classes: expected 'lowest' or 'abstain'"),
        ({"tie": "lowst"}, UnknownNameError, "unknown tie rule 'lowst'"),
        ({"n_classes": 256}, EnsembleError, "among 256 classes"),
        ({"top": 0}, EnsembleError, "`top` is 0: expected a whole number from 1 on"),
        ({"max_seconds": 0}, EnsembleError, "`max_seconds` is 0: expected more than 0"),
    ],
)
def test_a_search_that_cannot_be_made_is_refused_in_one_line(options, error, message):
    with pytest.raises(error, match=message):
        search_pruned(FIVE, [0] * 4, **{"k": 4, "n_classes": 2, **options})
