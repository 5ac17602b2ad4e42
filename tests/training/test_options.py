"""Every option of a recipe does what it says: a training by it is that of a plain loop in torch, step for step."""

import logging
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import TrainerCallback, Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

from ser_store.audio.decode import load_speech
from ser_store.audio.recordings import CorpusRecordings
from ser_store.backbones.checkpoint import quiet_transformers
from ser_store.backbones.loading import build_model
from ser_store.inference.dataset import SpeechDataset
from ser_store.recipes.recipe import Recipe
from ser_store.training.batches import LengthGroupedSampler
from ser_store.training.checkpointing.checkpoints import find_folders
from ser_store.training.finetune import finetune
from ser_store.training.preparing import prepare
from ser_store_h5.store import Store

SHORT = {"max_steps": 2}
# Bit for bit, and to the digits that are compared, two trainings are the same on a CPU alone.
pytestmark = pytest.mark.skipif(torch.accelerator.is_available(), reason="an accelerator would be used")

QUIET = ("hidden_dropout", "attention_dropout", "activation_dropout", "final_dropout", "feat_proj_dropout", "layerdrop")
BACKBONE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "feat_extract_norm": "layer",
    "conv_dim": (8, 8),
    "conv_kernel": (400, 2),
    "conv_stride": (160, 2),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "apply_spec_augment": False,
    **dict.fromkeys(QUIET, 0.0),
}
STEPS = 5
PLAIN = {"max_steps": STEPS, "learning_rate": 1e-2, "logging_steps": 1, "eval_steps": 100, "save_steps": 100}
PLAIN |= {"per_device_eval_batch_size": 16, "per_device_train_batch_size": 3, "gradient_accumulation_steps": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small backbone in which nothing is left to chance."""
    path = tmp_path_factory.mktemp("backbone") / "calm"
    with torch.random.fork_rng(), quiet_transformers():
        torch.manual_seed(1)
        Wav2Vec2Model(Wav2Vec2Config(**BACKBONE)).save_pretrained(path)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(path)
    return path


@pytest.fixture
def store(empty, tmp_path):
    return Store(shutil.copytree(empty, tmp_path / "speech.store"))


class Listener(TrainerCallback):
    """What a training computes: for each optimizer step its batches, and how often the first layer was called."""

    def __init__(self):
        self.steps = []
        self.layer_calls = 0
        self.autocast = set()

    def on_train_begin(self, args, state, control, model=None, **_):
        self.model = model
        model.register_forward_pre_hook(self._hear, with_kwargs=True)
        # Within the layer, for the layer's own hooks are not called when it is computed a second time.
        model.backbone.encoder.layers[0].attention.register_forward_pre_hook(self._count)

    def on_step_begin(self, args, state, control, **_):
        self.steps.append([])

    def _hear(self, model, inputs, named):
        if model.training:
            heard = [
                values[:count].numpy().copy()
                for values, count in zip(named["input_values"], named["sample_counts"], strict=True)
            ]
            self.steps[-1].append((named["rows"].tolist(), heard))

    def _count(self, attention, inputs):
        self.layer_calls += attention.training
        self.autocast.add(torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else None)

    @property
    def rows(self):
        return [row for step in self.steps for rows, _ in step for row in rows]

    @property
    def heard(self):
        return {
            row: samples
            for step in self.steps
            for rows, heard in step
            for row, samples in zip(rows, heard, strict=True)
        }


def train(store, folder, **options):
    """The listener, the losses and learning rates of the curves, and the member's logits."""
    listener = Listener()
    recipe = Recipe.from_json({**PLAIN, **options})
    finetune(store, str(folder), run="r", recipe=recipe, callbacks=[listener])
    points = [point for point in store.curves("r") if "train_loss" in point]
    member = store.read_member(store.member_names("r")[-1])
    return listener, [p["train_loss"] for p in points], [p["learning_rate"] for p in points], member


def read_plain(store, row):
    samples = load_speech(Path(store.corpus.audio_root) / store.corpus.paths[row])
    return (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)


def compute_loss(logits, labels, recipe, classes):
    weights = None
    if recipe.class_weights != "none":
        weights = torch.tensor([recipe.class_weights.get(name, 1.0) for name in classes])
    return functional.cross_entropy(logits, labels, weights, label_smoothing=recipe.label_smoothing_factor)


def compute_rate(recipe, done, total, warmup):
    """The learning rate of the step after so many, as a share of its peak."""
    if done < warmup:
        return done / warmup
    share = (done - warmup) / max(1, total - warmup)
    return {"linear": 1 - share, "cosine": 0.5 * (1 + math.cos(math.pi * share))}.get(recipe.lr_scheduler_type, 1.0)


def choose_factor(name, recipe):
    """By how much a weight learns more slowly than the head, of a backbone of two layers; 0 where it is frozen."""
    place = 3 if name.startswith("classifier.") else int(name.split("layers.")[1][0]) + 1 if ".layers." in name else 0
    if recipe.frozen_layers >= max(place, 1) or (recipe.freeze_feature_encoder and ".feature_extractor." in name):
        return 0.0
    return recipe.layer_decay ** (3 - place)


def train_plainly(store, folder, recipe, steps, *, warmup):
    """Losses and logits of a loop that knows neither the Trainer nor anything of ours but the model."""
    corpus, classes = store.corpus, store.corpus.classes
    model = build_model(str(folder), classes=classes, pooling=recipe.pooling, seed=recipe.seed).model.train()
    groups = []
    for name, parameter in model.named_parameters():
        decays = (parameter.ndim > 1 and "norm" not in name) or "original" in name
        factor = choose_factor(name, recipe)
        if factor:
            decay = recipe.weight_decay if decays and not name.endswith("bias") else 0.0
            groups.append({"params": [parameter], "factor": factor, "weight_decay": decay})
    optimizer, losses = torch.optim.AdamW(groups, lr=1.0), []
    for done, batches in enumerate(steps):
        loss = 0
        for rows, heard in batches:
            said = [model(torch.from_numpy(samples)[None]).logits[0] for samples in heard]
            labels = torch.from_numpy(corpus.labels[rows].astype(np.int64))
            loss = loss + compute_loss(torch.stack(said), labels, recipe, classes) / len(batches)
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([one for group in groups for one in group["params"]], recipe.max_grad_norm)
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * compute_rate(recipe, done, len(steps), warmup) * group["factor"]
        optimizer.step()
        losses.append(loss.item())
    with torch.inference_mode():
        rows = np.sort(np.concatenate([corpus.rows("valid"), corpus.rows("test")]))
        plain = [torch.from_numpy(read_plain(store, row))[None] for row in rows]
        return losses, np.concatenate([model.eval()(values).logits.numpy() for values in plain])


@pytest.fixture(scope="module")
def default(empty, folder, tmp_path_factory):
    """The losses and logits of a training in which no option is given."""
    store = Store(shutil.copytree(empty, tmp_path_factory.mktemp("default") / "speech.store"))
    _, losses, _, member = train(store, folder)
    return losses, member.logits


@pytest.mark.parametrize(
    ("options", "warmup"),
    [
        ({}, 0),
        ({"lr_scheduler_type": "cosine"}, 0),
        ({"lr_scheduler_type": "constant"}, 0),
        ({"warmup_steps": 2}, 2),
        ({"lr_scheduler_type": "constant_with_warmup", "warmup_ratio": 0.6}, 3),
        ({"weight_decay": 10.0}, 0),
        ({"layer_decay": 0.3}, 0),
        ({"max_grad_norm": 1e-8}, 0),
        ({"freeze_feature_encoder": True}, 0),
        ({"frozen_layers": 1}, 0),
        ({"frozen_layers": 2, "layer_decay": 0.5, "weight_decay": 1.0}, 0),
        ({"class_weights": {"angry": 20.0, "sad": 0.1}}, 0),
        ({"label_smoothing_factor": 0.3}, 0),
        ({"pooling": "max"}, 0),
        ({"gradient_accumulation_steps": 2}, 0),
        # An epoch has sixteen utterances: six batches, the last of one, and of the last step there are two of four.
        ({"gradient_accumulation_steps": 4, "max_steps": None, "num_train_epochs": 2.5}, 0),
        ({"per_device_train_batch_size": 100}, 0),
    ],
    ids=str,
)
def test_a_training_is_that_of_a_plain_loop_and_not_the_default_one(options, warmup, store, folder, default):
    recipe = Recipe.from_json({**PLAIN, **options})
    listener, losses, rates, member = train(store, folder, **options)
    expected, logits = train_plainly(store, folder, recipe, listener.steps, warmup=warmup)
    np.testing.assert_allclose(losses, expected, rtol=2e-4)
    np.testing.assert_allclose(member.logits, logits, atol=2e-3)
    shares = [compute_rate(recipe, done, len(losses), warmup) for done in range(len(losses))]
    np.testing.assert_allclose(rates, np.array(shares) * recipe.learning_rate, atol=1e-12)
    if options:
        assert losses != default[0] or np.abs(member.logits - default[1]).max() > 1e-2


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"augmentation": {"noise_prob": 1.0}}, lambda n: n),
        ({"augmentation": {"gain_prob": 1.0, "gain_db": [40, 40]}}, lambda n: n),
        ({"augmentation": {"reverb_prob": 1.0}}, lambda n: n),
        ({"augmentation": {"speed_prob": 1.0, "speed_range": [1.25, 1.25]}}, lambda n: math.ceil(n / 1.25)),
        ({"max_seconds": 0.5}, lambda n: 8_000),
    ],
    ids=["noise", "gain", "reverb", "speed", "crop"],
)
def test_training_hears_other_samples_than_were_recorded(options, count, store, folder):
    listener, *_ = train(store, folder, **SHORT, **options)
    assert len(listener.heard) >= 3
    for row, samples in listener.heard.items():
        plain = read_plain(store, row)
        assert len(samples) == count(len(plain)) or (len(samples) == len(plain) <= 8_000)
        assert len(samples) != len(plain) or np.abs(samples - plain).max() > 0.01


