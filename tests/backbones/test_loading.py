import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from backbone_samples import CLASSES, make_config, make_model, make_utterances
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    BertConfig,
    HubertForSequenceClassification,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2ForPreTraining,
)
from transformers.utils import logging

from ser_store.backbones.catalogue import list_backbones, lookup
from ser_store.backbones.digest import compute_model_digest
from ser_store.backbones.loading import LoadedModel, build_model, load_classifier
from ser_store.errors import ModelError, SerstoreError, UnknownNameError

TINY = [backbone.key for backbone in list_backbones() if backbone.kind == "tiny"]


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The hub's client refuses to use the network, and its cache is empty."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))


def build(name: str | Path, **options: Any) -> LoadedModel:
    return build_model(str(name), classes=CLASSES, **options)


def save_backbone(folder: Path, variant: str = "wav2vec2-layer", *, kind: Any = AutoModel) -> Path:
    """A checkpoint as the hub has them: a model of transformers' own, weights far from a new initialisation."""
    config = make_config(variant, mask_time_prob=0.05)
    model = kind.from_config(config) if kind is AutoModel else kind(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.1
    model.save_pretrained(folder)
    return folder


def state_one_line(stated: pytest.ExceptionInfo[SerstoreError]) -> str:
    text = str(stated.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("key", TINY)
def test_tiny_presets_are_built_at_random_from_the_seed_alone(key: str) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, second, other = build(key, seed=1), build(key, seed=1), build(key, seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert compute_model_digest(first.model) == compute_model_digest(second.model)
    assert compute_model_digest(first.model) != compute_model_digest(other.model)
    assert not first.model.training
    assert first.backbone_key == first.model.config.backbone_key == key
    assert first.origin == {"hub_id": None, "revision": None, "folder": None, "init": "random", "seed": 1}
    assert first.feature_extractor.return_attention_mask is (key != "tiny-whisper")
    assert first.model.config.classes == CLASSES


def test_a_pretrained_backbone_without_network_names_both_ways_out() -> None:
    with pytest.raises(ModelError) as stated:
        build("xlsr53")
    text = state_one_line(stated)
    revision = lookup("xlsr53").revision
    assert text.startswith(f"facebook/wav2vec2-large-xlsr-53@{revision} cannot be fetched (HF_HUB_OFFLINE is set)")
    assert "`checkpoint`" in text
    assert "`init` random" in text


def test_a_hub_id_without_network_is_refused_before_random_weights_too() -> None:
    with pytest.raises(ModelError, match=r"some/model cannot be fetched .* name a local folder with its config\.json"):
        build("some/model", init="random")


def test_random_weights_need_no_network() -> None:
    loaded = build("hubert-base", init="random")
    assert loaded.model.backbone.num_parameters() == 94_371_712
    assert loaded.origin["hub_id"] == "facebook/hubert-base-ls960"
    assert loaded.origin["init"] == "random"


def test_a_checkpoint_in_the_hubs_cache_needs_no_network(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = Path(huggingface_hub.constants.HF_HUB_CACHE) / "models--some--model"
    folder = save_backbone(cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    loaded = build("some/model")
    assert loaded.backbone_key == "some/model"
    assert loaded.origin | {"seed": 0} == {
        "hub_id": "some/model", "revision": commit, "folder": None, "init": "pretrained", "seed": 0,
    }  # fmt: skip
    assert_weights_of(loaded, folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(
        ModelError, match=r"no weights of some/model .* expected one of model\.safetensors, .*as `checkpoint`"
    ):
        build("some/model")


def assert_weights_of(loaded: LoadedModel, folder: Path, *, prefix: str = "") -> None:
    saved = load_file(folder / "model.safetensors")
    state = loaded.model.backbone.state_dict()
    assert all(torch.equal(weight, saved[prefix + name]) for name, weight in state.items())


@pytest.mark.parametrize(
    "variant", ["wav2vec2-layer-stable", "hubert-group", "unispeech-layer", "wavlm-group", "data2vec-audio"]
)
def test_a_local_folder_of_any_family_is_loaded(variant: str, tmp_path: Path) -> None:
    folder = save_backbone(tmp_path / "mine", variant)
    loaded = build(folder)
    assert_weights_of(loaded, folder)
    assert (loaded.missing_keys, loaded.unused_keys) == ((), ())
    assert loaded.backbone_key == "mine"
    assert loaded.origin["folder"] == str(folder.resolve())
    assert loaded.origin["init"] == "pretrained"


def test_a_checkpoint_stands_in_for_the_hubs_weights(tmp_path: Path) -> None:
    from transformers import AutoConfig

    preset = next(backbone for backbone in list_backbones() if backbone.key == "tiny-hubert")
    AutoModel.from_config(AutoConfig.for_model("hubert", **preset.config)).save_pretrained(tmp_path)
    loaded = build("tiny-hubert", checkpoint=tmp_path)
    assert_weights_of(loaded, tmp_path)
    assert loaded.backbone_key == "tiny-hubert"
    assert loaded.origin["init"] == "pretrained"


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    folder = save_backbone(tmp_path / "mine")
    with pytest.raises(ModelError) as stated:
        build("hubert-base", checkpoint=folder)
    text = state_one_line(stated)
    assert f"{folder} holds a wav2vec2 of 2 layers by 32: expected for hubert-base a hubert of 12 by 768" in text


@pytest.mark.parametrize(
    ("kind", "variant", "prefix", "unused"),
    [
        (Wav2Vec2ForCTC, "wav2vec2-layer", "wav2vec2.", "lm_head.weight"),
        (Wav2Vec2ForPreTraining, "wav2vec2-group", "wav2vec2.", "quantizer.codevectors"),
        (HubertForSequenceClassification, "hubert-layer", "hubert.", "projector.weight"),
    ],
)
def test_another_head_is_left_out_and_named(kind: Any, variant: str, prefix: str, unused: str, tmp_path: Path) -> None:
    folder = save_backbone(tmp_path / "mine", variant, kind=kind)
    loaded = build(folder)
    assert_weights_of(loaded, folder, prefix=prefix)
    assert loaded.missing_keys == ()
    assert unused in loaded.unused_keys


def rewrite_weights(folder: Path, *, drop: str | None = None, to_bin: bool = False, old_norm: bool = False) -> None:
    """Change a checkpoint into one as other programs and older releases wrote them."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    if drop is not None:
        weights = {name: weight for name, weight in weights.items() if drop not in name}
    if old_norm:
        for new, old in (("original0", "weight_g"), ("original1", "weight_v")):
            weights = {name.replace(f"parametrizations.weight.{new}", old): weight for name, weight in weights.items()}
        assert any(name.endswith("pos_conv_embed.conv.weight_g") for name in weights)
    if to_bin:
        torch.save(weights, folder / "pytorch_model.bin")
    else:
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("to_bin", [False, True])
@pytest.mark.parametrize("kind", [AutoModel, Wav2Vec2ForCTC])
def test_old_names_of_the_weight_norm_are_understood(kind: Any, to_bin: bool, tmp_path: Path) -> None:
    folder = save_backbone(tmp_path / "mine", kind=kind)
    expected = compute_model_digest(build(folder).model)
    rewrite_weights(folder, to_bin=to_bin, old_norm=True)
    loaded = build(folder)
    assert loaded.missing_keys == ()
    assert compute_model_digest(loaded.model) == expected


def test_a_missing_backbone_weight_is_named_and_refused(tmp_path: Path) -> None:
    folder = save_backbone(tmp_path / "mine", kind=Wav2Vec2ForCTC)
    rewrite_weights(folder, drop="encoder.layers.1.attention.q_proj")
    with pytest.raises(ModelError) as stated:
        build(folder)
    text = state_one_line(stated)
    assert f"{folder} lacks 2 weights of its backbone, the first is encoder.layers.1.attention.q_proj.bias" in text


def test_the_embedding_for_masks_alone_may_be_missing_and_is_named(tmp_path: Path) -> None:
    folder = save_backbone(tmp_path / "mine")
    rewrite_weights(folder, drop="masked_spec_embed")
    first, second = build(folder, seed=1), build(folder, seed=1)
    assert first.missing_keys == ("masked_spec_embed",)
    assert torch.isfinite(first.model.backbone.masked_spec_embed).all()
    assert compute_model_digest(first.model) == compute_model_digest(second.model)


def test_half_precision_checkpoints_are_widened(tmp_path: Path) -> None:
    folder = save_backbone(tmp_path / "mine")
    AutoModel.from_pretrained(folder).half().save_pretrained(folder)
    assert {weight.dtype for weight in build(folder).model.parameters()} == {torch.float32}


class Bomb:
    """Unpickled by a careless reader, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def break_weights(folder: Path, damage: str) -> None:
    path = folder / "model.safetensors"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
    elif damage == "no safetensors":
        path.write_bytes(b"not at all what it should be")
    elif damage == "none":
        path.unlink()
    elif damage == "bin that runs code":
        path.unlink()
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(folder / "gone off")))


@pytest.mark.parametrize("damage", ["truncated", "no safetensors", "none", "bin that runs code"])
def test_weights_that_cannot_be_read_are_one_line(damage: str, tmp_path: Path) -> None:
    folder = save_backbone(tmp_path / "mine")
    break_weights(folder, damage)
    with pytest.raises(ModelError) as stated:
        build(folder)
    text = state_one_line(stated)
    assert text.startswith(f"the weights in {folder} cannot be loaded (")
    assert "expected model.safetensors or pytorch_model.bin that fit its config.json" in text
    assert not (folder / "gone off").exists()


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    folder = save_backbone(tmp_path / "mine")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}))
    with pytest.raises(ModelError) as stated:
        build(folder)
    text = state_one_line(stated)
    name = "encoder.layers.0.feed_forward.intermediate_dense.bias"
    assert text.startswith(f"{name} in {folder} has shape (64,): expected (48,) as its config.json says")


def test_another_family_is_refused_with_those_that_are_supported(tmp_path: Path) -> None:
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(ModelError) as stated:
        build(tmp_path)
    text = state_one_line(stated)
    assert f"{tmp_path} holds a model of type 'bert'" in text
    assert "expected one of the families wav2vec2, hubert, unispeech, wavlm, data2vec-audio" in text


@pytest.mark.parametrize("content", [None, "{", "[]", '{"model_type": "wav2vec2", "hidden_size": "wide"}'])
def test_a_configuration_that_cannot_be_read_is_one_line(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError) as stated:
        build(tmp_path)
    assert str(tmp_path / "config.json") in state_one_line(stated)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        (
            "hubert-bse",
            {},
            UnknownNameError,
            "unknown backbone 'hubert-bse': expected one of hubert-base \\(nearest\\)",
        ),
        ("./no/such/folder", {}, UnknownNameError, "unknown backbone './no/such/folder'"),
        ("mfcc", {}, ModelError, "mfcc is a feature set without weights.* `extract\\(\\)` caches it"),
        ("tiny-hubert", {"pooling": "median"}, UnknownNameError, "unknown pooling 'median'"),
        (
            "tiny-hubert",
            {"init": "randm"},
            UnknownNameError,
            "unknown init 'randm': expected one of random \\(nearest\\)",
        ),
        ("tiny-hubert", {"checkpoint": Path("no/such")}, ModelError, "no such folder: no/such; expected a checkpoint"),
        ("tiny-hubert", {"checkpoint": Path(), "init": "random"}, ModelError, "got both a checkpoint"),
    ],
)
def test_what_cannot_be_built_is_stated(
    name: str, options: dict[str, Any], error: type[SerstoreError], message: str
) -> None:
    with pytest.raises(error, match=message) as stated:
        build(name, **options)
    state_one_line(stated)


