"""The audit of a whole store: what the leaks are worth."""

from dataclasses import replace

import numpy as np
import pytest

from ser_store.evaluation.audit import audit
from ser_store_h5.corpus import Corpus
from ser_store_h5.errors import IntegrityError
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


@pytest.fixture
def store(tmp_path):
    """Ten speakers, forty utterances each; of the last eight, in test, the first four have their twin in train."""
    n = 400
    place = np.arange(n) % 40
    corpus = Corpus(
        name="x",
        ids=np.array([f"u{i:03}" for i in range(n)]),
        labels=(np.arange(n) % 2).astype(np.int16),
        classes=("a", "b"),
        speakers=np.repeat([f"s{i}" for i in range(10)], 40),
        columns={"statement": np.where(place < 36, place % 32, place), "repetition": np.where(place < 32, 1, 2)},
    ).with_split("mine", np.where(place < 32, "train", "test"))
    store = Store.create(tmp_path / "x.store", corpus)
    rows = corpus.rows("test")
    leaked = (rows % 40) < 36
    for run, right, split in (("learnt", leaked, "mine"), ("elsewhere", leaked, "other"), ("all", rows >= 0, None)):
        store.add_run(RunRecord(run, "import", "x", details={"split": split}))
        predicted = np.where(right, corpus.labels[rows], 1 - corpus.labels[rows]).astype(np.int16)
        store.write_member(Member(run, 1, rows, predicted=predicted))
    return store


def test_the_damage_of_twins_is_a_number_for_every_member_of_the_split(store):
    document = audit(store.path).to_json()
    assert document["test_with_twin_in_train"] == 40
    by_member = {effect["member"]: effect for effect in document["leakage"]}
    assert sorted(by_member) == ["all@1", "learnt@1"]
    effect = by_member["learnt@1"]
    assert (effect["kind"], effect["leaked"]["n"], effect["clean"]["n"]) == ("twin", 40, 40)
    assert (effect["leaked"]["accuracy"], effect["clean"]["accuracy"], effect["difference"]) == (1.0, 0.0, 1.0)
    assert effect["verdict"] == "higher"
    assert by_member["all@1"]["verdict"] == "cannot tell"


def test_it_is_printed(store, serstore):
    out = serstore("audit", "--store", store.path).out
    assert "what the leaks are worth" in out
    assert "same twin in train" in out


def test_what_to_beware_of_is_in_the_document_and_on_stderr(store, serstore):
    outcome = serstore("audit", "--store", store.path, "--json")
    (line,) = outcome.json["cautions"]
    assert line.startswith("split mine: of the speakers, 10 of 10 of test are in train too: figures are of voices that")
    assert outcome.err == f"serstore: caution: {line}\n"
    assert audit(store.path).cautions == (line.replace("--split", "`split`"),)


def test_recordings_that_are_not_looked_at_are_not_left_out_in_silence(tmp_path):
    paths = np.array(["a.wav", "b.wav"])
    corpus = Corpus("x", np.array(["a", "b"]), np.array([0, 1], dtype=np.int16), ("sad", "happy"), paths=paths)
    assert "the store does not say where they are; expected their folder as `audio`" in look(tmp_path / "1", corpus)
    moved = replace(corpus, audio_root=str(tmp_path / "gone"))
    assert f"{tmp_path / 'gone'} is not here; expected their folder as `audio`" in look(tmp_path / "2", moved)
    assert not look(tmp_path / "3", replace(corpus, paths=None))


def look(path, corpus):
    """What an audit says of recordings."""
    return "".join(one for one in audit(Store.create(path, corpus)).cautions if one.startswith("the recordings"))


def test_members_that_cover_not_all_test_utterances_are_left_out(store):
    corpus = store.corpus
    store.add_run(RunRecord("part", "import", "x"))
    rows = corpus.rows("test")[:5]
    store.write_member(Member("part", 1, rows, predicted=corpus.labels[rows]))
    assert {effect.member for effect in audit(store.path).leak_effects} == {"learnt@1", "all@1"}


def test_a_damaged_member_is_not_left_out_in_silence(store):
    file = store.member_path("learnt", 1)
    content = bytearray(file.read_bytes())
    place = content.index(store.predictions(["learnt@1"], store.corpus.rows("test"))[0].tobytes())
    content[place] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(IntegrityError, match=r"step-000001\.h5"):
        audit(store.path)
