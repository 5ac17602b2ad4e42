"""The compiled search by sums against the one in batched numpy, which test_search holds against the rules."""

from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_store.errors import EnsembleError
from ser_store.voting import problem, search_ensembles
from ser_store.voting.compiled import parts

RULES = ["hard", "soft", "soft-log"]


def draw_probabilities(m, n, n_classes, *, sharpness, seed, grain=None):
    """CodedVotes that resemble each other, ``(m, n, c)`` float32, in steps of ``1 / grain``; and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(n_classes, size=n)
    logits = rng.normal(size=(n, n_classes)) + 0.7 * rng.normal(size=(m, n, n_classes))
    logits[:, np.arange(n), truth] += 1
    raised = np.exp(sharpness * logits)
    probabilities = raised / raised.sum(axis=2, keepdims=True)
    if grain:
        probabilities = np.rint(probabilities * grain) / grain
    return probabilities.astype(np.float32), truth


def assert_equals_batched(probabilities, truth, *, k, threads=2, **case):
    predictions = probabilities.argmax(axis=2)
    case = {"k": k, "n_classes": probabilities.shape[2], "probabilities": probabilities, **case}
    fast = search_ensembles(predictions, truth, backend="summed", threads=threads, **case)
    slow = search_ensembles(predictions, truth, backend="batched", **case)
    assert fast.results == slow.results
    np.testing.assert_array_equal(fast.histogram, slow.histogram)
    assert fast.searched == slow.searched == comb(len(probabilities), k)
    assert fast.complete


@st.composite
def cases(draw):
    m, n = draw(st.integers(2, 19)), draw(st.integers(1, 60))
    probabilities, truth = draw_probabilities(
        m,
        n,
        draw(st.integers(2, 9)),
        sharpness=draw(st.sampled_from([0, 1, 3, 20])),
        seed=draw(st.integers(0, 2**32 - 1)),
        # Coarse steps make ties common.
        grain=draw(st.sampled_from([None, 2, 8])),
    )
    k = draw(st.integers(2, min(m, 15)).filter(lambda k: comb(m, k) <= 4000))
    weights = draw(st.sampled_from([None, np.arange(m) % 4 + draw(st.integers(0, 1)), np.linspace(0, 1, m)]))
    return (
        probabilities,
        truth,
        {
            "k": k,
            "weights": weights if weights is None or weights.any() else None,
            "top": draw(st.sampled_from([1, 3, 20, 5000])),
            "objective": draw(st.sampled_from(["accuracy", "balanced_accuracy"])),
        },
    )


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=100)
@given(case=cases())
def test_both_searches_find_the_same(case, rule):
    probabilities, truth, options = case
    assert_equals_batched(probabilities, truth, rule=rule, **options)


@settings(max_examples=50)
@given(case=cases())
def test_both_searches_abstain_alike(case):
    probabilities, truth, options = case
    assert_equals_batched(probabilities, truth, tie="abstain", **options)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("m", "k", "n_classes"), [(2, 2, 3), (3, 2, 2), (3, 3, 2), (4, 3, 2), (4, 4, 2)])
def test_both_searches_find_the_same_for_every_small_utterance(m, k, n_classes, rule):
    values = [0.0, 0.5, 1.0] if m > 2 else [0.0, 0.25, 0.5, 1.0]
    every = np.array(list(product(product(values, repeat=n_classes), repeat=m)), dtype=np.float32).transpose(1, 0, 2)
    for label in range(n_classes):
        assert_equals_batched(every, np.full(every.shape[1], label), k=k, rule=rule)


@pytest.mark.parametrize(
    ("m", "n", "n_classes", "k"),
    [(64, 30, 8, 3), (65, 20, 8, 3), (200, 10, 8, 2), (23, 50, 64, 4), (16, 40, 8, 8), (17, 40, 4, 15), (9, 40, 5, 9)],
)
def test_both_searches_find_the_same_at_the_edges_of_blocks(m, n, n_classes, k):
    probabilities, truth = draw_probabilities(m, n, n_classes, sharpness=3, seed=m)
    for rule in RULES:
        assert_equals_batched(probabilities, truth, k=k, rule=rule)


@pytest.mark.parametrize("k", [2, 3, 4, 6])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_result_does_not_depend_on_threads_and_parts(monkeypatch, k, threads):
    probabilities, truth = draw_probabilities(13, 60, 5, sharpness=3, seed=1)
    for part_size in (1, 60 * 50):
        monkeypatch.setattr(parts, "PART_SIZE", part_size)
        assert_equals_batched(probabilities, truth, k=k, rule="soft", threads=threads)


def test_the_largest_sums_there_are_fit():
    # 64 members of the largest weight that are all as sure as can be, half of them of the truth.
    probabilities = np.zeros((65, 4, 2))
    probabilities[:33, :, 0] = probabilities[33:, :, 1] = 1.0001
    weights = np.full(65, 2**16)
    for rule in RULES:
        assert_equals_batched(probabilities, np.array([0, 0, 1, 1]), k=64, rule=rule, weights=weights)


def test_utterances_that_no_vote_can_change_are_all_counted():
    probabilities = np.zeros((6, 5, 3))
    probabilities[:, :, 1] = 1
    for truth in ([1] * 5, [0] * 5, [0, 1, 2, 1, 1]):
        assert_equals_batched(probabilities, np.array(truth), k=3, rule="soft")


def test_of_candidates_that_are_all_alike_the_lexicographically_first_ensembles_come_first():
    probabilities = np.tile(draw_probabilities(1, 40, 4, sharpness=3, seed=0)[0], (30, 1, 1))
    truth = np.arange(40) % 4
    case = {"k": 4, "n_classes": 4, "rule": "soft", "probabilities": probabilities, "top": 6}
    result = search_ensembles(probabilities.argmax(axis=2), truth, backend="summed", **case)
    assert [score.members for score in result.results] == list(combinations(range(30), 4))[:6]


def test_plain_hard_voting_by_sums_is_hard_voting_by_bits():
    probabilities, truth = draw_probabilities(20, 90, 6, sharpness=3, seed=2)
    case = {"k": 5, "n_classes": 6, "top": 50}
    found = [search_ensembles(probabilities.argmax(axis=2), truth, backend=b, **case) for b in ("summed", "bitsliced")]
    assert found[0].results == found[1].results
    np.testing.assert_array_equal(found[0].histogram, found[1].histogram)


@pytest.mark.parametrize(("case", "message"), [({"k": 1}, "of 1 members"), ({"tie": "best"}, "ties by 'best'")])
def test_what_cannot_be_summed_is_refused(case, message):
    probabilities, truth = draw_probabilities(4, 10, 3, sharpness=3, seed=0)
    with pytest.raises(EnsembleError, match=f"back end 'summed' for hard voting .*{message}"):
        search_ensembles(probabilities.argmax(axis=2), truth, n_classes=3, backend="summed", **{"k": 2, **case})


def test_tables_that_would_be_too_big_are_not_made(monkeypatch):
    monkeypatch.setattr(problem, "_MAX_MARGINS", 100)
    probabilities, truth = draw_probabilities(4, 20, 3, sharpness=3, seed=0)
    case = {"k": 2, "n_classes": 3, "rule": "soft", "probabilities": probabilities}
    with pytest.raises(EnsembleError, match=r"4 candidates on 20 utterances: expected .* tables that fit"):
        search_ensembles(probabilities.argmax(axis=2), truth, backend="summed", **case)
