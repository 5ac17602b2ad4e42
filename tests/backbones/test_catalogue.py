import subprocess
import sys
from typing import Any

import pytest

from ser_store.backbones.catalogue import Backbone, is_acoustic, list_backbones, lookup, models
from ser_store.errors import UnknownNameError

PUBLISHED = ("w2v2-large", "xlsr53", "hubert-base", "hubert-xlarge", "unispeech-large", "unispeech-ml")
TRANSFORMERS = [backbone for backbone in list_backbones() if backbone.kind != "acoustic"]

# Whisper's convolutions come after its mel frames of 160 samples.
CONVOLUTIONAL = [backbone for backbone in TRANSFORMERS if backbone.architecture != "whisper"]


def test_names_and_hub_ids_are_those_of_the_paper(published_tables: dict[str, Any]) -> None:
    stated = published_tables["models"]
    assert tuple(stated) == PUBLISHED
    for key, published in stated.items():
        assert (lookup(key).name, lookup(key).hub_id) == (published["name"], published["hub_id"])


def test_sizes_are_those_of_table_6(published_tables: dict[str, Any]) -> None:
    models = published_tables["models"]
    for key, published in models.items():
        size = lookup(key).bytes_fp32
        rounded = f"{size / 1e9:.2f}GB" if size >= 1e9 else f"{size / 1e6:.0f}MB"
        assert rounded == published["table_6_size"]


@pytest.mark.parametrize("backbone", TRANSFORMERS, ids=lambda backbone: backbone.key)
def test_parameters_are_those_of_the_model_that_is_built(backbone: Backbone) -> None:
    import torch
    from transformers import AutoConfig

    from ser_store.backbones.model import SpeechClassifier, build_config

    config = AutoConfig.for_model(backbone.architecture, **backbone.config)
    with torch.device("meta"):
        model = SpeechClassifier(build_config(config, list("abcdefgh"), pooling="mean"))
    assert model.num_parameters() == backbone.parameters
    assert model.backbone.num_parameters() == backbone.backbone_parameters
    assert backbone.bytes_fp32 == 4 * backbone.parameters
    assert (config.hidden_size, config.num_hidden_layers) == (backbone.hidden_size, backbone.num_hidden_layers)


@pytest.mark.parametrize("backbone", CONVOLUTIONAL, ids=lambda backbone: backbone.key)
def test_every_frame_stands_for_320_samples(backbone: Backbone) -> None:
    from math import prod

    strides = backbone.config.get("conv_stride", (5, 2, 2, 2, 2, 2, 2))
    assert isinstance(strides, tuple)
    assert prod(strides) == 320


@pytest.mark.parametrize(
    ("size", "layers", "width", "millions"),
    [
        ("tiny", 4, 384, 8.2),
        ("base", 6, 512, 20.6),
        ("small", 12, 768, 88.2),
        ("medium", 24, 1024, 307.2),
        ("large", 32, 1280, 636.8),
        ("large-v2", 32, 1280, 636.8),
        ("large-v3", 32, 1280, 637.0),
        ("large-v3-turbo", 32, 1280, 637.0),
    ],
)
def test_the_sizes_of_whisper_are_those_of_its_encoder(size: str, layers: int, width: int, millions: float) -> None:
    backbone = lookup(f"openai/whisper-{size}")
    assert backbone is lookup(f"whisper-{size}")
    assert (backbone.num_hidden_layers, backbone.hidden_size) == (layers, width)
    assert round(backbone.backbone_parameters / 1e6, 1) == millions


def test_a_backbone_is_found_by_its_hub_id_too() -> None:
    assert lookup("facebook/wav2vec2-large-xlsr-53") is lookup("xlsr53")


def test_an_unknown_key_names_the_nearest_one_and_the_way_out() -> None:
    with pytest.raises(UnknownNameError) as stated:
        lookup("hubert-xlrge")
    text = str(stated.value)
    assert text.startswith("unknown backbone 'hubert-xlrge': expected one of hubert-xlarge (nearest)")
    assert text.endswith(
        "hub id (org/name) or local folder of the families wav2vec2, hubert, unispeech, wavlm, data2vec-audio, whisper"
    )
    assert "\n" not in text


def test_only_feature_sets_are_acoustic() -> None:
    assert is_acoustic("mfcc")
    assert not is_acoustic("tiny-hubert")
    assert not is_acoustic("nobody/knows")


def test_what_follows_a_branch_is_said_where_it_is_chosen() -> None:
    said = str(models())
    assert "Not pinned, but what the hub's main branch has: unispeech-large, unispeech-ml, whisper-tiny" in said
    assert "KEY@COMMIT names one" in said


def test_keys_are_unique() -> None:
    keys = [backbone.key for backbone in list_backbones()]
    assert len(set(keys)) == len(keys)


def test_the_catalogue_loads_neither_torch_nor_transformers() -> None:
    heavy = "{'torch', 'torchaudio', 'transformers', 'sklearn', 'scipy', 'polars', 'soundfile'} & set(sys.modules)"
    code = f"import sys; import ser_store.backbones.catalogue; sys.exit(str({heavy}) if {heavy} else 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
