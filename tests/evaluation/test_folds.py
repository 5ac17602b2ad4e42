"""Figures of members whose folds are scored by models of their own, and of runs that differ in the seed alone."""

import numpy as np
import pytest

import ser_store as ss

N = 48


@pytest.fixture
def store(tmp_path):
    """Three folds of four speakers each, and a member for them of which 12, 8 and 4 answers are right."""
    folds = np.arange(N) % 3 + 1
    labels = np.arange(N) // 3 % 2
    made = ss.Store.create(
        tmp_path / "made.store",
        ids=[f"u{place:02}" for place in range(N)],
        labels=[("happy", "sad")[label] for label in labels],
        speakers=[f"s{place % 12:02}" for place in range(N)],
        splits={"thirds": [f"fold-{fold}" for fold in folds], "apart": ["test" if f == 1 else "train" for f in folds]},
    )
    right = np.arange(N) // 3 < np.array([12, 8, 4])[folds - 1]
    logits = np.eye(2)[np.where(right, labels, 1 - labels)]
    made.add("crossed", ids=made.corpus.ids.tolist(), logits=logits, trained_on="others", split="thirds")
    made.add("single", ids=made.corpus.ids.tolist(), logits=logits, trained_on="train", split="apart")
    return made


def test_each_fold_and_their_mean_stand_beside_the_pooled_figure(store):
    found = ss.evaluate(store, "crossed", on="all").members[0].to_json()
    assert (found["n"], found["correct"]) == (48, 24)
    assert [(one["fold"], one["n"], one["correct"], one["accuracy"]) for one in found["folds"]] == [
        ("fold-1", 16, 12, 0.75),
        ("fold-2", 16, 8, 0.5),
        ("fold-3", 16, 4, 0.25),
    ]
    assert found["mean"] == pytest.approx(0.5)
    assert found["std"] == pytest.approx(np.std([0.75, 0.5, 0.25], ddof=1))


def test_both_the_table_of_all_and_the_page_of_one_say_it(store, serstore):
    every = serstore("evaluate", "--on", "all", "--store", store.path)
    assert "mean ± std of folds" in every.out
    assert "50.00% ± 25.00" in every.out
    one = serstore("evaluate", "crossed", "--on", "all", "--store", store.path)
    assert "mean ± standard deviation over 3 folds: 50.00% ± 25.00" in one.out


@pytest.mark.parametrize(("member", "on"), [("single", "all"), ("crossed", "fold-2"), ("crossed+single", "all")])
def test_there_are_none_where_one_model_answers_or_one_fold_is_asked_for(store, member, on):
    found = ss.evaluate(store, member, on=on, split="thirds").members[0]
    assert found.folds is None
    assert "folds" not in found.to_json()


def test_heads_over_drawn_folds_have_figures_too(store):
    store.add("frozen", ids=store.corpus.ids.tolist(), pooled=np.ones((N, 3)), trained_on="nothing")
    [drawn] = ss.head(store, "frozen", cv="speaker", folds=4)
    found = ss.evaluate(store, drawn.member, on="all").members[0]
    assert [one.fold for one in found.folds.folds] == ["fold-1", "fold-2", "fold-3", "fold-4"]
    assert sum(one.n for one in found.folds.folds) == N


def test_runs_that_differ_in_nothing_but_the_seed_are_gathered(store, serstore):
    store.add("frozen", ids=store.corpus.ids.tolist(), pooled=np.eye(N, 3), trained_on="nothing")
    for seed in (1, 2, 3):
        ss.head(store, "frozen", cv="speaker", folds=4, seed=seed, run=f"head-{seed}")
    ss.head(store, "frozen", cv="speaker", folds=3, seed=4, run="other")
    found = ss.evaluate(store, on="all")
    accuracies = {one.member: one.metrics.accuracy for one in found.members}
    [seeds] = found.to_json()["seeds"]
    own = [accuracies[f"head-{seed}@0"] for seed in (1, 2, 3)]
    assert (seeds["members"], seeds["seeds"]) == (["head-1@0", "head-2@0", "head-3@0"], [1, 2, 3])
    assert (seeds["mean"], seeds["std"]) == pytest.approx((np.mean(own), np.std(own, ddof=1)))
    assert (seeds["low"], seeds["high"]) == (min(own), max(own))
    assert "3 seeds of head-1: accuracy" in serstore("evaluate", "--on", "all", "--store", store.path).out
    assert ss.evaluate(store, ["head-1", "other"], on="all").seeds == ()


