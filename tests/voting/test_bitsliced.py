"""The compiled search against the one in batched numpy, which test_search holds against the rules themselves."""

import subprocess
import sys
from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vote_samples import draw_candidates

from ser_store.errors import EnsembleError, UnknownNameError
from ser_store.voting import problem, search_ensembles
from ser_store.voting.compiled import bitsliced, parts
from ser_store.voting.compiled.jit import compiled


def assert_equals_batched(predictions, truth, *, threads=2, **case):
    fast = search_ensembles(predictions, truth, backend="bitsliced", threads=threads, **case)
    slow = search_ensembles(predictions, truth, backend="batched", **case)
    assert fast.results == slow.results
    np.testing.assert_array_equal(fast.histogram, slow.histogram)
    assert fast.searched == slow.searched == comb(len(predictions), case["k"])
    assert fast.complete


@st.composite
def cases(draw):
    m, n = draw(st.integers(2, 19)), draw(st.integers(1, 150))
    n_classes = draw(st.integers(2, 12))
    accuracy = draw(st.sampled_from([0.0, 0.3, 0.7, 0.9, 0.98]))
    predictions, truth = draw_candidates(m, n, n_classes, accuracy=accuracy, seed=draw(st.integers(0, 2**32 - 1)))
    k = draw(st.integers(2, m).filter(lambda k: comb(m, k) <= 4000))
    return predictions, truth, k, n_classes, draw(st.sampled_from([1, 3, 20, 5000]))


@pytest.mark.parametrize("objective", ["accuracy", "balanced_accuracy"])
@pytest.mark.parametrize("tie", ["lowest", "abstain"])
@settings(max_examples=100)
@given(case=cases())
def test_both_searches_find_the_same(case, tie, objective):
    predictions, truth, k, n_classes, top = case
    assert_equals_batched(predictions, truth, k=k, n_classes=n_classes, tie=tie, top=top, objective=objective)


@pytest.mark.parametrize("tie", ["lowest", "abstain"])
@pytest.mark.parametrize(("m", "k", "n_classes"), [(3, 2, 3), (3, 3, 3), (4, 3, 3), (4, 4, 3), (6, 5, 2)])
def test_both_searches_find_the_same_for_every_small_utterance(m, k, n_classes, tie):
    votes = np.array(list(product(range(n_classes), repeat=m)), dtype=np.int16).T
    for label in range(n_classes):
        truth = np.full(votes.shape[1], label)
        assert_equals_batched(votes, truth, k=k, n_classes=n_classes, tie=tie)


@pytest.mark.parametrize(
    ("m", "n", "n_classes", "k"),
    [
        (64, 64, 8, 3),
        (65, 65, 8, 3),
        (200, 30, 8, 2),
        (23, 700, 64, 4),
        (16, 288, 8, 8),
        (17, 200, 4, 15),
        (9, 40, 5, 9),
    ],
)
def test_both_searches_find_the_same_at_the_edges_of_words_and_blocks(m, n, n_classes, k):
    predictions, truth = draw_candidates(m, n, n_classes, accuracy=0.8, seed=m)
    assert_equals_batched(predictions, truth, k=k, n_classes=n_classes)


@pytest.mark.parametrize("k", [2, 3, 4, 6])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_result_does_not_depend_on_threads_and_parts(monkeypatch, k, threads):
    predictions, truth = draw_candidates(13, 90, 5, accuracy=0.7)
    for part_size in (1, 90 * 50):
        monkeypatch.setattr(parts, "PART_SIZE", part_size)
        assert_equals_batched(predictions, truth, k=k, n_classes=5, threads=threads)


@pytest.mark.parametrize("remaining_bytes", [1, 5000])
def test_a_coarser_table_of_remaining_votes_changes_nothing(monkeypatch, remaining_bytes):
    predictions, truth = draw_candidates(21, 90, 5, accuracy=0.9)
    monkeypatch.setattr(bitsliced, "REMAINING_BYTES", remaining_bytes)
    for k in (2, 3, 5):
        assert_equals_batched(predictions, truth, k=k, n_classes=5)


def test_more_candidates_than_a_byte_counts_vote_right():
    predictions, truth = draw_candidates(300, 20, 3, accuracy=0.6)
    predictions[:, 0] = truth[0]
    predictions[:, 1] = (truth[1] + 1) % 3
    assert_equals_batched(predictions, truth, k=2, n_classes=3)


def test_of_candidates_that_are_all_alike_the_lexicographically_first_ensembles_come_first():
    truth = np.arange(40) % 4
    predictions = np.tile(np.where(truth == 3, 0, truth), (30, 1)).astype(np.int16)
    result = search_ensembles(predictions, truth, k=4, n_classes=4, top=6, backend="bitsliced")
    assert [score.members for score in result.results] == list(combinations(range(30), 4))[:6]
    assert result.histogram[30] == result.searched == comb(30, 4)


