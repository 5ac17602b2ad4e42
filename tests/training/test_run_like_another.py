"""What the command line leaves open is that of the run it names: one to train like, or one to go on with."""

import shutil

import pytest

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
    assert serstore(*init, "--split", "kfold", "--folds", 4).out.endswith("; its default split is kfold-4-folds now\n")
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
