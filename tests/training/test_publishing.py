"""A trained model goes to a small hub on this machine by the hub's real client, and comes back from it."""

import json
import re
import shutil
import socket
import time
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
import torch
import yaml
from hub_server import COMMIT, OTHERS_TOKEN, TOKEN, Handler, serve_hub
from huggingface_hub import ModelCard
from transformers import AutoFeatureExtractor, AutoModel, pipeline

from ser_store.audio.decode import load_waveform, resample
from ser_store.audio.recordings import resolve_audio
from ser_store.backbones.digest import compute_model_digest
from ser_store.backbones.loading import build_model, load_classifier
from ser_store.errors import ModelError
from ser_store.hub.push import push_to_hub, reserve_repository
from ser_store.prediction.predict import predict
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.store import Store

RECIPE = ("--max-steps", 2, "--eval-steps", 1, "--save-steps", 1, "--logging-steps", 1, "--accumulation", 1)

LATER = "; run tiny-hubert is whole in the store: {} pushes it without training again"
COMMAND = "`serstore finetune --run RUN --resume --push-to-hub`"


class FaultyHandler(Handler):
    """Takes no large files: answers with a status, or hangs up in the middle of them."""

    fault: int | None = None

    def do_PUT(self):
        if self.fault is None:
            self.rfile.read(1000)
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self._read()
        self._answer({"error": "refused"}, status=self.fault)


@pytest.fixture(scope="module")
def trained(serstore, empty, tmp_path_factory):
    path = shutil.copytree(empty, tmp_path_factory.mktemp("trained") / "speech.store")
    for model in ("tiny-hubert", "tiny-whisper"):
        assert serstore("finetune", "--model", model, *RECIPE, "--store", path).code == 0
    return Store(path)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with serve_hub(tmp_path, monkeypatch) as server:
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


@pytest.mark.parametrize("model", ["tiny-hubert", "tiny-whisper"])
def test_a_pushed_model_comes_back_by_its_name_as_it_was(model, trained, hub, tmp_path, serstore):
    pushed = push_to_hub(trained, model, "me/emotions")
    assert (pushed.member, pushed.url, pushed.commit) == (f"{model}@2", f"{hub.address}/me/emotions", COMMIT)
    assert hub.commits == [f"{model}@2 of ser-store"]
    folder = hub.folder / "me" / "emotions"
    assert {path.name for path in folder.iterdir()} == {
        ".gitattributes", "README.md", "config.json", "model.safetensors", "preprocessor_config.json",
    }  # fmt: skip
    checkpoint = load_classifier(trained.run_folder(model) / "checkpoints" / "checkpoint-2")
    loaded = load_classifier(folder)
    assert compute_model_digest(loaded.model) == compute_model_digest(checkpoint.model)
    assert loaded.model.config.classes == trained.corpus.classes
    recording = next(resolve_audio(trained.corpus, None).rglob("*.wav"))
    said, known = (predict(name, recording, store=trained) for name in ("me/emotions", model))
    assert (said.members, known.members) == (("me/emotions",), (f"{model}@2",))
    np.testing.assert_allclose(said.probabilities, known.probabilities, atol=1e-6)
    assert compute_model_digest(AutoModel.from_pretrained(folder)) == compute_model_digest(checkpoint.model)
    assert type(AutoFeatureExtractor.from_pretrained(folder)) is type(loaded.feature_extractor)
    fetched = build_model("me/emotions", classes=["no", "yes"])
    assert compute_model_digest(fetched.model.backbone) == compute_model_digest(checkpoint.model.backbone)
    words = ("--split", "speaker", *RECIPE, "--store", shutil.copytree(trained.path, tmp_path / "other.store"))
    assert serstore("finetune", "--model", folder, *words).code == 0


