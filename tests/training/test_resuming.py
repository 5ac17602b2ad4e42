"""A run that is killed at any moment and resumed has the members and the curves of one that went through."""

import json
import random
import shutil
import signal
from functools import partial
from pathlib import Path

import pytest
import torch
from training_kills import (
    assert_same_run,
    name_checkpoints,
    read_points,
    save_backbone,
    stop_trainings,
)

from ser_store.errors import ExistsError, SerstoreError, StoreError
from ser_store.recipes.recipe import Recipe
from ser_store.training.checkpointing import checkpoints as checkpoints_module
from ser_store.training.checkpointing import writer as writer_module
from ser_store.training.checkpointing.checkpoints import find_folders, find_last, is_whole
from ser_store.training.checkpointing.snapshot import read_optimizer
from ser_store.training.distributed import lock as training_lock
from ser_store.training.finetune import finetune
from ser_store_h5.integrity.verify import verify_store
from ser_store_h5.store import Store

# Evaluation, saving and logging fall on different steps, and the last of them on none of their multiples; an epoch has
# four steps.
RECIPE = {
    "max_steps": 14,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "eval_steps": 3,
    "save_steps": 4,
    "logging_steps": 3,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 2,
    "weight_decay": 0.01,
    "layer_decay": 0.9,
    "class_weights": "balanced",
    "label_smoothing_factor": 0.1,
    "max_seconds": 0.8,
    "group_by_length": True,
    "augmentation": {"gain_prob": 0.5, "noise_prob": 0.5},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a small backbone with random weights."""
    return save_backbone(tmp_path_factory.mktemp("backbone") / "tiny")


@pytest.fixture(scope="module")
def train(model, trainer):
    """Trains by the recipe above in a process of its own."""

    def run(store, *, workers=0, **job):
        return trainer(store, {**RECIPE, "dataloader_num_workers": workers}, model=model, **job)

    return run


@pytest.fixture(scope="module")
def through(empty, train, tmp_path_factory):
    """A store with a run that went through, and how often that wrote. Read only."""
    path = tmp_path_factory.mktemp("through") / "speech.store"
    shutil.copytree(empty, path)
    outcome = train(path)
    assert outcome["state"] == "finished", outcome
    assert name_checkpoints(path) == ["checkpoint-12", "checkpoint-14"]
    assert Store(path).steps("r") == [3, 6, 9, 12, 14]
    return path, outcome["writes"]


@pytest.fixture
def store(empty, tmp_path):
    return shutil.copytree(empty, tmp_path / "speech.store")


@pytest.fixture
def unfinished(through, tmp_path):
    """A copy of the run that went through, whose record says that it is still running."""
    store = Store(shutil.copytree(through[0], tmp_path / "speech.store"))
    store.update_run(store.run("r").updated(state="running", checkpoints=str(tmp_path / "gone")))
    return store


@pytest.mark.parametrize("seed", range(2))
def test_a_run_killed_twice_anywhere_and_resumed_is_the_run_that_went_through(seed, store, train, through):
    draw = random.Random(seed)
    finished, writes = through
    assert train(store, kill_at_write=draw.randrange(1, writes))["killed"]
    assert verify_store(store).ok
    train(store, resume=True, kill_at_write=draw.randrange(1, writes))
    assert train(store, resume=True)["state"] == "finished"
    assert_same_run(store, finished)


# A run that is killed while a checkpoint is half written, and one that is ended by a signal.
@pytest.mark.parametrize(("by", "seed", "midway", "most"), [(signal.SIGKILL, 102, 1, 2), (signal.SIGTERM, 15, 0, 1)])
def test_runs_with_options_drawn_at_random_are_resumed_to_the_same_end(
    by, seed, midway, most, empty, model, trainer, tmp_path
):
    *_, tally = stop_trainings(tmp_path, empty, partial(trainer, model=model), times=1, seed=seed, by=by)
    assert tally.stopped >= 1
    assert (tally.runs, tally.midway, tally.most) == (1, midway, most)


def test_a_kill_in_an_evaluation_is_made_good(store, train, through, serstore):
    assert train(store, kill_in=("prediction_step", 19))["killed"]
    assert Store(store).steps("r") == [3, 6]
    assert serstore("evaluate", "r@3", "--on", "valid", "--store", store).code == 0
    assert train(store, resume=True)["state"] == "finished"
    assert Store(store).run("r").details["resumed"][0]["step"] == 8
    assert_same_run(store, through[0])


def test_the_first_loss_after_a_checkpoint_is_of_all_steps_since_the_last(store, train, through):
    assert train(store, kill_in=("training_step", 10), wait=True)["killed"]
    assert [point["step"] for point in read_points(store)] == [3, 3]
    assert train(store, resume=True)["state"] == "finished"
    assert Store(store).run("r").details["resumed"][0]["step"] == 4
    assert_same_run(store, through[0])


@pytest.mark.parametrize("file", ["config.json", "trainer_state.json", "whole.json"])
def test_a_checkpoint_that_was_half_written_is_not_gone_on_from(file, store, train, through):
    assert train(store, kill_at_path=f"checkpoints/checkpoint-8/{'.' if file == 'whole.json' else ''}{file}")["killed"]
    assert name_checkpoints(store) == ["checkpoint-4", "checkpoint-8"]
    assert train(store, resume=True)["state"] == "finished"
    assert [session["step"] for session in Store(store).run("r").details["resumed"]] == [4]
    assert_same_run(store, through[0])


def test_a_checkpoint_with_a_file_cut_short_is_not_whole(through, tmp_path):
    checkpoints = shutil.copytree(through[0] / "runs/r/checkpoints", tmp_path / "checkpoints")
    assert (find_last(checkpoints).step, find_last(checkpoints).is_last) == (14, True)
    with (checkpoints / "checkpoint-14" / "model.safetensors").open("r+b") as file:
        file.truncate(1000)
    assert not is_whole(checkpoints / "checkpoint-14")
    assert (find_last(checkpoints).step, find_last(checkpoints).is_last) == (12, False)


def cut_back(through, folder):
    """The run that went through, as it would be after its step 12."""
    path = shutil.copytree(through[0], folder / "speech.store")
    shutil.rmtree(path / "runs/r/checkpoints/checkpoint-14")
    store = Store(path)
    store.member_path("r", 14).unlink()
    store.update_run(store.run("r").updated(state="running", checkpoints=str(path / "runs/r/checkpoints")))
    return path


def flip_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize("file", ["optimizer.safetensors", "model.safetensors", "trainer_state.json"])
def test_a_damaged_checkpoint_is_reported_and_passed_over(file, train, through, tmp_path):
    path = cut_back(through, tmp_path)
    damaged = path / "runs/r/checkpoints/checkpoint-12"
    flip_byte(damaged / file)
    outcome = train(path, resume=True)
    assert outcome["state"] == "finished", outcome
    assert outcome["said"] == [f"{damaged} is damaged ({file}): training goes on from what was written before it"]
    assert Store(path).run("r").details["resumed"][-1]["step"] == 0
    assert_same_run(path, through[0])


def test_a_checkpoint_of_an_earlier_release_is_gone_on_from(train, through, tmp_path):
    path = cut_back(through, tmp_path)
    old = path / "runs/r/checkpoints/checkpoint-12"
    training = json.loads((old / "whole.json").read_text())["training"]
    torch.save(read_optimizer(old / "optimizer.safetensors"), old / "optimizer.pt")
    (old / "optimizer.safetensors").unlink()
    checkpoints_module.mark_whole(old, training=training, checksums={})
    assert train(path, resume=True)["state"] == "finished"
    assert Store(path).run("r").details["resumed"][-1]["step"] == 12
    finished = Path(shutil.copytree(through[0], tmp_path / "through.store"))
    for part in (old, finished / "runs/r/checkpoints/checkpoint-12"):
        shutil.rmtree(part)
    assert_same_run(path, finished)


def test_checkpoints_of_another_training_are_not_gone_on_from(train, through, tmp_path):
    path = cut_back(through, tmp_path)
    mark = path / "runs/r/checkpoints/checkpoint-12/whole.json"
    mark.write_text(mark.read_text().replace('"training": "', '"training": "0'))
    outcome = train(path, resume=True)
    assert outcome["problem"].startswith(f"StoreError: {mark.parent} is of another training: expected the checkpoints")
    assert Store(path).run("r").state == "running"


def test_a_run_whose_checkpoints_are_gone_is_trained_again_from_its_beginning(train, through, tmp_path):
    path = cut_back(through, tmp_path)
    shutil.rmtree(path / "runs/r/checkpoints")
    assert train(path, resume=True)["state"] == "finished"
    assert_same_run(path, through[0])


def test_a_run_that_is_removed_while_it_is_trained_says_so_and_leaves_nothing(store, train):
    outcome = train(store, remove_at_path="step-000006.h5")
    assert outcome["problem"].startswith(f"StoreError: run r was removed from {store} while it was being trained")
    assert not (store / "runs/r").exists()
    assert verify_store(store).ok


def test_a_full_disk_is_what_is_stated_though_the_record_cannot_be_closed_either(store, train):
    outcome = train(store, full_after_path="checkpoints/checkpoint-8/config.json")
    assert "a checkpoint could not be written" in outcome["problem"], outcome


# A batch system sends its signal to the processes that load data, too.
@pytest.mark.parametrize(("name", "workers"), [("SIGINT", 0), ("SIGTERM", 2)])
def test_a_signal_ends_a_run_as_interrupted_and_it_goes_on_to_the_same_end(name, workers, store, train, through):
    ended = train(store, workers=workers, end_at_path="step-000006.h5", signal=int(getattr(signal, name)))
    assert ended["problem"] == "KeyboardInterrupt"
    assert Store(store).run("r").state == "interrupted"
    assert Store(store).steps("r") == [3, 6]
    assert train(store, workers=workers, resume=True)["state"] == "finished"
    assert_same_run(store, through[0])


def test_a_finished_run_is_left_alone(through, model):
    before = (through[0] / "runs/r/run.json").read_bytes()
    assert finetune(Store(through[0]), str(model), run="r", resume=True).state == "finished"
    assert (through[0] / "runs/r/run.json").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "got"),
    [
        ({"recipe": Recipe.from_json({**RECIPE, "learning_rate": 0.1})}, "`learning_rate` 0.001: got 0.1"),
        ({"split": "paper"}, "`split` speaker: got paper"),
        ({"model": "tiny-hubert"}, "`model` .*tiny: got tiny-hubert"),
        ({"init": "random"}, "`init` pretrained: got random"),
    ],
)
def test_what_contradicts_the_run_is_refused(options, got, through):
    with pytest.raises(SerstoreError, match=f"run r was begun with {got}; a run is resumed as it was begun"):
        finetune(Store(through[0]), run="r", resume=True, **options)


def test_other_sides_than_those_begun_with_are_refused(unfinished):
    unfinished.update_run(unfinished.run("r").updated(sides_digest="0" * 64))
    with pytest.raises(StoreError, match="the split speaker is not the one that run r was begun with"):
        finetune(unfinished, resume=True)


def test_a_run_that_was_begun_says_how_to_go_on(unfinished, model):
    with pytest.raises(ExistsError, match="already and is running: go on with `resume`"):
        finetune(unfinished, str(model), run="r")


def test_two_processes_do_not_train_one_run(unfinished, monkeypatch):
    monkeypatch.setattr(training_lock, "PATIENCE_SECONDS", 0.0)
    refusal = pytest.raises(StoreError, match="run r is being trained by another process")
    with training_lock.hold_run(unfinished.run_folder("r")), refusal:
        finetune(unfinished, resume=True)
    assert unfinished.run("r").state == "running"


def test_a_run_in_training_is_not_removed_and_what_it_holds_is_not_called_left_behind(unfinished, serstore):
    words = ("--store", unfinished.path)
    with training_lock.hold_run(unfinished.run_folder("r")):
        refused, verified = serstore("rm", "r", *words), serstore("verify", *words)
        assert json.loads(serstore("verify", "--json", *words).out)["in_use"] == ["runs/r/.training.partial"]
    assert refused.err.startswith("serstore: run r is being trained: expected one that has ended")
    assert (verified.code, verified.err) == (
        0,
        "serstore: runs/r/.training.partial is held by a writer that is at work\n",
    )
    assert serstore("rm", "r", *words).code == 0
    assert not unfinished.has_run("r")


def test_without_a_model_the_only_unfinished_run_is_resumed(unfinished):
    # Killed after its last checkpoint: nothing is left to do but to say so.
    assert finetune(unfinished, resume=True).state == "finished"
    with pytest.raises(SerstoreError, match=r"the runs in .* that can be resumed are: none"):
        finetune(unfinished, resume=True)


@pytest.mark.parametrize(("limit", "left"), [(2, ["checkpoint-7", "checkpoint-8"]), (1, ["checkpoint-8"])])
def test_the_disk_holds_two_checkpoints_at_most_and_one_that_is_whole(limit, left, store, monkeypatch):
    checkpoints = store / "runs/tiny-wav2vec2/checkpoints"
    whole, there, flushed = [], [], []

    def write(path, *arguments, write=writer_module.write_tensors, **named):
        if path.name == "model.safetensors":
            whole.append(len(list(filter(is_whole, find_folders(checkpoints)))))
        return write(path, *arguments, **named)

    def mark(folder, mark=checkpoints_module.mark_whole, **named):
        # The fullest moment: all of the new one is written.
        there.append(sum(path.stat().st_size for path in checkpoints.rglob("*") if path.is_file()))
        mark(folder, **named)

    def flush(folder, flush=checkpoints_module.flush):
        flushed.append(folder)
        flush(folder)

    def remove(folder, remove=checkpoints_module.remove_folder):
        assert set(find_folders(checkpoints)) - {folder} <= set(flushed), "what is left outlives a power failure"
        remove(folder)

    monkeypatch.setattr(writer_module, "write_tensors", write)
    monkeypatch.setattr(writer_module, "mark_whole", mark)
    monkeypatch.setattr(writer_module, "flush", flush)
    monkeypatch.setattr(checkpoints_module, "remove_folder", remove)
    intervals = {"eval_steps": 8, "save_steps": 1, "save_total_limit": limit}
    recipe = Recipe(
        max_steps=8,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        per_device_eval_batch_size=16,
        **intervals,
    )
    finetune(Store(store), "tiny-wav2vec2", recipe=recipe)
    one = sum(path.stat().st_size for path in (checkpoints / "checkpoint-8").rglob("*") if path.is_file())
    assert whole == [0, *[1] * 7]
    assert len(there) == 8
    assert max(there) <= 2.1 * one
    assert [folder.name for folder in find_folders(checkpoints)] == left


def test_checkpoints_of_another_training_are_not_removed(store, through):
    others = through[0] / "runs/r/checkpoints"
    with pytest.raises(StoreError, match="holds checkpoint-14 of another training"):
        finetune(Store(store), "tiny-wav2vec2", checkpoints=others)
    assert len(find_folders(others)) == 2
    assert Store(store).runs() == []
