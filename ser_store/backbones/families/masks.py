"""Masks of a batch, made from lengths that the host knows, so that it never waits for an accelerator to tell them."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices


class PaddingMask(Tensor):
    """``(b, f)`` bool, true for frames and false for padding, which transformers asks in every pass whether it is any.

    To compute the answer, the host would wait for all that the accelerator has still to do.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]  # as torch's documents say

    def all(self, *_: Any, **__: Any) -> bool:  # type: ignore[override]
        """Some frames are padding, or are to be treated as if some were."""
        return False


def mark_frames(backbone: Any, lengths: Sequence[int], frames: Tensor) -> Tensor | None:
    """Return which of ``frames`` ``(b, f, h)`` are no padding; None where none is and the backbone may go without."""
    if not backbone.always_masked and min(lengths) == frames.shape[1]:
        return None
    valid = find_valid(lengths, frames)
    # WavLM asks nothing and hands it to its layers, of which torch compiles none with a class that it does not know.
    return valid if backbone.config.model_type == "wavlm" else valid.as_subclass(PaddingMask)


def find_valid(lengths: Sequence[int], frames: Tensor) -> Tensor:
    """``(b, f)`` bool, false where ``frames`` ``(b, f, h)`` are padding."""
    counts = copy_to(np.array(lengths), frames.device)
    return torch.arange(frames.shape[1], device=frames.device) < counts[:, None]


def copy_to(values: NDArray[Any], device: torch.device) -> Tensor:
    """Copy from the host without waiting for what the device still has to do."""
    tensor = torch.from_numpy(values)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def draw_mask(
    config: Any,
    axis: Literal["time", "feature"],
    shape: tuple[int, int],
    *,
    lengths: Sequence[int] | None = None,
    span: int | None = None,
) -> NDArray[np.bool_]:
    """Draw what SpecAugment masks along an axis, ``shape`` bool, by transformers' own function and numpy's generator.

    Args:
        config: of the backbone.
        axis: of which the probability and the length of its spans are taken.
        shape: ``(b, n)``.
        lengths: of each utterance, which alone is masked. Default: all n.
        span: the length of one mask, where it is not the configuration's.
    """
    known = None if lengths is None else torch.from_numpy(np.arange(shape[1]) < np.array(lengths)[:, None]).long()
    drawn: NDArray[np.bool_] = _compute_mask_indices(
        shape,
        getattr(config, f"mask_{axis}_prob"),
        span or getattr(config, f"mask_{axis}_length"),
        attention_mask=known,
        min_masks=getattr(config, f"mask_{axis}_min_masks"),
    )
    return drawn


def mark_feature_vectors(backbone: Any, frames: int, attention_mask: Tensor, **_: Any) -> Tensor | None:
    """Stand for ``_get_feature_vector_attention_mask`` of transformers' models, which has the device count.

    Hidden states have no other shape than their mask where this is called, and their device is the mask's.
    """
    hidden = attention_mask.new_empty(len(attention_mask), frames, 0)
    return mark_frames(backbone, backbone.count_frames(backbone.sample_counts), hidden)


def mask_hidden_states(
    backbone: Any, hidden: Tensor, mask_time_indices: None = None, attention_mask: Tensor | None = None
) -> Tensor:
    """Stand for ``_mask_hidden_states`` of transformers' models, which has the device list what is masked, in place."""
    config = backbone.config
    if not backbone.training or not getattr(config, "apply_spec_augment", True):
        return hidden
    batch, count, channels = hidden.shape
    if config.mask_time_prob > 0:
        # HuBERT, which hands no mask on, draws over the padding too.
        lengths = None if attention_mask is None else backbone.count_frames(backbone.sample_counts)
        places = np.stack(draw_mask(config, "time", (batch, count), lengths=lengths).nonzero())
        hidden[tuple(copy_to(places, hidden.device))] = backbone.masked_spec_embed.to(hidden.dtype)
    if config.mask_feature_prob > 0:
        masked = copy_to(draw_mask(config, "feature", (batch, channels)), hidden.device)
        hidden = hidden.masked_fill(masked[:, None], 0)
    return hidden
