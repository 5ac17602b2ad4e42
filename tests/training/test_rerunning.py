"""A run can be begun once more from the commit of its weights, though the hub has moved on."""

import shutil

import hub_server
import pytest
from backbone_samples import make_config
from safetensors.torch import load_file

from ser_store.backbones.loading import build_model
from ser_store.errors import StoreError
from ser_store.training.checkpointing.resume import pin_model, read_source
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

REPOSITORY = "facebook/wav2vec2-large-xlsr-53"
FIRST, SECOND = hub_server.COMMIT, "fedcba9876543210fedcba9876543210fedcba98"
RECIPE = ("--max-steps", 1, "--eval-steps", 1, "--save-steps", 1)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with hub_server.serve_hub(tmp_path, monkeypatch) as server:
        yield server


def publish(hub, *, hidden_size):
    """A small model in the place of a large one, of another size with each commit."""
    import torch
    from transformers import AutoModel, Wav2Vec2FeatureExtractor

    with torch.random.fork_rng():
        folder = hub.folder / REPOSITORY
        AutoModel.from_config(make_config("wav2vec2-layer", hidden_size=hidden_size)).save_pretrained(folder)
        Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    return folder


@pytest.fixture
def path(empty, tmp_path):
    return shutil.copytree(empty, tmp_path / "speech.store")


def test_a_run_is_begun_again_from_the_same_commit_by_naming_it_as_recipe(hub, path, serstore, monkeypatch):
    first = load_file(publish(hub, hidden_size=32) / "model.safetensors")
    assert serstore("finetune", "--model", "xlsr53", *RECIPE, "--lr", 2e-4, "--store", path).code == 0
    publish(hub, hidden_size=48)
    monkeypatch.setattr(hub_server, "COMMIT", SECOND)
    assert serstore("finetune", "--model", "xlsr53", "--run", "newest", *RECIPE, "--store", path).code == 0
    assert serstore("finetune", "--recipe", "xlsr53", "--run", "again", "--seed", 7, "--store", path).code == 0
    store = Store(path)
    assert store.run("newest").details["origin"]["revision"] == SECOND
    begun = store.run("again")
    assert (begun.backbone, begun.details["model"]) == ("xlsr53", f"xlsr53@{FIRST}")
    assert begun.details["origin"]["revision"] == FIRST
    assert (begun.details["recipe"]["learning_rate"], begun.details["recipe"]["seed"]) == (2e-4, 7)
    pinned = build_model(pin_model(begun), classes=["no", "yes"]).model.backbone.state_dict()
    assert all((weight == pinned[name]).all() for name, weight in first.items())
    assert serstore("finetune", "--model", f"xlsr53@{FIRST}", "--run", "by-hand", *RECIPE, "--store", path).code == 0
    assert store.run("by-hand").details["origin"]["revision"] == FIRST


def test_a_run_that_was_killed_before_its_first_checkpoint_goes_on_from_its_own_commit(
    hub, path, serstore, monkeypatch
):
    publish(hub, hidden_size=32)
    assert serstore("finetune", "--model", "xlsr53", *RECIPE, "--store", path).code == 0
    store = Store(path)
    expected = store.read_member("xlsr53@1").provenance["model_digest"]
    shutil.rmtree(store.run_folder("xlsr53") / "checkpoints")
    store.member_path("xlsr53", 1).unlink()
    (store.run_folder("xlsr53") / "curves.jsonl").unlink()
    store.update_run(store.run("xlsr53").updated(state="running"))
    publish(hub, hidden_size=48)
    monkeypatch.setattr(hub_server, "COMMIT", SECOND)
    resumed = serstore("finetune", "--resume", "--store", path)
    assert resumed.code == 0, resumed.err
    assert store.read_member("xlsr53@1").provenance["model_digest"] == expected


def test_a_file_is_no_run_and_names_no_model(path, serstore, tmp_path):
    (tmp_path / "recipe.toml").write_text("epochs = 1.0\n")
    refused = serstore("finetune", "--recipe", tmp_path / "recipe.toml", "--store", path)
    assert refused.code == 2
    assert "expected --model MODEL" in refused.err


def make_record(**details):
    begun = {"model": "xlsr53", "recipe": {}, "split": "paper", "fold": None, "init": "pretrained", "checkpoint": None}
    return RunRecord(run="r", kind="finetune", backbone="xlsr53", details={**begun, **details})


@pytest.mark.parametrize(
    ("details", "model"),
    [
        ({"origin": {"revision": None}}, "xlsr53"),
        ({"origin": {"revision": FIRST}}, f"xlsr53@{FIRST}"),
        ({"model": "some/model@main", "origin": {"revision": FIRST}}, f"some/model@{FIRST}"),
        ({"model": "/a@b/model", "origin": {"revision": None}}, "/a@b/model"),
    ],
)
def test_a_branch_is_replaced_by_its_commit_and_a_folder_stays(details, model):
    assert pin_model(make_record(**details)) == model


def test_weights_of_a_folder_and_random_ones_are_named_as_they_were(tmp_path):
    record = make_record(checkpoint=str(tmp_path), origin={"revision": None})
    weights = {"model": "xlsr53", "init": "pretrained", "checkpoint": tmp_path}
    assert read_source(record) == {**weights, "split": "paper", "fold": None}
    assert read_source(make_record(init="random"))["init"] == "random"
    with pytest.raises(StoreError, match="run r does not say how it was begun"):
        read_source(RunRecord(run="r", kind="import", backbone="file.csv"))
