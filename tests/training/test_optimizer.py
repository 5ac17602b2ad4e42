"""What is trained, how fast and against which loss: every parameter once, and torch's own cross entropy."""

from functools import cached_property

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional
from transformers import Trainer, TrainingArguments

from ser_store.backbones.loading import build_model, load_classifier
from ser_store.errors import MissingExtraError, ModelError, SerstoreError, UnknownNameError
from ser_store.recipes.recipe import Recipe
from ser_store.training.arguments import build_training_arguments
from ser_store.training.callbacks import tracking
from ser_store.training.optimizer import make_loss, make_optimizer_groups
from ser_store.training.preparing import prepare

FAMILIES = ("tiny-wav2vec2", "tiny-hubert", "tiny-unispeech", "tiny-wavlm", "tiny-data2vec-audio", "tiny-whisper")
COUNTS = {"angry": 6, "calm": 2, "sad": 4}


def build(key, recipe=None):
    model = build_model(key, classes=list(COUNTS)).model
    prepare(model, recipe or Recipe())
    return model


def train_once(model):
    model.train()
    shape = (2, 100, 80) if model.backbone.config.model_type == "whisper" else (2, 16_000)
    model(torch.randn(shape), labels=torch.tensor([0, 1])).loss.backward()


@pytest.mark.parametrize("key", FAMILIES)
def test_every_parameter_is_in_one_group_and_learns_by_its_depth(key):
    model = build(key)
    groups = make_optimizer_groups(model, Recipe(layer_decay=0.5, learning_rate=1.0, weight_decay=0.1))
    rates = {id(parameter): group["lr"] for group in groups for parameter in group["params"]}
    # Whisper's positions are sine waves that are never trained.
    learning = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    sines = ["backbone.encoder.embed_positions.weight"] if key == "tiny-whisper" else []
    assert [name for name, _ in model.named_parameters() if name not in learning] == sines
    assert sum(len(group["params"]) for group in groups) == len(rates) == len(learning)
    for name, parameter in learning.items():
        if name.startswith("classifier."):
            expected = 1.0
        elif name.startswith("backbone.encoder.layers.0."):
            expected = 0.5
        elif name.startswith("backbone.encoder.layer_norm.") and key in ("tiny-unispeech", "tiny-whisper"):
            expected = 1.0  # comes after the layers
        else:
            expected = 0.25
        assert rates[id(parameter)] == expected, name
    assert groups[0]["lr"] == 1.0, "the curves show the rate of the first group"


@pytest.mark.parametrize("key", FAMILIES)
def test_weight_decay_leaves_out_what_the_trainer_leaves_out(key, tmp_path):
    model = build(key)
    recipe = Recipe(weight_decay=0.1)
    trainer = Trainer(model=model, args=build_training_arguments(recipe, tmp_path), eval_dataset=[0])
    theirs = {
        id(one): group["weight_decay"] for group in trainer.create_optimizer().param_groups for one in group["params"]
    }
    ours = {id(one): group["weight_decay"] for group in make_optimizer_groups(model, recipe) for one in group["params"]}
    assert ours == theirs
    assert set(ours.values()) == {0.0, 0.1}


@pytest.mark.parametrize("key", FAMILIES)
def test_a_frozen_feature_encoder_learns_nothing_and_all_else_does(key):
    model = build(key, Recipe(freeze_feature_encoder=True))
    train_once(model)
    learned = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    frozen, next_one = "backbone.feature_extractor.", "backbone.feature_projection."
    if key == "tiny-whisper":
        frozen, next_one = "backbone.encoder.conv", "backbone.encoder.layers."
    assert any(name.startswith(frozen) for name, _ in model.named_parameters())
    assert not any(name.startswith(frozen) for name in learned)
    assert any(name.startswith(next_one) for name in learned)


