"""Classes of which a training learns nothing are named before it, in its record and in its result."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from ser_store.corpora.splits.train_eval_rows import choose_train_eval_rows
from ser_store.training.run_record import list_class_gaps
from ser_store_h5.corpus import Corpus
from ser_store_h5.store import Store


def make_corpus(**parts):
    """The classes a, b and c; each part as the letters of its utterances."""
    labels = "".join(parts.values())
    split = np.array([name.replace("_", "-") for name, letters in parts.items() for _ in letters])
    ids = np.array([f"u{place:03}" for place in range(len(labels))])
    numbers = np.array(["abc".index(letter) for letter in labels], dtype=np.int16)
    return Corpus(name="c", ids=ids, labels=numbers, classes=("a", "b", "c"), splits={"s": split}, default_split="s")


ABSENT = "no training utterance is {}: the model cannot learn to answer so"
FEW = "classes of fewer than 5 training utterances, from which little is learned: "


@pytest.mark.parametrize(
    ("parts", "fold", "expected"),
    [
        ({"train": "aaaaabbbbbccccc", "test": "abc"}, None, []),
        ({"train": "aaaaabbbbb", "test": "abc"}, None, [ABSENT.format("c")]),
        ({"train": "aaaaa", "test": "abc"}, None, [ABSENT.format("b or c")]),
        ({"train": "aaaaabbbbc", "test": "abc"}, None, [f"{FEW}b 4, c 1"]),
        ({"train": "aabbcc", "test": "abc"}, None, []),
        # The part that the curves are of is valid, where there is one.
        ({"train": "aaaaabbbbbccccc", "valid": "ab", "test": "abc"}, None,
         ["no utterance of valid is c: its figures say nothing of that"]),
        ({"train": "aaaaabbbbbccccc", "valid": "abc", "test": "a"}, None, []),
        ({"fold_1": "aaaaabbbbb", "fold_2": "aaaaabbbbb", "fold_3": "ccccc"}, 3,
         [ABSENT.format("c"),
          "no utterance of fold-3 is a or b: its figures say nothing of that"]),
    ],
)  # fmt: skip
def test_each_gap_of_a_split_is_one_line(parts, fold, expected):
    corpus = make_corpus(**parts)
    assert list(list_class_gaps(corpus, choose_train_eval_rows(corpus, fold=fold))) == expected


def test_a_class_without_training_utterances_is_said_and_trained_without(empty, serstore, tmp_path):
    store = Store(shutil.copytree(empty, tmp_path / "speech.store"))
    corpus = store.corpus
    calm = corpus.labels == corpus.classes.index("calm")
    split = np.where((corpus.splits["speaker"] == "train") & calm, "test", corpus.splits["speaker"])
    store.update_corpus(replace(corpus, splits={"odd": split}, default_split="odd"))
    ended = serstore("finetune", "--model", "tiny-hubert", "--max-steps", 1, "--json", "--store", store.path)
    assert ended.code == 0, ended.err
    (absent,) = ended.json["cautions"]
    assert absent == ABSENT.format("calm")
    assert f"serstore: caution: tiny-hubert: {absent}\n" in ended.err
    assert store.run("tiny-hubert").details["cautions"] == [absent]
