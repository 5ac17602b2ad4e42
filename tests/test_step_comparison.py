"""The rules that choose a step, on curves made for each."""

import numpy as np
import pytest

from ser_store.errors import StoreError, UnknownNameError
from ser_store.step_comparison import StepScore, choose_step, steps
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


def scores(accuracies, eval_losses, train_losses):
    return [
        StepScore(100 * place, accuracy, accuracy, eval_loss, train_loss)
        for place, (accuracy, eval_loss, train_loss) in enumerate(
            zip(accuracies, eval_losses, train_losses, strict=True), start=1
        )
    ]


CURVE = scores(
    [0.5, 0.8, 0.7, 0.9, 0.9, 0.85],
    [1.5, 1.0, 1.1, 0.9, 1.2, 1.4],
    [1.4, 0.9, 0.7, 0.5, 0.3, 0.2],
)


@pytest.mark.parametrize(
    ("rule", "step"),
    [("best", 400), ("min-loss", 400), ("last", 600), ("divergence", 400)],
)
def test_each_rule_chooses_its_step(rule, step):
    selection = choose_step("r", CURVE, rule, "valid")
    assert (selection.step, selection.criterion, selection.on) == (step, rule, "valid")
    assert selection.reason


def test_of_equally_accurate_steps_the_earliest_is_best():
    curve = scores([0.5, 0.9, 0.9], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0])
    assert choose_step("r", curve, "best", "test").step == 200


def test_divergence_is_told_from_a_wobble():
    """The loss at 300 rises once and falls again; from 400 on it rises twice while the training loss falls."""
    assert "rose twice after 400" in choose_step("r", CURVE, "divergence", "valid").reason


def test_divergence_ignores_what_comes_after_it():
    """A later, lower loss does not count once the curves have parted."""
    curve = scores([0.5] * 6, [1.5, 1.0, 1.2, 1.4, 0.8, 0.7], [1.0, 0.9, 0.8, 0.7, 0.6, 0.5])
    assert choose_step("r", curve, "divergence", "valid").step == 200
    assert choose_step("r", curve, "min-loss", "valid").step == 600


def test_a_training_loss_that_rises_too_is_no_divergence():
    curve = scores([0.5] * 4, [1.0, 1.1, 1.2, 0.9], [0.5, 0.6, 0.7, 0.4])
    selection = choose_step("r", curve, "divergence", "valid")
    assert selection.step == 400
    assert "never parted" in selection.reason


def test_rules_of_losses_need_logits():
    curve = [StepScore(1, 0.5, 0.5, None, None)]
    with pytest.raises(StoreError, match="run r holds labels, not logits: expected logits for --select min-loss"):
        choose_step("r", curve, "min-loss", "test")


@pytest.fixture
def store(tmp_path):
    """Twelve utterances; run r has steps 10 and 20, right on all of valid at 10 and on all of test at 20."""
    corpus = Corpus(
        name="x",
        ids=np.array([f"u{i:02}" for i in range(12)]),
        labels=np.tile([0, 1], 6).astype(np.int16),
        classes=("a", "b"),
    ).with_split("s", np.repeat(["train", "valid", "test"], 4))
    store = Store.create(tmp_path / "x.store", corpus)
    store.add_run(RunRecord("r", "finetune", "tiny"))
    right = np.eye(2, dtype=np.float32)[corpus.labels]
    for step, right_part in ((10, "valid"), (20, "test")):
        rows = np.arange(4, 12, dtype=np.int32)
        logits = np.where((corpus.parts() == right_part)[rows][:, None], right[rows], 1 - right[rows])
        store.write_member(Member("r", step, rows, logits.astype(np.float32)))
    store.append_curve("r", step=10, train_loss=0.9)
    store.append_curve("r", step=15, train_loss=0.8)
    store.append_curve("r", step=25, train_loss=0.1)
    return store


def test_selection_looks_at_the_validation_part_where_there_is_one(store):
    comparison = steps(store, select="best")
    assert (comparison.on, comparison.runs[0].selected) == ("valid", 10)
    assert store.selected_step("r") == 10
    assert steps(store, select="best", on="test").runs[0].selected == 20


def test_a_step_carries_the_last_training_loss_logged_up_to_it(store):
    [run] = steps(store, on="test").runs
    assert [(score.step, score.train_loss, score.accuracy) for score in run.steps] == [(10, 0.9, 0.0), (20, 0.8, 1.0)]


def test_a_step_that_is_not_cached_cannot_be_selected(store):
    with pytest.raises(StoreError, match="run r has no cached step 30: expected one of 10, 20"):
        steps(store, select="30")
    with pytest.raises(UnknownNameError, match="unknown rule for a step 'bets': expected one of best"):
        steps(store, select="bets")
