"""What is predicted of a corpus' own recordings is what the store has of them, by every kind of member."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ser_store as ss
from ser_store.metrics import softmax
from ser_store.prediction.predict import predict
from ser_store.recipes.recipe import Recipe

RECIPE = Recipe(max_steps=2, eval_steps=2, logging_steps=1, save_steps=2, gradient_accumulation_steps=1)


@pytest.fixture(scope="module")
def store(serstore, speech, tmp_path_factory):
    """A store with a member of every kind that can be made again. Read only."""
    path = tmp_path_factory.mktemp("members") / "speech.store"
    words = ("init", "--corpus", "ravdess", "--audio", speech, "--store", path)
    assert serstore(*words, "--split", "speaker-folds", "--folds", 3).code == 0
    store = ss.Store(path)
    [folds] = store.corpus.splits
    parts = np.empty(len(store.corpus), dtype="<U5")
    for label in range(len(store.corpus.classes)):  # two of each class in each part, so that all know all speakers
        parts[np.flatnonzero(store.corpus.labels == label)] = ["train", "valid", "test", "test", "train", "valid"]
    store.update_corpus(replace(store.corpus.with_split("mixed", parts), default_split="mixed"))
    ss.extract(store, model="mfcc")
    ss.extract(store, model="tiny-whisper", run="layers", layers="all", statistics="mean,std")
    ss.extract(store, model="tiny-hubert", run="long", window_seconds=1, pooling="max")
    ss.finetune(store, "tiny-wav2vec2", run="tuned", recipe=RECIPE)
    ss.extract(store, run="tuned")
    [checkpoint] = (store.run_folder("tuned") / "checkpoints").glob("checkpoint-*")
    ss.extract(store, model=str(shutil.copytree(checkpoint, path.with_name("mine"))), run="mine")
    path.with_name("mine").rename(path.with_name("moved"))
    ss.finetune(store, "tiny-hubert", run="folded", split=folds, fold="all", recipe=RECIPE)
    keep = {"keep": True}
    ss.head(store, "mfcc", kind=["lda", "svm"], **keep)
    ss.head(store, "mfcc", kind="ridge", normalise="corpus", run="on-corpus", **keep)
    ss.head(store, "mfcc", kind="lda", normalise="speaker", run="by-speaker", **keep)
    ss.head(store, "mfcc", kind="lda", run="unkept")
    ss.head(store, "mfcc", kind="lda", cv="speaker", folds=3, run="over-folds", **keep)
    ss.head(store, "layers", kind="lda", layer="all", combine="average", run="average", **keep)
    ss.head(store, "layers", kind="lda", layer="0", run="low", **keep)
    ss.head(store, "layers", kind="lda", run="top", **keep)
    ss.head(store, "mfcc+layers", kind="logreg", run="both", **keep)
    ss.head(store, "long", kind="logreg", run="windows", **keep)
    ss.head(store, "tuned", kind="logreg", run="on-tuned", **keep)
    ss.head(store, "mine", kind="logreg", run="on-mine", **keep)
    ss.head(store, "mfcc-lda", kind="logreg", run="on-logits", **{**keep, "cv": "utterance", "folds": 2})
    ss.calibrate(store, "mfcc-svm", select_on="valid")
    ss.calibrate(store, "low", run="low-folds", on="test")
    voters = ["mfcc-lda", "low", "tuned"]
    for rule in ("hard", "soft", "soft-log", "weighted"):
        ss.vote(store, voters, k=3, rule=rule, save=f"saved-{rule}")
    for tie in ("best", "confidence", "abstain"):
        ss.vote(store, voters, k=3, tie=tie, save=f"saved-{tie}")
    for rule in ("pool", "greedy-pool", "stack"):
        ss.vote(store, voters, rule=rule, on="test", select_on="valid", save=f"saved-{rule}")
    return store


@pytest.fixture(scope="module")
def test_files(store):
    return [Path(store.corpus.audio_root) / path for path in store.corpus.paths[store.corpus.rows("test")].tolist()]


SCORED = ["tuned", "mfcc-lda", "average", "low", "top", "both", "windows", "on-tuned"]
SCORED += ["mfcc-svm-calibrated", "saved-soft", "saved-soft-log", "saved-pool", "saved-greedy-pool"]


@pytest.mark.parametrize("name", SCORED)
def test_the_probabilities_are_those_of_the_stored_scores(store, test_files, name):
    rows = store.corpus.rows("test")
    said = predict(name, test_files, store=store)
    np.testing.assert_allclose(said.probabilities, softmax(store.logits([name], rows)[0]), atol=2e-3)
    assert (said.predicted == store.predictions([name], rows)[0]).mean() > 0.9


@pytest.mark.parametrize("name", ["mfcc-svm", "on-corpus"])
def test_what_is_no_probability_is_not_made_one(store, test_files, name):
    said = predict(name, test_files, store=store)
    assert said.probabilities is None
    assert said.notes[-1].endswith("no probabilities are given")
    np.testing.assert_array_equal(said.predicted, store.predictions([name], store.corpus.rows("test"))[0])


@pytest.mark.parametrize("name", ["saved-hard", "saved-weighted", "saved-best", "saved-confidence", "saved-abstain"])
def test_votes_are_those_that_were_saved_with_the_shares_of_the_votes(store, test_files, name):
    said = predict(name, test_files, store=store)
    np.testing.assert_array_equal(said.predicted, store.predictions([name], store.corpus.rows("test"))[0])
    np.testing.assert_allclose(said.probabilities.sum(axis=1), 1)
    assert said.members == ("low@0", "mfcc-lda@0", "tuned@2")
    assert said.rule == ("weighted" if name == "saved-weighted" else "hard")
    assert any("shares of its 3 votes" in note for note in said.notes)


@pytest.mark.parametrize("rule", ["hard", "soft", "soft-log"])
def test_members_that_are_named_vote_as_they_are_evaluated(store, test_files, rule):
    said = predict("tuned+low+mfcc-lda", test_files, store=store, rule=rule)
    known = predict(f"saved-{rule}", test_files, store=store)
    np.testing.assert_array_equal(said.predicted, known.predicted)
    np.testing.assert_allclose(said.probabilities, known.probabilities, atol=1e-6)


def test_members_that_are_named_are_weighed_as_a_vote_that_is_saved(store, test_files):
    voters = ["tuned", "low", "mfcc-lda"]
    fitted = {one.member: one.mean for one in ss.vote(store, voters, rule="pool").fitted_weights}
    said = predict("+".join(voters), test_files, store=store, rule="pool")
    known = [weight * np.log(predict(one, test_files, store=store).probabilities) for one, weight in fitted.items()]
    np.testing.assert_allclose(said.probabilities, softmax(np.sum(known, axis=0)), atol=1e-5)
    assert said.members == tuple(one for one, weight in fitted.items() if weight)
    assert any("fits on test, each without one" in note for note in said.notes)
    with pytest.raises(ss.EnsembleError, match="`rule` greedy-pool with 2 speakers: expected 3 or more to choose on"):
        predict("+".join(voters), test_files, store=store, rule="greedy-pool")


def test_several_models_of_folds_say_their_mean(store, test_files):
    runs = store.run("folded").details["runs"].values()
    alone = np.mean([np.log(predict(run, test_files, store=store).probabilities) for run in runs], axis=0)
    said = predict("folded", test_files, store=store)
    np.testing.assert_allclose(said.probabilities, softmax(alone), atol=1e-5)
    caution, mean = said.notes
    assert caution.startswith(f"caution: folded learned from {len(test_files)} of these {len(test_files)} recordings")
    assert mean == "folded@2: the mean of what the models of its 3 folds say"
    other = shutil.copytree(store.path, store.path.with_name("other.store"))
    for run in ss.Store(other).runs():
        if run not in ("mfcc", "mfcc-lda"):
            ss.rm(other, run)
    for head in ("over-folds", "on-logits"):
        applied = predict(head, test_files, store=store)
        assert any("the mean of what the heads of its" in note for note in applied.notes)
        assert ss.apply_head(store, head, other) == f"{head}@0"
        rows = store.corpus.rows("test")
        if head == "over-folds":
            known = softmax(ss.Store(other).logits([head], rows)[0])
            np.testing.assert_allclose(applied.probabilities, known, atol=2e-3)


def test_a_temperature_of_several_fits_is_their_mean(store, test_files):
    said, plain = (predict(name, test_files, store=store) for name in ("low-folds", "low"))
    weight = np.mean(1 / np.array(store.describe_member("low-folds").provenance["temperatures"]))
    np.testing.assert_allclose(said.probabilities, softmax(weight * np.log(plain.probabilities)), atol=1e-5)


def test_what_a_published_model_says_is_what_its_run_says_without_a_store(store, test_files):
    [checkpoint] = (store.run_folder("tuned") / "checkpoints").glob("checkpoint-*")
    said, known = predict(checkpoint, test_files), predict("tuned", test_files, store=store)
    assert said.classes == store.corpus.classes
    np.testing.assert_allclose(said.probabilities, known.probabilities, atol=1e-6)
    of_all = predict(str(checkpoint), store=store)
    assert len(of_all.spans) == len(store.corpus)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("layers", r"layers@0 has representations and no answers: .* fit one by `head\(\)` with `keep`"),
        ("unkept", "unkept@0 was not kept as it was fitted"),
        ("by-speaker", "standardises on all recordings of each speaker, and who speaks in a file is not known"),
        ("saved-stack", "was saved by `rule` stack, of which what was fitted is not kept"),
        ("mfcc-ldaa", "mfcc-lda"),
        ("mfcc-lda+", "names no member at one side of a plus sign"),
    ],
)
def test_what_cannot_answer_is_refused_before_anything_is_read(store, name, told):
    with pytest.raises(ss.SerstoreError, match=told):
        predict(name, "nowhere", store=store)


def test_options_that_have_nothing_to_say_are_refused(store, test_files, tmp_path):
    for options, told in [
        ({"rule": "soft"}, "`rule` soft with mfcc-lda: expected members that vote"),
        ({"hop": 1}, "`hop` is 1 without `window`"),
        ({"window": 0.1}, "`window` is 0.1"),
        ({"audio": tmp_path}, "files are named: leave it out"),
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
    ]:
        with pytest.raises(ss.SerstoreError, match=told):
            predict("mfcc-lda", test_files, store=store, **options)
    with pytest.raises(ss.AudioError, match="no recordings are named"):
        predict("mfcc-lda", store=store)
    with pytest.raises(
        ss.EnsembleError, match="`rule` stack, of which what is fitted is not kept: expected one of hard,"
    ):
        predict("mfcc-lda+low", test_files, store=store, rule="stack")
    with pytest.raises(ss.EnsembleError, match="`tie` best with `rule` soft: expected ties by lowest"):
        predict("mfcc-lda+low", test_files, store=store, rule="soft", tie="best")
    with pytest.raises(ss.StoreError, match="saved-hard@0 has labels only"):
        predict("mfcc-lda+saved-hard", test_files, store=store, rule="soft")


def test_weights_that_moved_are_named_and_others_are_refused(store, test_files, tmp_path):
    [checkpoint] = (store.run_folder("tuned") / "checkpoints").glob("checkpoint-*")
    said = predict("on-tuned", test_files, store=store, checkpoint=checkpoint)
    np.testing.assert_array_equal(said.predicted, predict("on-tuned", test_files, store=store).predicted)
    with pytest.raises(ss.ModelError, match=r"run mine was extracted with the weights in .*mine, which is gone: name"):
        predict("on-mine", test_files, store=store)
    found = predict("on-mine", test_files, store=store, checkpoint=store.path.with_name("moved"))
    known = softmax(store.logits(["on-mine"], store.corpus.rows("test"))[0])
    np.testing.assert_allclose(found.probabilities, known, atol=2e-3)
    with pytest.raises(ss.ModelError, match="with mfcc-lda, which 0 networks answer for: expected one"):
        predict("mfcc-lda", test_files, store=store, checkpoint=checkpoint)
    with pytest.raises(ss.ModelError, match=r"with low\+tuned, which 2 networks answer for: expected one"):
        predict("low+tuned", test_files, store=store, checkpoint=checkpoint)
    with pytest.raises(ss.ModelError, match="layers@0 was made by a model of other weights"):
        predict("low", test_files, store=store, checkpoint=checkpoint)
    ss.pack(store, tmp_path / "packed.h5")
    with pytest.raises(ss.StoreError, match="is a packed store, which leaves models behind"):
        predict("mfcc-lda", test_files, store=tmp_path / "packed.h5")
