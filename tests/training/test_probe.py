"""The linear head: it begins as scikit-learn's logistic regression on what the backbone says before any training."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ser_store.audio.recordings import CorpusRecordings
from ser_store.backbones.loading import build_model, load_classifier
from ser_store.corpora.published.loading import load_published
from ser_store.corpora.published.page import open_page
from ser_store.inference.dataset import SpeechDataset
from ser_store.recipes.recipe import Recipe
from ser_store.training.probe import PROBE_C, fit_probe

N_CLASSES = 8


@pytest.fixture(scope="module")
def corpus(speech):
    return load_published(open_page("ravdess"), speech).corpus


def choose_rows(corpus, classes):
    return np.flatnonzero(np.isin(corpus.labels, classes)).astype(np.int32)


def probe(key, corpus, rows, speech):
    """The model with its probe, and what it says of each utterance alone: logits and pooled."""
    loaded = build_model(key, classes=corpus.classes, head="linear", seed=3)
    utterances = SpeechDataset(CorpusRecordings(corpus, speech), rows, feature_extractor=loaded.feature_extractor)
    fit_probe(loaded.model, utterances, corpus.labels[rows], Recipe(per_device_eval_batch_size=7))
    with torch.inference_mode():
        said = [
            loaded.model(torch.from_numpy(one["input_values"])[None], sample_counts=[one["sample_count"]])
            for one in map(utterances.__getitem__, range(len(rows)))
        ]
    logits, pooled = (torch.cat([getattr(one, name) for one in said]).numpy() for name in ("logits", "pooled"))
    return loaded.model, logits, pooled


def compute_shares(logits):
    return torch.softmax(torch.from_numpy(logits), dim=1).numpy()


@pytest.mark.parametrize("key", ["tiny-wavlm", "tiny-whisper"])
@pytest.mark.parametrize("classes", [range(N_CLASSES), [1, 4, 6], [2, 5]])
def test_the_head_begins_as_a_logistic_regression(key, classes, corpus, speech):
    rows = choose_rows(corpus, list(classes))
    _, logits, pooled = probe(key, corpus, rows, speech)
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=PROBE_C, max_iter=1000))
    expected = theirs.fit(pooled, corpus.labels[rows]).predict_proba(pooled)
    shares = compute_shares(logits)[:, list(classes)]
    np.testing.assert_allclose(shares / shares.sum(axis=1, keepdims=True), expected, atol=2e-4)


def test_a_class_without_utterances_is_never_the_first(corpus, speech):
    rows = choose_rows(corpus, [1, 4, 6])
    _, logits, _ = probe("tiny-hubert", corpus, rows, speech)
    assert set(logits.argmax(axis=1)) <= {1, 4, 6}


def test_one_class_alone_says_nothing(corpus, speech):
    _, logits, _ = probe("tiny-hubert", corpus, choose_rows(corpus, [3]), speech)
    assert not logits.any()


def test_the_head_comes_back_from_disk(corpus, speech, tmp_path):
    model, logits, _ = probe("tiny-wav2vec2", corpus, choose_rows(corpus, [0, 2]), speech)
    model.save_pretrained(tmp_path)
    build_model("tiny-wav2vec2", classes=corpus.classes).feature_extractor.save_pretrained(tmp_path)
    again = load_classifier(tmp_path).model
    assert again.config.head == "linear"
    for name, value in model.classifier.state_dict().items():
        assert torch.equal(again.classifier.state_dict()[name], value), name
    assert np.isfinite(logits).all()
