"""Whisper through all of it: mel frames in the dataset, training, kills, extraction and its context."""

import json
import shutil

import numpy as np
import pytest
import torch
from training_kills import assert_same_run, save_whisper
from transformers import WhisperFeatureExtractor

from ser_store.audio.decode import load_speech
from ser_store.audio.recordings import CorpusRecordings
from ser_store.corpora.published.loading import load_published
from ser_store.corpora.published.page import open_page
from ser_store.inference import dataset as speech_dataset
from ser_store.inference.dataset import SpeechCache, SpeechDataset, collate_speech
from ser_store.inference.features import extract_features
from ser_store.inference.transforms import Variation
from ser_store.recipes.augmentation import Augmentation
from ser_store_h5.store import Store

EXTRACTOR = WhisperFeatureExtractor()
ROWS = np.array([3, 17, 40], dtype=np.int32)
# Everything that the other families have: augmentation, freezing, rates by layer, masks, layer drop, length groups,
# fewer layers, and a head that is fitted first.
RECIPE = {
    "max_steps": 8,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "eval_steps": 3,
    "save_steps": 4,
    "logging_steps": 3,
    "learning_rate": 1e-3,
    "head_learning_rate": 1e-2,
    "classification_head": "linear",
    "layer_decay": 0.9,
    "num_hidden_layers": 2,
    "frozen_layers": 1,
    "max_seconds": 0.8,
    "group_by_length": True,
    "augmentation": {"gain_prob": 0.5, "noise_prob": 0.5, "speed_prob": 0.5},
}


@pytest.fixture(scope="module")
def corpus(speech):
    return load_published(open_page("ravdess"), speech).corpus


@pytest.fixture(scope="module")
def heard(corpus, speech):
    """Mel frames of each of the rows."""
    return [extract_features(load_speech(speech / corpus.paths[row]), EXTRACTOR) for row in ROWS]


def test_items_are_mel_frames_that_are_made_once_and_kept(corpus, speech, heard, monkeypatch):
    room = sum(frames.nbytes for frames in heard[:2])
    dataset = SpeechDataset(
        CorpusRecordings(corpus, speech), ROWS, feature_extractor=EXTRACTOR, cache=SpeechCache(room)
    )
    for item, frames in zip(dataset.__getitems__([0, 1, 2]), heard, strict=True):
        np.testing.assert_array_equal(item["input_values"], frames)
        assert item["sample_count"] // 160 == len(frames)
    monkeypatch.setattr(speech_dataset, "extract_features", None)
    np.testing.assert_array_equal(dataset[1]["input_values"], heard[1])
    with pytest.raises(TypeError):
        dataset[2]


def test_a_batch_is_padded_to_its_longest_utterance(corpus, speech, heard):
    dataset = SpeechDataset(CorpusRecordings(corpus, speech), ROWS, feature_extractor=EXTRACTOR)
    batch = collate_speech(dataset.__getitems__([0, 1, 2]))
    lengths = [len(frames) for frames in heard]
    assert batch["input_values"].shape == (3, max(lengths), 80)
    assert batch["attention_mask"].sum(dim=1).tolist() == lengths
    for values, frames in zip(batch["input_values"], heard, strict=True):
        assert torch.equal(values[: len(frames)], torch.from_numpy(frames))
        assert not values[len(frames) :].any()


def test_what_augmentation_makes_of_the_samples_comes_before_the_mel_frames(corpus, speech):
    variation = Variation(Augmentation(speed_prob=1.0, noise_prob=1.0), 12_345, "random", 1)
    options = {"feature_extractor": EXTRACTOR, "variation": variation}
    dataset = SpeechDataset(CorpusRecordings(corpus, speech), ROWS, cache=SpeechCache(), **options)
    dataset.set_epoch(2)
    expected = variation(load_speech(speech / corpus.paths[17]), epoch=2, row=17)
    for _ in range(2):
        item = dataset[1]
        np.testing.assert_array_equal(item["input_values"], extract_features(expected, EXTRACTOR))
        assert item["sample_count"] == len(expected) == 12_345


def test_in_the_full_context_an_item_is_thirty_seconds_and_says_how_long_it_is(corpus, speech):
    samples = load_speech(speech / corpus.paths[17])
    for cache in (SpeechCache(), None):
        options = {"feature_extractor": EXTRACTOR, "cache": cache, "context": "full"}
        dataset = SpeechDataset(CorpusRecordings(corpus, speech), ROWS, **options)
        for item in (dataset[1], dataset[1]):
            assert item["input_values"].shape == (3_000, 80)
            assert item["sample_count"] == len(samples)