@pytest.mark.parametrize("option", ["--seeds", "--repeats"])
def test_several_seeds_of_a_head_are_one_call_and_none_is_preferred(option, store, serstore):
    rng = np.random.default_rng(0)
    pooled = rng.normal(size=(N, 3)) + store.corpus.labels[:, None]
    store.add("frozen", ids=store.corpus.ids.tolist(), pooled=pooled, trained_on="nothing")
    words = ("head", "--from", "frozen", "--cv", "speaker", "--folds", 4, option, 3, "--store", store.path)
    told = serstore(*words)
    assert told.code == 0, told.err
    names = [f"frozen-logreg-seed-{seed}@0" for seed in (1, 2, 3)]
    [seeds] = ss.evaluate(store, names[::-1], on="all").seeds
    assert (seeds.members, seeds.seeds) == (tuple(names), (1, 2, 3))
    assert f"3 seeds of frozen-logreg: accuracy {np.mean(seeds.accuracies):.2%} ±" in told.out
    assert len(set(seeds.accuracies)) > 1
    alone = ss.head(store, "frozen", cv="speaker", folds=4, seed=2, run="alone")[0].member
    np.testing.assert_array_equal(store.logits([alone]), store.logits([names[1]]))
    # Whoever takes the best of them is told what is left of it.
    best = ss.vote(store, names, k=1, all_combos=True, on="all").selection
    assert best.apparent == max(seeds.accuracies) > best.corrected


def test_an_estimator_is_gathered_though_its_record_holds_the_seed(store):
    from sklearn.ensemble import ExtraTreesClassifier

    pooled = np.random.default_rng(0).normal(size=(N, 3))
    store.add("frozen", ids=store.corpus.ids.tolist(), pooled=pooled, trained_on="nothing")
    made = ss.head(store, "frozen", estimator=ExtraTreesClassifier(n_estimators=3), split="apart", seeds=2)
    [seeds] = ss.evaluate(store, [one.member for one in made], on="test", split="apart").seeds
    assert seeds.seeds == (1, 2)


def test_seeds_that_would_all_give_the_same_are_refused(store):
    store.add("frozen", ids=store.corpus.ids.tolist(), pooled=np.eye(N, 3), trained_on="nothing")
    with pytest.raises(ss.StoreError, match="`seeds` is 3, and lda by the parts of a split leaves nothing to chance"):
        ss.head(store, "frozen", kind=["lda", "forest"], split="apart", seeds=3)


def test_steps_of_a_pooled_run_need_no_record_of_the_runs_of_its_folds():
    """A pack may leave them out, as the example does."""
    [run] = ss.steps(ss.open_example("whisper-base"), "whisper-base-ft").runs
    assert run.folds == ()
    assert len(run.steps) == 8


def test_heads_of_single_folds_are_no_member_of_all(store):
    store.add("frozen", ids=store.corpus.ids.tolist(), pooled=np.arange(N)[:, None] % 2, trained_on="nothing")
    for fold in (1, 2):
        ss.head(store, "frozen", split="thirds", fold=fold, run=f"one-{fold}")
    told = "^one-1@0, one-2@0 each score one fold of split thirds: expected .* of heads `.*` with `cv` thirds makes it"
    for ask in (
        lambda: ss.evaluate(store, ["one-1", "one-2"], on="all"),
        lambda: ss.evaluate(store, "one-1+one-2", on="all"),
        lambda: ss.compare(store, ["one-1", "one-2"], on="all"),
        lambda: ss.vote(store, ["one-1", "one-2"], k=2, on="all"),
        lambda: ss.calibrate(store, ["one-1", "one-2"], on="all"),
        lambda: ss.export(store, store.path.with_name("said.csv"), ["one-1", "one-2"], on="all"),
    ):
        with pytest.raises(ss.StoreError, match=told):
            ask()
    ss.head(store, "frozen", cv="thirds", run="whole")
    told = r"^one-1@0 scores fold 1 of split thirds: .*; fold 1 alone is `on` fold-1$"
    with pytest.raises(ss.StoreError, match=told):
        ss.evaluate(store, ["one-1", "whole"], on="all")
