"""The table of train corpus by test corpus equals a plain computation with scikit-learn."""

import numpy as np
import pytest
from corpora_samples import make_store
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import ser_store as ss

WEST, EAST = ("angry", "calm", "happy", "sad"), ("angry", "happy", "sad", "tense")
SHARED = ("angry", "happy", "sad")
MAP = 'angry = ["ANG"]\nhappy = "joy"\n'


@pytest.fixture
def stores(tmp_path):
    east = {"angry": "ANG", "happy": "joy"}
    return [
        make_store(tmp_path / "west.store", WEST, seed=2, prefix="w"),
        make_store(tmp_path / "east.store", EAST, seed=3, prefix="e", rename=east),
    ]


@pytest.fixture
def labels(tmp_path):
    (tmp_path / "map.toml").write_text(MAP)
    return tmp_path / "map.toml"


def load(store, normalise="train"):
    """Features, names and speakers of the utterances of shared classes."""
    corpus, back = store.corpus, {"ANG": "angry", "joy": "happy"}
    names = np.array([back.get(corpus.classes[label], corpus.classes[label]) for label in corpus.labels])
    features, speakers = store.pooled("feat").astype(np.float64), corpus.speakers
    if normalise == "speaker":
        for one in set(speakers.tolist()):
            own = features[speakers == one]
            features[speakers == one] = (own - own.mean(axis=0)) / own.std(axis=0)
    kept = np.isin(names, SHARED)
    return features[kept], names[kept], speakers[kept], corpus.labels[kept]


def fit(features, names):
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000, random_state=42)).fit(
        features, names
    )


@pytest.mark.parametrize("normalise", ["train", "speaker"])
def test_every_pair_is_what_scikit_learn_computes(stores, labels, normalise):
    crossed = ss.cross(stores, source="feat", kind="logreg", normalise=normalise, labels=labels)
    assert crossed.classes == SHARED
    found = {(one.train, one.test): one for one in crossed.pairs}
    loaded = {store.corpus.name: load(store, normalise) for store in stores}
    for (train, test), one in found.items():
        features, names, speakers, codes = loaded[test]
        if train != test:
            said = fit(*loaded[train][:2]).predict(features)
        else:
            said = np.empty_like(names)
            folds = StratifiedGroupKFold(5, shuffle=True, random_state=42).split(features, codes, speakers)
            for own, scored in folds:
                said[scored] = fit(features[own], names[own]).predict(features[scored])
        assert one.n == len(names)
        assert one.accuracy == pytest.approx(accuracy_score(names, said))
        assert one.balanced_accuracy == pytest.approx(balanced_accuracy_score(names, said))
        assert one.interval.low <= one.accuracy <= one.interval.high
        assert one.interval.n_groups == 6
        assert any("standardised by speaker" in line for line in one.cautions) == (normalise == "speaker")


def test_by_a_split_heads_learn_from_its_training_part_and_are_judged_on_its_test_part(tmp_path):
    def halves(n):
        return {"half": np.where(np.arange(n) % 6 < 3, "train", "test")}

    west, east = (
        make_store(tmp_path / f"{name}.store", SHARED, seed=seed, prefix=name, splits=halves)
        for name, seed in (("w", 2), ("e", 3))
    )
    crossed = ss.cross([west, east], source="feat", split="half")
    for one in crossed.pairs:
        here, there = (west if name == "w" else east for name in (one.train, one.test))
        train, test = here.corpus.rows("train"), there.corpus.rows("test")
        fitted = fit(here.pooled("feat", train).astype(np.float64), here.corpus.labels[train])
        said = fitted.predict(there.pooled("feat", test).astype(np.float64))
        assert one.n == 60
        assert one.accuracy == pytest.approx(accuracy_score(there.corpus.labels[test], said))


def test_where_labels_are_permuted_a_head_is_at_chance_in_the_other_corpus(tmp_path):
    west = make_store(tmp_path / "west.store", SHARED, seed=2, n=600, prefix="w", permuted=True)
    east = make_store(tmp_path / "east.store", SHARED, seed=3, n=600, prefix="e")
    found = {(one.train, one.test): one.balanced_accuracy for one in ss.cross([west, east], source="feat").pairs}
    assert found["east", "east"] > 0.7
    assert abs(found["east", "west"] - 1 / 3) < 0.08
    assert abs(found["west", "west"] - 1 / 3) < 0.08


