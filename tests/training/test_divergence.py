"""A training that diverges, or stays at chance, is reported as such; one that has merely not learned yet is not."""

import json
import math
import shutil

import numpy as np
import pytest
import scipy.stats

from ser_store.errors import DivergedError, SerstoreError
from ser_store.recipes.recipe import Recipe
from ser_store.training import session
from ser_store.training.callbacks.divergence import (
    PATIENCE,
    Chance,
    Patience,
    compute_chance,
    compute_upper_tail,
    is_at_chance,
)
from ser_store.training.finetune import finetune
from ser_store_h5.store import Store

# Steps so large that the weights overflow: the first loss is finite, and the member after it, soon none is.
EXPLODING = {"learning_rate": 1e30, "lr_scheduler_type": "constant"}
SHORT = {
    "per_device_train_batch_size": 2,
    "per_device_eval_batch_size": 16,
    "gradient_accumulation_steps": 1,
    "save_steps": 100,
}


@pytest.fixture
def store(empty, tmp_path):
    return Store(shutil.copytree(empty, tmp_path / "speech.store"))


def test_a_loss_that_is_not_finite_ends_the_command_with_one_line_and_keeps_the_members_before(store, serstore):
    options = ("--max-steps", 40, "--logging-steps", 2, "--eval-steps", 1, "--save-steps", 1, "--accumulation", 1)
    words = ("finetune", "--model", "tiny-hubert", "--lr", 1e30, "--schedule", "constant_with_warmup", *options)
    ended = serstore(*words, "--warmup-steps", 2, "--store", store.path)
    assert ended.code == 1
    assert "serstore: run tiny-hubert diverged at step" in ended.err.splitlines()[-1]
    assert "try a smaller --learning-rate or more --warmup-steps" in ended.err.splitlines()[-1]
    record = store.run("tiny-hubert")
    assert record.state == "failed"
    assert record.details["diverged"]["reason"].startswith(("the training loss is", "the logits are not finite"))
    steps = store.steps("tiny-hubert")
    assert steps
    assert steps[-1] < record.details["diverged"]["step"] < 40
    for name in store.member_names("tiny-hubert"):
        assert np.isfinite(store.read_member(name).logits).all()
    checkpoints = store.run_folder("tiny-hubert") / "checkpoints"
    for state in checkpoints.glob("checkpoint-*/trainer_state.json"):
        assert json.loads(state.read_text())["global_step"] < record.details["diverged"]["step"]


def test_a_diverged_run_is_not_resumed(store):
    recipe = Recipe(**SHORT, **EXPLODING, max_steps=20, logging_steps=1, eval_steps=20)
    with pytest.raises(DivergedError, match="run tiny-hubert diverged at step"):
        finetune(store, "tiny-hubert", recipe=recipe)
    with pytest.raises(SerstoreError, match=r"run tiny-hubert diverged at step .* expected one that was interrupted"):
        finetune(store, "tiny-hubert", resume=True)


def test_a_run_that_stays_at_chance_for_the_stated_while_has_diverged(store, monkeypatch):
    monkeypatch.setattr(session, "PATIENCE", Patience(evaluations=3, share=0.5, steps=8))
    # So large a rate that the head is saturated: the losses are finite, and one class is all it says.
    recipe = Recipe(
        **SHORT,
        learning_rate=3.0,
        lr_scheduler_type="constant",
        max_steps=20,
        logging_steps=2,
        eval_steps=2,
        max_grad_norm=1e9,
    )
    with pytest.raises(DivergedError, match=r"evaluations in a row were at chance, .* an accuracy of 12\.5% "):
        finetune(store, "tiny-wav2vec2", recipe=recipe)
    assert store.run("tiny-wav2vec2").details["diverged"]["step"] == 10
    assert store.steps("tiny-wav2vec2") == [2, 4, 6, 8, 10]


def test_a_short_run_at_chance_is_a_result(store):
    recipe = Recipe(**SHORT, max_steps=6, logging_steps=1, eval_steps=1, learning_rate=1e-9)
    assert finetune(store, "tiny-wav2vec2", recipe=recipe).state == "finished"
    assert len(store.steps("tiny-wav2vec2")) == 6 > PATIENCE.evaluations


def test_early_stopping_ends_a_run_that_gets_no_better_and_says_so(store):
    recipe = Recipe(
        **SHORT,
        max_steps=30,
        logging_steps=2,
        eval_steps=2,
        learning_rate=1e-9,
        early_stopping_patience=2,
        early_stopping_metric="accuracy",
    )
    record = finetune(store, "tiny-wav2vec2", recipe=recipe)
    assert (record.state, record.details["steps_done"]) == ("finished", 6)
    stopped = record.details["stopped_early"]
    assert (stopped["step"], stopped["best_step"], stopped["patience"], stopped["metric"]) == (6, 2, 2, "accuracy")
    assert store.steps("tiny-wav2vec2") == [2, 4, 6]
    # Killed before the record said so, it would go on from its last checkpoint, and find nothing left to do.
    store.update_run(record.updated(state="running"))
    assert finetune(store, resume=True).details["steps_done"] == 6


def test_a_command_says_why_it_stopped_early(store, serstore):
    words = (
        "--max-steps",
        30,
        "--eval-steps",
        2,
        "--lr",
        1e-30,
        "--early-stopping-patience",
        2,
        "--eval-batch-size",
        16,
    )
    ended = serstore("finetune", "--model", "tiny-wav2vec2", *words, "--store", store.path)
    best = store.run("tiny-wav2vec2").details["stopped_early"]["best"]
    assert f"stopped early: eval_loss is not better than {best:.4g} at step 2, for 2 evaluations" in ended.out


def test_early_stopping_saves_nothing_of_a_training_that_has_diverged(store):
    # The first step is one of rate 0, so that there is something that the second is worse than.
    exploding = {**SHORT, "learning_rate": 1e30, "lr_scheduler_type": "constant_with_warmup", "warmup_steps": 2}
    recipe = Recipe(**exploding, max_steps=20, logging_steps=20, eval_steps=1, early_stopping_patience=1)
    with pytest.raises(DivergedError, match="diverged at step 2: the logits are not finite"):
        finetune(store, "tiny-hubert", recipe=recipe)
    assert "stopped_early" not in store.run("tiny-hubert").details
    assert list((store.run_folder("tiny-hubert") / "checkpoints").glob("*")) == []


@pytest.mark.parametrize(("n", "p"), [(16, 0.125), (288, 39 / 288), (1000, 0.5), (7, 1.0)])
def test_the_binomial_tail_is_scipys(n, p):
    for correct in range(n + 1):
        expected = scipy.stats.binom.sf(correct - 1, n, p)
        assert compute_upper_tail(correct, n, p) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_chance_is_what_the_best_constant_answer_achieves():
    chance = compute_chance(np.array([0, 0, 1, 3]), np.array([1, 1, 1, 0, 2]))
    assert chance.accuracy == 0.6
    assert chance.loss == pytest.approx(1.5 * math.log(2))
    assert chance.n == 5


def test_an_accuracy_is_above_chance_where_a_constant_answer_would_hardly_have_it():
    chance = Chance(accuracy=39 / 288, loss=2.07, n=288)
    assert is_at_chance(39 / 288, chance)
    assert is_at_chance(49 / 288, chance)
    assert not is_at_chance(50 / 288, chance)
