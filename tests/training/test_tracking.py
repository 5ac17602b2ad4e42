"""The curves of a run also go to TensorBoard or Weights & Biases: the same figures, beside the store, once."""

import json
import logging
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from ser_store.errors import MissingExtraError, SerstoreError
from ser_store.recipes.recipe import Recipe
from ser_store.training.callbacks.tracking import check_reporter, find_tracking_folder, list_trackers
from ser_store_h5.store import Store

needs_tensorboard = pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed")
needs_wandb = pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed")
MAIN, OTHER = (SimpleNamespace(is_world_process_zero=main, is_hyper_param_search=False) for main in (True, False))
LOGGED = {"loss": 2.0, "learning_rate": 1e-4, "grad_norm": 2.5, "epoch": 0.5}
EVALUATED = {"eval_loss": 1.5, "eval_accuracy": 0.25, "eval_balanced_accuracy": 0.5}
# What is written of them.
WRITTEN = {
    "train/loss": [(2, 2.0), (4, 2.0)],
    "train/learning_rate": [(2, 1e-4), (4, 1e-4)],
    "train/grad_norm": [(2, 2.5), (4, 2.5)],
    "train/epoch": [(2, 0.5), (4, 0.5)],
    "eval/loss": [(4, 1.5)],
    "eval/accuracy": [(4, 0.25)],
    "eval/balanced_accuracy": [(4, 0.5)],
}


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch, tmp_path):
    """No setting of whoever runs the tests counts, and whatever lands in the current directory is seen."""
    for name in list(os.environ):
        if name.startswith(("WANDB_", "TENSORBOARD_")):
            monkeypatch.delenv(name)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    yield
    assert list(here.iterdir()) == []
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()  # it keeps the settings that it began with


def train(store, reporter, *, begun=0, steps=(2, 4), end=True, state=MAIN):
    """What the Trainer tells its callbacks of a session: it logs after all ``steps``, evaluates after the last."""
    (tracker,) = list_trackers(store, "some-run", Recipe(report_to=reporter))
    at = {step: SimpleNamespace(**vars(state), global_step=step) for step in (begun, *steps)}
    tracker.on_train_begin(None, at[begun], None)
    for step in steps:
        tracker.on_log(None, at[step], None, logs=LOGGED)
    tracker.on_log(None, at[steps[-1]], None, logs=EVALUATED)
    if end:
        tracker.on_train_end(None, at[steps[-1]], None)
    return tracker


