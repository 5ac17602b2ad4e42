"""One store of several: everybody's utterances, kept apart, with what the same models said of them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from corpora_samples import make_store

import ser_store as ss
from ser_store.corpora.splits.fitted import find_fitted
from ser_store.metrics import softmax
from ser_store_h5.fitted import KEY, Fitted
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord

WEST, EAST = ("angry", "calm", "happy"), ("angry", "sad")


def halves(n):
    return {"half": np.where(np.arange(n) % 6 < 3, "train", "test")}


def pair(tmp_path, **both):
    return [
        make_store(tmp_path / "west.store", WEST, seed=2, n=50, splits=halves, **both),
        make_store(tmp_path / "east.store", EAST, seed=3, n=40, splits=halves, **both),
    ]


def find_rows(joined, name):
    """The rows of one corpus, in the order of its own ids."""
    return np.flatnonzero(joined.corpus.columns["corpus"] == name)


def test_ids_and_speakers_that_both_have_are_kept_apart_and_others_stay(tmp_path):
    west, east = pair(tmp_path)
    done = ss.join([west, east], tmp_path / "both.store")
    corpus = done.store.corpus
    assert len(corpus) == 90
    assert corpus.ids[find_rows(done.store, "east")].tolist() == [f"east-{n:03}" for n in range(40)]
    assert corpus.ids[find_rows(done.store, "west")].tolist() == [
        *(f"0{n}" for n in range(40, 50)),
        *(f"west-{n:03}" for n in range(40)),
    ]
    assert corpus.known_speakers == sorted(f"{name}-s{n}" for name in ("west", "east") for n in range(6))
    assert any("40 ids are in several corpora, and are kept apart" in line for line in done.notes)
    assert any("6 speakers are in several corpora" in line for line in done.notes)


def test_every_utterance_keeps_its_label_its_parts_and_its_representation(tmp_path):
    west, east = (
        make_store(tmp_path / f"{name}.store", classes, seed=seed, n=n, prefix=name, splits=halves, layers=(1, 4))
        for name, classes, seed, n in (("w", WEST, 2, 50), ("e", EAST, 3, 40))
    )
    done = ss.join([west, east], tmp_path / "both.store")
    corpus = done.store.corpus
    assert corpus.classes == ("angry", "calm", "happy", "sad")
    assert corpus.default_split == "half"
    assert done.members == ("feat@0",)
    assert done.store.describe_member("feat").layers == (1, 4)
    for store in (west, east):
        rows = corpus.find(store.corpus.ids.tolist())
        labels = [corpus.classes[label] for label in corpus.labels[rows]]
        assert labels == [store.corpus.classes[label] for label in store.corpus.labels]
        assert (corpus.splits["half"][rows] == store.corpus.splits["half"]).all()
        assert (corpus.speakers[rows] == store.corpus.speakers).all()
        for layer in (1, 4):
            np.testing.assert_array_equal(
                done.store.pooled("feat", rows, layer=layer), store.pooled("feat", on="all", layer=layer)
            )
        assert len(set(corpus.splits["corpus"][rows].tolist())) == 1
    assert ss.verify_store(done.store).ok


def test_one_corpus_after_the_other_is_left_out(tmp_path):
    done = ss.join(pair(tmp_path), tmp_path / "both.store")
    ss.head(done.store, "feat", kind="lda", cv="corpus")
    fitted = find_fitted(done.store, "feat-lda")
    east, west = (find_rows(done.store, name) for name in ("east", "west"))
    assert fitted.learned[fitted.scored_by[east[0]]][west].all()
    assert not fitted.learned[fitted.scored_by[east[0]]][east].any()


def test_a_label_map_unites_and_drops_classes(tmp_path):
    stores = pair(tmp_path)
    (tmp_path / "map.toml").write_text('angry = []\nrest = ["calm", "sad"]\ndrop = "rest"\n')
    done = ss.join(stores, tmp_path / "both.store", labels=tmp_path / "map.toml")
    corpus = done.store.corpus
    assert corpus.classes == ("angry", "rest")
    kept = sum(
        int(np.isin(np.array(one.corpus.classes)[one.corpus.labels], ("angry", "calm", "sad")).sum()) for one in stores
    )
    assert len(corpus) == kept == len(done.store.covered("feat"))
    own = find_rows(done.store, "west")
    rows = stores[0].corpus.find([name.removeprefix("west-") for name in corpus.ids[own].tolist()])
    np.testing.assert_array_equal(done.store.pooled("feat", own), stores[0].pooled("feat", rows))
    assert any("labels dropped by" in line and "happy" in line for line in done.notes)


def test_one_store_alone_gets_other_classes_with_the_logits_of_its_model(tmp_path):
    store = make_store(tmp_path / "one.store", WEST, seed=2, n=30)
    logits = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    store.add_run(RunRecord("net", "finetune", "tiny", details={KEY: Fitted.on_rows(np.arange(9), 30).to_json()}))
    provenance = {"model_digest": "net"}
    store.write_member(Member("net", 7, np.arange(30, dtype=np.int32), logits=logits, provenance=provenance))
    (tmp_path / "map.toml").write_text('low = ["calm", "happy"]\n')
    done = ss.join(store, tmp_path / "new.store", labels=tmp_path / "map.toml")
    assert done.store.corpus.classes == ("angry", "low")
    assert done.members == ("feat@0", "net@7")
    expected = softmax(logits)
    np.testing.assert_allclose(
        softmax(done.store.logits(["net"], done.store.corpus.rows("all"))[0]),
        np.stack([expected[:, 0], expected[:, 1:].sum(axis=1)], axis=1),
        atol=1e-6,
    )
    assert find_fitted(done.store, "net").learned.sum() == 9


def test_what_is_not_of_one_model_is_left_out_and_said(tmp_path):
    west, east = pair(tmp_path)
    for store in (west, east):
        ids = store.corpus.ids
        store.add("mine", ids=ids, predicted=["angry"] * len(ids))
        ss.head(store, "feat", kind="lda", cv="speaker")
        store.add_run(RunRecord("other", "frozen", "mine"))
        rows, pooled = np.arange(len(ids), dtype=np.int32), np.zeros((len(ids), 2), np.float32)
        store.write_member(Member("other", 0, rows, pooled=pooled, provenance={"model_digest": store.corpus.name}))
    west.add("alone", ids=west.corpus.ids, predicted=["angry"] * 50)
    done = ss.join([west, east], tmp_path / "both.store")
    assert done.members == ("feat@0",)
    assert done.left_out == {
        "alone@0": "not in every store",
        "feat-lda@0": "made in each store by itself",
        "mine@0": "answers of models that say not which they are",
        "other@0": "of different models",
    }
    assert "left out, of different models: other@0" in str(done)


def test_columns_of_one_corpus_are_empty_in_the_other(tmp_path):
    west = ss.Store.create(tmp_path / "w", ids=["a", "b"], labels=["x", "y"], age=[30, 40], sex=["f", "m"], n=[1, 2])
    east = ss.Store.create(tmp_path / "e", ids=["c", "d"], labels=["x", "z"], sex=[1, 2], n=[3, 4])
    columns = ss.join([west, east], tmp_path / "both.store").store.corpus.columns
    assert columns["sex"].tolist() == ["f", "m", "1", "2"]
    assert columns["n"].dtype == np.int64
    assert columns["age"].tolist()[:2] == [30, 40]
    assert np.isnan(columns["age"][2:]).all()
    assert columns["corpus"].tolist() == ["w", "w", "e", "e"]


def test_three_corpora_joined_one_after_the_other_are_those_joined_at_once(tmp_path):
    stores = [
        make_store(tmp_path / f"{name}.store", WEST, seed=seed, n=20, prefix=name)
        for seed, name in enumerate(("p", "q", "r"))
    ]
    both = ss.join(stores[:2], tmp_path / "both.store").store
    after, once = (
        ss.join([both, stores[2]], tmp_path / "x" / "all.store"),
        ss.join(stores, tmp_path / "y" / "all.store"),
    )
    for one in ("ids", "labels", "speakers"):
        assert getattr(after.store.corpus, one).tolist() == getattr(once.store.corpus, one).tolist()
    assert after.store.corpus.splits["corpus"].tolist() == once.store.corpus.splits["corpus"].tolist()
    np.testing.assert_array_equal(after.store.pooled("feat", on="all"), once.store.pooled("feat", on="all"))


def test_what_cannot_be_joined_is_refused_in_one_line(tmp_path):
    west, east = pair(tmp_path)
    with pytest.raises(ss.StoreError, match=r"west.store alone: expected several stores, or one with `labels`"):
        ss.join(west, tmp_path / "both.store")
    with pytest.raises(ss.StoreError, match="expected different ones, and another folder for all"):
        ss.join([west, east], west.path)
    with pytest.raises(ss.StoreError, match="expected different ones"):
        ss.join([west, west], tmp_path / "both.store")
    (tmp_path / "map.toml").write_text('angry = "calm"\nhappy = []\ndrop = "rest"\n')
    ss.Store.create(tmp_path / "north.store", ids=["x", "y"], labels=["sad", "glad"])
    with pytest.raises(ss.CorpusError, match="none of the utterances of north is left"):
        ss.join([west, tmp_path / "north.store"], tmp_path / "both.store", labels=tmp_path / "map.toml")
    assert not (tmp_path / "both.store").exists()
    ss.join([west, east], tmp_path / "both.store")
    with pytest.raises(ss.StoreError, match=r"both.store holds another corpus"):
        ss.join([west, tmp_path / "north.store"], tmp_path / "both.store")


def test_killed_at_any_flush_it_leaves_a_valid_store_and_goes_on(tmp_path):
    pair(tmp_path, layers=(1, 4))
    script = Path(__file__).with_name("killed_joins.py")
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) >= 6
    assert {state for _, state, _ in lines} == {"begun", "none"}
