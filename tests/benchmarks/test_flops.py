"""Operations are counted as they are computed."""

import pytest
import torch
from torch import nn

from measuring import flops
from measuring.flops import count_flops
from ser_store.backbones.catalogue import lookup
from ser_store.backbones.loading import build_model
from ser_store.recipes.recipe import Recipe


def build_config(key, *, layers):
    from transformers import AutoConfig

    from ser_store.backbones import model

    entry = lookup(key)
    config = AutoConfig.for_model(entry.architecture, **entry.config)
    if layers is not None:
        config.num_hidden_layers = layers
    return model.build_config(config, [f"class {place}" for place in range(8)], pooling="mean")


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
    monkeypatch.setattr(flops, "_COUNTED_LAYERS", 6)
    assert counted == count_flops(config, recipe, samples=16_000)