def test_the_folders_own_feature_extractor_is_used_and_gives_the_mask(tmp_path: Path) -> None:
    folder = save_backbone(tmp_path / "mine")
    assert build(folder).feature_extractor.do_normalize
    Wav2Vec2FeatureExtractor(do_normalize=False, return_attention_mask=False).save_pretrained(folder)
    extractor = build(folder).feature_extractor
    assert not extractor.do_normalize
    assert extractor.return_attention_mask
    Wav2Vec2FeatureExtractor(sampling_rate=8_000).save_pretrained(folder)
    with pytest.raises(ModelError, match=r"is for 8000 Hz: expected 16000 Hz"):
        build(folder)


def test_the_feature_extractor_normalises_every_utterance_over_its_own_samples() -> None:
    extractor = build("tiny-hubert").feature_extractor
    short, long = (3 * samples.numpy() + 1 for samples in make_utterances(4_000, 9_000))
    together = extractor([short, long], sampling_rate=16_000, padding=True, return_tensors="np")
    alone = extractor(short, sampling_rate=16_000, return_tensors="np")
    assert together["attention_mask"].sum(axis=1).tolist() == [4_000, 9_000]
    torch.testing.assert_close(
        torch.tensor(together["input_values"][0, :4_000]), torch.tensor(alone["input_values"][0]), rtol=0, atol=0
    )


