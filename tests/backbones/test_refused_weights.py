"""Weights that a training must not begin with: each is named, with what is wrong with it, and nothing in it is run."""

import json
from pathlib import Path

import pytest
import torch
from backbone_samples import CLASSES, make_config
from safetensors.torch import load_file, save_file
from transformers import AutoModel, Wav2Vec2FeatureExtractor

from ser_store.backbones.loading import build_model
from ser_store.errors import ModelError

NAME = "encoder.layers.0.attention.q_proj.weight"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    AutoModel.from_config(make_config("wav2vec2-layer")).save_pretrained(tmp_path / "mine")
    return tmp_path / "mine"


def change(folder: Path, name: str, weight: torch.Tensor) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({**weights, name: weight}, folder / "model.safetensors", metadata={"format": "pt"})


def refuse(folder: Path) -> str:
    with pytest.raises(ModelError) as stated:
        build_model(str(folder), classes=CLASSES)
    text = str(stated.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_numbers_that_are_not_finite_are_refused_before_they_are_trained_with(value: str, folder: Path) -> None:
    weight = load_file(folder / "model.safetensors")[NAME]
    weight[3, 5] = float(value)
    change(folder, NAME, weight)
    assert refuse(folder).startswith(f"{NAME} in {folder} holds numbers that are not finite: expected weights that can")


def test_quantized_weights_are_not_taken_for_numbers(folder: Path) -> None:
    change(folder, NAME, torch.ones(32, 32, dtype=torch.int8))
    text = refuse(folder)
    assert text.startswith(f"{NAME} in {folder / 'model.safetensors'} is quantized (I8): expected float32, float16 or")


def save_bin(folder: Path, *, zipped: bool = True, **further: object) -> Path:
    """The weights as torch saves them, with ``further`` ones, instead of safetensors."""
    weights = {**load_file(folder / "model.safetensors"), **further}
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    return folder / "pytorch_model.bin"


@pytest.mark.parametrize(
    ("dtype", "zipped"),  # torch before 1.6 wrote no archives
    [*((one, True) for one in (torch.int8, torch.uint8, torch.int32, torch.float8_e4m3fn)), (torch.int8, False)],
)
def test_quantized_weights_of_a_bin_file_are_not_either(dtype: torch.dtype, zipped: bool, folder: Path) -> None:
    # What is no weight does not hide those that are: a count, and what belongs to a training.
    further = {NAME: torch.ones(32, 32).to(dtype), "num_batches_tracked": torch.tensor(3), "epoch": 3}
    path = save_bin(folder, zipped=zipped, **further)
    text, kind = refuse(folder), str(dtype).removeprefix("torch.")
    assert text.startswith(f"{NAME} in {path} is quantized ({kind}): expected float32, float16 or")


def test_what_lies_beside_the_weights_is_not_taken_for_them(folder: Path) -> None:
    quantized = {NAME: torch.ones(32, 32, dtype=torch.int8)}
    torch.save(quantized, folder / "pytorch_model_quantized.bin")
    torch.save(quantized, folder / "pytorch_model.bin")
    build_model(str(folder), classes=CLASSES)
    path = save_bin(folder, **quantized)
    save_file({"weight": torch.ones(2)}, folder / "adapter.eng.safetensors")
    assert refuse(folder).startswith(f"{NAME} in {path} is quantized (int8)")
    weights: dict[object, object] = {**torch.load(path, weights_only=True), 3: torch.ones(2)}
    torch.save(weights, path)
    refuse(folder)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_a_pointer_of_git_lfs_says_how_to_get_the_file(file: str, folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1262000000\n")
    assert f"({file} is a pointer of Git LFS: `git lfs pull` fetches what it stands for)" in refuse(folder)


def test_a_bin_file_with_more_than_tensors_is_said_not_to_have_been_run(folder: Path) -> None:
    weights: dict[str, object] = dict(load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").unlink()
    torch.save({**weights, "more": Path("anything")}, folder / "pytorch_model.bin")
    assert "a .bin file is damaged, or holds other things than tensors, of which nothing was run" in refuse(folder)


def test_a_checkpoint_with_other_names_says_what_it_has(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    others = {f"module.{name}": weight for name, weight in weights.items()}
    save_file(others, folder / "model.safetensors", metadata={"format": "pt"})
    text = refuse(folder)
    assert f"lacks {len(weights)} weights of its backbone, the first is encoder.layer_norm.bias" in text
    assert f"and has {len(weights)} of no use, the first is module.encoder.layer_norm.bias: expected a complete" in text


def test_an_extractor_of_spectrograms_is_refused(folder: Path) -> None:
    Wav2Vec2FeatureExtractor().save_pretrained(folder)
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "feature_size": 80}))
    assert f"the feature extractor in {folder} makes 80 features of a frame" in refuse(folder)
