"""The recipe's defaults are the published ones, and nonsense is refused."""

import dataclasses
import inspect
import json

import pytest

from ser_store.errors import SerstoreError, UnknownNameError
from ser_store.recipes.augmentation import Augmentation
from ser_store.recipes.class_weights import parse_class_weights
from ser_store.recipes.masking import Masking
from ser_store.recipes.recipe import Recipe
from ser_store.recipes.validation import OLD_NAMES


def test_the_defaults_are_table_2(published_tables):
    table = published_tables["table_2_hyperparameters"]
    recipe = Recipe()
    assert {
        "train_batch_size": recipe.per_device_train_batch_size,
        "eval_batch_size": recipe.per_device_eval_batch_size,
        "gradient_accumulation_steps": recipe.gradient_accumulation_steps,
        "evaluation_strategy": "steps",
        "epochs": recipe.num_train_epochs,
        "save_steps": recipe.save_steps,
        "eval_steps": recipe.eval_steps,
        "logging_steps": recipe.logging_steps,
        "learning_rate": recipe.learning_rate,
        "save_total_limit": recipe.save_total_limit,
    } == table


def test_beyond_table_2_the_defaults_change_nothing():
    recipe = Recipe()
    assert recipe.augmentation.changes_nothing
    assert set(vars(recipe.masking).values()) == {None}
    assert recipe.max_seconds is None
    assert (recipe.layer_decay, recipe.frozen_layers, recipe.label_smoothing_factor) == (1, 0, 0)


def test_options_that_are_none_change_nothing():
    assert Recipe().changed(num_train_epochs=None, seed=None) == Recipe()
    assert Recipe().changed(seed=7).seed == 7


def test_options_of_masking_and_augmentation_are_changed_by_their_own_names():
    changed = Recipe().changed(noise_prob=0.5, layerdrop=0.2)
    assert changed == Recipe(augmentation=Augmentation(noise_prob=0.5), masking=Masking(layerdrop=0.2))
    assert changed.changed(noise_db=(0.0, 5.0)).augmentation == Augmentation(noise_prob=0.5, noise_db=(0.0, 5.0))


def test_a_recipe_comes_back_from_json():
    recipe = Recipe(class_weights={"angry": 2.0}, masking=Masking(mask_time_prob=0.1), warmup_ratio=0.1)
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


