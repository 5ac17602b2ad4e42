"""Training hears an utterance differently in each epoch, by seed, epoch and row alone; evaluation hears it as it is."""

import shutil
from functools import partial

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2FeatureExtractor

from ser_store.audio.decode import load_speech
from ser_store.audio.recordings import CorpusRecordings
from ser_store.corpora.published.loading import load_published
from ser_store.corpora.published.page import open_page
from ser_store.inference.dataset import SpeechCache, SpeechDataset
from ser_store.inference.transforms import Variation, make_variation
from ser_store.recipes.augmentation import Augmentation, augment
from ser_store.recipes.recipe import Recipe
from ser_store.training.batches import LengthGroupedSampler
from ser_store_h5.store import Store

open_ravdess = partial(open_page, "ravdess")
EVERYTHING = {"speed_prob": 1.0, "reverb_prob": 1.0, "noise_prob": 1.0, "gain_prob": 1.0}


@pytest.fixture(scope="module")
def samples(speech):
    return load_speech(min(speech.rglob("*.wav")))


def heard(samples, **options):
    return augment(samples, Augmentation(**options), np.random.default_rng(0))


def test_the_defaults_leave_every_bit_as_it_is(samples):
    assert heard(samples) is samples
    assert make_variation(Recipe()) is None


def test_noise_comes_at_the_ratio_asked_for(samples):
    noise = heard(samples, noise_prob=1.0, noise_db=(20.0, 20.0)) - samples
    assert 10 * np.log10((samples**2).sum() / (noise**2).sum()) == pytest.approx(20, abs=0.01)


def test_gain_is_in_decibels_and_clips_at_full_scale(samples):
    assert np.allclose(heard(samples, gain_prob=1.0, gain_db=(-20.0, -20.0)), samples / 10, atol=1e-7)
    assert np.abs(heard(samples, gain_prob=1.0, gain_db=(60.0, 60.0))).max() == 1


def test_speed_changes_length_and_pitch():
    tone = np.sin(2 * np.pi * 400 * np.arange(16_000) / 16_000).astype(np.float32) * 0.5
    faster = heard(tone, speed_prob=1.0, speed_range=(1.25, 1.25))
    assert len(faster) == 12_800
    assert np.abs(np.fft.rfft(faster)).argmax() * 16_000 / len(faster) == pytest.approx(500)


def test_a_room_decays_by_60_decibels_in_its_time():
    click = np.zeros(16_000, dtype=np.float32)
    click[0] = 0.5
    room = heard(click, reverb_prob=1.0, reverb_seconds=(0.5, 0.5))
    assert len(room) == len(click)
    assert (room**2).sum() == pytest.approx((click**2).sum(), rel=1e-4)
    # 5 ms each, 0.25 s apart: half of the time, half of the decibels.
    early, late = (room[start : start + 800].std() for start in (800, 4_800))
    assert 20 * np.log10(early / late) == pytest.approx(30, abs=1)


def test_one_part_does_not_change_what_another_does(samples):
    quiet = heard(samples, noise_prob=1.0, gain_prob=1.0, gain_db=(-20.0, -20.0))
    assert np.allclose(quiet * 10, heard(samples, noise_prob=1.0).clip(-10, 10), atol=1e-6)


def test_crops_are_random_from_epoch_to_epoch_or_the_head(samples):
    random, head = (Variation(Augmentation(), 8_000, crop, 42) for crop in ("random", "head"))
    crops = [random(samples, epoch=epoch, row=0) for epoch in range(4)]
    assert {len(crop) for crop in crops} == {8_000}
    assert len({crop.tobytes() for crop in crops}) == 4
    assert all(crop.tobytes() in samples.tobytes() for crop in crops)
    assert np.array_equal(head(samples, epoch=3, row=0), samples[:8_000])
    assert head(samples[:5_000], epoch=3, row=0) is not None