def test_what_lora_added_is_merged_into_the_weights_that_are_pushed(trained, hub, tmp_path, serstore):
    store = Store(shutil.copytree(trained.path, tmp_path / "lora.store"))
    words = ("--lora", 2, "--run", "adapted", *RECIPE, "--store", store.path)
    assert serstore("finetune", "--model", "tiny-wavlm", *words).code == 0
    push_to_hub(store, "adapted", "me/adapted")
    folder = hub.folder / "me" / "adapted"
    checkpoint = store.run_folder("adapted") / "checkpoints" / "checkpoint-2"
    assert (folder / "model.safetensors").stat().st_size > 5 * (checkpoint / "model.safetensors").stat().st_size
    assert json.loads((folder / "config.json").read_text())["lora"] is None
    whole = load_classifier(folder).model
    assert not any("lora" in name for name in whole.state_dict())
    assert compute_model_digest(whole) == store.read_member("adapted@2").provenance["model_digest"]
    assert compute_model_digest(AutoModel.from_pretrained(folder)) == compute_model_digest(whole)


def test_the_card_says_what_the_model_is_and_how_well_it_does(trained, hub, serstore):
    push_to_hub(trained, "tiny-hubert", "me/emotions", step=1)
    text = (hub.folder / "me" / "emotions" / "README.md").read_text()
    evaluated = serstore("evaluate", "tiny-hubert@1", "--store", trained.path, "--json").json["members"][0]
    low, high = evaluated["ci95"]
    for said in (
        "step 1",
        f"| accuracy (WA) | {evaluated['accuracy']:.2%} |",
        f"{low:.2%} to {high:.2%}",
        "angry, calm, disgust, fearful, happy, neutral, sad, surprised",
        "48 utterances of 3 speakers",
        "| learning_rate | 0.0001 |",
        "speaker: train ",
        'pipeline("audio-classification", "me/emotions", top_k=None)',
        "`serstore predict me/emotions recording.wav`",
        "heard in training: 16 utterances of 1 of the 3 speakers: ",
        "random before fine-tuning",
    ):
        assert said in text
    metadata = yaml.safe_load(text.split("---")[1])
    assert metadata["tags"] == ["speech-emotion-recognition"]
    assert "license" not in metadata
    figures = {result.metric_type: result.metric_value for result in ModelCard(text).data.eval_results}
    assert figures["accuracy"] == pytest.approx(evaluated["accuracy"], abs=1e-6)


@pytest.mark.parametrize("model", ["tiny-hubert", "tiny-whisper"])
def test_a_pipeline_says_of_recordings_what_the_store_says(model, trained, hub, monkeypatch):
    push_to_hub(trained, model, "me/emotions")
    names, rows = trained.corpus.classes, trained.corpus.rows("test")[:5]
    expected = torch.from_numpy(trained.logits([f"{model}@2"], rows)[0]).softmax(dim=1)
    heard = [load_waveform(Path(trained.corpus.audio_root) / trained.corpus.paths[row]).samples for row in rows]
    classify = pipeline("audio-classification", "me/emotions", top_k=None)
    for said, probabilities in zip(classify(heard, batch_size=3), expected, strict=True):
        found = [next(one["score"] for one in said if one["label"] == name) for name in names]
        assert found == pytest.approx(probabilities.tolist(), abs=1e-5)
    louder = resample(heard[0], sample_rate=16_000, to=48_000)
    [resampled] = classify([{"array": louder, "sampling_rate": 48_000}])
    [own] = classify([resample(louder, sample_rate=48_000)])
    assert [one["score"] for one in resampled] == pytest.approx([one["score"] for one in own], abs=1e-5)


def test_what_an_earlier_release_saved_of_a_whisper_is_pushed_for_pipelines(trained, hub, tmp_path):
    store = Store(shutil.copytree(trained.path, tmp_path / "copy.store"))
    prepared = store.run_folder("tiny-whisper") / "checkpoints" / "checkpoint-2" / "preprocessor_config.json"
    now = prepared.read_text()
    prepared.write_text(now.replace("UtteranceMelExtractor", "WhisperFeatureExtractor"))
    push_to_hub(store, "tiny-whisper", "me/emotions")
    assert json.loads((hub.folder / "me" / "emotions" / "preprocessor_config.json").read_text()) == json.loads(now)


