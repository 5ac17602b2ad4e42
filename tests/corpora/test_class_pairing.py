"""What a model says of another corpus: probabilities of the classes that both have, and of no other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_store.corpora.class_pairing import pair_classes
from ser_store.corpora.label_map import LabelMap
from ser_store.errors import CorpusError
from ser_store.metrics import softmax

CLASSES = ("angry", "bored", "calm", "happy", "sad")


@given(st.sets(st.sampled_from(CLASSES), min_size=2), st.sets(st.sampled_from(CLASSES), min_size=2), st.integers(0, 99))
def test_probabilities_are_those_of_the_shared_classes_alone(own, there, seed):
    own, there = tuple(sorted(own)), tuple(sorted(there, reverse=True))
    pairing = pair_classes(own, there)
    shared = [name for name in there if name in own]
    assert pairing.shared == tuple(shared)
    if not shared:
        return
    logits = np.random.default_rng(seed).normal(scale=5, size=(7, len(own))).astype(np.float32)
    expected = softmax(logits[:, [own.index(name) for name in shared]])
    placed = pairing.place(logits)
    assert placed.shape == (7, len(there))
    assert placed.dtype == np.float32
    assert np.isfinite(placed).all()
    said = softmax(placed)
    np.testing.assert_allclose(said[:, [there.index(name) for name in shared]], expected, rtol=1e-5)
    assert said[:, [there.index(name) for name in pairing.unsaid]].max(initial=0) < 1e-30
    assert {there[place] for place in placed.argmax(axis=1)} <= set(shared)


def test_of_the_same_classes_logits_stay_bit_for_bit_in_any_order():
    logits = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    assert pair_classes(CLASSES, CLASSES).place(logits) is logits
    assert np.array_equal(pair_classes(CLASSES, CLASSES[::-1]).place(logits), logits[:, ::-1])


def test_classes_that_mean_the_same_add_up():
    labels = LabelMap("map.toml", {"calm": "neutral", "bored": "neutral", "neutral": "neutral"})
    pairing = pair_classes(("bored", "calm", "sad"), ("neutral", "sad"), labels)
    said = softmax(pairing.place(np.log(np.array([[0.3, 0.3, 0.4]]))))
    np.testing.assert_allclose(said, [[0.6, 0.4]])


def test_an_answer_that_the_corpus_has_not_is_none():
    pairing = pair_classes(("angry", "calm", "sad"), ("sad", "angry"))
    assert pairing.translate(np.array([0, 1, 2, -1])).tolist() == [1, -1, 0, -1]


def test_two_classes_of_the_corpus_that_mean_the_same_are_refused():
    labels = LabelMap("map.toml", {"calm": "neutral", "bored": "neutral"})
    with pytest.raises(
        CorpusError, match=r"map.toml takes bored, calm for one class, neutral: .*`join\(\)` with `labels`"
    ):
        pair_classes(("neutral", "sad"), ("bored", "calm", "sad"), labels)


def test_less_than_two_shared_classes_are_refused_with_the_way_out():
    with pytest.raises(
        CorpusError, match=r"other.store has the classes joy, sad: expected at least two of those of xlsr53"
    ):
        pair_classes(("happy", "sad"), ("joy", "sad")).check("xlsr53", "other.store")