def test_training_hears_the_head_where_it_is_asked_for(store, folder):
    listener, *_ = train(store, folder, **SHORT, max_seconds=0.5, crop="head")
    for row, samples in listener.heard.items():
        head = load_speech(Path(store.corpus.audio_root) / store.corpus.paths[row])[:8_000]
        np.testing.assert_allclose(samples, (head - head.mean()) / np.sqrt(head.var() + 1e-7), atol=1e-4)


def test_batches_are_those_of_the_sampler_by_length(store, folder):
    listener, *_ = train(store, folder, **SHORT, group_by_length=True, gradient_accumulation_steps=2, seed=3)
    rows = store.corpus.rows("train")
    dataset = SpeechDataset(CorpusRecordings(store.corpus, Path(store.corpus.audio_root)), rows, feature_extractor=None)
    expected = rows[list(LengthGroupedSampler(dataset, batch_size=6, seed=3))]
    assert listener.rows == expected[: len(listener.rows)].tolist()
    assert [len(rows) for step in listener.steps for rows, _ in step] == [3, 3, 3, 3]


@pytest.mark.parametrize(
    ("options", "calls"),
    [({}, 4), ({"gradient_checkpointing": True}, 8), ({"masking": {"layerdrop": 1.0}}, 0)],
    ids=str,
)
def test_a_layer_is_called_once_for_each_pass_twice_to_save_memory_and_never_where_it_is_dropped(
    options, calls, store, folder
):
    listener, losses, *_ = train(store, folder, **SHORT, gradient_accumulation_steps=2, **options)
    assert listener.layer_calls == calls
    assert np.isfinite(losses).all()


