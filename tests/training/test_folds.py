"""Fine-tuning over all folds of a split: one run in which nobody is answered by a model that has met his fold."""

import json
import shutil

import numpy as np
import pytest

import ser_store as ss
from ser_store.recipes.recipe import Recipe
from ser_store.training.distributed.lock import hold_run

RECIPE = Recipe(max_steps=2, eval_steps=1, logging_steps=1, save_steps=2, gradient_accumulation_steps=1)
WORDS = ("--max-steps", 2, "--eval-steps", 1, "--logging-steps", 1, "--save-steps", 2, "--accumulation", 1)
NAMES = [f"tiny-hubert-speaker-folds-fold-{fold}" for fold in (1, 2, 3)]


@pytest.fixture(scope="module")
def empty(serstore, speech, tmp_path_factory):
    """A store whose default split has three folds of speakers. Read only."""
    path = tmp_path_factory.mktemp("empty") / "speech.store"
    words = ("init", "--corpus", "ravdess", "--audio", speech, "--split", "speaker-folds", "--folds", 3)
    assert serstore(*words, "--store", path).code == 0
    [split] = ss.Store(path).corpus.splits
    assert split in ("speaker-folds", "speaker-folds-3-folds")
    return path


@pytest.fixture
def store(empty, tmp_path):
    shutil.copytree(empty, tmp_path / "a.store")
    return ss.Store(tmp_path / "a.store")


@pytest.fixture(scope="module")
def trained(empty, tmp_path_factory):
    """All folds, each with the next one as its validation part. Read only."""
    path = tmp_path_factory.mktemp("trained") / "a.store"
    shutil.copytree(empty, path)
    store = ss.Store(path)
    ss.finetune(store, "tiny-hubert", fold="all", valid="next", recipe=RECIPE)
    return store


def find_rows(store, fold):
    return store.corpus.rows(f"fold-{fold}")


def list_fold_runs(store, run="tiny-hubert"):
    return store.run(run).details["runs"]


def test_every_utterance_is_answered_by_the_model_that_has_not_met_its_fold(trained):
    assert trained.steps("tiny-hubert") == [1, 2]
    for step in (1, 2):
        member = trained.read_member(f"tiny-hubert@{step}")
        assert member.pooled is None
        assert len(member.rows) == len(trained.corpus)
        for fold, run in list_fold_runs(trained).items():
            rows = find_rows(trained, fold)
            np.testing.assert_array_equal(member.logits[rows], trained.logits([f"{run}@{step}"], rows)[0])
            fitted = trained.run(run).details["n_train"]
            assert fitted == len(trained.corpus) - trained.run(run).details["n_evaluated"]


def test_no_figure_of_it_is_of_voices_that_were_learned_from(trained):
    found = ss.evaluate(trained, "tiny-hubert", on="all")
    assert found.cautions == ()
    assert [one.fold for one in found.members[0].folds.folds] == ["fold-1", "fold-2", "fold-3"]


def test_the_step_of_each_fold_is_chosen_on_the_next_one(trained):
    chosen = trained.read_member("tiny-hubert-selected@0")
    for fold, run in list_fold_runs(trained).items():
        selected = trained.run(run).selected
        assert selected.on == f"fold-{int(fold) % 3 + 1}"
        rows = find_rows(trained, fold)
        np.testing.assert_array_equal(chosen.logits[rows], trained.logits([f"{run}@{selected.step}"], rows)[0])
    assert trained.run("tiny-hubert-selected").details["steps"] == {
        fold: trained.run(run).selected.step for fold, run in list_fold_runs(trained).items()
    }
    assert ss.evaluate(trained, "tiny-hubert-selected", on="all").cautions == ()


def test_another_rule_chooses_again(trained, tmp_path):
    shutil.copytree(trained.path, tmp_path / "a.store")
    store = ss.Store(tmp_path / "a.store")
    ss.steps(store, "tiny-hubert", select="last")
    assert set(store.run("tiny-hubert-selected").details["steps"].values()) == {2}
    np.testing.assert_array_equal(store.logits(["tiny-hubert-selected"]), store.logits(["tiny-hubert@2"]))
    assert store.run("tiny-hubert").selected is None


def test_whatever_reads_a_member_reads_these(trained, serstore, tmp_path):
    assert ss.verify_store(trained).ok
    assert len(ss.steps(trained, "tiny-hubert").runs[0].steps) == 2
    told = serstore("steps", "--run", "tiny-hubert", "--store", trained.path)
    assert f"its train loss their mean; with a curve each: {', '.join(NAMES)}\n" in told.out
    assert ss.vote(trained, ["tiny-hubert@1", "tiny-hubert@2"], on="all").records()
    assert ss.compare(trained, ["tiny-hubert@1", "tiny-hubert@2"], on="all").records()
    assert serstore("export", tmp_path / "said.csv", "tiny-hubert", "--store", trained.path).code == 0
    points = trained.curves("tiny-hubert")
    expected = np.mean([trained.curves(run)[0]["train_loss"] for run in list_fold_runs(trained).values()])
    assert points[0]["train_loss"] == pytest.approx(expected)
    with pytest.raises(ss.StoreError, match="pooled over folds has none, since those of different models cannot be"):
        trained.pooled("tiny-hubert")


