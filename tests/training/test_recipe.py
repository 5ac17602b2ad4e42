"""The recipe's defaults are the published ones, and nonsense is refused."""

import json

import pytest

from ser_store.errors import SerstoreError
from ser_store.training.recipe import Recipe


def test_the_defaults_are_table_2(paper_dir):
    table = json.loads((paper_dir / "tables.json").read_text())["table_2_hyperparameters"]
    recipe = Recipe()
    assert {
        "train_batch_size": recipe.train_batch_size,
        "eval_batch_size": recipe.eval_batch_size,
        "gradient_accumulation_steps": recipe.accumulation,
        "evaluation_strategy": "steps",
        "epochs": recipe.epochs,
        "save_steps": recipe.save_steps,
        "eval_steps": recipe.eval_steps,
        "logging_steps": recipe.logging_steps,
        "learning_rate": recipe.learning_rate,
        "save_total_limit": recipe.save_total_limit,
    } == table


def test_options_that_are_none_change_nothing():
    assert Recipe().changed(epochs=None, seed=None) == Recipe()
    assert Recipe().changed(seed=7).seed == 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eval_steps": 0}, "eval_steps is 0: expected a whole number of at least 1"),
        ({"max_steps": 0}, "max_steps is 0: expected at least 1"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0: expected a number above 0"),
        ({"learning_rate": float("nan")}, "learning_rate is nan: expected a number above 0"),
        ({"pooling": "median"}, "pooling is 'median': expected one of mean, sum, max"),
        ({"precision": "fp8"}, "precision is 'fp8': expected one of fp32, tf32, fp16, bf16"),
    ],
)
def test_nonsense_is_refused(options, message):
    with pytest.raises(SerstoreError) as refusal:
        Recipe(**options)
    assert str(refusal.value) == message
