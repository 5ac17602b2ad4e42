"""A layer of a member goes into a file and comes back: bit for bit the one that was added."""

import numpy as np
import pytest

import ser_store as ss
from ser_store.errors import StoreError, UnknownNameError

RNG = np.random.default_rng(5)
LAYERS = {number: RNG.normal(size=(4, 6)).astype(np.float16) for number in (0, 3, 7)}


@pytest.fixture
def store(tmp_path):
    made = ss.Store.create(tmp_path / "my.store", ids=list("abcd"), labels=["sad", "happy"] * 2)
    made.add("mine", ids=list("dbca"), layers=LAYERS)
    made.add("plain", ids=list("abcd"), pooled=LAYERS[0])
    return made


def test_added_layers_are_aligned_and_the_last_is_pooled(store):
    order = [3, 1, 2, 0]
    for number, values in LAYERS.items():
        np.testing.assert_array_equal(store.pooled("mine", layer=number), values[order])
    np.testing.assert_array_equal(store.pooled("mine"), LAYERS[7][order])
    assert store.describe_member("mine@0").layers == (0, 3, 7)


def test_a_layer_is_exported_by_its_number(store, serstore, tmp_path):
    file = tmp_path / "three.npz"
    done = serstore("export", file, "mine", "--layer", 3, "--store", store.path)
    assert done.code == 0
    with np.load(file) as written:
        np.testing.assert_array_equal(written["mine@0"], store.pooled("mine", layer=3))
        assert written["ids"].tolist() == list("abcd")


def test_what_has_no_such_layer_is_refused(store, tmp_path):
    with pytest.raises((StoreError, UnknownNameError), match="layer"):
        ss.export(store, tmp_path / "a.npz", "plain", layer=3)
    with pytest.raises(StoreError, match="`layer` is 3 and `what` is predicted: expected pooled"):
        ss.export(store, tmp_path / "a.npz", "mine", what="predicted", layer=3)
    assert not (tmp_path / "a.npz").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layers": LAYERS, "pooled": LAYERS[0]}, "got pooled and layers: expected one of the two"),
        ({"layers": {1: LAYERS[0][:2]}}, r"layer 1 has shape \(2, 6\): expected \(4, hidden\)"),
        ({"layers": {-1: LAYERS[0]}}, "has layers -1: expected numbers of 0 to"),
    ],
)
def test_layers_that_cannot_be_are_refused(store, given, message):
    with pytest.raises(StoreError, match=message):
        store.add("other", ids=list("abcd"), **given)
    assert not store.has_run("other")
