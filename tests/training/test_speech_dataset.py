"""Utterances are normalised one by one and padded with zeros that the mask tells from samples."""

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2FeatureExtractor

from ser_store.corpora.ravdess import load_ravdess
from ser_store.errors import CorpusError
from ser_store.recordings import resolve_audio
from ser_store.training.speech_dataset import SpeechDataset, collate_speech


@pytest.fixture(scope="module")
def corpus(speech):
    return load_ravdess(speech).corpus


@pytest.fixture(scope="module")
def dataset(corpus, speech):
    rows = np.array([3, 17, 40], dtype=np.int32)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    return SpeechDataset(corpus, rows, audio=speech, feature_extractor=extractor)


def test_an_item_carries_its_row_its_label_and_samples_of_mean_zero_and_variance_one(dataset, corpus):
    item = dataset[1]
    assert (item["row"], item["label"]) == (17, corpus.labels[17])
    assert item["input_values"].dtype == np.float32
    assert abs(float(item["input_values"].mean())) < 1e-4
    assert float(item["input_values"].var()) == pytest.approx(1, abs=1e-3)


def test_a_batch_is_padded_to_its_longest_utterance(dataset):
    items = [dataset[index] for index in range(3)]
    batch = collate_speech(items)
    lengths = [len(item["input_values"]) for item in items]
    assert batch["input_values"].shape == (3, max(lengths))
    assert batch["attention_mask"].sum(dim=1).tolist() == lengths
    for place, (item, length) in enumerate(zip(items, lengths, strict=True)):
        assert torch.equal(batch["input_values"][place, :length], torch.from_numpy(item["input_values"]))
        assert not batch["input_values"][place, length:].any()
    assert batch["rows"].tolist() == [3, 17, 40]


def test_recordings_that_moved_are_asked_for(corpus, tmp_path):
    with pytest.raises(CorpusError, match="no such folder; say where they are with --audio DIR"):
        resolve_audio(corpus, tmp_path / "gone")
