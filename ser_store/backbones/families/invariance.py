"""Batch invariance: what a backbone makes of an utterance depends on the utterance alone, not on its batch mates.

Transformers' speech models see padding in four places, in spite of the attention mask: the group norm of the first
convolution takes its statistics over time (``feat_extract_norm="group"``), data2vec's stacked positional convolutions
carry what one layer makes of the padding into the frames of the next, HuBERT's optional batch norm before the
positional convolution turns masked zeros into other numbers, and WavLM hands a boolean beside a float mask to an
attention that has deprecated the mixture. Here these modules are replaced by ones that know the lengths; names and
shapes of all parameters stay as they are.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.modeling_layers import GradientCheckpointingLayer

from ser_store.backbones.families.masks import copy_to, find_valid, mark_feature_vectors, mask_hidden_states
from ser_store.errors import AudioError

Counts = tuple[int, ...]


class LengthAware:
    """A module that is told, for the time of a forward pass, how much of each utterance is not padding."""

    # None outside of such a pass, where nothing is padded.
    lengths: Counts | None = None
    # Whether the lengths are counted in frames after the first convolution only, or after all of them.
    after_first_convolution = False


@contextmanager
def known_lengths(backbone: Any, sample_counts: Sequence[int]) -> Iterator[Counts]:
    """Tell a backbone and its length-aware modules the lengths of a batch; yields its frames per utterance.

    Args:
        backbone: what :func:`make_invariant` returned.
        sample_counts: samples per utterance, without padding.

    Raises:
        AudioError: if an utterance is too short for a single frame.
    """
    frame_counts: Counts = backbone.count_frames(sample_counts)
    backbone.sample_counts = sample_counts
    for module in backbone._length_aware:
        first = module.after_first_convolution
        module.lengths = count_frames(sample_counts, backbone.config, convolutions=1) if first else frame_counts
    try:
        yield frame_counts
    finally:
        backbone.sample_counts = None
        for module in backbone._length_aware:
            module.lengths = None


def count_frames(sample_counts: Sequence[int], config: Any, *, convolutions: int | None = None) -> Counts:
    """Return the frames per utterance after the first ``convolutions`` (default: all) of the feature encoder.

    Raises:
        AudioError: if an utterance is too short for a single frame.
    """
    layers = list(zip(config.conv_kernel, config.conv_stride, strict=True))[:convolutions]
    counts = []
    for samples in sample_counts:
        count = samples
        for kernel, stride in layers:
            count = (count - kernel) // stride + 1 if count >= kernel else 0
        if count == 0:
            raise AudioError(
                f"an utterance of {samples} samples is shorter than one frame: expected at least "
                f"{count_samples(1, config)} samples at 16 kHz; leave the recording out"
            )
        counts.append(count)
    return tuple(counts)


def count_samples(frames: int, config: Any) -> int:
    """Return the fewest samples that make so many frames."""
    samples = frames
    for kernel, stride in reversed(list(zip(config.conv_kernel, config.conv_stride, strict=True))):
        samples = (samples - 1) * stride + kernel
    return samples


def make_invariant(backbone: Any) -> Any:
    """Replace the modules of a backbone that would see padding, in place; twice is as good as once.

    It has a method ``count_frames(sample_counts)`` afterwards, as
    :class:`~ser_store.backbones.families.whisper.WhisperBackbone` has, which sees no padding by itself.
    """
    if backbone.config.model_type == "whisper":
        return backbone
    convolutions = backbone.feature_extractor.conv_layers
    if isinstance(getattr(convolutions[0], "layer_norm", None), nn.GroupNorm):
        convolutions[0] = GroupNormConvolution(convolutions[0])
    embedding = backbone.encoder.pos_conv_embed
    if backbone.config.model_type == "data2vec-audio":
        backbone.encoder.pos_conv_embed = StackedPositionalConvolution(embedding)
    if isinstance(getattr(embedding, "batch_norm", None), nn.BatchNorm1d):
        embedding.batch_norm.__class__ = ValidBatchNorm
    if backbone.config.model_type == "wavlm":
        for attention in [layer.attention for layer in backbone.encoder.layers]:
            if not isinstance(attention, OneMaskAttention):
                attention.__class__ = _give_one_mask(type(attention))  # type: ignore[arg-type]  # a class is hashable
    backbone.count_frames = partial(count_frames, config=backbone.config)
    backbone.sample_counts = None
    # Whether a batch without padding is given a mask all the same, as compiled layers are.
    backbone.always_masked = False
    backbone._get_feature_vector_attention_mask = partial(mark_feature_vectors, backbone)
    backbone._mask_hidden_states = partial(mask_hidden_states, backbone)
    # Not looked for in each forward pass, which takes a millisecond in a model of a thousand modules.
    backbone._length_aware = [module for module in backbone.modules() if isinstance(module, LengthAware)]
    return backbone


class GroupNormConvolution(LengthAware, GradientCheckpointingLayer):
    """The first convolution of a feature encoder, each utterance normalised over its own frames."""

    after_first_convolution = True

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.conv = layer.conv
        self.activation = layer.activation
        self.layer_norm = layer.layer_norm

    def __call__(self, hidden: Tensor) -> Tensor:
        # As an argument, the lengths are still those of this batch when gradient checkpointing runs forward() again.
        convolved: Tensor = super().__call__(hidden, self.lengths)
        return convolved

    def forward(self, hidden: Tensor, lengths: Counts | None = None) -> Tensor:
        hidden = self.conv(hidden)
        if lengths is None or all(length == hidden.shape[2] for length in lengths):
            activated: Tensor = self.activation(self.layer_norm(hidden))
            return activated
        # One call per utterance: the very kernel that a batch of one would take, so nothing can differ.
        normalised = [
            functional.pad(self.layer_norm(utterance[None, :, :length]), (0, hidden.shape[2] - length))
            for utterance, length in zip(hidden, lengths, strict=True)
        ]
        activated = self.activation(torch.cat(normalised))
        return activated


class StackedPositionalConvolution(LengthAware, nn.Module):
    """data2vec's positional convolutions; between them the padding is zero again, as at the end of an utterance."""

    def __init__(self, embedding: Any) -> None:
        super().__init__()
        self.layers = embedding.layers

    def forward(self, hidden: Tensor) -> Tensor:
        padded = None if self.lengths is None else ~find_valid(self.lengths, hidden)
        hidden = hidden.transpose(1, 2)
        for layer in self.layers:
            hidden = layer(hidden) if padded is None else layer(hidden).masked_fill(padded[:, None, :], 0)
        return hidden.transpose(1, 2)