def test_single_folds_that_were_trained_elsewhere_are_only_pooled(store, serstore):
    for fold in (2, 1, 3):
        ss.finetune(store, "tiny-hubert", fold=fold, recipe=RECIPE)
    before = {run: store.run(run) for run in store.runs()}
    assert len(before) == 3
    told = serstore("finetune", "--model", "tiny-hubert", "--fold", "all", *WORDS, "--store", store.path)
    assert told.code == 1
    assert "already: go on with --resume, which leaves finished ones alone" in told.err
    words = ("finetune", "--model", "tiny-hubert", "--fold", "all", "--resume", *WORDS, "--store", store.path)
    told = serstore(*words)
    assert told.code == 0, told.err
    [pooled] = [run for run in store.runs() if run not in before]
    assert pooled == "tiny-hubert-fold-all"
    assert {run: store.run(run) for run in before} == before
    assert "mean ± standard deviation over 3 folds" in told.out
    again = serstore(*words, "--json")
    assert json.loads(again.out)["members"] == [f"{pooled}@1", f"{pooled}@2"]


def test_a_fold_that_another_process_trains_is_left_to_it(store):
    ss.finetune(store, "tiny-hubert", fold=2, run=NAMES[1], recipe=RECIPE)
    store.update_run(store.run(NAMES[1]).updated(state="running"))
    with (
        hold_run(store.run_folder(NAMES[1])),
        pytest.raises(ss.StoreError, match=f"not pooled yet: other processes train {NAMES[1]}; call this again with"),
    ):
        ss.finetune(store, "tiny-hubert", fold="all", recipe=RECIPE, resume=True)
    assert store.runs() == NAMES
    assert ss.finetune(store, "tiny-hubert", fold="all", resume=True).run == "tiny-hubert"
    assert [store.run(run).details["recipe"]["max_steps"] for run in NAMES] == [2, 2, 2]


def test_a_dry_run_of_all_folds_is_of_all_of_them_and_of_every_seed(store, serstore):
    words = ("finetune", "--model", "tiny-hubert", "--valid", "next", *WORDS, "--dry-run", "--store", store.path)
    one = serstore(*words, "--fold", 1, "--json").json["estimates"][0]
    told = serstore(*words, "--fold", "all", "--seeds", 2, "--json")
    assert told.code == 0, told.err
    [every] = told.json["estimates"]
    assert (one["runs"], every["runs"]) == (1, 6)
    assert every["disk"]["checkpoints"] == 6 * one["disk"]["checkpoints"]
    # Of each fold two members, that hold the fold itself and the next.
    assert every["disk"]["members"] == 2 * 2 * 2 * len(store.corpus) * (128 * 2 + 8 * 4 + 4)
    took = every["time"]
    alone = every["steps"] * took["seconds_per_step"] + every["members"] * took["seconds_per_evaluation"]
    assert took["seconds"] > 2 * alone, "of the longest utterances, in each of six runs"
    assert "6 runs: time and disk are those of all" in serstore(*words, "--fold", "all", "--seeds", 2).out
    assert store.runs() == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--fold", "every"), "'every' is neither a number nor all"),
        (("--fold", "all", "--push-to-hub", "me/mine"), "--push-to-hub take one fold"),
    ],
)
def test_wrong_usage_is_said(store, serstore, words, said):
    told = serstore("finetune", "--model", "tiny-hubert", *words, "--store", store.path)
    assert told.code == 2
    assert said in " ".join(told.err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"fold": "all", "split": "apart"}, ss.CorpusError, "split apart has the parts .*: expected one that consists"),
        ({"split": "apart", "valid": "next"}, ss.CorpusError, "split apart has no folds: got `valid` next"),
        ({"fold": 1, "valid": "previous"}, ss.UnknownNameError, "'previous': expected one of next"),
        ({"fold": "all", "split": "two", "valid": "next"}, ss.CorpusError, "has 2 folds: expected three or more"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_loaded(store, asked, error, said):
    corpus, n = store.corpus, np.arange(len(store.corpus)) % 2
    corpus = corpus.with_split("apart", np.where(n, "train", "test")).with_split("two", np.where(n, "fold-1", "fold-2"))
    store.update_corpus(corpus)
    with pytest.raises(error, match=said):
        ss.finetune(store, "tiny-hubert", recipe=RECIPE, **asked)
    assert store.runs() == []
