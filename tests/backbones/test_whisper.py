"""Whisper's encoder: the true length, thirty seconds as transformers has them, and windows beyond."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from backbone_samples import CLASSES, SMALL_WHISPER, make_config, make_model, make_utterances, pad, prepare
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
    WhisperForConditionalGeneration,
    WhisperModel,
)
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from ser_store.backbones.loading import LoadedModel, build_model, load_classifier
from ser_store.backbones.model import SpeechClassifier
from ser_store.errors import AudioError, ModelError, UnknownNameError
from ser_store.inference.features import extract_features

# Sixteen of any lengths: one mel frame, odd and even numbers of them, and half a minute.
LENGTHS = (201, 319, 320, 480, 1_600, 4_000, 8_001, 15_999, 16_000, 16_160, 23_457, 31_999, 48_000, 64_123, 80_000)
SIXTEEN = (*LENGTHS, 480_000)
DECODER = {"decoder_layers": 1, "decoder_attention_heads": 4, "decoder_ffn_dim": 64, "vocab_size": 51_865}


def differ(found: Tensor, expected: Tensor) -> float:
    return float(((found - expected).abs().amax(dim=1) / expected.abs().amax(dim=1)).max())


def compute_pooled(model: SpeechClassifier, utterances: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Of all at once, and of one after the other."""
    values, mask = pad(utterances, with_value=7.0)
    with torch.inference_mode():
        together = model(values, attention_mask=mask).pooled
        return together, torch.cat([model(one[None]).pooled for one in utterances])


def make_plain(model: SpeechClassifier) -> WhisperEncoder:
    """transformers' own encoder with the same weights; strict: no name or shape may differ."""
    plain = WhisperEncoder(model.config.backbone_config).eval()
    plain.load_state_dict(model.backbone.encoder.state_dict())
    return plain


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_alone_and_in_a_batch_of_sixteen_an_utterance_has_the_same_representation(attention: str) -> None:
    model = make_model("whisper")
    model.backbone.set_attn_implementation(attention)
    together, alone = compute_pooled(model, prepare(model, make_utterances(*SIXTEEN)))
    assert differ(together, alone) < 1e-5


def test_pretrained_weights_hear_sixteen_recordings_as_they_hear_one(whisper_base: Path, ravdess_16k: Path) -> None:
    from ser_store.audio.decode import load_speech

    model = build_model(str(whisper_base), classes=CLASSES).model
    recordings = sorted(ravdess_16k.rglob("*.flac"))[:1440:90]
    lengths = [30_000 + 1_237 * place for place in range(16)]
    utterances = [
        torch.from_numpy(load_speech(path)[:length]) for path, length in zip(recordings, lengths, strict=True)
    ]
    together, alone = compute_pooled(model, prepare(model, utterances))
    assert differ(together, alone) < 1e-5


def test_thirty_seconds_are_what_transformers_makes_of_them() -> None:
    model = make_model("whisper")
    (features,) = prepare(model, make_utterances(480_000))
    with torch.inference_mode():
        expected = make_plain(model)(features.T[None]).last_hidden_state
        assert torch.equal(model.backbone(features[None]).last_hidden_state, expected)


