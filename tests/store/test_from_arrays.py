"""Stores and members out of what a Python user has at hand."""

import numpy as np
import polars as pl
import pytest

import ser_store as ss
from ser_store_h5.errors import CorpusError, ExistsError, StoreError, UnknownNameError
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.store import Store

IDS, LABELS = ["u3", "u1", "u2", "u4"], ["sad", "happy", "sad", "angry"]
LOGITS = {"u1": [0.0, 3.0, 1.0], "u2": [0.0, 0.5, 2.0], "u3": [1.0, 0.0, 0.2], "u4": [4.0, 1.0, 1.0]}


@pytest.fixture
def store(tmp_path):
    parts = ["test", "train", "test", "train"]
    return Store.create(
        tmp_path / "my.store",
        ids=IDS,
        labels=LABELS,
        speakers=["a", None, "b", "b"],
        splits={"own": parts},
        age=[1, 2, 3, 4],
    )


def test_a_store_of_lists_is_in_order_of_the_ids(store):
    corpus = store.corpus
    assert corpus.ids.tolist() == ["u1", "u2", "u3", "u4"]
    assert [corpus.classes[label] for label in corpus.labels] == ["happy", "sad", "sad", "angry"]
    assert corpus.speakers.tolist() == ["", "b", "a", "b"]
    assert corpus.columns["age"].tolist() == [2, 3, 1, 4]
    assert corpus.parts().tolist() == ["train", "test", "test", "train"]
    assert (corpus.name, corpus.default_split) == ("my", "own")
    assert verify_store(store.path).ok


@pytest.mark.parametrize("kind", ["list", "numpy", "polars", "pandas", "torch"])
def test_every_kind_of_array_gives_the_same(kind, tmp_path):
    names = ["u4", "u2", "u1", "u3"]
    numbers = np.array([LOGITS[name] for name in names], dtype=np.float32)
    labels = [dict(zip(IDS, LABELS, strict=True))[name] for name in names]
    if kind == "list":
        given = (names, labels, numbers.tolist())
    elif kind == "numpy":
        given = (np.array(names), np.array(labels), numbers)
    elif kind == "polars":
        given = (pl.Series(names), pl.Series(labels), pl.DataFrame(numbers))
    elif kind == "pandas":
        pandas = pytest.importorskip("pandas")
        given = (pandas.Series(names), pandas.Series(labels, dtype="category"), pandas.DataFrame(numbers))
    else:
        torch = pytest.importorskip("torch")
        given = (names, labels, torch.tensor(numbers, requires_grad=True))
    store = Store.create(tmp_path / "a.store", ids=given[0], labels=given[1])
    assert store.add("mine", step=100, ids=given[0], logits=given[2]) == "mine@100"
    assert store.logits(["mine"])[0].tolist() == np.array([LOGITS[f"u{n}"] for n in (1, 2, 3, 4)], np.float32).tolist()
    assert ss.evaluate(store, ["mine"]).members[0].metrics.correct == 3


def test_a_member_may_cover_some_utterances_and_hold_representations_alone(store):
    store.add("part", ids=["u4", "u1"], pooled=np.arange(8).reshape(2, 4))
    info = store.describe_member("part")
    assert (info.n, info.pooled, info.can_vote) == (2, (2, 4), False)
    assert store.pooled("part", np.array([0, 3], dtype=np.int32)).tolist() == [[4, 5, 6, 7], [0, 1, 2, 3]]


def test_bfloat16_and_float16_are_stored_as_near_as_can_be(store):
    torch = pytest.importorskip("torch")
    store.add("half", ids=IDS, pooled=torch.ones(4, 2, dtype=torch.float16))
    store.add("brain", ids=IDS, pooled=torch.ones(4, 2, dtype=torch.bfloat16))
    assert store.pooled("half").dtype == np.float16
    assert store.pooled("brain").dtype == np.float32


