"""What the command line leaves open is that of the run it names: one to train like, or one to go on with."""

import shutil

import pytest

from ser_store.errors import ExistsError
from ser_store.recipes.recipe import Recipe
from ser_store.reproduction.reproduce import finetune_all
from ser_store.training.request import Request, find_begun, name_run
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

SHORT = ("--max-steps", 2, "--eval-steps", 1, "--save-steps", 1)


@pytest.fixture(scope="module")
def trained(serstore, speech, tmp_path_factory):
    """A store with a run by the split ``speaker``, whose default split is another by now. Read only."""
    path = tmp_path_factory.mktemp("trained") / "speech.store"
    init = ("init", "--corpus", "ravdess", "--audio", speech, "--store", path)
    assert serstore(*init, "--split", "speaker").code == 0
    words = ("--checkpoints", path.with_name("checkpoints"), "--lr", 2e-4)
    assert serstore("finetune", "--model", "tiny-hubert", "--run", "first", *SHORT, *words, "--store", path).code == 0
    assert serstore(*init, "--split", "kfold", "--folds", 4).out.endswith("; its default split is kfold-4-folds\n")
    return path


@pytest.fixture
def path(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "speech.store")


def test_a_run_like_another_is_begun_by_resuming_it_and_goes_on_by_the_same_words(path, serstore):
    words = ("finetune", "--recipe", "first", "--run", "again", "--seed", 7, "--resume", "--store", path, "--json")
    begun = serstore(*words)
    assert begun.code == 0, begun.err
    details = Store(path).run("again").details
    assert (details["model"], details["init"], details["split"]) == ("tiny-hubert", "pretrained", "speaker")
    assert (details["recipe"]["learning_rate"], details["recipe"]["seed"]) == (2e-4, 7)
    assert serstore(*words).json["members"] == begun.json["members"] == ["again@1", "again@2"]


def test_another_split_is_taken_where_it_is_named(path, serstore):
    words = ("--recipe", "first", "--run", "again", "--split", "kfold-4-folds", "--fold", 1, "--store", path)
    assert serstore("finetune", *words).code == 0
    details = Store(path).run("again").details
    assert (details["split"], details["fold"]) == ("kfold-4-folds", 1)


def begin(store, run, *, split="speaker", fold=None, state="finished", **recipe):
    details = Request("tiny-hubert", run, Recipe(**recipe), split=split, fold=fold).to_json()
    store.add_run(RunRecord(run=run, kind="finetune", backbone="tiny-hubert", state=state, details=details))


@pytest.mark.parametrize(
    ("there", "asked", "expected"),
    [
        ([], {"fold": 2}, "m"),
        ([("m", "folds", 1)], {"split": "folds", "fold": 1}, "m"),
        ([("m", "folds", 1)], {"split": "folds", "fold": 2}, "m-fold-2"),
        ([("m", "folds", 1), ("m-fold-2", "folds", 2)], {"split": "folds", "fold": 2}, "m-fold-2"),
        ([("m", "folds", 1), ("m-fold-2", "folds", 2)], {"split": "folds", "fold": 3}, "m-fold-3"),
        # The first was removed: what was trained on the second fold is still known.
        ([("m-fold-2", "folds", 2)], {"split": "folds", "fold": 2}, "m-fold-2"),
        ([("m-fold-2", "folds", 2)], {"split": "folds", "fold": 1}, "m"),
        ([("m", "folds", 1)], {}, "m-speaker"),  # the default split
        ([("m", "speaker", None)], {}, "m"),
        ([("m", "speaker", None)], {"split": "folds", "fold": 1}, "m-folds-fold-1"),
        ([("m", "speaker", None)], {"split": "by hand, 2nd"}, "m-by-hand-2nd"),
        # What is left out is not asked for where a run is resumed.
        ([("m", "folds", 1)], {"resume": True}, "m"),
        ([("m", "folds", 1)], {"fold": 2, "resume": True}, "m-fold-2"),
    ],
)
def test_a_run_of_another_split_or_fold_has_a_name_of_its_own(there, asked, expected, empty, tmp_path):
    store = Store(shutil.copytree(empty, tmp_path / "speech.store"))
    for run, split, fold in there:
        begin(store, run, split=split, fold=fold)
    assert name_run(store, "some/m@main", None, **{"resume": False, **asked}) == expected