def test_the_full_context_is_what_transformers_makes_of_pretrained_weights(whisper_base: Path) -> None:
    loaded = build_model(str(whisper_base), classes=CLASSES, context="full")
    (samples,) = make_utterances(23_457)
    features = extract_features(samples.numpy(), loaded.feature_extractor, context="full")
    theirs = WhisperFeatureExtractor.from_pretrained(whisper_base)(
        samples.numpy(), sampling_rate=16_000, return_tensors="pt"
    )
    assert torch.equal(torch.from_numpy(features.T)[None], theirs.input_features)
    with torch.inference_mode():
        expected = make_plain(loaded.model)(theirs.input_features).last_hidden_state
        found = loaded.model(torch.from_numpy(features)[None], sample_counts=[23_457]).pooled
        assert torch.equal(loaded.model.backbone(torch.from_numpy(features)[None]).last_hidden_state, expected)
    # 146 mel frames, 73 frames of the utterance; those of the silence after it are not pooled.
    torch.testing.assert_close(found, expected[:, :73].mean(dim=1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("samples", [201, 1_600, 16_001, 48_159, 480_000, 640_123])
def test_mel_frames_are_those_of_transformers_on_the_true_length(samples: int) -> None:
    (utterance,) = make_utterances(samples)
    theirs = WhisperFeatureExtractor()(
        utterance.numpy(), sampling_rate=16_000, padding="do_not_pad", truncation=False, return_tensors="np"
    )
    found = extract_features(utterance.numpy(), WhisperFeatureExtractor())
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.T, theirs.input_features[0])


@pytest.mark.parametrize("samples", [201, 319, 320, 480, 1_600, 16_001, 48_159])
def test_frames_are_counted_as_the_convolutions_make_them(samples: int) -> None:
    model = make_model("whisper")
    (features,) = prepare(model, make_utterances(samples))
    with torch.inference_mode():
        hidden = model.backbone(features[None]).last_hidden_state
    assert model.backbone.count_frames([samples]) == (hidden.shape[1],) == (-(-(samples // 160) // 2),)


@pytest.mark.parametrize("pooling", ["mean", "sum", "max"])
def test_longer_utterances_are_pooled_over_all_their_windows(pooling: str) -> None:
    model = make_model("whisper", pooling=pooling, max_source_positions=50)  # windows of a second
    # Windows that are full, half full, and a single mel frame.
    utterances = prepare(model, make_utterances(16_000, 40_000, 48_160, 8_001, 32_000))
    together, alone = compute_pooled(model, utterances)
    assert differ(together, alone) < 1e-5
    with torch.inference_mode():
        for found, features in zip(alone, utterances, strict=True):
            hidden = torch.cat([model.backbone(window[None]).last_hidden_state[0] for window in features.split(100)])
            expected = {"mean": hidden.mean(dim=0), "sum": hidden.sum(dim=0), "max": hidden.amax(dim=0)}[pooling]
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_an_utterance_shorter_than_a_frame_is_refused() -> None:
    message = "an utterance of {} samples is shorter than one .*frame: expected at least {} samples at 16 kHz; leave"
    with pytest.raises(AudioError, match=message.format(200, 201)):
        extract_features(np.zeros(200, dtype=np.float32), WhisperFeatureExtractor())
    with pytest.raises(AudioError, match=message.format(159, 160)):
        make_model("whisper").backbone.count_frames([159])


def save(folder: Path, kind: Any = WhisperForConditionalGeneration, **fields: Any) -> Path:
    kind(WhisperConfig(**{**SMALL_WHISPER, **DECODER, **fields})).half().save_pretrained(folder)
    return folder


def build(name: str | Path, **options: Any) -> LoadedModel:
    return build_model(str(name), classes=CLASSES, **options)


@pytest.mark.parametrize(
    ("kind", "prefix", "unused"),
    [
        (WhisperForConditionalGeneration, "model.encoder.", "model.decoder.layer_norm.weight"),
        (WhisperModel, "encoder.", "decoder.layer_norm.weight"),
        (WhisperForAudioClassification, "encoder.", "projector.weight"),
        (WhisperEncoder, "", None),
    ],
)
def test_full_checkpoints_and_encoders_alone_are_loaded_in_float32(
    kind: Any, prefix: str, unused: str | None, tmp_path: Path
) -> None:
    loaded = build(save(tmp_path / "mine", kind))
    saved = load_file(tmp_path / "mine" / "model.safetensors")
    state = loaded.model.backbone.encoder.state_dict()
    assert {weight.dtype for weight in saved.values()} == {torch.float16}
    assert {weight.dtype for weight in state.values()} == {torch.float32}
    assert all(torch.equal(weight, saved[prefix + name].float()) for name, weight in state.items())
    assert not any("decoder" in name for name, _ in loaded.model.named_parameters())
    assert loaded.missing_keys == ()
    assert set(loaded.unused_keys) == {name for name in saved if not name.startswith(prefix)}
    assert (unused in loaded.unused_keys) if unused else not loaded.unused_keys
    assert not loaded.is_normalising_unasked


def test_what_the_decoder_is_like_does_not_tell_encoders_apart(tmp_path: Path) -> None:
    described = [
        build(save(tmp_path / str(layers), decoder_layers=layers, max_target_positions=8 * layers)).describe()
        for layers in (1, 2)
    ]
    assert described[0] == described[1]
    assert described[0]["configuration"]["context"] == "utterance"


def test_a_saved_classifier_is_loaded_as_it_was(tmp_path: Path) -> None:
    loaded = build("tiny-whisper", seed=3)
    loaded.model.save_pretrained(tmp_path)
    loaded.feature_extractor.save_pretrained(tmp_path)
    again = load_classifier(tmp_path)
    assert again.describe() == loaded.describe()
    assert isinstance(again.feature_extractor, WhisperFeatureExtractor)
    values, mask = pad(prepare(loaded.model, make_utterances(4_000, 9_001)))
    with torch.inference_mode():
        assert torch.equal(again.model(values, mask).logits, loaded.model(values, mask).logits)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"feature_size": 128}, "has feature_size 128: expected 80 as config.json says"),
        ({"hop_length": 80}, "has hop_length 80: expected 160"),
        ({"chunk_length": 20}, "has n_samples 320000: expected 480000"),
    ],
)
def test_other_mel_frames_than_the_backbone_takes_are_refused(
    fields: dict[str, Any], told: str, tmp_path: Path
) -> None:
    folder = save(tmp_path / "mine", WhisperEncoder)
    WhisperFeatureExtractor(**fields).save_pretrained(folder)
    with pytest.raises(ModelError, match=re.escape(told)):
        build(folder)