def test_what_json_leaves_out_is_as_published():
    assert Recipe.from_json({"learning_rate": 3e-5}) == Recipe(learning_rate=3e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eval_steps": 0}, "`eval_steps` is 0: expected a whole number of at least 1"),
        ({"eval_steps": 2.5}, "`eval_steps` is 2.5: expected a whole number of at least 1"),
        ({"save_total_limit": True}, "`save_total_limit` is True: expected a whole number of at least 1"),
        ({"num_hidden_layers": 0}, "`num_hidden_layers` is 0: expected a whole number of at least 1"),
        ({"head_learning_rate": 0}, "`head_learning_rate` is 0: expected a finite number above 0"),
        (
            {"num_hidden_layers": 2, "frozen_layers": 3},
            "`frozen_layers` is 3: expected at most the 2 that `num_hidden_layers` keeps",
        ),
        (
            {"classification_head": "liner"},
            "unknown `classification_head` 'liner': expected one of linear (nearest), dense, linear-by-speaker",
        ),
        ({"max_steps": 0}, "`max_steps` is 0: expected a whole number of at least 1"),
        ({"learning_rate": 0.0}, "`learning_rate` is 0.0: expected a finite number above 0"),
        ({"learning_rate": float("nan")}, "`learning_rate` is nan: expected a finite number above 0"),
        ({"learning_rate": "1e-4"}, "`learning_rate` is '1e-4': expected a finite number above 0"),
        ({"learning_rate": float("inf")}, "`learning_rate` is inf: expected a finite number above 0"),
        ({"learning_rate": 10**400}, f"`learning_rate` is 1{'0' * 59}…: expected a finite number above 0"),
        ({"seed": 2**32}, "`seed` is 4294967296: expected a whole number of at most 4,294,967,295"),
        ({"num_train_epochs": 1e300}, "`num_train_epochs` is 1e+300: expected a number from 1e-06 to 1,000,000"),
        (
            {"per_device_train_batch_size": 10**30},
            f"`per_device_train_batch_size` is {10**30}: expected a whole number of at most 2,147,483,647",
        ),
        ({"layer_decay": 1.5}, "`layer_decay` is 1.5: expected a number from 1e-06 to 1"),
        ({"label_smoothing_factor": 1}, "`label_smoothing_factor` is 1: expected a number from 0 to below 1"),
        ({"weight_decay": -1}, "`weight_decay` is -1: expected a finite number of at least 0"),
        ({"torch_compile": "yes"}, "`torch_compile` is 'yes': expected true or false"),
        ({"pooling": "median"}, "unknown `pooling` 'median': expected one of mean (nearest), sum, max"),
        ({"precision": "fp8"}, "unknown `precision` 'fp8': expected one of fp32 (nearest), fp16, tf32, bf16, auto"),
        (
            {"attn_implementation": "flash"},
            "unknown `attn_implementation` 'flash': expected one of eager, sdpa, flash_attention_2",
        ),
        (
            {"attn_implementation": "flash_attention_2"},
            "`attn_implementation` is flash_attention_2 and `precision` is fp32: expected fp16 or bf16",
        ),
        (
            {"warmup_steps": 5, "warmup_ratio": 0.1},
            "`warmup_steps` is 5 and `warmup_ratio` is 0.1: expected one of the two",
        ),
        (
            {"lr_scheduler_type": "constant", "warmup_steps": 5},
            "`lr_scheduler_type` is constant and a warm-up is given: expected none; choose constant_with_warmup",
        ),
        ({"max_seconds": 0.1}, "`max_seconds` is 0.1: expected at least 0.25"),
        ({"batch_seconds": 0.0}, "`batch_seconds` is 0.0: expected a finite number above 0"),
        (
            {"batch_seconds": 30.0, "group_by_length": True},
            "`group_by_length` is on and `batch_seconds` is 30.0, which puts similar lengths together itself: expected "
            "one of the two",
        ),
        ({"micro_batch": "8"}, "`micro_batch` is '8': expected batch, auto or a number of utterances"),
        ({"micro_batch": 0}, "`micro_batch` is 0: expected a whole number of at least 1"),
        (
            {"class_weights": "even"},
            "`class_weights` is 'even': expected none, balanced, or weights by class such as angry=2,calm=0.5",
        ),
        (
            {"class_weights": {"sad": 0}},
            "the weight of sad in `class_weights` is 0: expected a number from 1e-06 to 1,000,000",
        ),
        (
            {"class_weights": {"sad": 1e39}},
            "the weight of sad in `class_weights` is 1e+39: expected a number from 1e-06 to 1,000,000",
        ),
    ],
)
def test_nonsense_is_refused(options, message):
    with pytest.raises(SerstoreError) as refusal:
        Recipe(**options)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"augmentation": {"noise_db": [30, 10]}}, "`noise_db` is [30, 10]: expected two numbers from -60 to 120"),
        ({"augmentation": {"speed_range": [0.1, 1]}}, "`speed_range` is [0.1, 1]: expected two numbers from 0.5 to 2"),
        ({"augmentation": {"gain_prob": 2}}, "`gain_prob` is 2: expected a number from 0 to 1"),
        ({"masking": {"layerdrop": -0.1}}, "`layerdrop` is -0.1: expected a number from 0 to 1"),
        (
            {"masking": {"mask_time_length": 10**9}},
            "`mask_time_length` is 1000000000: expected a whole number of at most",
        ),
        ({"masking": 0.1}, "`masking` is 0.1: expected a table with its options"),
    ],
)
def test_nonsense_in_a_table_is_refused(stated, message):
    with pytest.raises(SerstoreError) as refusal:
        Recipe.from_json(stated)
    assert str(refusal.value).startswith(message)


@pytest.mark.parametrize(
    ("stated", "nearest"),
    [({"learningrate": 1}, "learning_rate"), ({"masking": {"mask_time_probs": 1}}, "mask_time_prob")],
)
def test_unknown_options_are_answered_with_the_nearest(stated, nearest):
    with pytest.raises(UnknownNameError, match=rf"expected one of {nearest} \(nearest\)"):
        Recipe.from_json(stated)


