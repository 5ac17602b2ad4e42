"""Between two loggings, training asks the accelerator for nothing that it would have to wait for."""

import shutil
from collections import Counter
from contextlib import nullcontext

import pytest
import torch
from backbone_samples import VARIANTS, make_model, make_utterances, pad, prepare
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import Trainer

from ser_store.backbones.families import masks
from ser_store.recipes.recipe import Recipe
from ser_store.training.finetune import finetune
from ser_store.training.trainer import MemberTrainer
from ser_store_h5.store import Store

LENGTHS = (8_000, 16_000, 23_360)
MASKED = {"mask_time_prob": 0.3, "mask_time_length": 4, "mask_feature_prob": 0.2, "mask_feature_length": 3}
FAMILIES = ("wav2vec2", "hubert", "unispeech", "wavlm", "data2vec-audio", "whisper")
# What brings numbers to the host: as torch's operators, and as methods of tensors, which need call none on a CPU.
READING = {"_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "_unique2", "equal"}
METHODS = {"item", "tolist", "cpu", "numpy", "__array__", "__bool__", "__int__", "__float__", "__index__"}


def make_batch(variant, **fields):
    model = make_model(variant, **MASKED, mask_feature_min_masks=0, apply_spec_augment=True, **fields)
    values, mask = pad(prepare(model, make_utterances(*LENGTHS)))
    return model.train(), {"input_values": values, "attention_mask": mask, "labels": torch.tensor([0, 1, 2])}


@pytest.mark.parametrize("layerdrop", [0.0, 0.5])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_pass_forth_and_back_reads_nothing_from_where_there_is_nothing_to_read(variant, layerdrop, monkeypatch):
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # this device has none
    name = "encoder_layerdrop" if variant == "whisper" else "layerdrop"
    model, batch = make_batch(variant, **{name: layerdrop})
    model, batch = model.to("meta"), {key: value.to("meta") for key, value in batch.items()}
    loss = model(**batch, sample_counts=LENGTHS).loss
    loss.backward()
    assert loss.device.type == "meta"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_pass_forth_and_back_does_not_wait_for_a_gpu(variant):
    model, batch = make_batch(variant)
    model, batch = model.to("cuda"), {key: value.to("cuda") for key, value in batch.items()}
    torch.cuda.set_sync_debug_mode("error")
    try:
        model(**batch, sample_counts=LENGTHS).loss.backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


class Operators(TorchDispatchMode):
    """Counts operators that read, and indexing by booleans, of which a device has to say how many are true."""

    def __init__(self, counts):
        super().__init__()
        self.counts = counts

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        name = function.overloadpacket.__name__
        lists = name in ("index", "index_put", "index_put_") and [one for one in arguments[1] if one is not None]
        # What is filled with one number is not listed.
        if lists and any(one.dtype == torch.bool for one in lists) and not (name[6:] and arguments[2].ndim == 0):
            self.counts[f"{name} by booleans"] += 1
        self.counts[name] += name in READING
        return function(*arguments, **(named or {}))


class Methods(TorchFunctionMode):
    """Counts methods that read."""

    def __init__(self, counts):
        super().__init__()
        self.counts = counts

    def __torch_function__(self, function, types, arguments=(), named=None):
        name = getattr(function, "__name__", "")
        self.counts[name] += name in METHODS
        return function(*arguments, **(named or {}))


@pytest.fixture
def read(monkeypatch):
    """What is read in training steps and in the optimizer's, by name; to draw a mask from lengths, nothing is."""
    counts = Counter()

    def watch(kind, name):
        plain = getattr(kind, name)

        def watched(*arguments, **named):
            with Methods(counts), Operators(counts):
                return plain(*arguments, **named)

        monkeypatch.setattr(kind, name, watched)

    def draw(*arguments, plain=masks.draw_mask, **named):
        before = dict(counts)
        drawn = plain(*arguments, **named)
        counts.clear()
        counts.update(before)
        return drawn

    monkeypatch.setattr("ser_store.backbones.families.masks.draw_mask", draw)
    monkeypatch.setattr("ser_store.backbones.families.whisper.draw_mask", draw)
    monkeypatch.setattr("ser_store.backbones.halves.draw_mask", draw)
    watch(MemberTrainer, "training_step")
    watch(torch.optim.AdamW, "step")
    watch(Trainer, "_clip_grad_norm")
    return counts


def train(empty, tmp_path, model, **options):
    path = shutil.copytree(empty, tmp_path / "speech.store")
    masking = {name: MASKED[name] for name in ("mask_time_prob", "mask_time_length")}
    recipe = Recipe(max_steps=3, eval_steps=3, logging_steps=3, save_steps=3).changed(layerdrop=0.0, **masking)
    finetune(Store(path), model, recipe=recipe.changed(**options))


@pytest.mark.parametrize("model", [f"tiny-{family}" for family in FAMILIES])
def test_steps_between_two_loggings_read_nothing(model, empty, tmp_path, read):
    train(empty, tmp_path, model, mask_feature_prob=0.2, mask_feature_length=3, class_weights="balanced")
    assert +read == {}


@pytest.mark.parametrize("model", ["tiny-wavlm", "tiny-whisper"])
def test_nor_do_those_above_frozen_layers_that_are_kept(model, empty, tmp_path, read):
    train(empty, tmp_path, model, frozen_layers=1, cache_frozen=True)
    assert +read == {}