def test_masks_over_time_and_channels_are_laid_in_training_alone(store, folder):
    plain, losses, _, _ = train(store, folder, **SHORT)
    store.remove("r")
    for name, length in (("time", 4), ("feature", 3)):
        masking = {f"mask_{name}_prob": 0.5, f"mask_{name}_length": length}
        masked, other, _, member = train(store, folder, **SHORT, learning_rate=1e-30, masking=masking)
        assert masked.rows == plain.rows
        assert other[0] != losses[0]
        values = torch.from_numpy(read_plain(store, member.rows[0]))[None]
        with torch.inference_mode():
            np.testing.assert_allclose(masked.model.eval()(values).logits[0].numpy(), member.logits[0], atol=1e-5)
        store.remove("r")


def test_half_precision_is_computed_without_a_gpu_and_said_again_by_its_checkpoint(store, folder, serstore):
    listener, _, _, member = train(store, folder, **SHORT, precision="bf16")
    assert listener.autocast == {torch.bfloat16}
    rounded = torch.from_numpy(member.logits).bfloat16().float().numpy()
    assert (rounded != member.logits).any(axis=1).all()
    assert serstore("extract", "--run", "r", "--step", 2, "--store", store.path).code == 0
    again = store.read_member("r@2")
    places = np.searchsorted(again.rows, member.rows)
    # Batches are others, and bf16 has eight bits.
    np.testing.assert_allclose(again.logits[places], member.logits, atol=2**-7)


def test_another_seed_is_another_training(store, folder, default):
    _, losses, _, member = train(store, folder, seed=43)
    assert losses != default[0]
    assert not np.array_equal(member.logits, default[1])


