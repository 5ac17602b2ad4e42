"""Every field of a backbone's configuration either changes no value, or is part of what an extraction is known by."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from backbone_samples import CLASSES, make_config, make_model, make_utterances, pad, prepare
from transformers import AutoConfig, AutoModel, PreTrainedConfig

from ser_store.backbones.catalogue import list_backbones
from ser_store.backbones.configuration import describe_configuration, settle
from ser_store.backbones.loading import build_model, load_classifier
from ser_store.backbones.model import SpeechClassifier, build_config
from ser_store.common.provenance import list_differences

TINY = {backbone.key: backbone for backbone in list_backbones() if backbone.kind == "tiny"}
BASE = {field.name for field in dataclasses.fields(PreTrainedConfig)}


def list_fields(config: PreTrainedConfig) -> list[str]:
    return [field.name for field in dataclasses.fields(config) if field.name not in BASE]


def change(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"{value}_new"
    return [*value, 1] if isinstance(value, list | tuple) else 1


def make_tiny(key: str, **fields: Any) -> Any:
    # With a vector for masked frames, as nearly all published checkpoints have one; or a list for the decoder.
    usual = {"suppress_tokens": [1]} if key == "tiny-whisper" else {"mask_time_prob": 0.05}
    return settle(AutoConfig.for_model(TINY[key].architecture, **{**TINY[key].config, **usual, **fields}))


def split_fields(key: str) -> tuple[list[str], list[str]]:
    """Names of fields that are not part of the description, and of those that are."""
    idle, counting = [], []
    for name in list_fields(make_tiny(key)):
        config = make_tiny(key)
        before = describe_configuration(config)
        setattr(config, name, change(getattr(config, name)))
        differing = list_differences(before, describe_configuration(config))
        assert all(told.startswith(f"{name} (") for told in differing)
        (counting if differing else idle).append(name)
    return idle, counting


def make_model_pair(key: str, fields: dict[str, Any]) -> list[Any]:
    """Two models of the same weights, the second with other fields in its configuration."""
    configs = (build_config(make_tiny(key, **more), CLASSES, pooling="mean") for more in ({}, fields))
    pair = [SpeechClassifier(config).eval() for config in configs]
    pair[1].load_state_dict(pair[0].state_dict())
    return pair


@pytest.mark.parametrize("key", TINY)
def test_a_field_that_is_not_counted_changes_no_value(key: str) -> None:
    idle, counting = split_fields(key)
    if key == "tiny-whisper":
        assert {"activation_function", "max_source_positions", "num_mel_bins"} <= set(counting)
        assert {"mask_time_length", "encoder_layerdrop", "decoder_layers", "dropout"} <= set(idle)
    else:
        assert {"hidden_act", "conv_stride", "layer_norm_eps", "feat_extract_activation"} <= set(counting)
        assert {"mask_time_length", "layerdrop", "vocab_size"} <= set(idle)
    usual, other = make_model_pair(key, {name: change(getattr(make_tiny(key), name)) for name in idle})
    values, mask = pad(prepare(usual, make_utterances(4_000, 9_000)))
    with torch.inference_mode():
        assert torch.equal(usual(values, mask).pooled, other(values, mask).pooled)


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        ("tiny-wav2vec2", {"do_stable_layer_norm": True}),
        ("tiny-wav2vec2", {"is_causal": True}),  # no field of the family's: transformers' masks look for it
        ("tiny-hubert", {"hidden_act": "relu"}),
        ("tiny-wavlm", {"max_bucket_distance": 100}),
        ("tiny-unispeech", {"layer_norm_eps": 0.5}),
        ("tiny-data2vec-audio", {"feat_extract_activation": "relu"}),
        ("tiny-whisper", {"activation_function": "relu"}),
    ],
)
def test_what_changes_values_without_a_change_of_weights_is_described(key: str, fields: dict[str, Any]) -> None:
    usual, other = make_model_pair(key, fields)
    (samples,) = [one[None] for one in prepare(usual, make_utterances(40_000))]
    with torch.inference_mode():
        assert (usual(samples).pooled - other(samples).pooled).abs().max() > 1e-4
    (told,) = list_differences(*(describe_configuration(one.backbone.config) for one in (usual, other)))
    assert told.startswith(f"{next(iter(fields))} (")


def test_a_description_comes_back_from_a_saved_model(tmp_path: Path) -> None:
    for variant in ("wav2vec2-layer-stable", "hubert-batch", "wavlm-group", "data2vec-audio", "whisper"):
        model = make_model(variant)
        model.save_pretrained(tmp_path / variant)
        again = load_classifier(tmp_path / variant).model
        assert describe_configuration(again.backbone.config) == describe_configuration(model.backbone.config)


def test_a_list_is_what_a_tuple_is_and_a_stated_default_what_is_left_out() -> None:
    plain = AutoConfig.for_model("wav2vec2")
    stated = AutoConfig.for_model("wav2vec2", conv_dim=[512] * 7, hidden_act="gelu", _name_or_path="here")
    assert describe_configuration(plain) == describe_configuration(stated) == {"model_type": "wav2vec2"}


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as transformers writes it, with a convolutional adapter on top."""
    folder = tmp_path_factory.mktemp("adapted") / "adapted"
    with torch.random.fork_rng():
        torch.manual_seed(1)
        AutoModel.from_config(make_config("wav2vec2-adapter")).save_pretrained(folder)
    return folder


def test_a_convolutional_adapter_is_left_out_and_named(adapted: Path) -> None:
    loaded = build_model(str(adapted), classes=CLASSES)
    assert loaded.model.backbone.adapter is None
    assert loaded.unused_keys
    assert all(name.startswith("adapter.") for name in loaded.unused_keys)
    plain = AutoModel.from_pretrained(adapted).eval()
    plain.adapter = None
    utterances = make_utterances(4_000, 16_001)
    with torch.inference_mode():
        expected = [plain(samples[None]).last_hidden_state.mean(dim=1)[0] for samples in utterances]
        together = loaded.model(*pad(utterances)).pooled
    torch.testing.assert_close(together, torch.stack(expected), rtol=1e-4, atol=1e-5)


def test_what_was_trained_from_a_checkpoint_with_an_adapter_is_loaded_again(adapted: Path, tmp_path: Path) -> None:
    model = build_model(str(adapted), classes=CLASSES).model
    values, mask = pad(make_utterances(4_000, 6_000))
    model.train()(values, mask, labels=torch.tensor([0, 1])).loss.backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []
    model.save_pretrained(tmp_path)
    with torch.inference_mode():
        assert torch.equal(load_classifier(tmp_path).model(values, mask).logits, model.eval()(values, mask).logits)


@pytest.mark.parametrize("init", ["pretrained", "random"])
def test_what_a_checkpoint_says_of_the_way_it_was_used_is_not_taken_over(init: str, tmp_path: Path) -> None:
    config = make_config("wav2vec2-layer", gradient_checkpointing=True)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    said = '"gradient_checkpointing": true, "return_dict": false, "output_hidden_states": true, "dtype": "bfloat16"'
    text = path.read_text().replace('  "dtype": "float32",\n', "")
    path.write_text(text.replace("{", f"{{ {said},", 1))
    model: Any = build_model(str(tmp_path), classes=CLASSES, init=init).model
    assert not any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
    assert {weight.dtype for weight in model.state_dict().values()} == {torch.float32}
    assert model(make_utterances(4_000)[0][None]).pooled.shape == (1, 32)
