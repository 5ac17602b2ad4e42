"""Fine-tuning with several seeds: a run each that differs in nothing else, and none of them is preferred."""

import shutil

import numpy as np
import pytest

import ser_store as ss
from ser_store.training.distributed.lock import hold_run

RECIPE = ss.Recipe(max_steps=2, eval_steps=1, logging_steps=1, save_steps=2, gradient_accumulation_steps=1)
NAMES = ["tiny-hubert-seed-1", "tiny-hubert-seed-2", "tiny-hubert-seed-3"]


@pytest.fixture(scope="module")
def trained(empty, tmp_path_factory):
    """Three seeds of one fine-tuning. Read only."""
    path = tmp_path_factory.mktemp("trained") / "a.store"
    shutil.copytree(empty, path)
    store = ss.Store(path)
    ss.finetune_seeds(store, "tiny-hubert", seeds=3, recipe=RECIPE)
    return store


@pytest.fixture
def store(trained, tmp_path):
    """The same, to be changed."""
    shutil.copytree(trained.path, tmp_path / "a.store")
    return ss.Store(tmp_path / "a.store")


def test_runs_differ_in_the_seed_and_are_what_each_seed_gives_alone(trained, store):
    assert trained.runs() == NAMES
    recipes = [trained.run(name).details["recipe"] for name in NAMES]
    assert [recipe.pop("seed") for recipe in recipes] == [1, 2, 3]
    assert recipes[0] == recipes[1] == recipes[2]
    said = trained.logits([f"{name}@2" for name in NAMES])
    assert len(np.unique(said.round(4), axis=0)) == 3
    ss.finetune(store, "tiny-hubert", run="alone", recipe=RECIPE.changed(seed=2))
    np.testing.assert_array_equal(store.logits(["alone@2"])[0], said[1])


def test_evaluate_gives_mean_deviation_and_range_whatever_the_seeds_reach(trained, serstore):
    shuffled = [NAMES[2], NAMES[0], NAMES[1]]
    found = ss.evaluate(trained, shuffled, on="test")
    assert [one.member for one in found.members] == [f"{name}@2" for name in shuffled]
    by_name = {one.member: one.metrics.accuracy for one in found.members}
    [seeds] = found.seeds
    assert (seeds.seeds, seeds.members) == ((1, 2, 3), tuple(f"{name}@2" for name in NAMES))
    assert seeds.accuracies == tuple(by_name[name] for name in seeds.members)
    told = serstore("evaluate", *NAMES, "--on", "test", "--store", trained.path).out
    assert f"3 seeds of tiny-hubert: accuracy {np.mean(seeds.accuracies):.2%} ±" in told


def test_the_step_of_no_seed_is_chosen(trained):
    assert [trained.run(name).selected for name in NAMES] == [None] * 3
    assert [run.selected for run in ss.steps(trained, NAMES, on="test").runs] == [2, 2, 2]


def test_what_is_there_is_gone_on_with_only_where_that_is_asked_for(store):
    store.remove(NAMES[1])
    before = {name: store.run(name) for name in (NAMES[0], NAMES[2])}
    with pytest.raises(ss.ExistsError, match=f"of the seeds of tiny-hubert, {NAMES[0]}, {NAMES[2]} are in .* already"):
        ss.finetune_seeds(store, "tiny-hubert", seeds=3, recipe=RECIPE)
    with pytest.raises(ss.SerstoreError, match="was begun with `max_steps` 2: got 3"):
        ss.finetune_seeds(store, "tiny-hubert", seeds=3, recipe=RECIPE.changed(max_steps=3), resume=True)
    assert [one.run for one in ss.finetune_seeds(store, "tiny-hubert", seeds=3, resume=True)] == NAMES
    assert store.run(NAMES[1]).details["recipe"] == {**before[NAMES[0]].details["recipe"], "seed": 2}
    assert {name: store.run(name) for name in before} == before


def test_a_seed_that_another_process_trains_is_left_to_it(store):
    store.update_run(store.run(NAMES[1]).updated(state="running"))
    with (
        hold_run(store.run_folder(NAMES[1])),
        pytest.raises(ss.StoreError, match=f"not all seeds of tiny-hubert are .* other processes train {NAMES[1]};"),
    ):
        ss.finetune_seeds(store, "tiny-hubert", seeds=3, resume=True)


def test_with_all_folds_each_seed_is_pooled_over_them(empty, serstore, tmp_path):
    shutil.copytree(empty, tmp_path / "a.store")
    store = ss.Store(tmp_path / "a.store")
    store.update_corpus(store.corpus.with_split("two", np.where(np.arange(48) % 2, "fold-1", "fold-2")))
    words = ("finetune", "--model", "tiny-hubert", "--seeds", 2, "--fold", "all", "--split", "two", "--run", "both")
    told = serstore(*words, "--max-steps", 1, "--accumulation", 1, "--store", store.path)
    assert told.code == 0, told.err
    assert "2 seeds of both: accuracy" in told.out
    assert "mean ± std of folds" in told.out
    pooled = [f"both-seed-{seed}" for seed in (1, 2)]
    assert set(store.runs()) == {*pooled, *(f"{one}-two-fold-{fold}" for one in pooled for fold in (1, 2))}
    store.remove(pooled[1])
    store.remove(f"{pooled[1]}-two-fold-2")
    told = serstore("finetune", "--seeds", 2, "--resume", "--run", "both", "--json", "--store", store.path)
    assert told.code == 0, told.err
    assert [one["run"] for one in told.json["runs"]] == pooled
    assert [one["seeds"] for one in told.json["seeds"]] == [[1, 2]]
    assert store.run(f"{pooled[1]}-two-fold-2").details["recipe"]["seed"] == 2


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--model", "tiny-hubert", "--seeds", 2, "--seed", 7), 2, "--seed take one seed"),
        (("--all", "--seeds", 2), 2, "--all, --push-to-hub, --seed take one seed"),
        (("--model", "tiny-hubert", "--seeds", 1), 1, "--seeds is 1: expected a whole number from 2 on"),
        (("--resume", "--seeds", 2), 1, "--seeds has no --model and no --run to name its runs after"),
    ],
)
def test_wrong_usage_is_said(trained, serstore, words, code, said):
    told = serstore("finetune", *words, "--store", trained.path)
    assert told.code == code
    assert said in " ".join(told.err.replace("│", " ").split())
