"""Heads that are fitted on several versions of each utterance, and score their mean."""

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

import ser_store as ss
from ser_store.errors import StoreError

N, CLASSES, SPEAKERS = 96, 3, 8


@pytest.fixture
def store(tmp_path):
    """Three versions of utterances that tell their classes weakly, and one of another width."""
    draw, labels = np.random.default_rng(3), np.arange(N) // SPEAKERS % CLASSES
    ids = [f"u{place:02}" for place in range(N)]
    speakers = [f"s{place % SPEAKERS}" for place in range(N)]
    store = ss.Store.create(tmp_path / "a.store", ids=ids, labels=[f"c{label}" for label in labels], speakers=speakers)
    base = draw.normal(size=(N, 4)) + np.eye(CLASSES, 4)[labels]
    for run in ("plain", "slow", "fast"):
        store.add(run, ids=ids, pooled=(base + draw.normal(size=(N, 4))).astype(np.float32), trained_on="nothing")
    store.add("wide", ids=ids, pooled=np.zeros((N, 5), dtype=np.float32))
    return store


@pytest.mark.parametrize("normalise", ["train", "speaker"])
def test_scores_are_those_of_scikit_learn_on_all_versions(normalise, store):
    made = ss.head(store, "plain", kind="lda", augment=["slow", "fast"], cv="speaker", folds=4, normalise=normalise)
    assert made[0].member == f"plain-lda-augmented{'-by-speaker' * (normalise == 'speaker')}@0"
    labels, speakers = store.corpus.labels, store.corpus.speakers
    versions = [store.pooled(run, np.arange(N)).astype(np.float64) for run in ("plain", "slow", "fast")]
    if normalise == "speaker":
        for version in versions:
            for speaker in np.unique(speakers):
                own = speakers == speaker
                version[own] = StandardScaler().fit_transform(version[own])
    plain = ss.head(store, "plain", kind="lda", cv="speaker", folds=4, run="unaugmented")[0].member
    fitted = store.run(made[0].member.partition("@")[0]).details["fitted"]
    assert fitted == store.run(plain.partition("@")[0]).details["fitted"]
    said = store.logits([made[0].member])[0]
    for scored in _list_folds(store, folds=4):
        train = np.setdiff1d(np.arange(N), scored)
        rows = np.concatenate([version[train] for version in versions])
        scaler = StandardScaler().fit(rows)
        lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        lda.fit(scaler.transform(rows), np.tile(labels[train], 3))
        mean = np.mean([lda.predict_log_proba(scaler.transform(version[scored])) for version in versions], axis=0)
        expected = mean - np.log(np.exp(mean).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(said[scored], expected, atol=1e-4)


def _list_folds(store, *, folds):
    from ser_store.heads.folds import cross_validate

    return [scored for _, scored in cross_validate(store.corpus, np.arange(N), "speaker", folds=folds, seed=42)]


def test_no_version_of_an_utterance_that_is_scored_is_fitted_on(tmp_path):
    draw, ids = np.random.default_rng(0), [f"u{place:03}" for place in range(240)]
    labels = draw.choice(["a", "b", "c", "d"], size=240)
    speakers = [f"s{place % 12}" for place in range(240)]
    store = ss.Store.create(tmp_path / "noise.store", ids=ids, labels=list(labels), speakers=speakers)
    noise = draw.normal(size=(240, 8)).astype(np.float32)
    for run in ("plain", "copy"):
        store.add(run, ids=ids, pooled=noise)
    nearest = KNeighborsClassifier(1)
    made = ss.head(store, "plain", estimator=nearest, augment="copy", cv="speaker", run="nearest")
    assert ss.evaluate(store, made[0].member, on="all").records()[0]["accuracy"] < 0.4


def test_tuning_and_pools_take_them_and_the_record_says_so(store, serstore):
    given = ("--from", "plain", "--augment", "slow", "--cv", "speaker", "--folds", 3, "--store", store.path)
    done = serstore("head", "--kind", "lda", "--tune", "--run", "tuned", *given)
    assert done.code == 0
    assert store.run("tuned").details["augment"] == ["slow@0"]
    again = serstore("head", "--kind", "lda", "--tune", "--run", "tuned", *given[:2], *given[4:])
    assert (again.code, "fitted with augment ['slow@0']" in again.err) == (1, True)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"augment": "wide"}, "`augment` wide holds what another model, layer or statistic gives than plain@0"),
        ({"augment": "slow", "keep": True}, "`augment` with `keep`: expected one source, of which no head is kept"),
        ({"augment": "slow", "sources": ["plain", "fast"]}, "`augment` with 2 sources (plain, fast)"),
    ],
)
def test_what_does_not_belong_together_is_refused(given, said, store):
    with pytest.raises(StoreError) as refused:
        ss.head(store, **{"sources": "plain", "cv": "speaker", **given})
    assert str(refused.value).startswith(said)