def test_no_folder_of_this_machine_is_published(trained, hub, tmp_path):
    store = Store(shutil.copytree(trained.path, tmp_path / "copy.store"))
    config = store.run_folder("tiny-hubert") / "checkpoints" / "checkpoint-2" / "config.json"
    config.write_text(config.read_text().replace('"folder": null', '"folder": "/home/me/secret/weights"'))
    push_to_hub(store, "tiny-hubert", "me/emotions")
    for path in (hub.folder / "me" / "emotions").iterdir():
        assert b"/home/me" not in path.read_bytes()
        assert str(tmp_path).encode() not in path.read_bytes()


@pytest.mark.parametrize(
    ("token", "repository", "message"),
    [
        (None, "me/emotions", r"^no token to write to me/emotions with: .* `hf auth login`, or set HF_TOKEN"),
        ("hf_wrong", "me/emotions", r"does not know the token for me/emotions \(401\)"),
        (OTHERS_TOKEN, "me/emotions", r"the token may not write to me/emotions \(403\): .* write access to me"),
        (TOKEN, "me/taken", r"^me/taken is on the hub already and holds config.json: .* choose another name"),
        (TOKEN, "emotions", r"^'emotions' is no repository of the hub: expected OWNER/NAME"),
        (TOKEN, "me/../you", r"is no repository of the hub"),
    ],
)
def test_what_keeps_a_model_from_the_hub_is_one_line(trained, hub, monkeypatch, token, repository, message):
    taken = hub.folder / "me" / "taken"
    taken.mkdir(parents=True)
    (taken / "config.json").write_text("{}")
    monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ModelError, match=message) as stated:
        push_to_hub(trained, "tiny-hubert", repository)
    assert "\n" not in str(stated.value)
    assert str(stated.value).endswith(LATER.format("`push_to_hub()`"))
    assert hub.commits == []


def test_a_reserved_repository_and_one_whose_upload_failed_can_be_pushed_to(trained, hub):
    assert reserve_repository("me/emotions") == f"{hub.address}/me/emotions"
    hub.refusals["/commit/main"] = 400
    with pytest.raises(ModelError, match=r"^me/emotions could not be written to \(.*\): .* on another try"):
        push_to_hub(trained, "tiny-hubert", "me/emotions")
    hub.refusals.clear()
    assert push_to_hub(trained, "tiny-hubert", "me/emotions").commit == COMMIT
    with pytest.raises(ModelError, match="is on the hub already"):
        push_to_hub(trained, "tiny-hubert", "me/emotions")


def test_a_hub_out_of_reach_is_one_line(trained, hub):
    hub.shutdown()
    hub.server_close()
    with pytest.raises(ModelError, match=r"^me/emotions could not be written to") as stated:
        reserve_repository("me/emotions")
    assert "\n" not in str(stated.value)


def test_a_run_without_checkpoints_is_refused_before_the_hub_is_asked(trained, hub, tmp_path):
    store = Store(shutil.copytree(trained.path, tmp_path / "copy.store"))
    shutil.rmtree(store.run_folder("tiny-hubert") / "checkpoints")
    record = store.run("tiny-hubert")
    store.update_run(record.updated(checkpoints=str(tmp_path / "gone")))
    with pytest.raises(ModelError, match="run tiny-hubert has no checkpoint left"):
        push_to_hub(store, "tiny-hubert", "me/emotions")
    assert not hub.folder.exists()
    assert hub.address == huggingface_hub.constants.ENDPOINT


