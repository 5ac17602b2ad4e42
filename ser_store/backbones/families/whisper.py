"""Whisper's encoder over an utterance as long as it is: transformers' own asks for thirty seconds, and takes no mask.

Positions are cut to the utterance; padding is set to zero after the first convolution, where the second one looks a
frame further than an utterance of odd length goes, and is masked in attention. Without padding and over thirty seconds,
the numbers are those of transformers' ``WhisperEncoder``. Longer utterances are cut into windows as long as there are
positions; the frames of all windows follow one another, so that pooling is exact whatever the length.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.whisper.modeling_whisper import WhisperEncoder, WhisperPreTrainedModel

from ser_store.backbones.configuration import SAMPLES_PER_MEL_FRAME
from ser_store.backbones.families.masks import PaddingMask, copy_to, draw_mask, mark_frames
from ser_store.errors import AudioError


class MaskedWhisperEncoder(WhisperEncoder):
    """The encoder, its weights under the same names, for any number of mel frames up to all positions."""

    def forward(
        self,
        input_features: Tensor,
        attention_mask: Tensor,
        *,
        is_frame: Tensor | None,
        output_hidden_states: bool = False,
    ) -> tuple[Tensor, ...]:
        """Hidden states, each ``(b, f, h)`` with f = ceil(m / 2); the last one is after the last normalisation.

        Args:
            input_features: ``(b, n, m)``, n mel bins of m frames.
            attention_mask: ``(b, m)`` bool, false where mel frames are padding.
            is_frame: ``(b, f)`` bool, the same of hidden states; None where none are padding.
            output_hidden_states: whether what enters each layer comes first, or the last hidden states alone.
        """
        padded = ~attention_mask[:, None]
        hidden = functional.gelu(self.conv1(input_features.masked_fill(padded, 0)))
        hidden = functional.gelu(self.conv2(hidden.masked_fill(padded, 0))).permute(0, 2, 1)
        hidden = hidden + self.embed_positions(torch.arange(hidden.shape[1], device=hidden.device))
        hidden = functional.dropout(hidden, p=self.dropout, training=self.training)
        return self.run_layers(hidden, is_frame, self.layers, output_hidden_states=output_hidden_states)

    def run_layers(
        self,
        hidden: Tensor,
        is_frame: Tensor | None,
        layers: nn.ModuleList,
        *,
        output_hidden_states: bool = False,
    ) -> tuple[Tensor, ...]:
        """The same from hidden states ``(b, f, h)`` on; ``is_frame`` ``(b, f)`` bool, or None where none is padding."""
        mask = create_bidirectional_mask(self.config, hidden, is_frame)
        entering = []
        for layer in layers:
            if output_hidden_states:
                entering.append(hidden)
            if not self._is_dropped():
                hidden = layer(hidden, mask)
        return (*entering, self.layer_norm(hidden))

    def _is_dropped(self) -> bool:
        """Draw whether the next layer is skipped. Where processes share the layers, hooks pass over them instead."""
        probability: float = self.config.encoder_layerdrop
        if not self.training or probability == 0 or getattr(self, "_is_fsdp_managed_module", False):
            return False
        return bool(torch.rand([]) < probability)


class WhisperBackbone(WhisperPreTrainedModel):
    """Whisper without its decoder, with the interface of the other families' bare models."""

    main_input_name = "input_values"
    # Its modules see no padding, and so it alone is told of lengths, see ser_store.backbones.families.invariance.
    _length_aware: tuple[Any, ...] = ()
    sample_counts: Sequence[int] | None = None
    always_masked = False
    samples_per_value = SAMPLES_PER_MEL_FRAME
    # Checkpoints that hold nothing but the encoder have its weights without a prefix.
    key_mapping: ClassVar[dict[str, str]] = {r"^(conv1|conv2|embed_positions|layers|layer_norm)\.": r"encoder.\1."}

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.encoder = MaskedWhisperEncoder(config)
        self.post_init()

    def forward(
        self, input_values: Tensor, attention_mask: Tensor | None = None, *, output_hidden_states: bool = False
    ) -> BaseModelOutput:
        """``last_hidden_state`` ``(b, ceil(m / 2), h)``.

        Args:
            input_values: ``(b, m, n)`` float32, m log-mel frames of n bins, padded at their end.
            attention_mask: ``(b, m)``, 1 for frames and 0 for padding; None where nothing is padded.
            output_hidden_states: whether there are ``hidden_states`` too: what enters each layer, and the last ones.
        """
        features = input_values.transpose(1, 2)
        mask = features.new_ones(features[:, 0].shape) if attention_mask is None else attention_mask
        mask, wanted = mask.bool(), {"output_hidden_states": output_hidden_states}
        is_frame: Tensor | None = mask[:, ::2]
        # Elsewhere, what is looked at may be more than the utterance.
        if self.training and self.sample_counts is not None:
            features = self._mask_for_training(features, self.sample_counts)
            is_frame = mark_frames(self, self.count_frames(self.sample_counts), mask[:, ::2, None])
        elif self.always_masked:
            is_frame = mask[:, ::2].as_subclass(PaddingMask)
        if features.shape[2] <= self.window_frames:
            states = self.encoder(features, mask, is_frame=is_frame, **wanted)
        else:
            states = self._encode_windows(features, mask, **wanted)
        return BaseModelOutput(last_hidden_state=states[-1], hidden_states=states if output_hidden_states else None)

    @property
    def window_frames(self) -> int:
        """Mel frames for which there are positions."""
        positions: int = self.config.max_source_positions
        return 2 * positions

    def _encode_windows(self, features: Tensor, mask: Tensor, *, output_hidden_states: bool) -> tuple[Tensor, ...]:
        """As the encoder, over windows that are looked at one by one; those that are all padding are left at zero."""
        batch, bins, frames = features.shape
        size = self.window_frames
        windows = -(-frames // size)
        missing = windows * size - frames
        features = functional.pad(features, (0, missing)).unflatten(2, (windows, size)).transpose(1, 2)
        features = features.reshape(batch * windows, bins, size)
        mask = functional.pad(mask, (0, missing)).reshape(batch * windows, size)
        occupied = mask.any(dim=1)

        def join(encoded: Tensor) -> Tensor:
            hidden = encoded.new_zeros(batch * windows, *encoded.shape[1:])
            hidden[occupied] = encoded
            return hidden.reshape(batch, -1, hidden.shape[2])[:, : -(-frames // 2)]

        mask = mask[occupied]
        wanted = {"is_frame": mask[:, ::2], "output_hidden_states": output_hidden_states}
        states = self.encoder(features[occupied], mask, **wanted)
        return tuple(map(join, states))

    def _mask_for_training(self, features: Tensor, sample_counts: Sequence[int]) -> Tensor:
        """SpecAugment on mel frames and bins as the configuration has it; batches shorter than a mask go unmasked."""
        config, (batch, bins, frames) = self.config, features.shape
        if not config.apply_spec_augment or (config.mask_time_prob > 0 and frames < config.mask_time_length):
            return features
        if config.mask_time_prob > 0:
            drawn = draw_mask(config, "time", (batch, frames), lengths=list(map(count_mel_frames, sample_counts)))
            features = features.masked_fill(copy_to(drawn, features.device)[:, None], 0)
        if config.mask_feature_prob > 0:
            drawn = draw_mask(config, "feature", (batch, bins))
            features = features.masked_fill(copy_to(drawn, features.device)[:, :, None], 0)
        return features

    def count_frames(self, sample_counts: Sequence[int]) -> tuple[int, ...]:
        """Return the frames per utterance: one for each two mel frames that begin in its samples.

        Raises:
            AudioError: if an utterance is too short for a mel frame.
        """
        return tuple(-(-count_mel_frames(samples) // 2) for samples in sample_counts)

    def freeze_feature_encoder(self) -> None:
        """Leave the convolutions as they are in training."""
        for convolution in (self.encoder.conv1, self.encoder.conv2):
            convolution.requires_grad_(False)


def count_mel_frames(samples: int) -> int:
    """Return how many mel frames so many samples have.

    Raises:
        AudioError: if it is too short for one.
    """
    if samples < SAMPLES_PER_MEL_FRAME:
        raise AudioError(
            f"an utterance of {samples} samples is shorter than one mel frame: expected at least "
            f"{SAMPLES_PER_MEL_FRAME} samples at 16 kHz; leave the recording out"
        )
    return samples // SAMPLES_PER_MEL_FRAME