@pytest.mark.parametrize(
    ("option", "nearest"),
    [
        ("lr", "learning_rate"),
        ("learningrate", "learning_rate"),
        ("batch_size", "batch_seconds"),
        ("mask_time_probs", "mask_time_prob"),
        ("noise", "noise_db"),
        ("weight_decays", "weight_decay"),
    ],
)
def test_no_unknown_option_is_passed_over_when_a_recipe_is_changed(option, nearest):
    with pytest.raises(
        UnknownNameError, match=rf"unknown option of a recipe '{option}': expected one of {nearest} \(nearest\)"
    ):
        Recipe().changed(**{option: 5e-5})
    with pytest.raises(UnknownNameError):
        Recipe().changed(**{option: None})


OLD = {
    "epochs": 3.0,
    "train_batch_size": 2,
    "eval_batch_size": 16,
    "accumulation": 8,
    "schedule": "cosine",
    "warmup_share": 0.1,
    "label_smoothing": 0.2,
    "attention": "eager",
    "compile": True,
    "dataloader_workers": 4,
}


def test_what_earlier_releases_called_an_option_is_read_everywhere():
    recipe = Recipe(
        num_train_epochs=3.0,
        per_device_train_batch_size=2,
        per_device_eval_batch_size=16,
        gradient_accumulation_steps=8,
        lr_scheduler_type="cosine",
        warmup_ratio=0.1,
        label_smoothing_factor=0.2,
        attn_implementation="eager",
        torch_compile=True,
        dataloader_num_workers=4,
    )
    assert set(OLD) == set(OLD_NAMES)
    assert Recipe(**OLD) == Recipe().changed(**OLD) == Recipe.from_json(OLD) == recipe
    assert not set(OLD) & set(recipe.to_json())
    assert set(inspect.signature(Recipe).parameters) == set(vars(recipe))


def test_an_option_by_both_its_names_is_refused():
    with pytest.raises(SerstoreError, match="`epochs` and `num_train_epochs` are given, which mean the same"):
        Recipe().changed(epochs=1, num_train_epochs=2)


def test_the_present_names_are_those_of_hugging_face():
    arguments = pytest.importorskip("transformers").TrainingArguments
    names = {entry.name for entry in dataclasses.fields(arguments)}
    # A ratio was one of the Trainer's arguments up to transformers 4; the other is one of `from_pretrained`.
    assert set(OLD_NAMES.values()) - names <= {"warmup_ratio", "attn_implementation"}


def test_class_weights_are_read_as_a_command_line_has_them():
    assert parse_class_weights("balanced") == "balanced"
    assert Recipe.from_json({"class_weights": "angry=2"}) == Recipe(class_weights={"angry": 2.0})
    assert parse_class_weights("angry=2, calm=.5") == {"angry": 2.0, "calm": 0.5}


@pytest.mark.parametrize("text", ["angry=much", "angry=2,calm", "angry=2,angry=3", "=2", "="])
def test_class_weights_that_are_none_or_stated_twice_are_refused(text):
    with pytest.raises(
        SerstoreError, match=f"`class_weights` is '{text}'.*: expected none, balanced, or weights by class"
    ):
        parse_class_weights(text)


@pytest.mark.parametrize(
    ("begun", "options", "expected"),
    [
        ({"max_steps": 9}, {"num_train_epochs": 2.0}, {"num_train_epochs": 2.0}),
        ({"max_steps": 9}, {"num_train_epochs": 2.0, "max_steps": 3}, {"num_train_epochs": 2.0, "max_steps": 3}),
        ({"warmup_ratio": 0.1}, {"warmup_steps": 5}, {"warmup_steps": 5}),
        ({"warmup_steps": 5}, {"warmup_ratio": 0.1}, {"warmup_ratio": 0.1}),
    ],
)
def test_what_is_changed_takes_the_place_of_the_other_way_to_say_it(begun, options, expected):
    assert Recipe(**begun).changed(**options) == Recipe(**expected)
