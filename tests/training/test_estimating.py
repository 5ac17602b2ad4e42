"""What a fine-tuning will take is what it takes: counted without memory, and held against real runs and real memory."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from ser_store.backbones.catalogue import lookup
from ser_store.backbones.loading import build_model
from ser_store.recipes.recipe import Recipe
from ser_store.training.estimate import footprint
from ser_store.training.estimate.estimate import count_steps, estimate
from ser_store.training.estimate.footprint import compute_activation_bytes, count_flops, count_parameters
from ser_store_h5.store import Store

PUBLISHED = ("w2v2-large", "xlsr53", "hubert-base", "hubert-xlarge", "unispeech-large", "unispeech-ml")
SHORT = ("--epochs", 1, "--eval-steps", 2, "--save-steps", 2, "--logging-steps", 1, "--save-total-limit", 1)


@pytest.fixture(scope="module")
def path(serstore, speech, tmp_path_factory):
    path = tmp_path_factory.mktemp("estimated") / "speech.store"
    assert serstore("init", "--corpus", "ravdess", "--audio", speech, "--split", "speaker", "--store", path).code == 0
    return path


def test_table_2_on_the_papers_split_makes_1440_steps():
    assert count_steps(Recipe(), 1_152) == (144, 1_440)
    assert count_steps(Recipe(max_steps=7), 1_152) == (144, 7)
    assert count_steps(Recipe(epochs=0.5), 33) == (5, 3), "the last, smaller batches count"
    assert count_steps(Recipe(), 1_152, processes=2) == (72, 720)


def test_steps_members_and_disk_are_those_of_the_run(path, serstore):
    words = ("finetune", "--model", "tiny-hubert", *SHORT, "--store", path, "--json")
    (said,) = serstore(*words, "--dry-run").json["estimates"]
    assert Store(path).runs() == [], "nothing is spent"
    done = serstore(*words).json
    assert (said["steps"], said["members"]) == (done["steps_done"], len(done["members"]))
    (checkpoint,) = (path / "runs" / "tiny-hubert" / "checkpoints").glob("checkpoint-*")
    written = sum((checkpoint / name).stat().st_size for name in ("model.safetensors", "optimizer.pt"))
    # Two: the one kept and the one being written.
    assert said["disk"]["checkpoints"] / 2 == pytest.approx(written, rel=0.02)
    member = Store(path).read_member(done["members"][0])
    stored = member.pooled.astype(np.float16).nbytes + member.logits.nbytes + member.rows.nbytes
    assert said["disk"]["members"] == said["members"] * stored


@pytest.mark.parametrize("key", PUBLISHED)
def test_the_parameters_of_full_size_models_are_known_without_their_weights(key, path):
    config = build_config(key, layers=None)
    assert count_parameters(config, Recipe()) == (lookup(key).parameters, lookup(key).parameters)


def build_config(key, *, layers):
    from transformers import AutoConfig

    from ser_store.backbones import model

    entry = lookup(key)
    config = AutoConfig.for_model(entry.architecture, **entry.config)
    if layers is not None:
        config.num_hidden_layers = layers
    return model.build_config(config, [f"class {place}" for place in range(8)], pooling="mean")


def measure_peak(key, recipe, samples):
    """The most that torch's allocator holds in one real pass forth and back, beside weights and gradients."""
    from ser_store.training.preparing import prepare

    model = build_model(key, classes=[f"class {place}" for place in range(8)]).model.train()
    prepare(model, recipe)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    labels = torch.zeros(len(samples), dtype=torch.long)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as profiled:
        batch = torch.randn(len(samples), max(samples))
        mask = torch.ones_like(batch, dtype=torch.long)
        model(batch, attention_mask=mask, labels=labels).loss.backward()
    events = [one for one in profiled.profiler.kineto_results.events() if one.name() == "[memory]"]
    return np.cumsum([one.nbytes() for one in sorted(events, key=lambda one: one.start_ns())]).max()


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("key", ["tiny-wav2vec2", "tiny-unispeech", "tiny-data2vec-audio"])
def test_activations_take_what_torchs_allocator_says(key, checkpointing):
    recipe, samples = Recipe(gradient_checkpointing=checkpointing), [48_000, 48_000, 48_000, 48_000]
    counted = compute_activation_bytes(build_config(key, layers=None), recipe, samples=samples)
    assert counted == pytest.approx(measure_peak(key, recipe, samples), rel=0.02)