def test_the_scores_do_not_depend_on_the_order_of_the_members():
    predictions, truth = draw_candidates(20, 100, 6, accuracy=0.7)
    order = np.random.default_rng(1).permutation(20)
    case = {"k": 5, "n_classes": 6, "backend": "bitsliced", "top": 50}
    one = search_ensembles(predictions, truth, **case)
    other = search_ensembles(predictions[order], truth, **case)
    np.testing.assert_array_equal(one.histogram, other.histogram)
    figures = [[(score.correct, score.balanced_accuracy) for score in result.results] for result in (one, other)]
    assert figures[0] == figures[1]


def test_an_interrupted_search_returns_the_best_so_far(monkeypatch):
    monkeypatch.setattr(parts, "PART_SIZE", 1)

    def interrupt(items, /, *, total, label):
        for count, item in enumerate(items):
            if count == 3:
                raise KeyboardInterrupt
            yield item

    predictions, truth = draw_candidates(12, 50, 4, accuracy=0.7)
    result = search_ensembles(predictions, truth, k=5, n_classes=4, backend="bitsliced", progress=interrupt)
    assert not result.complete
    assert 0 < result.searched < comb(12, 5)
    assert result.results[0].correct == np.flatnonzero(result.histogram)[-1]


def test_progress_covers_the_search_part_by_part(monkeypatch):
    monkeypatch.setattr(parts, "PART_SIZE", 1)
    seen = []

    def watch(items, /, *, total, label):
        for item in items:
            seen.append((total, label))
            yield item

    predictions, truth = draw_candidates(12, 50, 4, accuracy=0.7)
    search_ensembles(predictions, truth, k=5, n_classes=4, backend="bitsliced", progress=watch)
    assert seen == [(len(seen), "voting")] * len(seen)
    assert len(seen) > 3


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ({"k": 1}, "back end 'bitsliced' for hard voting of 1 members"),
        ({"tie": "best"}, "ties by 'best', 4 candidates on 10 utterances: expected"),
        ({"rule": "soft", "probabilities": np.full((4, 10, 3), 1 / 3)}, "for soft voting"),
        ({"weights": np.ones(4)}, "for weighted hard voting"),
        ({"n_classes": 256}, "2 to 255 members and classes"),
    ],
)
def test_what_the_compiled_search_cannot_vote_is_refused(case, message):
    predictions, truth = draw_candidates(4, 10, 3, accuracy=0.7)
    with pytest.raises(EnsembleError, match=message):
        search_ensembles(predictions, truth, backend="bitsliced", **{"k": 2, "n_classes": 3, **case})


def test_an_unknown_back_end_offers_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown back end 'bitslice': expected one of bitsliced \(nearest\)"):
        search_ensembles([[0]], [0], k=1, n_classes=2, backend="bitslice")


def test_planes_that_would_be_too_big_are_not_made(monkeypatch):
    monkeypatch.setattr(problem, "_MAX_PLANES", 100)
    predictions, truth = draw_candidates(4, 20, 3, accuracy=0.7)
    with pytest.raises(EnsembleError, match="on 20 utterances: expected plain hard voting"):
        search_ensembles(predictions, truth, k=2, n_classes=3, backend="bitsliced")


# Elsewhere the most that was in use is also that of whoever started the process.
@pytest.mark.skipif(sys.platform != "linux", reason="Linux states the most that a process had in use")
def test_two_hundred_thousand_utterances_are_voted_in_bounded_memory():
    script = (
        "import numpy as np; from ser_store.voting import search_ensembles\n"
        "from ser_store.voting.compiled.jit import compiled\n"
        "rng = np.random.default_rng(0); truth = rng.integers(4, size=200_000); shape = 6, 200_000\n"
        "predictions = np.where(rng.random(shape) < 0.7, truth, rng.integers(4, size=shape)).astype(np.int16)\n"
        "probabilities = np.full((*shape, 4), 0.1, dtype=np.float32)\n"
        "np.put_along_axis(probabilities, predictions[..., None].astype(int), 0.7, axis=2)\n"
        "peak = lambda: int(open('/proc/self/status').read().split('VmHWM:')[1].split()[0]) << 10\n"
        "before = peak(); found = []\n"
        "for case in ({'backend': 'batched'}, {'backend': 'bitsliced'}, {'rule': 'soft'}):\n"
        "    case |= {'k': 3, 'n_classes': 4, 'probabilities': probabilities}\n"
        "    found.append(search_ensembles(predictions, truth, **case).histogram)\n"
        "print(all((one == found[0]).all() for one in found), (peak() - before) // 2**20)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    agree, megabytes = done.stdout.split()
    assert agree == "True"
    assert int(megabytes) < 300  # most of it to compile


def test_code_without_a_place_on_disk_is_compiled_all_the_same():
    scope: dict[str, object] = {}
    exec("def double(number):\n    return 2 * number", scope)
    assert compiled(scope["double"])(21) == 42


def test_a_small_search_imports_no_compiler():
    script = (
        "import sys, numpy as np; from ser_store.voting import search_ensembles; "
        "search_ensembles(np.zeros((6, 288), dtype=int), np.zeros(288, dtype=int), k=3, n_classes=8); "
        "print(sorted({'numba', 'llvmlite'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
