import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_store.errors import MetricError
from ser_store.evaluation.hard_utterances import compute_difficulty, find_hard_utterances
from ser_store_h5.store import Store


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 20))
def test_difficulty_is_counted_one_utterance_at_a_time(seed, m, n):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(3, size=n), rng.integers(-1, 3, size=(m, n))
    found = compute_difficulty(truth, predicted, n_classes=3)
    for place in range(n):
        right = [member for member in range(m) if predicted[member][place] == truth[place]]
        assert found.n_right[place] == len(right)
        assert (place in found.all_wrong) == (not right)
        assert (place in found.one_right) == (len(right) == 1)
    for place, member in zip(found.one_right, found.only, strict=True):
        assert predicted[member][place] == truth[place]


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(MetricError, match="predicted has 2 entries: expected 1"):
        compute_difficulty([0], [[0, 1]], n_classes=2)


@pytest.fixture
def store(tmp_path, serstore):
    table = tmp_path / "said.csv"
    table.write_text("utterance,label,a@1,b@1,c@1\nu1,x,x,x,x\nu2,x,y,z,y\nu3,y,y,x,z\nu4,z,z,z,x\nu5,y,z,x,x\n")
    path = tmp_path / "said.store"
    assert serstore("import", table, "--label", "label", "--store", path).code == 0
    return Store(path)


def test_utterances_that_no_member_gets_right_come_with_what_was_predicted(store):
    hard = find_hard_utterances(store)
    assert hard.members == ("a@1", "b@1", "c@1")
    assert hard.n_by_right == (2, 1, 1, 1)
    assert [(one.utterance, one.label, one.only) for one in hard.all_wrong] == [("u2", "x", None), ("u5", "y", None)]
    assert list(hard.all_wrong[0].predicted.items()) == [("y", ("a@1", "c@1")), ("z", ("b@1",))]
    assert list(hard.all_wrong[1].predicted) == ["x", "z"]


def test_utterances_that_only_one_member_gets_right_name_it(store):
    [one] = find_hard_utterances(store).one_right
    assert (one.utterance, one.label, one.only) == ("u3", "y", "a@1")
    assert one.predicted == {"x": ("b@1",), "y": ("a@1",), "z": ("c@1",)}


def test_hardness_is_among_the_members_that_are_named(store):
    hard = find_hard_utterances(store, ["b@1"])
    assert [one.utterance for one in hard.all_wrong] == ["u2", "u3", "u5"]
    assert hard.to_json()["n_by_right"] == [3, 2]
