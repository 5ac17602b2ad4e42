"""What a fine-tuning will take is what it takes: counted, or measured by real steps that leave nothing behind."""

import tempfile

import numpy as np
import pytest

from ser_store.backbones.catalogue import lookup
from ser_store.errors import MemoryLimitError
from ser_store.recipes.recipe import Recipe
from ser_store.training.batches import make_deal
from ser_store.training.estimate import estimate
from ser_store.training.finetune import finetune
from ser_store.training.preparing import count_parameters
from ser_store_h5.store import Store

PUBLISHED = ("w2v2-large", "xlsr53", "hubert-base", "hubert-xlarge", "unispeech-large", "unispeech-ml")
SHORT = ("--epochs", 1, "--eval-steps", 2, "--save-steps", 2, "--logging-steps", 1, "--save-total-limit", 1)


@pytest.fixture(scope="module")
def path(serstore, speech, tmp_path_factory):
    path = tmp_path_factory.mktemp("estimated") / "speech.store"
    assert serstore("init", "--corpus", "ravdess", "--audio", speech, "--split", "speaker", "--store", path).code == 0
    return path


def test_table_2_on_the_papers_split_makes_1440_steps():
    recipe = Recipe()
    assert make_deal(recipe, 1_152).steps_per_epoch * recipe.num_train_epochs == 1_440
    assert make_deal(recipe, 33).steps_per_epoch == 5, "the last, smaller batch counts"
    assert make_deal(recipe, 1_152, processes=2).steps_per_epoch == 72


def list_files(folder):
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*")}


def test_a_probe_says_what_the_run_takes_and_leaves_nothing_behind(path, serstore, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    words = ("finetune", "--model", "tiny-hubert", *SHORT, "--store", path, "--json")
    before = list_files(path)
    (said,) = serstore(*words, "--dry-run").json["estimates"]
    assert (list_files(path), list(tmp_path.iterdir())) == (before, [])
    done = serstore(*words).json
    assert (said["steps"], said["members"]) == (done["steps_done"], len(done["members"]))
    assert (said["train_batch_size"], said["eval_batch_size"], said["init"]) == (4, 4, "random")
    (checkpoint,) = (path / "runs" / "tiny-hubert" / "checkpoints").glob("checkpoint-*")
    written = sum((checkpoint / name).stat().st_size for name in ("model.safetensors", "optimizer.safetensors"))
    # Two: the one kept and the one being written.
    assert said["disk"]["checkpoints"] / 2 == pytest.approx(written, rel=0.02)
    member = Store(path).read_member(done["members"][0])
    stored = member.pooled.astype(np.float16).nbytes + member.logits.nbytes + member.rows.nbytes
    assert said["disk"]["members"] == said["members"] * stored
    took = said["time"]
    step, evaluation, checkpoint = (took[f"seconds_per_{what}"] for what in ("step", "evaluation", "checkpoint"))
    assert min(step, evaluation, checkpoint) > 0
    # The longest utterances are measured, and the others take hardly more.
    rest = took["seconds"] - said["members"] * (evaluation + checkpoint)
    assert 0.3 < rest / (said["steps"] * step) < 1.1
    memory = said["memory"]
    assert memory["weights"] + memory["gradients"] + memory["optimizer"] < memory["total"] < memory["available"]


@pytest.mark.parametrize("key", PUBLISHED)
def test_the_parameters_of_full_size_models_are_known_without_their_weights(key, path):
    config = build_config(key)
    assert count_parameters(config, Recipe()) == (lookup(key).parameters, lookup(key).parameters)


def build_config(key):
    from transformers import AutoConfig

    from ser_store.backbones import model

    entry = lookup(key)
    config = AutoConfig.for_model(entry.architecture, **entry.config)
    return model.build_config(config, [f"class {place}" for place in range(8)], pooling="mean")


def test_what_a_step_takes_at_once_is_found_beforehand(path):
    store, options = Store(path), {"max_steps": 4, "eval_steps": 4, "save_steps": 4}
    assert estimate(store, "tiny-hubert", recipe=Recipe(**options, micro_batch="auto")).train_batch_size == 8
    assert estimate(store, "tiny-hubert", recipe=Recipe(**options, micro_batch=3)).train_batch_size == 3
    recipe = Recipe(num_train_epochs=1, eval_steps=9, save_steps=9, batch_seconds=3.0, gradient_accumulation_steps=1)
    said = estimate(store, "tiny-hubert", recipe=recipe)
    done = finetune(store, "tiny-hubert", run="filled", recipe=recipe).details
    assert (said.steps, said.train_batch_size) == (done["steps_done"], done["resolved"]["train_batch_size"])


def test_what_is_frozen_takes_less(path):
    whole, frozen = (
        estimate(Store(path), "tiny-hubert", recipe=Recipe(frozen_layers=layers, freeze_feature_encoder=bool(layers)))
        for layers in (0, 1)
    )
    assert whole.trained == whole.parameters
    assert frozen.trained == 128 * 129 + 8 * 129
    assert frozen.memory["optimizer"] == 8 * frozen.trained


def test_a_model_that_does_not_fit_is_refused_before_it_is_built(path, monkeypatch):
    monkeypatch.setattr("ser_store.training.estimate.find_available_memory", lambda: 1_000_000)
    with pytest.raises(MemoryLimitError, match=r"^tiny-hubert: weights, gradients and optimizer alone take 0.0 GB"):
        estimate(Store(path), "tiny-hubert")


def test_lengths_are_those_that_training_hears(path):
    store = Store(path)
    assert estimate(store, "tiny-hubert", recipe=Recipe(max_seconds=0.5)).memory["longest_seconds"] == 0.5
    slower = Recipe().changed(speed_prob=0.1, speed_range=(0.5, 1.0))
    plain = estimate(store, "tiny-hubert").memory["longest_seconds"]
    assert estimate(store, "tiny-hubert", recipe=slower).memory["longest_seconds"] == pytest.approx(2 * plain)


def test_all_six_can_be_estimated_at_once(path, serstore, monkeypatch):
    monkeypatch.setattr("ser_store.reproduction.reproduce.list_published_models", lambda: ("tiny-hubert", "tiny-wavlm"))
    printed = serstore("finetune", "--all", "--dry-run", "--store", path).out
    assert "tiny-hubert" in printed
    assert "tiny-wavlm" in printed
    assert "measured" in printed