def test_a_name_that_another_kind_of_run_has_is_refused_all_the_same(empty, tmp_path):
    store = Store(shutil.copytree(empty, tmp_path / "speech.store"))
    store.add_run(RunRecord(run="m", kind="import", backbone="table.csv"))
    assert name_run(store, "m", None, resume=False, split="speaker") == "m"
    with pytest.raises(ExistsError, match=r"^run m is in .* already: name this one with `run`, or remove"):
        find_begun(store, "m", resume=False, split="speaker", fold=None, recipe=Recipe())


@pytest.mark.parametrize(
    ("begun", "asked", "told"),
    [
        ({"split": "folds", "fold": 1}, {"split": "folds", "fold": 2},
         "already, as another one (fold 1, now 2): name this one with `run` m-fold-2, or remove the old one with "),
        ({}, {"split": "folds", "fold": 2},
         "as another one (split speaker, now folds, fold none, now 2): name this one with `run` m-folds-fold-2, or"),
        ({"seed": 1}, {"recipe": Recipe(seed=2)}, "(seed 1, now 2): name this one with `run` m-seed-2, or remove"),
        ({}, {"recipe": Recipe(learning_rate=1e-5)},
         "(learning_rate 0.0001, now 1e-05): name this one with `run` NAME"),
        ({}, {}, "already: name this one with `run`, or remove the old one with `rm()`"),
        ({"state": "interrupted"}, {},
         "already and is interrupted: go on with `resume`, name this one with `run` NAME"),
    ],
)  # fmt: skip
def test_a_name_that_is_taken_says_what_differs_and_what_to_call_this_one(begun, asked, told, empty, tmp_path):
    store = Store(shutil.copytree(empty, tmp_path / "speech.store"))
    begin(store, "m", **begun)
    with pytest.raises(ExistsError) as refused:
        find_begun(store, "m", resume=False, **{"split": None, "fold": None, "recipe": Recipe(), **asked})
    assert told in str(refused.value)


def test_the_folds_of_a_split_are_trained_one_after_the_other(path, serstore):
    words = ("finetune", "--model", "tiny-hubert", "--split", "kfold-4-folds", *SHORT, "--store", path)
    assert serstore(*words, "--fold", 1).out.startswith("tiny-hubert: 2 steps")
    second = serstore(*words, "--fold", 2)
    assert second.out.startswith("tiny-hubert-fold-2: 2 steps"), second.err
    assert "tiny-hubert-fold-2: the run is called so since tiny-hubert is of another split or fold\n" in second.err
    again = serstore(*words, "--fold", 2)
    assert again.err.startswith(f"serstore: run tiny-hubert-fold-2 is in {path} already: name this one with --run, or ")
    (outcome,) = finetune_all(
        Store(path),
        ["tiny-hubert"],
        split="kfold-4-folds",
        fold=2,
        recipe=Recipe(max_steps=2, eval_steps=1, save_steps=1),
    )
    assert (outcome.run, outcome.outcome) == ("tiny-hubert-fold-2", "skipped")
    assert [Store(path).run(run).details["fold"] for run in ("tiny-hubert", "tiny-hubert-fold-2")] == [1, 2]


def test_a_resumed_runs_own_recipe_is_printed_and_estimated(trained, serstore):
    words = ("finetune", "--run", "first", "--resume", "--store", trained)
    assert "learning_rate = 0.0002\n" in serstore(*words, "--print-recipe").out
    (estimate,) = serstore(*words, "--dry-run", "--json").json["estimates"]
    assert (estimate["model"], estimate["steps"], estimate["n_train"]) == ("tiny-hubert", 2, 16)


@pytest.mark.parametrize("run", ["first", "a@b"])
def test_a_dry_run_is_refused_what_the_run_would_be(run, trained, serstore):
    words = ("finetune", "--model", "tiny-hubert", "--run", run, "--split", "speaker", "--store", trained)
    refused, dry = serstore(*words), serstore(*words, "--dry-run")
    assert (refused.code, dry.code) == (1, 1)
    assert dry.err == refused.err
    assert dry.err.startswith("serstore: run ")


def test_a_member_is_removed_alone_and_checkpoints_elsewhere_are_named(path, serstore):
    assert serstore("rm", "first@1", "--store", path).out == "removed first@1\n"
    assert Store(path).member_names("first") == ["first@2"]
    removed = serstore("rm", "first", "--store", path)
    assert removed.out == "removed first@2\n"
    assert removed.err.startswith("serstore: the checkpoints of first are left in ")
    assert not Store(path).has_run("first")


def test_a_run_with_a_damaged_record_can_be_removed(path, serstore):
    (path / "runs/first/run.json").write_text("{")
    assert serstore("rm", "first", "--store", path).code == 0
    assert not (path / "runs/first").exists()
