"""Floating-point operations of one pass forth and back, counted on tensors that have shapes and no memory."""

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count, sdpa_backward_flop_count, sdpa_flop_count

from ser_store.backbones.checkpoint import quiet_transformers
from ser_store.backbones.families.invariance import known_lengths
from ser_store.backbones.model import SpeechClassifier, SpeechClassifierConfig, pool_frames
from ser_store.recipes.recipe import Recipe
from ser_store.training.preparing import prepare

# The first layer of WavLM does what the others do not.
_COUNTED_LAYERS = 2


def _count_convolution_backward(
    grad_shape: Any, input_shape: Any, weight_shape: Any, *further: Any, out_shape: Any = None
) -> int:
    """As many operations for the weights' gradient, and for that of the input if it is wanted, as forth.

    torch's own count takes a convolution in groups for one without: 16 times as many in a positional convolution.
    """
    is_transposed, output_mask = further[4], further[7]
    forth: int = conv_flop_count(input_shape, weight_shape, grad_shape, transposed=is_transposed)
    times: int = sum(output_mask[:2])
    return forth * times


_COUNTS = {
    torch.ops.aten.convolution_backward: _count_convolution_backward,
    # torch's counter knows the fused attention of GPUs alone.
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda *shapes, **_: sdpa_flop_count(*shapes[:3]),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda *shapes, **_: sdpa_backward_flop_count(*shapes[:4])
    ),
}


def count_flops(config: SpeechClassifierConfig, recipe: Recipe, *, samples: int) -> tuple[int, int]:
    """Floating-point operations of one utterance: forth (evaluation), and forth and back (training).

    Multiplications and additions of matrix products, convolutions and attention, each counting as one; those that
    gradient checkpointing repeats count again. Of many layers, two and three are counted: all further ones take what
    the third does.
    """
    layers: int = config.backbone_config.num_hidden_layers
    if layers <= _COUNTED_LAYERS + 1 or recipe.frozen_layers:
        return _count_all_flops(config, recipe, samples=samples)
    few, more = deepcopy(config), deepcopy(config)
    few.backbone_config.num_hidden_layers = _COUNTED_LAYERS
    more.backbone_config.num_hidden_layers = _COUNTED_LAYERS + 1
    counted = zip(*(_count_all_flops(one, recipe, samples=samples) for one in (few, more)), strict=True)
    forth, both = ((layers - _COUNTED_LAYERS) * (three - two) + two for two, three in counted)
    return forth, both


def _count_all_flops(config: SpeechClassifierConfig, recipe: Recipe, *, samples: int) -> tuple[int, int]:
    with FakeTensorMode():
        model = _build(config, recipe)
        with FlopCounterMode(display=False, custom_mapping=_COUNTS) as counter:
            loss = _compute_loss(model, torch.zeros(1, samples), [samples])
            forth = counter.get_total_flops()
            loss.backward()
        return forth, counter.get_total_flops()


def _build(config: SpeechClassifierConfig, recipe: Recipe) -> Any:
    model: Any = SpeechClassifier(config).train()
    prepare(model, recipe)
    backbone = model.backbone.config
    # Masked frames cost as much as others; skipped layers would make the numbers depend on chance.
    backbone.mask_time_prob = backbone.mask_feature_prob = backbone.layerdrop = 0.0
    # Of the encoder alone, not of its layers: older releases of transformers draw a number for each layer all the same.
    model.backbone.encoder.training = False
    return model


def _compute_loss(model: Any, batch: Tensor, samples: Sequence[int]) -> Tensor:
    """As the model's own forward pass, which would read the lengths from a mask that has no values here."""
    with quiet_transformers(), known_lengths(model.backbone, samples) as frame_counts:
        hidden = model.backbone(batch).last_hidden_state
    pooled = pool_frames(hidden, frame_counts, model.config.pooling)
    return functional.cross_entropy(model.classifier(pooled), torch.zeros(len(samples), dtype=torch.long))
