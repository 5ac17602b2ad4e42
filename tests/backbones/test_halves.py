"""Two halves of a backbone say together what it says as a whole, alone and in a padded batch."""

import pytest
import torch
from backbone_samples import VARIANTS, make_model, make_utterances, pad, prepare

from ser_store.backbones.families.invariance import known_lengths
from ser_store.backbones.halves import compute_lower, compute_upper, mask_frames
from ser_store.errors import SerstoreError


@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize("variant", VARIANTS)
@torch.inference_mode()
def test_both_halves_are_the_whole(variant: str, layer: int) -> None:
    model = make_model(variant)
    names = set(model.state_dict())
    utterances = prepare(model, make_utterances(8_000, 16_000, 23_360))
    values, mask = pad(utterances, with_value=7.0)
    expected = model(values, attention_mask=mask)
    counts = (mask.sum(dim=1) * getattr(model.backbone, "samples_per_value", 1)).tolist()
    with known_lengths(model.backbone, counts) as frames:
        lower = compute_lower(model.backbone, layer, values, mask)
        whole = model.backbone(values, attention_mask=mask, output_hidden_states=True).hidden_states
    kept = [states[:count] for states, count in zip(lower, frames, strict=True)]
    states, is_frame = pad(kept, with_value=5.0)
    upper = compute_upper(model.backbone, layer, states, frames, output_hidden_states=True)
    for one, other in zip(upper[:-1], whole[layer:-1], strict=True):
        for place, count in enumerate(frames):
            torch.testing.assert_close(one[place, :count], other[place, :count], rtol=1e-4, atol=1e-4)
    model.entry_layer = layer
    said = model(states, attention_mask=is_frame, sample_counts=frames)
    torch.testing.assert_close(said.logits, expected.logits, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(said.pooled, expected.pooled, rtol=1e-5, atol=1e-5)
    alone = torch.cat([model(one[None]).logits for one in kept])
    torch.testing.assert_close(alone, expected.logits, rtol=1e-5, atol=1e-5)
    assert set(model.state_dict()) == names
    model.entry_layer = 0
    torch.testing.assert_close(model(values, attention_mask=mask).logits, expected.logits, rtol=0, atol=0)


def test_gradients_reach_the_upper_half_alone() -> None:
    model = make_model("wav2vec2-layer-stable")
    compute_upper(model.backbone, 1, torch.randn(2, 30, 32), [30, 30])[-1].sum().backward()
    reached = {name for name, one in model.backbone.named_parameters() if one.grad is not None}
    assert {name.partition(".layers.1.")[0] for name in reached} == {
        "encoder",
        "encoder.layer_norm.weight",
        "encoder.layer_norm.bias",
    }


@pytest.mark.parametrize("variant", ["wav2vec2-layer", "whisper"])
def test_frames_are_masked_in_training_alone(variant: str) -> None:
    model = make_model(variant, mask_time_prob=0.3, mask_time_length=8, apply_spec_augment=True)
    states, lengths = torch.ones(4, 100, 32), [60, 100, 100, 100]
    masked = mask_frames(states, lengths, model.config.backbone_config)
    hidden = (masked == 0).all(dim=2)
    assert torch.equal(hidden, (masked == 0).any(dim=2)), "a frame is masked as a whole"
    assert not hidden[0, 60:].any()
    assert 0.1 < hidden[1:].float().mean() < 0.4
    assert mask_frames(short := states[:, :2], [2] * 4, model.config.backbone_config) is short
    model.entry_layer = 1
    torch.testing.assert_close(model(states).logits, model(states).logits, rtol=0, atol=0)
    model.train()
    assert not torch.equal(model(states).logits, model(states).logits)


def test_whisper_has_no_halves_for_what_it_hears_in_windows() -> None:
    model = make_model("whisper", max_source_positions=50)
    (values,) = prepare(model, make_utterances(24_000))
    with pytest.raises(SerstoreError, match=r"an utterance of 1\.5 s is longer than the 1 s"):
        compute_lower(model.backbone, 1, values[None], torch.ones(1, len(values)))