def test_utterances_and_speakers_that_both_corpora_have_are_said(tmp_path):
    west = make_store(tmp_path / "west.store", SHARED, seed=2, n=120)
    east = make_store(tmp_path / "east.store", SHARED, seed=2, n=150)
    one = next(one for one in ss.cross([west, east], source="feat").pairs if (one.train, one.test) == ("west", "east"))
    assert any("was trained on 120 of these 150 utterances" in line for line in one.cautions)
    assert any("trained on speakers that are called as 6 of this corpus" in line for line in one.cautions)


def test_what_answers_one_class_only_is_said(tmp_path):
    west = make_store(tmp_path / "west.store", SHARED, seed=2, prefix="w")
    east = make_store(tmp_path / "east.store", SHARED, seed=3, prefix="e")
    pooled = west.pooled("feat") + 100
    west.remove("feat@0")
    west.write_member(ss.Member("feat", 0, np.arange(120), pooled=pooled, provenance={"model_digest": "one"}))
    one = next(one for one in ss.cross([west, east], source="feat").pairs if (one.train, one.test) == ("west", "east"))
    assert any(line.startswith("feat-logreg predicts one class only, ") for line in one.cautions)
    assert one.balanced_accuracy == pytest.approx(1 / 3)


def test_the_document_has_the_fields_of_the_contract(stores, labels):
    document = ss.cross(stores, source="feat", labels=labels).to_json()
    assert document.keys() == {"classes", "rows"}
    assert len(document["rows"]) == 4
    fields = {"train", "test", "member", "n", "accuracy", "balanced_accuracy", "ci95", "cautions"}
    assert all(row.keys() == fields for row in document["rows"])


def test_what_cannot_be_crossed_is_refused_in_one_line(stores, labels, tmp_path):
    with pytest.raises(
        ss.CorpusError, match=r"share 1 class: west has .*; east has .*: expected at least two; `labels`"
    ):
        ss.cross(stores, source="feat")
    with pytest.raises(ss.StoreError, match="got neither of `source` and `model`"):
        ss.cross(stores, labels=labels)
    with pytest.raises(ss.StoreError, match="`kind` with `model`: expected it of the other way"):
        ss.cross(stores, model="feat", kind="lda", labels=labels)
    with pytest.raises(ss.StoreError, match="expected two or more different ones"):
        ss.cross(stores[:1], source="feat")
    with pytest.raises(ss.UnknownNameError, match="unknown member 'feet'"):
        ss.cross(stores, source="feet", labels=labels)
    other = make_store(tmp_path / "other.store", WEST, seed=4, digest="two")
    with pytest.raises(ss.StoreError, match="is from other model weights than feat@0 in "):
        ss.cross([stores[0], other], source="feat")
    with pytest.raises(ss.UnknownNameError, match="unknown split 'paper'"):
        ss.cross(stores, source="feat", labels=labels, split="paper")


def test_in_another_store_all_recordings_are_meant_where_the_model_learned_from_none(tmp_path, serstore):
    west = make_store(tmp_path / "west.store", WEST, seed=2, prefix="w")
    own = {"splits": lambda n: {"own": ["train", "test"] * (n // 2)}}
    east = make_store(tmp_path / "east.store", ("angry", "happy", "sad"), seed=3, prefix="e", **own)
    ss.head(west, "feat", kind="lda", cv="speaker", keep=True)
    words = ("evaluate", "feat-lda", "--store", west.path, "--in", east.path, "--json")
    assert ss.apply(west, "feat-lda", east).heard == 0
    assert serstore(*words).json["on"] == "all"
    assert serstore(*words, "--split", "own").json["on"] == "test"
    assert serstore(*words, "--on", "test").json["on"] == "test"


def test_kept_heads_of_both_corpora_are_crossed_and_cached(tmp_path):
    stores = [
        make_store(tmp_path / "west.store", WEST, seed=2, prefix="w"),
        make_store(tmp_path / "east.store", ("angry", "happy", "sad"), seed=3, prefix="e"),
    ]
    for store in stores:
        ss.head(store, "feat", kind="lda", cv="speaker", keep=True)
    crossed = ss.cross(stores, model="feat-lda")
    found = {(one.train, one.test): one for one in crossed.pairs}
    assert found["west", "east"].member == "feat-lda-from-west@0"
    assert all(one.balanced_accuracy > 0.6 for one in crossed.pairs)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("step-*.h5")}
    again = ss.cross(stores, model="feat-lda")
    assert again.pairs == crossed.pairs
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("step-*.h5")} == written
