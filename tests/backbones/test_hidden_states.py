"""Layers: each is the hidden state of transformers' own model, pooled by hand, alone and in a padded batch."""

from typing import Any

import pytest
import torch
from backbone_samples import VARIANTS, make_model, make_utterances, pad, prepare
from torch import Tensor
from transformers import AutoModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from ser_store.backbones.configuration import WhisperEncoderConfig
from ser_store.backbones.loading import keep_layers
from ser_store.backbones.model import LayerChoice, SpeechClassifier
from ser_store.errors import ModelError

# Whisper's: even numbers of mel frames, for which transformers' own encoder can be built; the longest has windows.
LENGTHS = (8_000, 16_000, 23_360, 41_600)
BOTH = LayerChoice((0, 1, 2), ("mean", "std"))


def compute_theirs(model: SpeechClassifier, values: Tensor) -> list[Tensor]:
    """Hidden states ``(f, h)`` of one utterance: what enters each layer, and what the model says at its end."""
    config = model.backbone.config
    if config.model_type == "whisper":
        windows = [encode_window(model, window) for window in values.split(2 * config.max_source_positions)]
        return [torch.cat(states) for states in zip(*windows, strict=True)]
    plain = AutoModel.from_config(config).eval()
    plain.load_state_dict(model.backbone.state_dict())
    said = plain(values[None], output_hidden_states=True)
    return [states[0] for states in (*said.hidden_states[:-1], said.last_hidden_state)]


def encode_window(model: SpeechClassifier, features: Tensor) -> list[Tensor]:
    """transformers' encoder with as many positions as there are frames, of which it has two mel frames each."""
    state, count = model.backbone.encoder.state_dict(), len(features) // 2
    fields = {**model.backbone.config.to_dict(), "max_source_positions": count}
    plain = WhisperEncoder(WhisperEncoderConfig.from_dict(fields)).eval()
    plain.load_state_dict({**state, "embed_positions.weight": state["embed_positions.weight"][:count]})
    return [states[0] for states in plain(features.T[None], output_hidden_states=True).hidden_states]


def pool(states: list[Tensor]) -> Tensor:
    """``(n_layers, 2 h)``."""
    return torch.stack([torch.cat([one.mean(dim=0), one.std(dim=0, correction=0)]) for one in states])


def make(variant: str, **fields: Any) -> SpeechClassifier:
    windows = {"max_source_positions": 100} if variant == "whisper" else {}
    return make_model(variant, **windows, **fields)


@pytest.mark.parametrize("variant", VARIANTS)
@torch.inference_mode()
def test_each_layer_is_that_of_transformers_alone_and_in_a_padded_batch(variant: str) -> None:
    model = make(variant)
    utterances = prepare(model, make_utterances(*LENGTHS))
    expected = torch.stack([pool(compute_theirs(model, one)) for one in utterances])
    alone = torch.cat([model(one[None], layers=BOTH).layers for one in utterances])
    values, mask = pad(utterances, with_value=7.0)
    together = model(values, attention_mask=mask, layers=BOTH).layers
    assert expected.shape == (4, 3, 64)
    for found in (alone, together):
        assert float(((found - expected).abs().amax(dim=2) / expected.abs().amax(dim=2)).max()) < 1e-5


@pytest.mark.parametrize("variant", VARIANTS)
@torch.inference_mode()
def test_the_top_is_what_is_pooled_without_layers_bit_for_bit(variant: str) -> None:
    model = make(variant)
    values, mask = pad(prepare(model, make_utterances(*LENGTHS)))
    usual = model(values, attention_mask=mask)
    chosen = model(values, attention_mask=mask, layers=LayerChoice((1, 2)))
    assert usual.layers is None
    assert torch.equal(chosen.layers[:, 1], usual.pooled)
    assert torch.equal(chosen.pooled, usual.pooled)
    assert torch.equal(chosen.logits, usual.logits)


@pytest.mark.parametrize("variant", ["wav2vec2-layer-stable", "wavlm-layer-stable", "whisper", "hubert-group"])
@torch.inference_mode()
def test_the_top_alone_is_behind_the_final_layer_norm_where_layers_normalise_what_enters(variant: str) -> None:
    model = make(variant)
    seen: list[Tensor] = []
    model.backbone.encoder.layers[-1].register_forward_hook(
        lambda _, __, said: seen.append(said[0] if isinstance(said, tuple) else said)
    )
    (values,) = prepare(model, make_utterances(16_000))
    top = model(values[None], layers=LayerChoice((2,))).layers[0, 0]
    is_normalised_at_its_end = variant != "hubert-group"
    last = model.backbone.encoder.layer_norm(seen[0]) if is_normalised_at_its_end else seen[0]
    torch.testing.assert_close(top, last.reshape(-1, 32).mean(dim=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
@torch.inference_mode()
def test_a_backbone_of_fewer_layers_says_what_its_layers_said(variant: str) -> None:
    """Alone; what follows the last layer, a normalisation in some families, follows the last that is kept."""
    model = make(variant, num_hidden_layers=3)
    (utterance,) = prepare(model, make_utterances(16_000))
    entered = model(utterance[None], layers=LayerChoice((2,))).layers[0, 0]
    hidden = model.backbone(utterance[None], output_hidden_states=True).hidden_states[2]
    keep_layers(model.backbone, model.config.backbone_config, 2)
    last = model.backbone.encoder.layer_norm(hidden) if has_last_norm(model) else hidden
    kept = model(utterance[None], layers=LayerChoice((0, 1, 2)))
    assert len(model.backbone.encoder.layers) == model.backbone.config.num_hidden_layers == 2
    torch.testing.assert_close(kept.pooled[0], last[0].mean(dim=0), rtol=1e-5, atol=1e-5)
    if not has_last_norm(model):
        torch.testing.assert_close(kept.pooled[0], entered, rtol=1e-5, atol=1e-5)
    with pytest.raises(ModelError, match="`num_hidden_layers` is 3: expected at most the 2 layers"):
        keep_layers(model.backbone, model.config.backbone_config, 3)


def has_last_norm(model: SpeechClassifier) -> bool:
    config = model.backbone.config
    return config.model_type == "whisper" or getattr(config, "do_stable_layer_norm", False)
