"""Recordings that are extracted at another speed: other versions of the same utterances."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import ser_store as ss
from ser_store.audio.recordings import CorpusRecordings
from ser_store.backbones.acoustic import FEATURE_SETS
from ser_store.recipes.augmentation import change_speed
from ser_store_h5.errors import StoreError
from ser_store_h5.store import Store


@pytest.fixture
def store(empty, tmp_path):
    return Store(shutil.copytree(empty, tmp_path / "speech.store"))


def test_a_version_is_what_the_faster_recording_gives(store):
    ss.extract(store, model="mfcc")
    ss.extract(store, model="mfcc", run="fast", speed=1.1)
    recordings = CorpusRecordings(store.corpus, Path(store.corpus.audio_root))
    samples = recordings.load(3)
    played = change_speed(samples, 1.1)
    assert len(played) == -(-len(samples) * 100 // 110)
    held = store.pooled("fast", store.corpus.rows("all"))[3]
    np.testing.assert_allclose(held, FEATURE_SETS["mfcc"].compute(played), rtol=2e-3, atol=1e-2)
    assert store.describe_member("fast").provenance["speed"] == 1.1
    assert "speed" not in store.describe_member("mfcc").provenance


def test_other_recordings_are_played_as_those_of_the_corpus(store, serstore):
    ss.extract(store, model="tiny-whisper", run="slow", speed=0.9)
    ss.head(store, "slow", kind="lda", cv="speaker", folds=2, run="voice", keep=True)
    said = ss.predict("voice", [str(store.corpus.audio_root)], store=store)
    assert len(said.records()) == len(store.corpus)
    ss.extract(store, model="tiny-wav2vec2", init="random", run="other", speed=0.9)
    with pytest.raises(StoreError, match="other holds what another model, layer or statistic gives than slow@0"):
        ss.head(store, "slow", augment="other", cv="speaker", folds=2)
    again = ss.extract(store, model="tiny-whisper", run="slow", speed=0.9)[0]
    assert (again.computed, again.kept) == (0, len(store.corpus))
    refused = serstore("extract", "--model", "tiny-whisper", "--run", "slow", "--speed", 1.2, "--store", store.path)
    assert (refused.code, "speed" in refused.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "mfcc", "--speed", 0.9), "--speed 0.9 without --run: expected a --model and a --run of its own"),
        (("--speed", 0.9), "--speed 0.9 without --model"),
        (("--model", "mfcc", "--run", "x", "--speed", 3), "--speed"),
        (("--model", "mfcc", "--run", "x", "--speed", 0.905), "--speed is 0.905: expected whole hundredths"),
    ],
)
def test_a_speed_that_cannot_be_is_refused_in_one_line(words, said, store, serstore):
    done = serstore("extract", *words, "--store", store.path)
    assert done.code == 1
    assert said in done.err
    assert done.err.count("\n") == 1
