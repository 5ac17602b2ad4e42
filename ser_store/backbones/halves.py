"""A backbone in two halves: what enters a transformer layer, and what the layers from there on make of it.

Where the lower layers are not trained, what they say of an utterance need be computed only once.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ser_store.backbones.families.masks import copy_to, draw_mask, mark_frames
from ser_store.errors import SerstoreError


class _Reached(Exception):  # nothing went wrong
    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.hidden = hidden


class _Stop(nn.Module):
    """Stands for a layer, and ends the forward pass at it."""

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> None:
        raise _Reached(hidden_states)


class _NoPositions(nn.Module):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return torch.zeros_like(hidden_states)


def compute_lower(backbone: Any, layer: int, input_values: Tensor, attention_mask: Tensor) -> Tensor:
    """Return what enters a transformer layer, ``(b, f, h)``; ``layer`` counts from 0 and is at most their number.

    Raises:
        SerstoreError: for Whisper, if an utterance is longer than it has positions for.
    """
    longest = getattr(backbone, "window_frames", input_values.shape[1])
    if input_values.shape[1] > longest:
        raise SerstoreError(
            f"an utterance of {input_values.shape[1] / 100:.1f} s is longer than the {longest / 100:.0f} s that the "
            "backbone has positions for: expected none with `cache_frozen`; leave it out, or the option"
        )
    layers = backbone.encoder.layers
    with _replaced(backbone.encoder, layers=nn.ModuleList([*layers[:layer], _Stop()])):
        try:
            backbone(input_values, attention_mask=attention_mask)
        except _Reached as reached:
            return reached.hidden
    raise RuntimeError("the layer was not reached")


def compute_upper(
    backbone: Any, layer: int, hidden: Tensor, lengths: Sequence[int], *, output_hidden_states: bool = False
) -> tuple[Tensor, ...]:
    """Return what comes of what enters a transformer layer: the last hidden states ``(b, f, h)``, in a tuple.

    Args:
        hidden: ``(b, f, h)``, padded at the end.
        lengths: frames of each utterance, without the padding.
        output_hidden_states: whether what enters each of the layers comes first, or the last hidden states alone.
    """
    encoder, mask = backbone.encoder, mark_frames(backbone, lengths, hidden)
    layers, entering = encoder.layers[layer:], list[Tensor]()
    if backbone.config.model_type == "whisper":
        states: tuple[Tensor, ...] = encoder.run_layers(hidden, mask, layers, output_hidden_states=output_hidden_states)
        return states
    instead: dict[str, nn.Module] = {"layers": layers, "pos_conv_embed": _NoPositions()}
    instead["dropout"] = nn.Identity()
    if not getattr(backbone.config, "do_stable_layer_norm", False):
        instead["layer_norm"] = nn.Identity()  # it comes before the layers
    if backbone.config.model_type == "wavlm" and layer < len(encoder.layers):
        # All layers share what the first has learned of distances; it stays that layer's own.
        attention = encoder.layers[layer].attention
        attention.__dict__["rel_attn_embed"] = encoder.layers[0].attention.rel_attn_embed
    # The encoder alone has no hidden states to give: transformers collects them around the whole model.
    hooked = layers if output_hidden_states else ()
    hooks = [one.register_forward_pre_hook(lambda _, given: entering.append(given[0])) for one in hooked]
    try:
        with _replaced(encoder, **instead):
            # It writes zeros over the padding.
            last = encoder(hidden.clone(), attention_mask=mask).last_hidden_state
    finally:
        for hook in hooks:
            hook.remove()
    return (*entering, last)


def mask_frames(hidden: Tensor, lengths: Sequence[int], config: Any) -> Tensor:
    """Return what enters a layer with some of its frames at zero, as the backbone's configuration masks over time.

    Batches that are shorter than a mask go unmasked.
    """
    # Of Whisper's mel frames, two make one here.
    span = max(1, config.mask_time_length // (2 if config.model_type == "whisper" else 1))
    if not getattr(config, "apply_spec_augment", True) or config.mask_time_prob == 0 or hidden.shape[1] < span:
        return hidden
    masked = draw_mask(config, "time", (len(hidden), hidden.shape[1]), lengths=lengths, span=span)
    return hidden.masked_fill(copy_to(masked, hidden.device)[:, :, None], 0)


@contextmanager
def _replaced(encoder: nn.Module, **instead: nn.Module) -> Iterator[None]:
    """Other modules in an encoder for the time of a forward pass."""
    before = {name: getattr(encoder, name) for name in instead}
    try:
        for name, module in instead.items():
            setattr(encoder, name, module)
        yield
    finally:
        for name, module in before.items():
            setattr(encoder, name, module)