def test_a_command_trains_and_pushes_what_others_load_by_its_name(trained, hub, tmp_path, serstore):
    path = shutil.copytree(trained.path, tmp_path / "speech.store")
    words = ("finetune", "--model", "tiny-hubert", "--run", "pushed", *RECIPE, "--push-to-hub", "me/emotions")
    done = serstore(*words, "--store", path)
    assert done.code == 0, done.err
    assert done.out.startswith("pushed: 2 steps in ")
    assert done.err.splitlines()[-1] == f"serstore: pushed@2 is at {hub.address}/me/emotions"
    store = Store(path)
    trained = load_classifier(store.run_folder("pushed") / "checkpoints" / "checkpoint-2").model
    assert serstore("extract", "--model", "me/emotions", "--store", path).code == 0
    extracted, cached = store.read_member("emotions-frozen@0"), store.read_member("pushed@2")
    assert extracted.provenance["model_digest"] == compute_model_digest(trained)
    np.testing.assert_allclose(extracted.logits[cached.rows], cached.logits, atol=1e-4)
    again = ("finetune", "--model", "me/emotions", "--run", "again", "--max-steps", 1, "--store", path)
    assert serstore(*again).code == 0
    origin = store.run("again").details["origin"]
    assert (origin["hub_id"], origin["revision"]) == ("me/emotions", COMMIT)


@pytest.mark.parametrize(
    ("refused", "upload", "message"),
    [
        ({"/preupload/main": 401}, None, r"does not know the token for me/emotions \(401\)"),
        ({"/preupload/main": 403}, None, r"the token may not write to me/emotions \(403\)"),
        ({"/preupload/main": 404}, None, r"me/emotions could not be written to \(404: the hub has no such model"),
        ({"/commit/main": 500}, None, r"me/emotions could not be written to \(500: the hub itself has a problem"),
        ({}, 413, r"me/emotions could not be written to \(413: more than the hub takes\)"),
        ({}, "hangs up", r"me/emotions could not be written to \(.*(disconnect|reset|pipe|EOF|clos).*\)"),
    ],
)
def test_what_keeps_a_model_from_the_hub_keeps_nothing_from_the_store(
    refused, upload, message, trained, hub, monkeypatch, serstore
):
    monkeypatch.setattr(time, "sleep", lambda _: None)
    hub.refusals |= refused
    if upload is not None:
        monkeypatch.setattr(FaultyHandler, "fault", upload if isinstance(upload, int) else None)
        monkeypatch.setattr(hub, "RequestHandlerClass", FaultyHandler)
    words = ("finetune", "--run", "tiny-hubert", "--resume", "--push-to-hub", "me/emotions", "--store", trained.path)
    failed = serstore(*words)
    assert failed.code == 1
    assert failed.out.startswith("tiny-hubert: 2 steps in ")
    told, problem = failed.err.splitlines()
    assert told == "serstore: tiny-hubert goes to me/emotions; it is whole in the store, whatever becomes of that"
    assert re.search(f"^serstore: .*{message}", problem), problem
    assert problem.endswith(LATER.format(COMMAND))
    assert (trained.run("tiny-hubert").state, hub.commits) == ("finished", [])
    assert verify_store(trained.path).ok
    hub.refusals.clear()
    hub.RequestHandlerClass = Handler
    assert serstore(*words).code == 0
    assert hub.commits == ["tiny-hubert@2 of ser-store"]


def test_a_push_that_fails_right_after_training_prints_the_run_first(trained, hub, tmp_path, serstore):
    path = shutil.copytree(trained.path, tmp_path / "speech.store")
    hub.refusals["/commit/main"] = 500
    words = ("finetune", "--model", "tiny-wav2vec2", "--max-steps", 1, "--push-to-hub", "me/other", "--store", path)
    failed = serstore(*words)
    assert failed.code == 1
    assert failed.out.startswith("tiny-wav2vec2: 1 steps in ")
    assert failed.err.splitlines()[-1].endswith(f"{COMMAND} pushes it without training again")
    assert Store(path).run("tiny-wav2vec2").state == "finished"
    assert Store(path).steps("tiny-wav2vec2") == [1]
    hub.refusals.clear()
    pushed = serstore(
        "finetune", "--run", "tiny-wav2vec2", "--resume", "--push-to-hub", "me/other", "--json", "--store", path
    )
    assert pushed.json["published"]["commit"] == COMMIT
