"""Heads on cached representations, by the library and by the command."""

import numpy as np
import pytest

import ser_store as ss
from ser_store.errors import CorpusError, UnknownNameError
from ser_store.evaluation.score_kinds import find_kind
from ser_store.heads.classifiers import HEADS
from ser_store.heads.heads import head
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

N = 120
DECISIONS = ("svm", "linear-svm", "ridge")


@pytest.fixture
def store(tmp_path):
    """Six speakers of twenty utterances of two classes, told apart by a frozen run's representations."""
    rng = np.random.default_rng(7)
    labels = (np.arange(N) // 6 % 2).astype(np.int16)
    speakers = np.array([f"s{place % 6}" for place in range(N)])
    corpus = Corpus(
        name="made",
        ids=np.array([f"u{place:03}" for place in range(N)]),
        labels=labels,
        classes=("a", "b"),
        speakers=speakers,
        splits={"apart": np.where(speakers < "s2", "test", "train")},
        default_split="apart",
    )
    made = Store.create(tmp_path / "made.store", corpus)
    made.add_run(RunRecord("frozen", "frozen", "mfcc"))
    pooled = rng.normal(size=(N, 5)).astype(np.float32) + labels[:, None]
    made.write_member(Member("frozen", 0, np.arange(N, dtype=np.int32), pooled=pooled))
    return made


def damage(store, run):
    (store.path / "runs" / run).mkdir()
    (store.path / "runs" / run / "run.json").write_text("{")


@pytest.mark.parametrize("kind", HEADS)
def test_every_kind_scores_whom_it_was_not_fitted_on_and_says_what_its_scores_are(store, kind):
    fitted = head(store, "frozen", kind=kind)[0]
    assert (fitted.member, fitted.n_train, fitted.n_scored) == (f"frozen-{kind}@0", 80, 40)
    logits = store.logits([fitted.member])[0]
    assert (logits.argmax(axis=1) == store.corpus.labels[store.corpus.rows("test")]).mean() > 0.75
    sums = np.exp(logits).sum(axis=1)
    assert (np.allclose(sums, 1, atol=1e-5)) == (kind not in DECISIONS)
    assert find_kind(store, f"frozen-{kind}") == ("scores" if kind in (*DECISIONS, "knn") else "log-probabilities")


def test_principal_components_are_those_of_the_training_utterances_alone(store):
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    corpus, pooled = store.corpus, store.read_member("frozen@0").pooled.astype(np.float64)
    train, test = corpus.rows("train"), corpus.rows("test")
    for components, name in ((2, "frozen-logreg-pca2"), (0.7, "frozen-logreg-pca0.7")):
        assert head(store, "frozen", pca=components)[0].member == f"{name}@0"
        plain = make_pipeline(StandardScaler(), PCA(components), LogisticRegression(C=0.1, max_iter=2000))
        expected = plain.fit(pooled[train], corpus.labels[train]).predict_log_proba(pooled[test])
        assert np.allclose(store.logits([name])[0], expected, atol=1e-5)
        assert store.run(name).details["pca"] == components


def test_out_of_fold_everybody_is_scored_once(store):
    fitted = head(store, "frozen", cv="speaker", folds=3)[0]
    assert (fitted.n_train, fitted.n_scored) == (80, N)


def test_a_head_that_cannot_be_is_refused(store):
    with pytest.raises(UnknownNameError, match="unknown head 'lad': expected one of lda"):
        head(store, "frozen", kind="lad")
    alone = np.where(store.corpus.labels == 0, "train", "test")
    store.update_corpus(store.corpus.with_split("alone", alone))
    with pytest.raises(CorpusError, match="have none labelled b: expected some of every class"):
        head(Store(store.path), "frozen", split="alone")


def test_the_document_has_the_figures_of_the_members_that_were_made(store, serstore):
    document = serstore("head", "--kind", "lda", "--json", "--store", store.path).json
    assert document["heads"][0]["member"] == "frozen-lda@0"
    evaluated = serstore("evaluate", "frozen-lda", "--json", "--store", store.path).json
    assert {name: document[name] for name in evaluated} == evaluated


def test_log_loss_of_what_is_no_probability_is_warned_of_where_it_is_shown(store, serstore):
    table = serstore("head", "--kind", "svm", "--store", store.path)
    assert "log-loss" not in table.out + table.err
    assert "log-loss" not in serstore("evaluate", "--store", store.path).err
    assert "log-loss, Brier score" in serstore("evaluate", "frozen-svm", "--store", store.path).err
    document = serstore("evaluate", "--json", "--store", store.path)
    assert "log-loss, Brier score" in document.err
    assert [line for line in document.json["cautions"] if "log-loss, Brier score" in line]


def test_a_damaged_run_is_left_out_unless_it_is_named(store, serstore):
    damage(store, "broken")
    assert [one.source for one in head(store, kind="lda")] == ["frozen@0"]
    outcome = serstore("head", "--kind", "knn", "--store", store.path)
    assert outcome.code == 0
    assert "serstore: caution: left out, since it cannot be read (`serstore ls` says why): broken\n" in outcome.err
    assert serstore("head", "--from", "broken", "--store", store.path).code == 1


def test_the_seed_is_that_of_an_estimator_which_has_none_of_its_own(store):
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    unseeded = MLPClassifier((4,), max_iter=5)
    said = [
        store.logits([head(store, "frozen", estimator=one, run=run, seed=seed)[0].member])[0].tolist()
        for run, one, seed in (
            ("first", unseeded, 1),
            ("again", make_pipeline(StandardScaler(), unseeded), 1),
            ("other", unseeded, 2),
            ("given", MLPClassifier((4,), max_iter=5, random_state=1), 2),
        )
    ]
    assert said[0] == said[3] != said[2]
    np.testing.assert_allclose(said[1], said[0], atol=1e-3)  # a pipeline is fitted in double precision
    assert unseeded.random_state is None
    assert store.run("first").details["estimator"]["parameters"]["random_state"] == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"folds": 1, "cv": "speaker"}, ss.StoreError, "`folds` is 1: expected a whole number from 2 on"),
        ({"folds": "5"}, ss.StoreError, "`folds` is '5'"),
        ({"seed": 1.5}, ss.StoreError, "`seed` is 1.5: expected a whole number from 0 on"),
        ({"cv": "speakr"}, ss.UnknownNameError, r"unknown cross-validation 'speakr': expected one of speaker"),
        ({"kind": "svn"}, ss.UnknownNameError, r"unknown head 'svn': expected one of svm \(nearest\)"),
        ({"kind": "svm", "estimator": 3}, ss.StoreError, "got `kind` svm and an `estimator`"),
        ({"folds": 99, "cv": "speaker"}, ss.CorpusError, "expected at least as many as `folds`, 99"),
        ({"pca": 0}, ss.StoreError, "`pca` is 0: expected a whole number from 1 on, or a share of the variance"),
        ({"pca": 2.5}, ss.StoreError, r"`pca` is 2\.5: expected a whole number"),
        ({"pca": 99}, ss.CorpusError, "logreg cannot be fitted on 80 utterances"),
        ({"sources": ["frozen", "frozen"], "run": "x"}, ss.StoreError, "`run` x with 2 sources .* with `sources`"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_the_words_of_the_library(store, options, error, message):
    with pytest.raises(error, match=message) as refused:
        head(store, **{"sources": "frozen", **options})
    assert "\n" not in str(refused.value)


def test_the_command_says_the_same_of_its_options(store, serstore):
    done = serstore("head", "--from", "frozen", "--from", "frozen", "--run", "x", "--store", store.path)
    assert (done.code, "--run x with 2 sources" in done.err, "with --from" in done.err) == (1, True, True)
    assert "--folds is 1" in serstore("head", "--cv", "speaker", "--folds", 1, "--store", store.path).err
