"""A recipe goes to a TOML file and comes back the same; what a run was trained by can be taken from its record."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_store.errors import ExistsError, SerstoreError, UnknownNameError
from ser_store.recipes.augmentation import Augmentation
from ser_store.recipes.masking import Masking
from ser_store.recipes.recipe import Recipe
from ser_store.recipes.recipe_file import find_recipe, format_recipe, load_recipe, save_recipe
from ser_store.recipes.validation import OLD_NAMES
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

SHARES = st.floats(0, 1)
COUNTS = st.integers(1, 10**6)
POSITIVE = st.floats(1e-300, 1e300)
PLAUSIBLE = st.floats(1e-6, 1e6)
RECIPES = st.builds(
    Recipe,
    num_train_epochs=PLAUSIBLE,
    max_steps=st.none() | COUNTS,
    learning_rate=POSITIVE,
    warmup_ratio=st.floats(0, 0.99),
    frozen_layers=st.integers(0, 48),
    torch_compile=st.booleans(),
    class_weights=st.sampled_from(["none", "balanced"])
    | st.dictionaries(st.text(min_size=1), PLAUSIBLE, min_size=1, max_size=3),
    attn_implementation=st.sampled_from([None, "eager", "sdpa"]),
    max_seconds=st.none() | st.floats(0.25, 60),
    masking=st.builds(Masking, mask_time_prob=st.none() | SHARES, mask_feature_length=st.none() | st.integers(1, 3000)),
    augmentation=st.builds(
        Augmentation,
        gain_prob=SHARES,
        noise_db=st.tuples(st.floats(-60, 120), st.floats(-60, 120)).map(lambda pair: tuple(sorted(pair))),
    ),
    seed=st.integers(0, 2**32 - 1),
)


@given(RECIPES)
def test_every_recipe_comes_back_from_its_toml(recipe):
    assert Recipe.from_json(tomllib.loads(format_recipe(recipe))) == recipe


def test_a_file_that_states_little_is_published_in_the_rest(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text("learning_rate = 3e-5\n[augmentation]\nnoise_prob = 0.5\n")
    assert load_recipe(path) == Recipe(learning_rate=3e-5, augmentation=Augmentation(noise_prob=0.5))


def test_a_recipe_is_saved_once(tmp_path):
    path = tmp_path / "mine.toml"
    save_recipe(Recipe(seed=7), path)
    assert find_recipe(path) == Recipe(seed=7)
    with pytest.raises(ExistsError):
        save_recipe(Recipe(seed=8), path)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (
            "learning_rte = 1",
            UnknownNameError,
            r"mine.toml: unknown option .* expected one of learning_rate \(nearest\)",
        ),
        ("seed = -1", SerstoreError, "mine.toml: seed is -1: expected a whole number of at least 0"),
        ("seed: 1", SerstoreError, "mine.toml is no TOML .* expected lines such as learning_rate = 3e-5"),
        ("seed = 1\nseed = 2", SerstoreError, "mine.toml is no TOML .*Cannot overwrite a value"),
        (f"seed = {'9' * 5_000}", SerstoreError, "mine.toml is no TOML .*limit"),
        (f"seed = {'[' * 20_000}", SerstoreError, "mine.toml is no TOML .*recursion"),
        ("[[masking]]\nlayerdrop = 0.1", SerstoreError, "mine.toml: masking is .*: expected a table with its options"),
        ("precision = ['fp32']", SerstoreError, r"mine.toml: unknown precision .*fp32.*: expected one of fp32"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_by_name(tmp_path, text, kind, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(kind, match=message):
        load_recipe(path)


def test_what_is_no_recipe_at_all_is_refused(tmp_path):
    with pytest.raises(SerstoreError, match=r"cannot be read .* expected a recipe; check the path"):
        find_recipe("gone.toml", store=tmp_path)
    with pytest.raises(SerstoreError, match=r"'gone' is no recipe: expected a TOML file, the run\.json"):
        find_recipe("gone")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SerstoreError, match="is no UTF-8 text"):
        find_recipe(tmp_path / "binary.toml")


def test_an_editors_mark_and_line_ends_are_no_part_of_a_recipe(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbfseed = 7\r\n[masking]\r\nlayerdrop = 0.1\r\n")
    assert load_recipe(path) == Recipe(seed=7, masking=Masking(layerdrop=0.1))


@pytest.mark.parametrize("name", ["", ".", "..", "../mine", "a/b"])
def test_what_can_be_no_run_is_no_recipe_either(trained, name):
    with pytest.raises(SerstoreError, match=f"^'{name}' is no recipe: expected a TOML file"):
        find_recipe(name, store=trained[0])


@pytest.fixture(scope="module")
def trained(serstore, speech, tmp_path_factory):
    """A store with a run that says what it was trained by, and one that was not trained."""
    path = tmp_path_factory.mktemp("trained") / "speech.store"
    assert serstore("init", "--corpus", "ravdess", "--audio", speech, "--split", "speaker", "--store", path).code == 0
    store = Store(path)
    recipe = Recipe(learning_rate=3e-5, masking=Masking(layerdrop=0.1))
    store.add_run(RunRecord("mine", "finetune", "tiny-hubert", details={"recipe": recipe.to_json()}))
    store.add_run(RunRecord("old", "finetune", "tiny-hubert", details={"recipe": {"epochs": 2.0, "accumulation": 4}}))
    store.add_run(RunRecord("mfcc", "frozen", "mfcc"))
    return path, recipe


def test_the_recipe_of_a_run_is_found_by_name_folder_and_record(trained):
    path, recipe = trained
    assert find_recipe("mine", store=path) == recipe
    assert find_recipe(path / "runs" / "mine") == recipe
    assert find_recipe(path / "runs" / "mine" / "run.json") == recipe


def test_runs_and_files_of_earlier_releases_are_read(trained, tmp_path):
    (tmp_path / "old.toml").write_text("epochs = 2.0\naccumulation = 4\n")
    recipe = Recipe(num_train_epochs=2.0, gradient_accumulation_steps=4)
    assert find_recipe("old", store=trained[0]) == load_recipe(tmp_path / "old.toml") == recipe


@pytest.mark.parametrize(("old", "new"), OLD_NAMES.items())
def test_each_option_of_the_command_has_a_short_spelling_and_hugging_faces(old, new, serstore):
    short, long = (f"--{name.replace('_', '-')}" for name in (old, new))
    values = {"schedule": ["cosine"], "attention": ["eager"], "compile": [], "warmup_share": ["0.5"]}
    words = values.get(old, ["0.5" if old == "label_smoothing" else "7"])
    printed = serstore("finetune", long, *words, "--print-recipe", "--json").json
    assert printed == serstore("finetune", short, *words, "--print-recipe", "--json").json
    assert printed[new] != getattr(Recipe(), new)


def test_what_passes_at_once_is_a_name_or_a_number(serstore):
    for stated, meant in (("8", 8), ("auto", "auto")):
        assert serstore("finetune", "--micro-batch", stated, "--print-recipe", "--json").json["micro_batch"] == meant
    said = serstore("finetune", "--micro-batch", "many", "--print-recipe").err
    assert "--micro-batch is 'many': expected batch, auto or a number of utterances" in said


def test_the_command_names_its_own_options_and_those_of_a_file_as_they_stand_there(serstore, tmp_path):
    said = serstore("finetune", "--num-train-epochs", 0, "--print-recipe").err
    assert "--epochs is 0.0: expected a number from 1e-06" in said
    (tmp_path / "mine.toml").write_text("num_train_epochs = 0\n")
    said = serstore("finetune", "--recipe", tmp_path / "mine.toml", "--print-recipe").err
    assert "mine.toml: num_train_epochs is 0: expected a number from 1e-06" in said


def test_a_run_that_was_not_trained_has_no_recipe(trained):
    path, _ = trained
    with pytest.raises(SerstoreError, match=r"states no recipe: expected a run of `finetune\(\)`"):
        find_recipe("mfcc", store=path)


def test_the_command_line_wins_over_the_file(trained, serstore, tmp_path):
    path, _ = trained
    file = tmp_path / "r.toml"
    file.write_text("seed = 1\nlearning_rate = 2e-5\ngradient_checkpointing = true\n[masking]\nlayerdrop = 0.3\n")
    words = ("finetune", "--recipe", file, "--seed", 9, "--no-gradient-checkpointing", "--noise-db", 0, 5)
    printed = serstore(*words, "--class-weights", "angry=2", "--print-recipe", "--json", "--store", path).json
    expected = Recipe(seed=9, learning_rate=2e-5, class_weights={"angry": 2.0}).changed(layerdrop=0.3, noise_db=(0, 5))
    assert Recipe.from_json(printed) == expected


def test_a_printed_recipe_is_a_recipe_file(trained, serstore, tmp_path):
    path, recipe = trained
    file = tmp_path / "again.toml"
    file.write_text(serstore("finetune", "--recipe", "mine", "--print-recipe", "--store", path).out)
    assert load_recipe(file) == recipe
