"""Several models, one after the other: what is done is left alone, what fails stops nobody, memory is given back."""

import gc
import shutil

import pytest

from ser_store.errors import SerstoreError, UnknownNameError
from ser_store.recipes.recipe import Recipe
from ser_store.reproduction.reproduce import ModelOutcome, finetune_all, list_published_models
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

RECIPE = Recipe(max_steps=2, eval_steps=1, save_steps=1, logging_steps=1, gradient_accumulation_steps=1)


@pytest.fixture(scope="module")
def trained_store(empty):
    path = shutil.copytree(empty, empty.parent / "trained.store")
    (outcome,) = finetune_all(Store(path), ["tiny-hubert"], recipe=RECIPE)
    assert outcome.outcome == "trained"
    return path


@pytest.fixture
def trained(trained_store, tmp_path):
    store = Store(shutil.copytree(trained_store, tmp_path / "trained.store"))
    store.update_run(store.run("tiny-hubert").updated(checkpoints=str(store.run_folder("tiny-hubert") / "checkpoints")))
    return store


@pytest.fixture
def store(empty, tmp_path):
    return Store(shutil.copytree(empty, tmp_path / "speech.store"))


def count_models():
    from ser_store.backbones.model import SpeechClassifier

    gc.collect()
    return sum(type(thing) is SpeechClassifier for thing in gc.get_objects())


def test_models_are_trained_in_turn_and_one_that_fails_is_reported_at_the_end(store, tmp_path):
    empty = tmp_path / "no-weights"
    empty.mkdir()
    alive, trained = [], []

    def watch(items, /, *, total, label):
        if label != "models":
            for item in items:
                yield item
                trained.append(item)
            return
        for item in items:
            alive.append(count_models())
            yield item
        alive.append(count_models())

    before = count_models()
    models = ["tiny-hubert", str(empty), "tiny-wav2vec2"]
    first, failed, last = finetune_all(store, models, recipe=RECIPE, progress=watch)
    assert first == ModelOutcome("tiny-hubert", "tiny-hubert", "trained")
    assert last == ModelOutcome("tiny-wav2vec2", "tiny-wav2vec2", "trained")
    assert (failed.outcome, failed.run) == ("failed", "no-weights")
    assert "config.json cannot be read" in failed.problem
    assert "\n" not in failed.problem
    assert store.steps("tiny-hubert") == store.steps("tiny-wav2vec2") == [1, 2]
    assert store.runs() == ["tiny-hubert", "tiny-wav2vec2"]
    assert alive == [before] * 4
    assert trained == [0, 1] * 2, "one item for each optimizer step"


def test_finished_runs_are_skipped_and_interrupted_ones_resumed(trained):
    store = trained
    written = {path: path.stat().st_mtime_ns for path in store.path.rglob("step-*.h5")}
    store.update_run(store.run("tiny-hubert").updated(state="interrupted"))
    (resumed,) = finetune_all(store, ["tiny-hubert"], recipe=RECIPE)
    (skipped,) = finetune_all(store, ["tiny-hubert"], recipe=RECIPE)
    assert [one.outcome for one in (resumed, skipped)] == ["resumed", "skipped"]
    assert {path: path.stat().st_mtime_ns for path in store.path.rglob("step-*.h5")} == written


def test_a_run_of_another_recipe_or_kind_is_not_taken_for_the_one_asked_for(trained):
    store = trained
    (failed,) = finetune_all(store, ["tiny-hubert"], recipe=RECIPE.changed(max_steps=3))
    assert failed.outcome == "failed"
    assert failed.problem.startswith("run tiny-hubert was begun with `max_steps` 2: got 3")
    (failed,) = finetune_all(store, ["tiny-hubert"])
    assert failed.problem.startswith("run tiny-hubert was begun with `max_steps` 2: got None")
    store.add_run(RunRecord("tiny-wavlm", "import", "tiny-wavlm"))
    (failed,) = finetune_all(store, ["tiny-wavlm"], recipe=RECIPE)
    assert failed.outcome == "failed"
    assert store.run("tiny-wavlm").kind == "import"


@pytest.mark.parametrize(
    ("models", "kind", "message"),
    [
        (["tiny-hubert", "tiny-hubrt"], UnknownNameError, "unknown backbone 'tiny-hubrt'"),
        (["tiny-hubert", "tiny-hubert"], SerstoreError, "two models would be trained in the run tiny-hubert"),
        (["some/model", "other/model"], SerstoreError, "two models would be trained in the run model"),
        ([], SerstoreError, "no model is named"),
    ],
)
def test_names_that_cannot_be_right_are_refused_before_anything_is_trained(store, models, kind, message):
    with pytest.raises(kind, match=message):
        finetune_all(store, models, recipe=RECIPE)
    assert store.runs() == []


def test_the_published_models_are_the_papers_six():
    assert list_published_models() == (
        "w2v2-large", "xlsr53", "hubert-base", "hubert-xlarge", "unispeech-large", "unispeech-ml",
    )  # fmt: skip
