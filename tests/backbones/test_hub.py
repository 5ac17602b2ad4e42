"""The hub's real client against a small hub on this machine."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from backbone_samples import make_config
from hub_server import COMMIT, Hub, serve_hub
from safetensors.torch import load_file
from transformers import AutoModel, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC, Wav2Vec2ForPreTraining

from ser_store.backbones.catalogue import list_backbones
from ser_store.backbones.hub import fetch_checkpoint
from ser_store.backbones.loading import build_model
from ser_store.errors import ModelError

FAMILIES = ("wav2vec2-layer", "hubert-group", "unispeech-layer-stable")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve_hub(tmp_path, monkeypatch) as server:
        yield server


@pytest.fixture
def published(hub: Hub) -> Path:
    """A checkpoint with a CTC head, as ``some/model``."""
    folder = hub.folder / "some" / "model"
    Wav2Vec2ForCTC(make_config("wav2vec2-layer", mask_time_prob=0.05)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(folder)
    return folder


def test_a_model_of_the_hub_is_built_and_its_commit_kept(published: Path) -> None:
    loaded = build_model("some/model", classes=["no", "yes"])
    saved = load_file(published / "model.safetensors")
    state = loaded.model.backbone.state_dict()
    assert all(torch.equal(weight, saved[f"wav2vec2.{name}"]) for name, weight in state.items())
    assert loaded.origin["revision"] == COMMIT
    assert loaded.unused_keys == ("lm_head.bias", "lm_head.weight")
    assert not loaded.feature_extractor.do_normalize


def test_what_was_fetched_once_is_there_without_the_hub(hub: Hub, published: Path) -> None:
    first = fetch_checkpoint("some/model")
    hub.fetched.clear()
    assert fetch_checkpoint("some/model") == first
    assert hub.fetched == []
    hub.shutdown()
    hub.server_close()
    assert fetch_checkpoint("some/model") == first


def test_only_the_weights_that_are_needed_are_fetched(hub: Hub, published: Path) -> None:
    fetch_checkpoint("some/model", with_weights=False)
    assert "model.safetensors" not in hub.fetched
    torch.save({}, published / "pytorch_model.bin")
    fetch_checkpoint("some/model")
    assert "model.safetensors" in hub.fetched
    assert "pytorch_model.bin" not in hub.fetched


@pytest.mark.parametrize("shape", ["bin", "shards"])
def test_old_and_divided_weights_are_fetched(shape: str, hub: Hub, published: Path) -> None:
    expected = build_model("some/model", classes=["no", "yes"]).model.backbone.state_dict()
    other = shutil.copytree(published, hub.folder / "some" / shape)
    (other / "model.safetensors").unlink()
    if shape == "bin":
        torch.save(load_file(published / "model.safetensors"), other / "pytorch_model.bin")
    else:
        Wav2Vec2ForCTC.from_pretrained(published).save_pretrained(other, max_shard_size="20KB")
        assert len(list(other.glob("*.safetensors"))) > 2
    found = build_model(f"some/{shape}", classes=["no", "yes"]).model.backbone.state_dict()
    assert all(torch.equal(weight, found[name]) for name, weight in expected.items())


def test_what_the_hub_does_not_have_is_one_line(hub: Hub, published: Path) -> None:
    with pytest.raises(
        ModelError,
        match=r"^some/other cannot be fetched \(404: the hub has no such model, revision or file\) .* as `checkpoint`",
    ):
        fetch_checkpoint("some/other")
    with pytest.raises(ModelError, match=r"^some/other@v2 .* or file; the newest is some/other@main\) and is"):
        fetch_checkpoint("some/other", revision="v2")
    (published / "model.safetensors").unlink()
    with pytest.raises(
        ModelError, match=r"^no weights of some/model are on the hub: expected one of model.safetensors"
    ):
        fetch_checkpoint("some/model")


def test_a_hub_that_does_not_answer_is_not_asked_again_and_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    hub.shutdown()
    hub.server_close()
    with pytest.raises(ModelError, match=r"^some/model cannot be fetched \(.*\) and is not in the Hugging Face cache"):
        fetch_checkpoint("some/model")
    assert waited == []


def publish(hub: Hub, variant: str, *, old_names: bool = False) -> dict[str, torch.Tensor]:
    """A bare backbone as ``some/VARIANT`` with only ``pytorch_model.bin``; returns its weights."""
    folder = hub.folder / "some" / variant
    model = AutoModel.from_config(make_config(variant, mask_time_prob=0.05))
    model.save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    state = {name: weight.clone() for name, weight in model.state_dict().items()}
    named = state
    if old_names:
        renamed = {".parametrizations.weight.original0": ".weight_g", ".parametrizations.weight.original1": ".weight_v"}
        named = {}
        for name, weight in state.items():
            for new, old in renamed.items():
                name = name.replace(new, old)
            named[name] = weight
        assert any(name.endswith("weight_g") for name in named)
    torch.save(named, folder / "pytorch_model.bin")
    return state


@pytest.mark.parametrize("old_names", [False, True])
@pytest.mark.parametrize("variant", FAMILIES)
def test_all_three_families_come_from_bin_files_alone(variant: str, old_names: bool, hub: Hub) -> None:
    expected = publish(hub, variant, old_names=old_names)
    loaded = build_model(f"some/{variant}", classes=["no", "yes"])
    found = loaded.model.backbone.state_dict()
    assert (loaded.missing_keys, loaded.unused_keys) == ((), ())
    assert set(found) == set(expected)
    assert all(torch.equal(weight, found[name]) for name, weight in expected.items())


def test_every_key_of_a_checkpoint_is_used_or_named(hub: Hub) -> None:
    folder = hub.folder / "some" / "quantized"
    Wav2Vec2ForPreTraining(make_config("wav2vec2-layer")).save_pretrained(folder)
    loaded = build_model("some/quantized", classes=["no", "yes"])
    there = set(load_file(folder / "model.safetensors"))
    used = {f"wav2vec2.{name}" for name in loaded.model.backbone.state_dict()}
    assert there == (used & there) | set(loaded.unused_keys)
    assert used - there == {f"wav2vec2.{name}" for name in loaded.missing_keys}
    assert any(name.startswith("quantizer") for name in loaded.unused_keys)


def test_a_revision_is_asked_for_behind_the_name(hub: Hub, published: Path) -> None:
    loaded = build_model("some/model@refs-of-mine", classes=["no", "yes"])
    assert loaded.origin["revision"] == COMMIT
    assert (Path(huggingface_hub.constants.HF_HUB_CACHE) / "models--some--model" / "refs" / "refs-of-mine").is_file()
    assert loaded.backbone_key == "some/model"


def test_a_broken_download_goes_on_where_it_was(hub: Hub, published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    hub.broken["model.safetensors"] = [5_500]
    loaded = build_model("some/model", classes=["no", "yes"])
    asked = [name for name in hub.fetched if name.startswith("model.safetensors")]
    assert asked == ["model.safetensors", "model.safetensorsbytes=5000-"]
    saved = load_file(published / "model.safetensors")
    state = loaded.model.backbone.state_dict()
    assert all(torch.equal(weight, saved[f"wav2vec2.{name}"]) for name, weight in state.items())


@pytest.mark.parametrize("fault", ["always broken", "wrong size"])
def test_what_never_comes_whole_is_one_line_and_not_kept(
    fault: str, hub: Hub, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    if fault == "always broken":
        hub.broken["model.safetensors"] = [100] * 20
    else:
        hub.announced["model.safetensors"] = 10
    with pytest.raises(
        ModelError, match=r"^model.safetensors of some/model cannot be fetched \(.*as `checkpoint`"
    ) as said:
        fetch_checkpoint("some/model")
    assert "\n" not in str(said.value)
    assert not list(Path(huggingface_hub.constants.HF_HUB_CACHE).rglob("model.safetensors"))
    hub.broken.clear()
    hub.announced.clear()
    assert build_model("some/model", classes=["no", "yes"]).origin["revision"] == COMMIT


@pytest.mark.parametrize(
    ("status", "advice"),
    [(401, "private: see `hf auth login`"), (403, "accept its terms"), (429, "wait"), (503, "the hub itself")],
)
def test_what_the_hub_refuses_is_said_with_what_to_do(status: int, advice: str, hub: Hub, published: Path) -> None:
    hub.refusals["config.json"] = status
    with pytest.raises(ModelError) as stated:
        fetch_checkpoint("some/model")
    text = str(stated.value)
    assert text.startswith(f"some/model cannot be fetched ({status}: ")
    assert advice in text
    assert "\n" not in text


def test_a_hub_in_trouble_does_not_keep_anybody_from_the_cache(hub: Hub, published: Path) -> None:
    first = fetch_checkpoint("some/model")
    hub.refusals["config.json"] = 500
    assert fetch_checkpoint("some/model") == first


def test_a_file_that_was_damaged_on_its_way_or_in_the_cache_is_not_trained_from(hub: Hub, published: Path) -> None:
    folder = fetch_checkpoint("some/model").folder
    stored = (folder / "model.safetensors").resolve()
    content = bytearray(stored.read_bytes())
    content[-100] ^= 1
    stored.write_bytes(content)
    with pytest.raises(
        ModelError, match=rf"is not what the hub has, its SHA-256 is .* remove {stored}, and it is fetch"
    ):
        fetch_checkpoint("some/model")
    stored.unlink()
    assert fetch_checkpoint("some/model").folder == folder


def test_what_is_not_in_the_cache_is_named_with_its_revision_and_with_what_is_there(
    hub: Hub, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_checkpoint("some/model", revision="mine")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        ModelError,
        match=r"^some/model@other cannot be fetched \(HF_HUB_OFFLINE is set\) and is not in the Hugging Face cache, "
        r"which has some/model@mine: give a folder",
    ):
        fetch_checkpoint("some/model", revision="other")
    with pytest.raises(ModelError, match=r"\(HF_HUB_OFFLINE is set; a commit takes all its 40 digits\)"):
        fetch_checkpoint("some/model", revision="0123abc")


@pytest.mark.parametrize("status", [429, 503])
def test_weights_that_are_refused_again_and_again_are_one_line_with_the_reason(
    status: int, hub: Hub, published: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    hub.refusals["model.safetensors"] = status
    with pytest.raises(ModelError, match=rf"^model.safetensors of some/model cannot be fetched \({status}: "):
        fetch_checkpoint("some/model")
    assert not caplog.records


def divide(published: Path, weight_map: object) -> None:
    (published / "model.safetensors").unlink()
    (published / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_an_index_is_checked_and_its_files_are_all_asked_for(hub: Hub, published: Path) -> None:
    divide(published, {"lm_head.bias": "model-00001-of-00002.safetensors"})
    message = r"^model-00001-of-00002.safetensors of some/model is not on the hub, though its index names it: give a"
    with pytest.raises(ModelError, match=message):
        fetch_checkpoint("some/model")


@pytest.mark.parametrize("weight_map", ["text", None, {"lm_head.bias": ["a list"]}])
def test_what_is_no_index_is_one_line(weight_map: object, hub: Hub, published: Path) -> None:
    divide(published, weight_map)
    with pytest.raises(ModelError, match=r"model.safetensors.index.json is no index of weights \(.* as `checkpoint`"):
        fetch_checkpoint("some/model")


def test_a_cache_that_cannot_be_written_is_named(
    hub: Hub, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(
        ModelError, match=r"^config.json of some/model cannot be fetched \(.*/file/cache: .*HF_HOME names"
    ):
        fetch_checkpoint("some/model")


def test_revisions_are_pinned_by_their_full_commit() -> None:
    pinned = {one.key: one.revision for one in list_backbones() if one.revision is not None}
    assert set(pinned) == {"w2v2-large", "xlsr53", "hubert-base", "hubert-xlarge"}
    assert all(len(revision) == 40 and int(revision, 16) for revision in pinned.values())
