"""What one pass forth and back takes, counted on tensors that have shapes and no memory."""

import weakref
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count, sdpa_backward_flop_count, sdpa_flop_count

from ser_store.backbones.checkpoint import quiet_transformers
from ser_store.backbones.invariance import known_lengths
from ser_store.backbones.model import SpeechClassifier, SpeechClassifierConfig
from ser_store.backbones.pooling import pool_frames
from ser_store.recipes.recipe import Recipe
from ser_store.training.distributed.fsdp import refuse_configuration
from ser_store.training.estimate.shard_footprint import Shards, drop_gradients
from ser_store.training.preparing import prepare

_HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}
# The first layer of WavLM does what the others do not.
_COUNTED_LAYERS = 2
# Float32 samples and an int64 mask.
_BYTES_PER_SAMPLE = 4 + 8


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


def count_parameters(config: SpeechClassifierConfig, recipe: Recipe) -> tuple[int, int]:
    """All parameters of a classifier, and those of them that the recipe trains."""
    with FakeTensorMode():
        model = _build(config, recipe)
        parameters = list(model.parameters())
        return sum(map(_size, parameters)), sum(_size(one) for one in parameters if one.requires_grad)


def _size(parameter: Tensor) -> int:
    return parameter.numel()


def compute_activation_bytes(config: SpeechClassifierConfig, recipe: Recipe, *, samples: Sequence[int]) -> int:
    """The most that one batch and what is made of it hold in memory beside weights and gradients, in bytes.

    Every tensor that torch makes is counted from its making until it is let go, with all layers in use. Not counted is
    what kernels take for themselves while they run. Attention is that of the CPU; a GPU's fused one takes less. Of what
    torch's allocator really held on a CPU, this was 89 to 104% (hubert-base, tiny Wav2vec2.0, WavLM), and 57% where the
    tiny HuBERT's wide convolutions took the rest for themselves.

    Args:
        samples: of each utterance of the batch, which is padded to the longest.
    """
    with FakeTensorMode():
        model = _build(config, recipe)
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
        batch = torch.zeros(len(samples), max(samples))
        kept = [batch, *model.parameters(), *(one.grad for one in model.parameters() if one.grad is not None)]
        with _LiveBytes(kept) as live:
            with _autocast(recipe):
                loss = _compute_loss(model, batch, samples)
            loss.backward()
        peak: int = live.peak
    return peak + batch.numel() * _BYTES_PER_SAMPLE


def compute_shard_bytes(
    config: SpeechClassifierConfig, recipe: Recipe, *, samples: Sequence[int], plugin: Any, processes: int
) -> tuple[int, int]:
    """The same of one of several processes that hold a shard of the model each, without and with what FSDP takes.

    The second counts beside activations, at the fullest moment: the layer that is computed, gathered in the dtype of
    the recipe's precision, and the next one on its way; what belongs to no layer, gathered all the time; and the
    gradients of a layer and a float32 buffer to exchange them. This process' shares of weights, gradients and optimizer
    are not in it. With them, it was 100 to 110% of what each of two processes on a CPU really had in use.

    Args:
        plugin: accelerate's, not used for another model before: says which layers are gathered together, and whether
            they stay after their forward pass.

    Raises:
        SerstoreError: if the model cannot be sharded so.
    """
    dtype = _HALVES.get(recipe.precision, torch.float32)
    peaks = []
    with FakeTensorMode():
        for is_sharded in (False, True):
            model = _build(config, recipe)
            refuse_configuration(plugin, model)
            _convert(model, dtype)
            batch = torch.zeros(len(samples), max(samples))
            with _LiveBytes([batch, *model.parameters()]) as live, ExitStack() as stack:
                if is_sharded:
                    stack.enter_context(Shards(model, plugin, processes=processes, dtype=dtype).gathered())
                else:
                    drop_gradients(model)
                with _autocast(recipe):
                    loss = _compute_loss(model, batch, samples)
                loss.backward()
            peaks.append(live.peak + batch.numel() * _BYTES_PER_SAMPLE)
    return peaks[0], peaks[1]


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


def _convert(model: nn.Module, dtype: torch.dtype) -> None:
    """Other weights of the same shapes, as weights that have no values cannot be converted in place."""
    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(weight.detach().to(dtype), requires_grad=weight.requires_grad))


def _autocast(recipe: Recipe) -> AbstractContextManager[Any]:
    if recipe.precision not in _HALVES:
        return nullcontext()
    return torch.autocast("cpu", dtype=_HALVES[recipe.precision])


class _LiveBytes(TorchDispatchMode):
    """Adds up the storages that are alive, without those of ``kept``.

    Attributes:
        peak: the most bytes that were alive at a time.
    """

    def __init__(self, kept: Sequence[Tensor]) -> None:
        super().__init__()
        # Held on to, so that no other storage comes to lie at the same address.
        self._kept = [tensor.untyped_storage() for tensor in kept]
        self._known = {storage._cdata for storage in self._kept}
        self._live = 0
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(output):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return output

    def _add(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self._live += size
            self.peak = max(self.peak, self._live)
            weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._live -= size