@pytest.fixture(scope="module")
def make_dataset(speech):
    heard = CorpusRecordings(load_published(open_ravdess(), speech).corpus, speech)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)

    def make(variation=None, *, rows=(3, 17, 40), **options):
        chosen = np.arange(rows, dtype=np.int32) if isinstance(rows, int) else np.array(rows, dtype=np.int32)
        return SpeechDataset(heard, chosen, feature_extractor=extractor, variation=variation, **options)

    return make


def list_items(dataset, epoch, order=(0, 1, 2)):
    dataset.set_epoch(epoch)
    return {place: dataset[place]["input_values"].tobytes() for place in order}


def test_items_depend_on_seed_epoch_and_row_and_on_nothing_else(make_dataset):
    varied = make_variation(Recipe(max_seconds=0.5).changed(**EVERYTHING))
    first = make_dataset(varied)
    items = list_items(first, 1)
    assert list_items(first, 2) != items
    assert list_items(make_dataset(varied, cache=SpeechCache(1 << 20)), 1, order=(2, 0, 1)) == items
    assert list_items(make_dataset(make_variation(Recipe(max_seconds=0.5, seed=1).changed(**EVERYTHING))), 1) != items
    with_workers = torch.utils.data.DataLoader(make_dataset(varied), batch_size=None, num_workers=1)
    with_workers.dataset.set_epoch(1)
    assert {place: item["input_values"].numpy().tobytes() for place, item in enumerate(with_workers)} == items


def test_cached_samples_are_those_that_were_decoded(make_dataset):
    plain, cached, full = make_dataset(), make_dataset(cache=SpeechCache(1 << 20)), make_dataset(cache=SpeechCache(10))
    for _ in range(2):
        assert list_items(plain, 0) == list_items(cached, 0) == list_items(full, 0)


def test_lengths_are_known_without_decoding(make_dataset):
    dataset = make_dataset()
    assert dataset.load_lengths() == [len(dataset[place]["input_values"]) for place in range(3)]


def test_batches_by_length_are_another_order_in_each_epoch_and_the_same_in_the_same(make_dataset):
    dataset = make_dataset(rows=48)
    lengths = dataset.load_lengths()
    sampler = LengthGroupedSampler(dataset, batch_size=4, seed=42)
    first = list(sampler)
    dataset.set_epoch(1)
    second = list(sampler)
    assert sorted(first) == sorted(second) == list(range(48))
    assert first != second
    assert list(LengthGroupedSampler(dataset, batch_size=4, seed=42)) == second
    assert list(LengthGroupedSampler(dataset, batch_size=4, seed=43)) != second
    spread = np.mean([np.ptp([lengths[place] for place in second[start : start + 4]]) for start in range(0, 48, 4)])
    assert spread < 0.5 * np.ptp(lengths)


def test_evaluation_is_not_touched_by_what_training_hears(serstore, empty, tmp_path):
    path = shutil.copytree(empty, tmp_path / "speech.store")
    varied = [word for name in EVERYTHING for word in (f"--{name.replace('_', '-')}", 1)]
    masked = ("--mask-time-prob", 0.5, "--mask-feature-prob", 0.2, "--layerdrop", 0.3, "--max-seconds", 0.5)
    short = ("--max-steps", 2, "--eval-steps", 2, "--save-steps", 2, "--logging-steps", 1)
    words = ("finetune", "--model", "tiny-wav2vec2", *short, *varied, *masked, "--label-smoothing", 0.1)
    done = serstore(*words, "--class-weights", "balanced", "--layer-decay", 0.8, "--group-by-length", "--store", path)
    assert done.code == 0, done.err
    trained = Store(path).read_member("tiny-wav2vec2@2")
    assert serstore("extract", "--run", "tiny-wav2vec2", "--step", 2, "--store", path).code == 0
    extracted = Store(path).read_member("tiny-wav2vec2@2")
    places = np.searchsorted(extracted.rows, trained.rows)
    assert len(extracted.rows) > len(trained.rows)
    assert np.allclose(extracted.logits[places], trained.logits, atol=1e-5)