def read_events(folder):
    """Scalars by name, as TensorBoard itself would show them: (step, value)."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {
        name: [(event.step, pytest.approx(event.value)) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


@needs_tensorboard
def test_tensorboard_has_losses_and_accuracies_at_their_steps_beside_the_store(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="ser_store"):
        train(tmp_path / "speech.store", "tensorboard")
    folder = tmp_path / "speech.store.tracking" / "tensorboard" / "some-run"
    assert read_events(folder) == WRITTEN
    assert caplog.messages == [f"curves go to {folder}; look at them with: tensorboard --logdir {folder.parent}"]
    assert not (tmp_path / "speech.store").exists()


@needs_tensorboard
def test_tensorboard_shows_no_step_twice_after_a_kill(tmp_path):
    store = tmp_path / "speech.store"
    train(store, "tensorboard", steps=(2, 4), end=False)
    train(store, "tensorboard", begun=2, steps=(4,))
    folder = find_tracking_folder(store) / "tensorboard" / "some-run"
    assert len(list(folder.iterdir())) == 2
    assert read_events(folder) == WRITTEN


@needs_tensorboard
def test_tensorboard_goes_where_its_variable_says(tmp_path, monkeypatch):
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "elsewhere"))
    train(tmp_path / "speech.store", "tensorboard")
    assert read_events(tmp_path / "elsewhere" / "some-run") == WRITTEN
    assert not find_tracking_folder(tmp_path / "speech.store").exists()


@needs_tensorboard
def test_a_command_writes_the_curves_of_the_store_beside_it(serstore, empty, tmp_path):
    path = shutil.copytree(empty, tmp_path / "speech.store")
    words = ("--max-steps", 5, "--eval-steps", 2, "--save-steps", 5, "--logging-steps", 2, "--report-to", "tensorboard")
    assert serstore("finetune", "--model", "tiny-wav2vec2", *words, "--store", path).code == 0
    shown = read_events(find_tracking_folder(path) / "tensorboard" / "tiny-wav2vec2")
    curves = Store(path).curves("tiny-wav2vec2")
    assert [point["step"] for point in curves] == [2, 2, 4, 4, 5, 5]
    for name, figure in (("train/loss", "train_loss"), ("eval/loss", "eval_loss"), ("eval/accuracy", "accuracy")):
        assert shown[name] == [(point["step"], point[figure]) for point in curves if figure in point]
    assert not list(path.rglob("*tfevents*"))


@needs_tensorboard
def test_only_the_main_process_writes(tmp_path):
    train(tmp_path / "speech.store", "tensorboard", state=OTHER)
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def read_wandb(path):
    """What a file of Weights & Biases holds: its run, and the history of each name by step.

    Records in blocks of 32 KiB, each piece behind checksum (4 bytes), length (2) and kind (1, 2 to 4 for divided ones).
    """
    from wandb.proto.wandb_internal_pb2 import Record

    content, place, text, records = path.read_bytes(), 7, b"", []
    while place < len(content):
        room = 32768 - place % 32768
        if room < 7:
            place += room
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        text += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            records.append(Record.FromString(text))
            text = b""
    (run,) = [record.run for record in records if record.HasField("run")][:1]
    written = {}
    for record in records:
        if record.HasField("history"):
            point = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            for name in point.keys() - {"train/global_step"}:
                written.setdefault(name, []).append((point["train/global_step"], point[name]))
    return run, {name: values for name, values in written.items() if not name.startswith("_")}


@needs_wandb
def test_wandb_has_losses_and_accuracies_at_their_steps_beside_the_store(tmp_path, monkeypatch, caplog, capfd):
    monkeypatch.setenv("WANDB_MODE", "offline")
    with caplog.at_level(logging.INFO, logger="ser_store"):
        train(tmp_path / "speech.store", "wandb")
    (folder,) = (tmp_path / "speech.store.tracking" / "wandb").glob("offline-run-*")
    (file,) = folder.glob("*.wandb")
    run, written = read_wandb(file)
    assert (run.display_name, run.project, run.run_group) == ("some-run", "serstore", "some-run")
    assert written == WRITTEN
    assert caplog.messages[-1] == f"curves go to {folder}; send them with: wandb sync {folder}"
    assert capfd.readouterr().out == ""
    assert not (tmp_path / "speech.store").exists()


@needs_wandb
def test_wandb_without_an_account_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with pytest.raises(
        SerstoreError, match=r"^wandb cannot begin \(.*\): .* `wandb login`, set WANDB_MODE=offline"
    ) as said:
        train(tmp_path / "speech.store", "wandb")
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_what_is_not_installed_is_said_with_the_extra(name, monkeypatch):
    monkeypatch.setattr("ser_store.training.callbacks.tracking.find_spec", lambda _: None)
    with pytest.raises(
        MissingExtraError, match=rf"^{name} is not installed: `report_to` {name} needs it; .*\[tracking\]'"
    ):
        check_reporter(name)


def test_no_report_is_no_callback_and_a_relative_store_has_its_folder_beside_it(tmp_path, monkeypatch):
    store = tmp_path / "speech.store"
    assert list_trackers(store, "some-run", Recipe()) == []
    check_reporter("none")
    monkeypatch.chdir(tmp_path)
    assert find_tracking_folder(Path("speech.store")) == tmp_path / "speech.store.tracking"