def test_the_operations_are_those_of_all_products():
    key, samples = "tiny-wav2vec2", 16_000
    model = build_model(key, classes=[f"class {place}" for place in range(8)]).model
    counts = []

    def count(module, _, output):
        weight = module.weight
        per_number = weight[0].numel() if isinstance(module, nn.Conv1d) else weight.shape[1]
        counts.append(2 * output.numel() * per_number)

    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Linear):
            module.register_forward_hook(count)
    model(torch.randn(1, samples))
    frames = 1 + ((samples - 400) // 160 + 1 - 2) // 2
    attention = 2 * 2 * frames * frames * 128
    forth, both = count_flops(build_config(key, layers=None), Recipe(), samples=samples)
    assert forth == sum(counts) + attention
    # Backward, every product is taken twice, and attention has its scores computed once more.
    assert both == 3 * forth + attention // 2


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("key", ["tiny-wav2vec2", "tiny-hubert", "tiny-unispeech", "tiny-wavlm", "tiny-data2vec-audio"])
def test_the_operations_of_many_layers_are_those_of_all_of_them(key, checkpointing, monkeypatch):
    config, recipe = build_config(key, layers=6), Recipe(gradient_checkpointing=checkpointing)
    counted = count_flops(config, recipe, samples=16_000)
    assert config.backbone_config.num_hidden_layers == 6
    monkeypatch.setattr(footprint, "_COUNTED_LAYERS", 6)
    assert counted == count_flops(config, recipe, samples=16_000)


def test_what_is_frozen_takes_less(path):
    store = Store(path)
    whole, frozen = (
        estimate(store, "tiny-hubert", recipe=Recipe(frozen_layers=layers, freeze_feature_encoder=bool(layers)))
        for layers in (0, 1)
    )
    assert frozen.trained == 128 * 129 + 8 * 129
    assert frozen.memory.optimizer == 8 * frozen.trained
    assert frozen.memory.activations < whole.memory.activations
    assert frozen.time.flops_per_step < whole.time.flops_per_step / 2


def test_half_precision_checkpointing_and_shorter_crops_take_less_memory():
    def take(layers, **options):
        config = build_config("hubert-base", layers=layers)
        return compute_activation_bytes(config, Recipe(**options), samples=[80_000] * 4)

    assert take(4, precision="bf16") < 0.8 * take(4)
    assert take(4, gradient_checkpointing=True) < 0.8 * take(4)


def test_lengths_are_those_that_training_hears(path):
    store = Store(path)
    assert estimate(store, "tiny-hubert", recipe=Recipe(max_seconds=0.5)).memory.longest_seconds == 0.5
    slower = Recipe().changed(speed_prob=0.1, speed_range=(0.5, 1.0))
    plain = estimate(store, "tiny-hubert").memory.longest_seconds
    assert estimate(store, "tiny-hubert", recipe=slower).memory.longest_seconds == pytest.approx(2 * plain)


def test_all_six_can_be_estimated_at_once(path, serstore, monkeypatch):
    monkeypatch.setattr("ser_store.paper.reproduce.list_published_models", lambda: ("tiny-hubert", "tiny-wavlm"))
    printed = serstore("finetune", "--all", "--dry-run", "--store", path).out
    assert "tiny-hubert" in printed
    assert "tiny-wavlm" in printed
    assert "a real training takes longer" in printed