def test_the_large_models_have_128_mel_bins(tmp_path: Path) -> None:
    assert build(save(tmp_path / "mine", WhisperEncoder, num_mel_bins=128)).feature_extractor.feature_size == 128


def test_the_context_is_whispers_alone_to_choose() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown context 'ful': expected one of full \(nearest\), utterance"):
        build("tiny-whisper", context="ful")
    with pytest.raises(ModelError, match="tiny-hubert is a hubert, which takes utterances of any length"):
        build("tiny-hubert", context="full")


@pytest.mark.parametrize("stated", ["mask_time_prob", "mask_feature_prob"])
def test_spec_augment_masks_mel_frames_and_bins_where_the_configuration_says_so(stated: str) -> None:
    fields: dict[str, Any] = {"mask_time_prob": 0.0, "mask_feature_prob": 0.0, stated: 0.5, "mask_feature_length": 4}
    model = make_model("whisper", apply_spec_augment=True, **fields)
    seen: list[Tensor] = []
    model.backbone.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    values, mask = pad(prepare(model, make_utterances(16_000, 32_000)))
    np.random.seed(0)  # noqa: NPY002 - transformers draws its masks from it
    before = values.clone()
    model.train()(values, mask)
    model.eval()(values, mask)
    assert torch.equal(values, before)
    assert torch.equal(seen[1], values.transpose(1, 2))
    masked = (seen[0] == 0) & (values.transpose(1, 2) != 0)
    along, across = (1, 2) if stated == "mask_time_prob" else (2, 1)
    whole = masked[1].all(dim=along - 1)
    assert 0 < whole.sum() < len(whole)
    assert torch.equal(masked[1].any(dim=along - 1), whole)
    assert not masked[1].all(dim=across - 1).all()


def test_utterances_shorter_than_a_mask_are_trained_on_unmasked() -> None:
    model = make_model("whisper", apply_spec_augment=True, mask_time_prob=0.5, mask_time_length=40).train()
    assert model(*pad(prepare(model, make_utterances(4_000)))).logits.isfinite().all()


def test_layer_drop_skips_layers_in_training_alone() -> None:
    config = make_config("whisper", encoder_layerdrop=1.0)
    model = make_model("whisper", encoder_layerdrop=1.0)
    assert config.encoder_layerdrop == model.backbone.config.layerdrop == 1.0
    called: list[Any] = []
    for layer in model.backbone.encoder.layers:
        layer.register_forward_hook(lambda *_: called.append(1))
    batch = pad(prepare(model, make_utterances(4_000)))
    model.train()(*batch)
    assert not called
    model.eval()(*batch)
    assert len(called) == 2