@pytest.mark.parametrize("key", ["tiny-unispeech", "tiny-whisper"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_frozen_layers_take_all_below_with_them(checkpointing, key):
    model = build(key, Recipe(frozen_layers=1, gradient_checkpointing=checkpointing))
    train_once(model)
    learned = {name.rpartition(".")[0] for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learned == {"backbone.encoder.layer_norm", "classifier.dense", "classifier.out_proj"}
    grouped = [one for group in make_optimizer_groups(model, Recipe(layer_decay=0.5)) for one in group["params"]]
    assert len(grouped) == sum(one.requires_grad for one in model.parameters())


def test_more_frozen_layers_than_there_are_is_refused():
    with pytest.raises(SerstoreError, match="`frozen_layers` is 3: expected at most the 1 layers of the backbone"):
        build("tiny-hubert", Recipe(frozen_layers=3))


@pytest.mark.parametrize(
    ("stated", "smoothing"), [("none", 0.0), ("balanced", 0.0), ("none", 0.2), ({"calm": 3.0}, 0.1)]
)
def test_the_loss_is_torchs_and_adds_up_over_parts(stated, smoothing):
    labels = torch.tensor([0] * 6 + [1] * 2 + [2] * 4)[torch.randperm(12, generator=torch.manual_seed(0))]
    logits = torch.randn(12, 3)
    weights = {
        "none": None,
        "balanced": compute_class_weight("balanced", classes=np.arange(3), y=labels.numpy()).astype(np.float32),
    }.get(stated if isinstance(stated, str) else "", np.array([1, 3, 1], dtype=np.float32))
    expected = functional.cross_entropy(
        logits, labels, None if weights is None else torch.from_numpy(weights), label_smoothing=smoothing
    )
    loss = make_loss(Recipe(class_weights=stated, label_smoothing_factor=smoothing), COUNTS)
    assert torch.allclose(loss(logits, labels), expected)
    parts = [(logits[part], labels[part]) for part in (slice(0, 5), slice(5, 12))]
    mean = sum(loss(*part) * loss.weigh(part[1]) for part in parts) / loss.weigh(labels)
    assert torch.allclose(mean, expected)


def test_weights_that_cannot_be_are_refused():
    with pytest.raises(
        UnknownNameError, match=r"unknown class in class_weights 'angri': expected one of angry \(nearest\)"
    ):
        make_loss(Recipe(class_weights={"angri": 2}), COUNTS)
    with pytest.raises(SerstoreError, match="no training utterance is calm: expected some of each class"):
        make_loss(Recipe(class_weights="balanced"), {**COUNTS, "calm": 0})


@pytest.mark.parametrize("key", FAMILIES)
def test_masking_takes_the_place_of_the_backbones_own_and_is_saved_with_the_model(key, tmp_path):
    recipe = Recipe().changed(
        mask_time_prob=0.5, mask_time_length=2, mask_feature_prob=0.2, mask_feature_length=10, layerdrop=0.1
    )
    model = build(key, recipe)
    config = model.backbone.encoder.config
    assert (config.mask_time_prob, config.mask_feature_prob, config.layerdrop) == (0.5, 0.2, 0.1)
    train_once(model)
    model.save_pretrained(tmp_path)
    build_model(key, classes=list(COUNTS)).feature_extractor.save_pretrained(tmp_path)
    again = load_classifier(tmp_path).model
    assert again.backbone.config.mask_time_prob == 0.5
    assert again.backbone.config.apply_spec_augment
    if key != "tiny-whisper":  # masks with zeros
        assert torch.equal(again.backbone.masked_spec_embed, model.backbone.masked_spec_embed)
    prepare(again, Recipe().changed(mask_time_prob=0.0, mask_feature_prob=0.0))
    again.save_pretrained(tmp_path)
    assert load_classifier(tmp_path).model.backbone.config.mask_time_prob == 0


@pytest.mark.parametrize(("key", "channels"), [("tiny-hubert", 128), ("tiny-whisper", 80)])
def test_masks_as_long_as_what_is_masked_are_refused(key, channels):
    with pytest.raises(SerstoreError, match=f"_length is {channels}: expected less than the {channels} channels"):
        build(key, Recipe().changed(mask_feature_prob=0.1, mask_feature_length=channels))


@pytest.mark.parametrize("key", ["tiny-wav2vec2", "tiny-whisper"])
def test_attention_is_what_was_asked_for_and_hears_the_same(key):
    samples = torch.randn(1, 100, 80) if key == "tiny-whisper" else torch.randn(1, 16_000)
    eager, sdpa = (build(key, Recipe(attn_implementation=name)) for name in ("eager", "sdpa"))
    layer = eager.backbone.encoder.layers[0]
    attention = layer.self_attn if key == "tiny-whisper" else layer.attention
    assert attention.config._attn_implementation == "eager"
    assert torch.allclose(eager(samples).logits, sdpa(samples).logits, atol=1e-5)


def test_warm_up_and_compilation_reach_the_trainer(tmp_path):
    arguments = build_training_arguments(Recipe(warmup_ratio=0.1, dataloader_num_workers=2), tmp_path)
    assert arguments.get_warmup_steps(250) == 25
    assert (arguments.dataloader_num_workers, arguments.torch_compile) == (2, False)


def test_of_several_gpus_that_a_process_sees_one_is_used_and_batches_stay_the_recipe_s(tmp_path, monkeypatch, caplog):
    def see_four(arguments):
        arguments._n_gpu = 4
        return torch.device("cpu")

    seen = cached_property(see_four)
    seen.__set_name__(TrainingArguments, "_setup_devices")
    monkeypatch.setattr(TrainingArguments, "_setup_devices", seen)
    assert TrainingArguments(output_dir=str(tmp_path), per_device_train_batch_size=3).train_batch_size == 12
    with caplog.at_level("INFO", logger="ser_store"):
        arguments = build_training_arguments(Recipe(per_device_train_batch_size=3), tmp_path)
    assert (arguments.n_gpu, arguments.train_batch_size, arguments.device.type) == (1, 3, "cpu")
    assert "4 GPUs are there, one of them is used: `torchrun --nproc-per-node=4" in caplog.text


def test_a_reporter_that_is_not_installed_is_named_before_anything_is_spent(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(
        MissingExtraError, match="wandb is not installed: `report_to` wandb needs it; pip install wandb"
    ):
        build_training_arguments(Recipe(report_to="wandb"), tmp_path)


def test_attention_that_is_not_to_be_had_is_refused():
    with pytest.raises(ModelError, match="wavlm has an attention of its own and not sdpa"):
        build("tiny-wavlm", Recipe(attn_implementation="sdpa"))


def test_the_head_may_have_a_rate_of_its_own():
    model = build("tiny-whisper", recipe := Recipe(learning_rate=0.1, head_learning_rate=1.0, layer_decay=0.5))
    rates = {id(one): group["lr"] for group in make_optimizer_groups(model, recipe) for one in group["params"]}
    named = dict(model.named_parameters())
    assert {rates[id(one)] for name, one in named.items() if name.startswith("classifier.")} == {1.0}
    assert rates[id(named["backbone.encoder.layer_norm.weight"])] == 0.1  # what is above the layers, but not the head
    assert rates[id(named["backbone.encoder.conv1.weight"])] == 0.025
