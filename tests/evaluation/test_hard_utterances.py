import pytest

from ser_store.evaluation.hard_utterances import find_hard_utterances
from ser_store_h5.store import Store


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