def test_a_run_like_another_has_its_members_bit_by_bit(store, serstore):
    words = ["--max-steps", 3, "--eval-steps", 2, "--noise-prob", 0.5, "--layerdrop", 0.5, "--mask-time-prob", 0.3]
    words += ["--class-weights", "angry=2", "--group-by-length", "--warmup-share", 0.4, "--layer-decay", 0.9]
    words += ["--max-seconds", 0.7, "--precision", "bf16", "--gradient-checkpointing", "--seed", 5]
    for names in (["--model", "tiny-hubert", "--run", "r", *words], ["--recipe", "r", "--run", "again"]):
        ended = serstore("finetune", *names, "--store", store.path)
        assert ended.code == 0, ended.err
    assert store.run("again").details["recipe"] == store.run("r").details["recipe"]
    assert store.steps("again") == store.steps("r") == [2, 3]
    for step in (2, 3):
        first, again = (store.read_member(f"{run}@{step}") for run in ("r", "again"))
        assert (again.logits.tobytes(), again.pooled.tobytes()) == (first.logits.tobytes(), first.pooled.tobytes())
        assert again.provenance == first.provenance


def test_a_compiled_recipe_has_every_layer_compiled(monkeypatch):
    monkeypatch.setenv("CXX", sys.executable)  # any program: nothing is compiled before the first pass
    compiled = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module, **_: compiled.append(module))
    model = build_model("tiny-unispeech", classes=["angry", "sad"]).model
    prepare(model, Recipe(torch_compile=True))
    assert compiled == list(model.backbone.encoder.layers)


def test_curves_members_and_checkpoints_come_at_their_intervals_and_at_the_end(store, folder):
    intervals = {"logging_steps": 3, "eval_steps": 2, "save_steps": 4, "save_total_limit": 1}
    train(store, folder, **intervals)
    assert [point["step"] for point in store.curves("r") if "train_loss" in point] == [3, 5]
    assert store.steps("r") == [2, 4, 5]
    assert [path.name for path in find_folders(store.run_folder("r") / "checkpoints")] == ["checkpoint-5"]


def test_a_warm_up_without_end_is_reported(store, folder, caplog):
    with caplog.at_level(logging.INFO, logger="ser_store"):
        train(store, folder, **SHORT, warmup_steps=5)
    assert "the warm-up takes 5 steps and the training 2: the learning rate does not get to its peak" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--class-weights", "angri=2"], "unknown class in class_weights 'angri': expected one of angry (nearest)"),
        (["--precision", "fp16"], "--precision fp16 cannot be had on this machine (it takes a GPU; bf16 does without)"),
        (["--dataloader-workers", 100_000], "--dataloader-workers is 100000: expected at most"),
        (["--fold", 1], "split speaker has no folds: got --fold 1"),
        (["--seed", 2**32], "--seed is 4294967296: expected a whole number of at most 4,294,967,295"),
        (["--checkpoints", "/dev/null/x"], "/dev/null/x"),
        (["--push-to-hub", ""], "'' is no repository of the hub"),
        (["--frozen-layers", 9], "--frozen-layers is 9: expected at most the 1 layers of the backbone"),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_line_and_leaves_no_run(options, message, store, serstore):
    ended = serstore("finetune", "--model", "tiny-hubert", "--max-steps", 1, *options, "--store", store.path)
    assert ended.code == 1
    assert ended.err.strip().splitlines()[-1].startswith(f"serstore: {message}")
    assert store.runs() == []


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--noise-db", 0, 5], "--noise-db is of no effect without --noise-prob"),
        (["--crop", "head"], "--crop is of no effect without --max-seconds"),
        (
            ["--early-stopping-metric", "accuracy"],
            "--early-stopping-metric is of no effect without --early-stopping-patience",
        ),
        (
            ["--mask-time-prob", 0, "--mask-time-length", 3],
            "--mask-time-length is of no effect without --mask-time-prob",
        ),
        (["--epochs", 2, "--max-steps", 3], "--epochs is of no effect beside --max-steps 3"),
        (["--noise-prob", 0.1, "--noise-db", 0, 5, "--mask-time-length", 3, "--epochs", 2], None),
    ],
    ids=str,
)
def test_an_option_of_no_effect_is_named(options, line, serstore, tmp_path):
    printed = serstore("finetune", "--print-recipe", *options, "--store", tmp_path / "none.store")
    assert printed.code == 0
    assert printed.err.splitlines() == ([] if line is None else [f"serstore: {line}"])
