"""The card of a model says who was heard, what was chosen on whom, and what is left of the figures for that."""

import numpy as np
import pytest
from huggingface_hub import ModelCard

import ser_store as ss
from ser_store.hub.model_card import write_card

PARTS = {"test": ["train"] * 96 + ["test"] * 96, "valid": ["train"] * 96 + ["valid"] * 48 + ["test"] * 48}


@pytest.fixture
def store(tmp_path):
    """Sixteen speakers of twelve utterances, and three steps that are right as often as chance has it, or so."""
    ids = [f"u{place:03}" for place in range(192)]
    labels = [("angry", "happy", "sad")[place % 3] for place in range(192)]
    speakers = [f"s{place // 12:02}" for place in range(192)]
    made = ss.Store.create(tmp_path / "my.store", ids=ids, labels=labels, speakers=speakers, splits=PARTS)
    draw = np.random.default_rng(0)
    for step in (10, 20, 30):
        made.add("mine", ids=ids, step=step, logits=draw.normal(size=(192, 3)), trained_on="train")
    return made


def write(store, step):
    return write_card(store, store.run("mine"), step, repository="me/emotions")


def test_a_step_that_was_chosen_on_the_test_part_has_its_figure_corrected(store):
    [steps] = ss.steps(store, "mine", on="test", select="best").runs
    text = write(store, steps.selected)
    correction = steps.correction
    assert correction.corrected < correction.apparent
    assert (
        f"{correction.apparent:.2%} apparent and {correction.corrected:.2%} corrected for the choice among 3 steps"
    ) in text
    assert f"- mine@{steps.selected} was selected among the steps of mine on 96 of these 96 utterances" in text
    scores = ss.evaluate(store, [f"mine@{steps.selected}"], on="test").members[0].metrics
    results = ModelCard(text).data.eval_results
    assert {one.metric_type: one.metric_value for one in results} == {
        "accuracy": pytest.approx(scores.accuracy, abs=1e-6),
        "balanced_accuracy": pytest.approx(scores.balanced_accuracy, abs=1e-6),
    }
    assert {one.dataset_split for one in results} == {"test"}


def test_a_step_that_was_chosen_on_other_utterances_needs_no_correction_of_these(store):
    details = {"split": "valid"}
    store.update_run(store.run("mine").updated(**details))
    [steps] = ss.steps(store, "mine", on="valid", split="valid", select="min-loss").runs
    text = write(store, steps.selected)
    assert f"Step {steps.selected} was chosen on valid (lowest evaluation loss on valid" in text
    assert ", not on test." in text
    assert "| utterances | " in text
    assert "of 48 right, on test" in text
    assert "selected among the steps" not in text


def test_who_was_heard_in_training_is_said_by_name(store):
    heard = ", ".join(f"s{place:02}" for place in range(8))
    assert f"- heard in training: 96 utterances of 8 of the 16 speakers: {heard}\n" in write(store, 10)


def test_what_is_not_known_is_said_to_be(store):
    ids = store.corpus.ids.tolist()
    store.add("mine2", ids=ids, logits=np.eye(3)[store.corpus.labels])
    assert "- heard in training: not known\n" in write_card(store, store.run("mine2"), 0, repository="me/emotions")
    assert "Not evaluated at step 7." in write(store, 7)