def test_probabilities_give_the_claimed_log_loss_and_scores_carry_a_caution(store):
    claimed = np.array([[0.5, 0.5, 0.0], [0.25, 0.5, 0.25], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    store.add("sure", ids=["u1", "u2", "u3", "u4"], probabilities=claimed)
    scores = ss.evaluate(store, ["sure"], on="all").members[0].probabilities
    assert scores.log_loss == pytest.approx(-np.log([0.5, 0.25, 1.0, 1.0]).mean(), abs=1e-6)
    store.add("svm", ids=IDS, scores=[LOGITS[name] for name in IDS])
    assert any("svm@0" in caution for caution in ss.evaluate(store, ["svm"], on="all").loss_cautions)


def test_answers_by_name_count_and_no_answer_counts_as_wrong(store):
    store.add("asked", ids=IDS, predicted=["sad", None, "sad", "angry"])
    assert store.predictions(["asked"], on="all")[0].tolist() == [-1, 2, 2, 0]
    assert ss.evaluate(store, ["asked"], on="all").members[0].metrics.correct == 3


def test_what_it_was_trained_on_is_cautioned(store):
    store.add("fitted", ids=IDS, logits=[LOGITS[name] for name in IDS], trained_on="train")
    cautions = ss.evaluate(store, ["fitted"], on="train").cautions
    assert "fitted was trained on 2 of these 2 utterances: its figures are too good" in cautions


GOOD = {"ids": IDS, "logits": [LOGITS[name] for name in IDS]}


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"ids": ["u1", "u1", "u2", "u3"]}, StoreError, "'u1' occurs more than once: expected every utterance once"),
        ({"ids": ["u1", "u2", "u3", "x"]}, UnknownNameError, "1 of 4 utterances are not in this corpus"),
        (
            {"logits": [[1, 2]] * 4},
            StoreError,
            r"logits has shape \(4, 2\): expected \(4, 3\), a row for each id, a column",
        ),
        ({"logits": [["a"] * 3] * 4}, StoreError, "logits holds <U1: expected numbers"),
        ({"logits": [[np.nan] * 3] * 4}, StoreError, "NaN or infinity"),
        ({"predicted": LABELS}, StoreError, "got logits and predicted: expected one of"),
        (
            {"logits": None, "predicted": ["glad"] * 4},
            StoreError,
            "'glad' is none of the classes: expected one of angry",
        ),
        ({"logits": None, "probabilities": [[0.2, 0.2, 0.2]] * 4}, StoreError, "with a sum of 1; other numbers are"),
        ({"logits": None}, StoreError, "holds nothing: expected logits, pooled or predicted"),
        ({"pooled": np.ones(4)}, StoreError, r"pooled has shape \(4,\): expected \(4, hidden\), a row for each id"),
        ({"trained_on": "tset"}, UnknownNameError, "test"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_left(store, wrong, error, message):
    with pytest.raises(error, match=message):
        store.add("mine", **{**GOOD, **wrong})
    assert store.runs() == []


def test_a_member_is_added_once_and_to_a_run_of_its_kind(store):
    store.add("mine", **GOOD)
    with pytest.raises(ExistsError):
        store.add("mine", **GOOD)
    with pytest.raises(StoreError, match="mine holds logits, and this member scores: expected the same"):
        store.add("mine", step=1, ids=IDS, scores=GOOD["logits"])
    assert store.add("mine", step=1, **GOOD) == "mine@1"
    assert store.member_names() == ["mine@0", "mine@1"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ids": ["a", "a"], "labels": ["x", "y"]}, "'a' occurs more than once"),
        ({"ids": ["a", "b"], "labels": ["x"]}, r"labels has shape \(1,\): expected \(2,\), one entry for each id"),
        ({"ids": ["a", "b"], "labels": ["x", None]}, "entry 1 is empty: expected a class for every utterance"),
        (
            {"ids": ["a", "b"], "labels": ["x", "y"], "classes": ["x", "z"]},
            "'y' is none of the classes: expected one of x, z",
        ),
        (
            {"ids": ["a", "b"], "labels": [0, 2], "classes": ["x", "z"]},
            "labels go from 0 to 2: expected indices into 2",
        ),
        ({"ids": ["a", "b"], "labels": ["x", "y"], "speakers": ["s"]}, "speakers has shape"),
    ],
)
def test_a_corpus_that_contradicts_itself_is_refused(tmp_path, wrong, message):
    with pytest.raises(CorpusError, match=message):
        Store.create(tmp_path / "a.store", **wrong)
    assert not (tmp_path / "a.store").exists()


def test_whole_numbers_may_name_utterances_and_classes(tmp_path):
    store = Store.create(tmp_path / "a.store", ids=[10, 2], labels=[3, 11], speakers=[1.0, float("nan")])
    assert store.corpus.ids.tolist() == ["10", "2"]
    assert store.corpus.classes == ("3", "11")
    assert store.corpus.speakers.tolist() == ["1", ""]
