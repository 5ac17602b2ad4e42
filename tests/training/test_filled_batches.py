"""Batches filled with sound: similar lengths together, as many in every epoch, the same when they are drawn again."""

import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_kills import assert_same_run, save_backbone

from ser_store.errors import SerstoreError
from ser_store.recipes.recipe import Recipe
from ser_store.training.arguments import build_training_arguments
from ser_store.training.batches import FilledBatchSampler, count_steps_per_epoch
from ser_store_h5.store import Store


def sample(seconds, most, *, epoch=0, seed=42):
    recipe = Recipe(batch_seconds=most, seed=seed)
    return list(FilledBatchSampler(SimpleNamespace(epoch=epoch), np.array(seconds), recipe))


lengths = st.lists(st.floats(0.25, 20), min_size=1, max_size=60)


@given(seconds=lengths, most=st.floats(1, 60), epoch=st.integers(0, 9))
def test_each_epoch_has_every_utterance_once_in_as_many_batches_none_too_long(seconds, most, epoch):
    batches = sample(seconds, most, epoch=epoch)
    assert sorted(place for batch in batches for place in batch) == list(range(len(seconds)))
    padded = [len(batch) * max(seconds[place] for place in batch) for batch in batches]
    assert all(len(batch) == 1 or one <= most for batch, one in zip(batches, padded, strict=True))
    assert max(seconds) - max(seconds[place] for place in batches[0]) < 0.25
    recipe = Recipe(batch_seconds=most)
    assert count_steps_per_epoch(recipe, np.array(seconds)) == -(-len(batches) // 2)
    assert sorted(map(len, batches)) == sorted(map(len, sample(seconds, most)))


def test_epochs_and_seeds_draw_others_and_the_same_draw_the_same():
    seconds = np.linspace(1, 5, 100)
    first = sample(seconds, 20)
    assert first == sample(seconds, 20)
    assert first != sample(seconds, 20, epoch=1)
    assert first != sample(seconds, 20, seed=1)


def test_several_processes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for options, message in (
        ({"batch_seconds": 30.0}, "`batch_seconds` is 30.0 and 2 processes train together: expected one; leave"),
        ({"micro_batch": "auto"}, "`micro_batch` is auto and 2 processes train together: expected one; leave"),
        ({"micro_batch": 2}, "`micro_batch` is 2 and 2 processes train together: expected one; leave"),
    ):
        with pytest.raises(SerstoreError, match=message):
            build_training_arguments(Recipe(**options), tmp_path)


def test_a_run_that_is_killed_within_an_epoch_goes_on_with_the_batches_that_it_would_have_had(empty, trainer, tmp_path):
    recipe = {
        "num_train_epochs": 3,
        "batch_seconds": 2.5,
        "micro_batch": "auto",
        "gradient_accumulation_steps": 2,
        "eval_steps": 4,
        "save_steps": 3,
        "logging_steps": 2,
        "max_seconds": 0.8,
    }
    through, killed = (shutil.copytree(empty, tmp_path / name) for name in ("through.store", "killed.store"))
    model = save_backbone(tmp_path / "tiny")
    assert trainer(through, recipe, model=model)["state"] == "finished"
    assert trainer(killed, recipe, model=model, kill_in=("training_step", 9), wait=True)["killed"]
    assert trainer(killed, recipe, model=model, resume=True)["state"] == "finished"
    assert_same_run(killed, through)
    details = Store(killed).run("r").details
    assert [session["step"] for session in details["resumed"]] == [3]
    assert details["resolved"]["train_batch_size"] == 2 * 3
