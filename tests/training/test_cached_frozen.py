"""Training on cached frozen layers is training without the cache, to rounding; the files survive kills and faults."""

import json
import shutil

import numpy as np
import pytest
import torch
from training_kills import assert_same_run
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from ser_store.errors import SerstoreError
from ser_store.recipes.recipe import Recipe
from ser_store.training.finetune import finetune
from ser_store_h5.store import Store

RECIPE = Recipe(
    num_train_epochs=3,
    per_device_train_batch_size=4,
    gradient_accumulation_steps=1,
    eval_steps=4,
    save_steps=8,
    logging_steps=8,
    learning_rate=1e-3,
    frozen_layers=1,
    num_hidden_layers=2,
)
VARIED = {"speed_prob": 0.5, "noise_prob": 0.5, "versions": 2, "classification_head": "linear"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a small Whisper with random weights, two layers and no dropout."""
    folder = tmp_path_factory.mktemp("backbone") / "tiny"
    sizes = {"d_model": 32, "encoder_layers": 3, "encoder_attention_heads": 2, "encoder_ffn_dim": 64}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        WhisperEncoder(WhisperConfig(**sizes, dropout=0.0)).save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)
    return folder


@pytest.fixture
def store(empty, tmp_path):
    return Store(shutil.copytree(empty, tmp_path / "speech.store"))


def train(store, model, run, **options):
    return finetune(store, str(model), run=run, recipe=RECIPE.changed(**options))


def list_files(store):
    return sorted(store.path.with_name(f"{store.path.name}.frozen").rglob("*.npy"))


@pytest.mark.parametrize("varied", [{}, VARIED], ids=["as recorded", "varied"])
def test_cached_or_not_the_members_are_the_same(varied, store, model):
    train(store, model, "plain", **varied)
    train(store, model, "cached", **varied, cache_frozen=True)
    steps = store.steps("plain")
    assert store.steps("cached") == steps
    assert len(steps) > 2
    for step in steps:
        plain, cached = (store.read_member(f"{run}@{step}") for run in ("plain", "cached"))
        # The linear head divides by deviations that are tiny where the same voice says the same, and processors differ
        # in how they round.
        np.testing.assert_allclose(cached.logits, plain.logits, atol=2e-2 if varied else 1e-5)
    last = store.read_member(f"plain@{steps[-1]}").logits
    first = store.read_member(f"plain@{steps[0]}").logits
    assert np.abs(last - first).max() > 20 * np.abs(cached.logits - plain.logits).max(), "nothing was learned"
    # Each training utterance in each of its versions; evaluated ones once, as they were recorded.
    versions = 2 if varied else 1
    n_train = int((store.corpus.splits["speaker"] == "train").sum())
    assert len(list_files(store)) == n_train * versions + len(store.corpus) - n_train


def test_what_is_cached_shows_progress_before_the_first_step(store, model):
    shown = []

    def show(items, *, total, label):
        assert len(items) == total > 0
        shown.append(label)
        return items

    recipe = RECIPE.changed(**VARIED, cache_frozen=True)
    finetune(store, str(model), run="shown", recipe=recipe, progress=show)
    caching = "caching frozen layers"
    # The utterances that are evaluated, then those of the first epoch; in the second one the other version of these.
    assert shown == [caching, caching, "fitting the first head", "training", caching]


def test_another_run_reads_what_one_has_computed_and_mends_what_is_spoiled(store, model):
    train(store, model, "first", cache_frozen=True)
    files = list_files(store)
    written = {path: path.stat().st_mtime_ns for path in files}
    files[0].write_bytes(files[0].read_bytes()[:-5])
    files[1].write_bytes(b"")
    train(store, model, "second", cache_frozen=True)
    assert [path for path in files if path.stat().st_mtime_ns != written[path]] == files[:2]
    for one, other in zip(store.steps("first"), store.steps("second"), strict=True):
        first, second = (store.read_member(f"{run}@{step}") for run, step in (("first", one), ("second", other)))
        # What is mended is computed in a batch with others, and rounded otherwise.
        np.testing.assert_allclose(first.logits, second.logits, atol=1e-5)


def test_half_precision_is_kept_in_half_the_room(store, model):
    train(store, model, "single", cache_frozen=True, max_steps=1)
    single = sum(path.stat().st_size for path in list_files(store))
    train(store, model, "half", cache_frozen=True, max_steps=1, precision="bf16")
    both = sum(path.stat().st_size for path in list_files(store))
    assert both - single < 0.6 * single


def test_a_run_that_is_killed_goes_on_with_what_is_there(store, model, trainer):
    recipe = json.loads(json.dumps(RECIPE.changed(**VARIED, cache_frozen=True).to_json()))
    through = shutil.copytree(store.path, store.path.with_name("through.store"))
    assert trainer(through, recipe, model=model)["state"] == "finished"
    assert trainer(store.path, recipe, model=model, kill_at_write=40)["killed"]
    assert trainer(store.path, recipe, model=model, resume=True)["state"] == "finished"
    assert_same_run(store.path, through)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frozen_layers": 0}, "`cache_frozen` is on and `frozen_layers` is 0: expected at least 1"),
        ({"noise_prob": 0.5}, "`cache_frozen` is on and every epoch hears each utterance in another way"),
        ({"mask_feature_prob": 0.1}, "`cache_frozen` is on and `mask_feature_prob` is 0.1"),
    ],
)
def test_what_cannot_be_cached_is_refused_in_one_line(options, message, store, model):
    with pytest.raises(SerstoreError) as refusal:
        train(store, model, "r", cache_frozen=True, **options)
    assert str(refusal.value).startswith(message)
    assert "\n" not in str(refusal.value)
    assert not store.runs()