@pytest.fixture(scope="module")
def train(trainer, tmp_path_factory):
    """Trains a small Whisper by the recipe above in a process of its own."""
    model = save_whisper(tmp_path_factory.mktemp("backbone") / "whisper")
    return lambda store, **job: trainer(store, RECIPE, model=model, **job)


@pytest.fixture(scope="module")
def through(empty, train, tmp_path_factory):
    """A store with a run that went through, and how often that wrote. Read only."""
    path = shutil.copytree(empty, tmp_path_factory.mktemp("through") / "speech.store")
    outcome = train(path)
    assert outcome["state"] == "finished", outcome
    assert Store(path).steps("r") == [3, 6, 8]
    return path, outcome["writes"]


@pytest.mark.parametrize("share", [0.4, 0.7])
def test_a_run_that_was_killed_and_resumed_is_the_run_that_went_through(share, empty, train, through, tmp_path):
    store = shutil.copytree(empty, tmp_path / "speech.store")
    assert train(store, kill_at_write=round(share * through[1]))["killed"]
    assert train(store, resume=True)["state"] == "finished"
    assert_same_run(store, through[0])


def test_the_record_says_how_the_model_hears_and_masks(through):
    details = Store(through[0]).run("r").details
    assert details["configuration"]["model_type"] == "whisper"
    assert details["configuration"]["context"] == "utterance"
    assert (details["masking"]["mask_time_prob"], details["masking"]["layerdrop"]) == (0.2, 0.3)
    provenance = Store(through[0]).read_member("r@8").provenance
    assert provenance["preprocessing"].startswith("16 kHz mono, log-mel frames of each utterance")


def test_members_cached_while_training_equal_an_extraction_from_the_same_checkpoint(through, tmp_path, serstore):
    path = shutil.copytree(through[0], tmp_path / "speech.store")
    store = Store(path)
    cached = store.read_member("r@8")
    outcome = serstore("extract", "--run", "r", "--step", 8, "--batch-size", 3, "--store", path)
    assert "16 utterances computed, 32 were there already" in outcome.out, outcome.err
    store.remove("r@8")
    assert serstore("extract", "--run", "r", "--step", 8, "--batch-size", 7, "--store", path).code == 0
    fresh = store.read_member("r@8")
    assert fresh.provenance["model_digest"] == cached.provenance["model_digest"]
    assert np.abs(fresh.logits[cached.rows] - cached.logits).max() < 1e-4 * np.abs(cached.logits).max()


@pytest.fixture(scope="module")
def extracted(empty, serstore, tmp_path_factory):
    path = shutil.copytree(empty, tmp_path_factory.mktemp("extracted") / "speech.store")
    assert serstore("extract", "--model", "tiny-whisper", "--store", path).code == 0
    return path


def test_another_context_is_another_extraction(extracted, serstore):
    words = ("extract", "--model", "tiny-whisper", "--whisper-context", "full", "--store", extracted)
    refused = serstore(*words)
    assert refused.code == 1
    assert refused.err == (
        'serstore: tiny-whisper-frozen@0 is in the store already from other context ("utterance", now "full"): nothing '
        "was written; name this one with --run, or remove the old one with `serstore rm`\n"
    )
    assert serstore(*words, "--run", "full", "--batch-size", 4).code == 0
    assert "48 were there already" in serstore(*words, "--run", "full").out
    store = Store(extracted)
    contexts = {run: store.run(run).details["whisper_context"] for run in store.runs()}
    assert contexts == {"full": "full", "tiny-whisper-frozen": "utterance"}
    own, full = (store.read_member(f"{run}@0").pooled for run in ("tiny-whisper-frozen", "full"))
    assert np.abs(own - full).max() > 0.01


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--model", "mfcc"), "--whisper-context full with --model mfcc: no Whisper; leave it out"),
        (("--model", "tiny-hubert"), "tiny-hubert is a hubert, which takes utterances of any length: expected a"),
        ((), "--whisper-context full without --model: a run's checkpoints look at utterances as they did"),
    ],
)
def test_a_context_is_for_a_frozen_whisper(words, told, extracted, serstore):
    refused = serstore("extract", *words, "--whisper-context", "full", "--store", extracted)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert told in refused.err


def test_a_whisper_learns_synthetic_speech(empty, serstore, tmp_path):
    path = shutil.copytree(empty, tmp_path / "speech.store")
    words = ("--model", "tiny-whisper", "--max-steps", 60, "--eval-steps", 60, "--learning-rate", "1e-3")
    done = serstore("finetune", *words, "--accumulation", 1, "--logging-steps", 20, "--store", path, "--json")
    assert done.code == 0, done.err
    losses = [point["train_loss"] for point in Store(path).curves("tiny-whisper") if "train_loss" in point]
    assert losses[-1] < 0.5 * losses[0], json.dumps(losses)