class ValidBatchNorm(LengthAware, nn.BatchNorm1d):
    """HuBERT's batch norm: statistics over frames that are not padding, and padding stays zero."""

    def forward(self, hidden: Tensor) -> Tensor:
        if self.lengths is None:
            return super().forward(hidden)
        frames = hidden.transpose(1, 2)
        places = (np.arange(frames.shape[1]) < np.array(self.lengths)[:, None]).nonzero()
        valid = tuple(copy_to(np.stack(places), frames.device))
        normalised = torch.zeros_like(frames)
        normalised[valid] = super().forward(frames[valid]).to(frames.dtype)
        return normalised.transpose(1, 2)


@cache
def _give_one_mask(kind: type) -> type:
    """Return one class for all attentions of a kind: for each class that it meets, torch compiles a layer anew."""
    return type("OneMaskWavLMAttention", (OneMaskAttention, kind), {})


class OneMaskAttention:
    """WavLM's attention with the padding merged into the relative position bias.

    transformers hands torch a boolean padding mask beside a float bias, which torch has deprecated and warns of at
    every forward pass. Adds no parameters: an attention becomes one by a change of its class.
    """

    num_heads: int

    def torch_multi_head_self_attention(
        self, hidden_states: Tensor, attention_mask: Tensor | None, gated_position_bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        if attention_mask is not None:
            padded = (attention_mask == 0).repeat_interleave(self.num_heads, dim=0)
            gated_position_bias = gated_position_bias.masked_fill(padded[:, None, :], -torch.inf)
        transformers_own: Any = super()
        attended: tuple[Tensor, Tensor] = transformers_own.torch_multi_head_self_attention(
            hidden_states, None, gated_position_bias
        )
        return attended
