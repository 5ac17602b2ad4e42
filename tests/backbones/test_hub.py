"""The hub's real client against a small hub on this machine."""

import hashlib
import shutil
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from backbone_samples import make_config
from safetensors.torch import load_file
from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

from ser_store.backbones.hub import fetch_checkpoint
from ser_store.backbones.loading import build_model
from ser_store.errors import ModelError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves ``folder/org/name/file`` as the hub serves ``org/name/resolve/REVISION/file``."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.fetched: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        content = self._answer()
        self.server.fetched.append(Path(self.path).name)
        self.wfile.write(content)

    def _answer(self) -> bytes:
        repository, _, rest = self.path.strip("/").partition("/resolve/")
        path = self.server.folder / repository / rest.partition("/")[2]
        content = path.read_bytes() if path.is_file() else b""
        self.send_response(200 if path.is_file() else 404)
        if not path.is_file():
            known = (self.server.folder / repository).is_dir()
            self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return content

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub(tmp_path / "hub") as server:
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


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
    with pytest.raises(ModelError, match=r"^some/other cannot be fetched \(404 Client Error\) .* --checkpoint DIR"):
        fetch_checkpoint("some/other")
    (published / "model.safetensors").unlink()
    with pytest.raises(
        ModelError, match=r"^no weights of some/model are on the hub: expected one of model.safetensors"
    ):
        fetch_checkpoint("some/model")


def test_a_hub_that_does_not_answer_is_not_asked_again_and_again(hub: Hub) -> None:
    hub.shutdown()
    hub.server_close()
    started = time.monotonic()
    with pytest.raises(ModelError, match=r"^some/model cannot be fetched \(.*\) and is not in the Hugging Face cache"):
        fetch_checkpoint("some/model")
    assert time.monotonic() - started < 10