def save_classifier(folder: Path) -> LoadedModel:
    loaded = build("tiny-hubert", pooling="max", seed=5)
    loaded.model.save_pretrained(folder)
    loaded.feature_extractor.save_pretrained(folder)
    return loaded


def test_a_saved_classifier_comes_back_with_all_that_belongs_to_it(tmp_path: Path) -> None:
    saved = save_classifier(tmp_path)
    loaded = load_classifier(tmp_path)
    assert compute_model_digest(loaded.model) == compute_model_digest(saved.model)
    assert loaded.backbone_key == "tiny-hubert"
    assert loaded.origin == saved.origin
    assert loaded.model.config.classes == CLASSES
    assert loaded.model.config.pooling == "max"
    assert loaded.feature_extractor.to_dict() == saved.feature_extractor.to_dict()
    assert not loaded.model.training


def test_a_classifiers_backbone_can_be_trained_on_for_other_classes(tmp_path: Path) -> None:
    saved = save_classifier(tmp_path)
    loaded = build_model("tiny-hubert", classes=["no", "yes"], checkpoint=tmp_path)
    assert compute_model_digest(loaded.model.backbone) == compute_model_digest(saved.model.backbone)
    assert loaded.model.config.classes == ("no", "yes")
    assert loaded.model.config.pooling == "mean"
    assert "classifier.dense.weight" in loaded.unused_keys


