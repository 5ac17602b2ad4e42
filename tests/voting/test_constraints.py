"""The search among ensembles that are allowed, against leaving the others out of all there are."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_store.errors import EnsembleError, UnknownNameError
from ser_store.voting import search_ensembles
from ser_store.voting.subsets import make_constraints

RUNS_OF_STEPS = np.repeat(np.arange(6), 14)


@st.composite
def cases(draw):
    """CodedVotes, the truth, k, groups of neighbours, required sets."""
    m, n, n_classes = draw(st.integers(1, 11)), draw(st.integers(1, 130)), draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    truth = rng.integers(n_classes, size=n)
    right = rng.random((m, n)) < draw(st.sampled_from([0.2, 0.6, 0.95]))
    predictions = np.where(right, truth, rng.integers(n_classes, size=(m, n)))
    groups = draw(st.none() | st.lists(st.integers(0, 5), min_size=m, max_size=m).map(sorted))
    required = draw(st.lists(st.lists(st.integers(0, m - 1), min_size=1, unique=True), max_size=3))
    return predictions, truth, draw(st.integers(1, min(m, 6))), n_classes, groups, required


def is_allowed(members, groups, required):
    is_spread = groups is None or len({groups[member] for member in members}) == len(members)
    return is_spread and all(set(members) & set(one) for one in required)


def leave_out(predictions, truth, groups, required, *, top, **options):
    """The best that are allowed and the histogram, from a search of all."""
    everything = search_ensembles(predictions, truth, top=10**5, backend="batched", **options)
    allowed = [score for score in everything.results if is_allowed(score.members, groups, required)]
    return tuple(allowed[:top]), np.bincount([score.correct for score in allowed], minlength=len(truth) + 1)


@pytest.mark.parametrize("backend", ["batched", "bitsliced"])
@pytest.mark.parametrize("options", [{}, {"tie": "abstain"}, {"objective": "balanced_accuracy"}], ids=str)
@given(case=cases(), top=st.sampled_from([1, 4, 1000]))
def test_it_finds_what_leaving_the_others_out_finds(case, top, options, backend):
    predictions, truth, k, n_classes, groups, required = case
    if backend == "bitsliced" and k == 1:
        return
    options = {"k": k, "n_classes": n_classes, **options}
    best, histogram = leave_out(predictions, truth, groups, required, top=top, **options)
    conditions = {"groups": groups, "required": required, "backend": backend, "top": top, "threads": 2}
    if not best:
        with pytest.raises(EnsembleError, match="no ensemble of"):
            search_ensembles(predictions, truth, **options, **conditions)
        return
    found = search_ensembles(predictions, truth, **options, **conditions)
    assert found.results == best
    np.testing.assert_array_equal(found.histogram, histogram)
    assert found.searched == histogram.sum()
    assert found.complete


@pytest.mark.parametrize(
    "options",
    [{"tie": "best"}, {"tie": "confidence"}, {"rule": "soft"}, {"rule": "soft-log"}, {"weights": range(1, 8)}],
)
@given(case=cases())
def test_it_does_so_by_every_rule(case, options):
    predictions, truth, k, n_classes, groups, required = case
    probabilities = np.random.default_rng(0).random((*predictions.shape, n_classes))
    if "weights" in options:
        options = {"weights": np.arange(1, len(predictions) + 1)}
    options = {"k": k, "n_classes": n_classes, "probabilities": probabilities, **options}
    best, histogram = leave_out(predictions, truth, groups, required, top=3, **options)
    if best:
        found = search_ensembles(predictions, truth, groups=groups, required=required, top=3, **options)
        assert found.results == best
        np.testing.assert_array_equal(found.histogram, histogram)


@given(case=cases())
def test_ensembles_are_counted_and_told_apart_as_by_hand(case):
    predictions, _, k, _, groups, required = case
    conditions = make_constraints(len(predictions), groups=groups, required=required)
    everything = list(combinations(range(len(predictions)), k))
    allowed = [is_allowed(members, groups, required) for members in everything]
    assert conditions.count(k) == sum(allowed)
    assert conditions.allow(np.array(everything)).tolist() == allowed


def test_small_blocks_and_parts_make_no_difference(monkeypatch):
    monkeypatch.setattr("ser_store.voting.numpy_search.BLOCK_BYTES", 2000)
    monkeypatch.setattr("ser_store.voting.compiled.parts.PART_SIZE", 2000)
    monkeypatch.setattr("ser_store.voting.subsets._ROWS", 7)
    rng = np.random.default_rng(1)
    truth = rng.integers(4, size=70)
    predictions = np.where(rng.random((16, 70)) < 0.6, truth, rng.integers(4, size=(16, 70)))
    groups, required = np.repeat(np.arange(8), 2), [[5], [8, 9, 14]]
    best, histogram = leave_out(predictions, truth, groups, required, top=5, k=5, n_classes=4)
    for backend in ("batched", "bitsliced"):
        conditions = {"groups": groups, "required": required, "backend": backend, "threads": 3}
        found = search_ensembles(predictions, truth, k=5, n_classes=4, top=5, **conditions)
        assert found.results == best
        np.testing.assert_array_equal(found.histogram, histogram)


def test_six_runs_at_fourteen_steps_are_three_million_ensembles_of_five():
    assert make_constraints(84, groups=RUNS_OF_STEPS).count(5) == 6 * 14**5
    assert make_constraints(84, groups=RUNS_OF_STEPS, required=[[0]]).count(5) == 5 * 14**4
    assert make_constraints(84).count(5) == 30_872_016


def test_without_conditions_it_is_the_search_of_all():
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=40)
    predictions = rng.integers(3, size=(9, 40))
    found = search_ensembles(predictions, truth, k=4, n_classes=3)
    expected = search_ensembles(predictions, truth, k=4, n_classes=3)
    assert found.results == expected.results
    np.testing.assert_array_equal(found.histogram, expected.histogram)


def test_an_interrupt_leaves_what_was_found_so_far():
    rng = np.random.default_rng(0)
    truth = rng.integers(3, size=40)

    def interrupt(items, /, *, total, label):
        for number, item in enumerate(items):
            if number == 3:
                raise KeyboardInterrupt
            yield item

    found = search_ensembles(rng.integers(3, size=(9, 40)), truth, k=4, n_classes=3, required=[[1]], progress=interrupt)
    assert not found.complete
    assert 0 < found.searched < 56


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"groups": [0, 1, 0, 2]}, "the groups are scattered"),
        ({"groups": [0, 1]}, r"groups have shape \(2,\): expected \(4,\)"),
        ({"groups": [0, 0, 1, 1], "k": 3}, "no ensemble of 3 of 4 members is allowed"),
        ({"required": [[]]}, r"of \[\] one is required"),
        ({"required": [[4]]}, r"expected indices of candidates in 0\.\.3"),
        ({"required": [[0]] * 63}, "expected at most 62"),
        ({"backend": "summed", "required": [[0]]}, "expected 'auto', 'batched' or 'bitsliced'"),
        ({"k": 5, "required": [[0]]}, "no ensemble of 5"),
        ({"top": 0}, "`top` is 0"),
    ],
)
def test_conditions_that_cannot_be_met_are_refused(conditions, message):
    with pytest.raises(EnsembleError, match=message):
        search_ensembles([[0, 1]] * 4, [0, 1], **{"k": 2, "n_classes": 2} | conditions)


def test_an_unknown_back_end_is_refused():
    with pytest.raises(UnknownNameError, match="batched"):
        search_ensembles([[0, 1]] * 4, [0, 1], k=2, n_classes=2, backend="batch")
