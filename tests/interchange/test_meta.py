"""Predictions of ids, with labels, speakers, folds and columns from a second table."""

import csv

import numpy as np
import polars
import pytest

from ser_store.errors import CorpusError
from ser_store.evaluation import evaluate
from ser_store.interchange.import_ import import_file
from ser_store_h5.store import Store

META = "utt_id,emotion,spk,fold,age\na,angry,s1,1,30\nb,sad,s1,1,30\nc,angry,s2,2,41\nd,sad,s2,2,41\n"
SAID = "utterance,m@1\na,angry\nb,angry\nc,angry\nd,sad\n"


@pytest.fixture
def read(tmp_path):
    def read(said=SAID, meta=META, **options):
        (tmp_path / "said.csv").write_text(said, encoding="utf-8")
        (tmp_path / "meta.csv").write_text(meta, encoding="utf-8")
        return import_file(tmp_path / "said.csv", store=tmp_path / "s", meta=tmp_path / "meta.csv", **options)

    return read


def test_labels_speakers_folds_and_columns_are_those_of_the_second_table(read):
    done = read()
    corpus = Store(done.store).corpus
    assert done.created
    assert corpus.classes == ("angry", "sad")
    assert corpus.speakers.tolist() == ["s1", "s1", "s2", "s2"]
    assert corpus.columns["age"].tolist() == [30, 30, 41, 41]
    assert corpus.part_names("fold") == ["fold-1", "fold-2"]
    [one] = evaluate(done.store).members
    assert (one.metrics.correct, one.metrics.n) == (3, 4)
    assert done.understood[0].startswith("meta.csv: label is column 'emotion', utterance is column 'utt_id'")


def test_the_split_of_the_second_table_is_the_default(read):
    done = read(meta="file,label,partition\na.wav,angry,Train\nb.wav,sad,Test\nc.wav,angry,Test\nd.wav,sad,dev\n")
    corpus = Store(done.store).corpus
    assert corpus.default_split == "partition"
    assert corpus.rows("test").tolist() == [1, 2]


def test_who_is_missing_on_either_side_is_said_and_no_figure_counts_them(read):
    done = read(said=SAID + "e,sad\n", meta=META + "f,sad,s3,2,20\n")
    assert "answers about utterances that meta.csv does not list, left out: 1 of 5 utterances, the first 'e'" in (
        done.understood
    )
    assert "utterances of meta.csv without an answer: 1 of 5, the first 'f'" in done.understood
    assert done.n == 4
    corpus = Store(done.store).corpus
    assert len(corpus) == 5
    assert corpus.rows("test").tolist() == [0, 1, 2, 3]
    [one] = evaluate(done.store).members
    assert (one.metrics.correct, one.metrics.n) == (3, 4)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (
            SAID.replace("a,", "x,").replace("b,", "y,").replace("c,", "z,").replace("d,", "w,"),
            "no utterance in common",
        ),
        ("utterance,speaker,m@1\na,S1,angry\nb,s9,sad\n", r"says speaker s9 of 'b', and .*meta\.csv says s1"),
        ("utterance,age,m@1\na,30.0,angry\nc,40,sad\n", r"says age 40 of 'c', and .*meta\.csv says 41"),
        ("utterance,m@1\na,happy\nb,sad\nc,sad\nd,sad\n", r"unknown label 'happy'"),
    ],
)
def test_tables_that_contradict_each_other_are_refused(read, tmp_path, said, message):
    with pytest.raises(CorpusError, match=message):
        read(said=said)
    assert not (tmp_path / "s").exists()


def test_labels_in_both_must_agree(read):
    with pytest.raises(CorpusError, match="utterance b is labelled angry: expected sad"):
        read(said="utterance,label,m@1\na,angry,sad\nb,angry,sad\n", label="label")


def test_a_store_that_is_there_has_its_corpus(read, tmp_path):
    read()
    with pytest.raises(CorpusError, match=r"there is a store at .*: expected `meta` for a new one only; `init\(\)`"):
        read()


def test_representations_make_a_store_too(tmp_path):
    (tmp_path / "meta.csv").write_text(META)
    np.savez(tmp_path / "vectors.npz", ids=list("dcba"), features=np.eye(4))
    done = import_file(tmp_path / "vectors.npz", store=tmp_path / "s", kind="pooled", meta=tmp_path / "meta.csv")
    assert (done.created, done.n) == (True, 4)
    assert Store(done.store).corpus.default_split == "imported"


def test_the_published_logits_in_two_tables_are_those_in_one(published_logits, tmp_path):
    with published_logits.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    table = polars.DataFrame(rows)
    table.select("utterance", "speaker", "fold", "emotion").unique().write_csv(tmp_path / "meta.csv")
    table.drop("speaker", "fold", "emotion").write_csv(tmp_path / "said.csv")
    two = import_file(tmp_path / "said.csv", store=tmp_path / "two", meta=tmp_path / "meta.csv", trained_on="nothing")
    one = import_file(published_logits, store=tmp_path / "one", label="emotion", trained_on="nothing")
    first, second = (evaluate(done.store).to_json()["members"] for done in (one, two))
    assert [member["correct"] for member in second] == [member["correct"] for member in first] == [898, 870, 1180]
    assert [member["ci95"] for member in second] == [member["ci95"] for member in first]
    assert Store(two.store).corpus.digest == Store(one.store).corpus.digest