def test_a_classifier_without_all_its_weights_is_refused(tmp_path: Path) -> None:
    save_classifier(tmp_path)
    rewrite_weights(tmp_path, drop="classifier.dense")
    with pytest.raises(ModelError) as stated:
        load_classifier(tmp_path)
    assert "2 missing or left over, the first is classifier.dense.bias" in state_one_line(stated)


def test_a_bare_backbone_is_no_classifier(tmp_path: Path) -> None:
    folder = save_backbone(tmp_path / "mine")
    with pytest.raises(ModelError, match=r"holds a bare wav2vec2: expected a classifier saved by fine-tuning"):
        load_classifier(folder)


def test_loading_says_nothing_and_leaves_transformers_talkative(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = save_backbone(tmp_path / "mine", kind=Wav2Vec2ForCTC)
    rewrite_weights(folder, drop="masked_spec_embed")
    save_classifier(tmp_path / "saved")
    capfd.readouterr()
    logging.enable_progress_bar()
    verbosity = logging.get_verbosity()
    build(folder)
    load_classifier(tmp_path / "saved")
    with pytest.raises(ModelError):
        build(shutil.copytree(folder, tmp_path / "copy", ignore=shutil.ignore_patterns("*.safetensors")))
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (verbosity, True)


def test_pretrained_weights_survive_the_building_of_the_classifier(tmp_path: Path) -> None:
    model = make_model("data2vec-audio")
    model.backbone.save_pretrained(tmp_path)
    assert compute_model_digest(build(tmp_path).model.backbone) == compute_model_digest(model.backbone)
