"""Utterances are normalised one by one and padded with zeros that the mask tells from samples."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2FeatureExtractor

from ser_store.audio import recordings
from ser_store.audio.decode import load_speech
from ser_store.audio.recordings import CorpusRecordings, load_recording, resolve_audio
from ser_store.backbones.loading import build_model
from ser_store.corpora.published.loading import load_published
from ser_store.corpora.published.page import open_page
from ser_store.errors import AudioError, CorpusError
from ser_store.inference.dataset import SpeechCache, SpeechDataset, collate_speech
from ser_store.inference.transforms import Variation
from ser_store.recipes.augmentation import Augmentation
from ser_store.training.batches import LongestFirstSampler

open_ravdess = partial(open_page, "ravdess")


@pytest.fixture(scope="module")
def corpus(speech):
    return load_published(open_ravdess(), speech).corpus


@pytest.fixture(scope="module")
def dataset(corpus, speech):
    rows = np.array([3, 17, 40], dtype=np.int32)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    return SpeechDataset(CorpusRecordings(corpus, speech), rows, labels=corpus.labels, feature_extractor=extractor)


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
    assert batch["sample_counts"] == lengths


@pytest.fixture
def decoded(monkeypatch):
    """The rows that were decoded."""
    rows = []

    def load(corpus, row, *, audio):
        rows.append(row)
        return load_recording(corpus, row, audio=audio)

    monkeypatch.setattr(recordings, "load_recording", load)
    return rows


@pytest.mark.parametrize("variation", [None, Variation(Augmentation(), 8_000, "head", 1)])
def test_what_fits_into_the_cache_is_decoded_once(variation, corpus, speech, decoded):
    rows = np.array([3, 17, 40], dtype=np.int32)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    heard = CorpusRecordings(corpus, speech)
    options = {"labels": corpus.labels, "feature_extractor": extractor, "variation": variation}
    alone = [item for one in rows for item in [SpeechDataset(heard, np.array([one]), **options)[0]]]
    room = 4 * sum(len(load_speech(speech / corpus.paths[row])) for row in (3, 17))
    dataset = SpeechDataset(heard, rows, cache=SpeechCache(room), **options)
    decoded.clear()
    for epoch in range(2):
        dataset.set_epoch(epoch)
        for item, same in zip(dataset.__getitems__([0, 1, 2, 1]), [*alone, alone[1]], strict=True):
            np.testing.assert_array_equal(item["input_values"], same["input_values"])
            assert (item["row"], item["label"]) == (same["row"], same["label"])
    assert sorted(decoded) == [3, 17, 40, 40]


def test_equal_recordings_are_decoded_once_wherever_they_lie(corpus, speech, tmp_path, decoded):
    for name in ("03-01-01-01-01-01-01", "03-01-02-01-01-01-01"):
        shutil.copy(speech / corpus.paths[3], tmp_path / f"{name}{Path(corpus.paths[3]).suffix}")
    twins = load_published(open_ravdess(), tmp_path).corpus
    options = {"feature_extractor": Wav2Vec2FeatureExtractor(), "cache": SpeechCache()}
    for row in (0, 1):
        dataset = SpeechDataset(CorpusRecordings(twins, tmp_path), np.array([row], dtype=np.int32), **options)
        assert dataset[0]["row"] == row
    assert decoded == [0]


def test_what_a_data_loading_process_would_forget_is_decoded_before(corpus, speech, monkeypatch):
    rows = np.arange(3, dtype=np.int32)
    lengths = [len(load_speech(speech / corpus.paths[row])) for row in rows]
    for limit, kept in ((1 << 30, 3), (4 * lengths[0], 1)):
        cache = SpeechCache(limit)
        heard, extractor = CorpusRecordings(corpus, speech), Wav2Vec2FeatureExtractor()
        dataset = SpeechDataset(heard, rows, feature_extractor=extractor, cache=cache)
        dataset.fill_cache()
        with monkeypatch.context() as patched:
            patched.setattr(recordings, "load_recording", None)
            assert [dataset[index]["row"] for index in range(kept)] == list(range(kept))
            if kept < 3:
                with pytest.raises(TypeError):
                    dataset[2]


def test_another_recording_than_the_store_was_made_from_is_refused(corpus, speech, tmp_path):
    path = tmp_path / corpus.paths[3]
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(speech / corpus.paths[3], path)
    assert len(load_recording(corpus, 3, audio=tmp_path)) == len(load_speech(path))
    shutil.copy(speech / corpus.paths[4], path)
    with pytest.raises(AudioError, match="is not the recording that the store was made from, its samples"):
        load_recording(corpus, 3, audio=tmp_path)


def test_the_longest_utterances_are_evaluated_first(dataset):
    lengths = dataset.load_lengths()
    order = list(LongestFirstSampler(dataset))
    assert sorted(order) == [0, 1, 2]
    assert [lengths[index] for index in order] == sorted(lengths, reverse=True)


def test_recordings_that_moved_are_asked_for(corpus, tmp_path):
    with pytest.raises(CorpusError, match="no such folder; say where they are by `audio`"):
        resolve_audio(corpus, tmp_path / "gone")


def test_lengths_beside_the_mask_change_nothing(dataset):
    model = build_model("tiny-hubert", classes=list("abcdefgh"), init="random", seed=1).model
    batch = collate_speech(dataset.__getitems__([0, 1, 2]))
    inputs = {name: batch[name] for name in ("input_values", "attention_mask")}
    with torch.inference_mode():
        assert torch.equal(model(**inputs, sample_counts=batch["sample_counts"]).logits, model(**inputs).logits)
