"""A sweep says what each head says on its own, goes on where it stopped, and corrects the best for its choice."""

import json

import numpy as np
import pytest

import ser_store as ss
from ser_store.heads.classifiers import choose_classifiers, fit_classifier

SPEAKERS, EACH, WIDTH = 8, 12, 5
N = SPEAKERS * EACH
OWN, LABELS = np.arange(N) % SPEAKERS, np.arange(N) // SPEAKERS % 3


def make_store(path, **more):
    """Eight speakers in four folds, and two sources: one that tells the classes apart, one that is noise."""
    rng = np.random.default_rng(5)
    made = ss.Store.create(
        path,
        ids=[f"u{place:03}" for place in range(N)],
        labels=[f"class-{label}" for label in LABELS],
        speakers=[f"s{speaker}" for speaker in OWN],
        splits={
            "pairs": [f"fold-{speaker // 2 + 1}" for speaker in OWN],
            "apart": ["test" if speaker < 2 else "valid" if speaker < 4 else "train" for speaker in OWN],
        },
        **more,
    )
    for name, size in (("clear", 1.5), ("noise", 0)):
        pooled = rng.normal(size=(N, WIDTH)) + size * np.eye(3, WIDTH)[LABELS]
        made.add(name, ids=made.corpus.ids.tolist(), pooled=pooled.astype(np.float32), trained_on="nothing")
    return made


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "made.store")


def figures(found):
    return {(one.kind, one.source, one.normalise, one.protocol, one.train): one.accuracy for one in found.heads}


@pytest.mark.parametrize(
    ("sources", "kinds", "options"),
    [
        (["clear", "noise"], ["svm", "logreg"], {}),
        (["noise"], ["centroid", "mlp", "knn", "linear-svm"], {}),
        (["clear"], ["lda"], {"tune": True}),
        (["noise"], ["svm", "logreg"], {"class_weight": "balanced"}),
    ],
    ids=str,
)
def test_each_figure_is_that_of_the_head_alone(store, sources, kinds, options):
    found = ss.sweep(store, sources, kind=kinds, normalise=["train", "speaker"], workers=1, **options)
    assert len(found.heads) == found.fitted == len(sources) * 2 * len(kinds)
    for one in found.heads:
        asked = {"kind": one.kind, "normalise": one.normalise, **options}
        [alone] = ss.head(store, one.source, cv="pairs", **asked)
        figure = ss.evaluate(store, alone.member, on="all").records()[0]
        shown = (one.accuracy, one.balanced_accuracy, *one.ci95)
        assert shown == tuple(figure[name] for name in ("accuracy", "balanced_accuracy", "low", "high"))
        assert one.balanced_ci95 == ss.evaluate(store, alone.member, on="all").members[0].balanced_interval.bounds


def test_several_processes_find_the_same(store, tmp_path):
    asked = {"kind": ["lda", "mlp", "knn"], "cv": ["pairs", "speaker"], "folds": 3}
    alone = ss.sweep(store, **asked, workers=1, table=tmp_path / "alone.jsonl")
    shared = ss.sweep(store, **asked, workers=2, table=tmp_path / "shared.jsonl")
    assert figures(alone) == figures(shared)
    assert [best.head.protocol for best in shared.best] == ["pairs", "speaker"]


def test_of_equal_heads_the_first_that_is_asked_for_is_the_best_whichever_is_fitted_first(store):
    certain = 99 * np.eye(3, WIDTH, dtype=np.float32)[LABELS]
    store.add("certain", ids=store.corpus.ids.tolist(), pooled=certain, trained_on="nothing")
    asked = {"cv": "pairs", "workers": 1}
    ss.sweep(store, "certain", kind="knn", **asked)
    found = ss.sweep(store, "certain", kind=["centroid", "knn"], **asked)
    assert [(one.kind, one.accuracy) for one in found.heads] == [("centroid", 1), ("knn", 1)]
    assert (found.fitted, found.best[0].head.kind) == (1, "centroid")


def test_an_interrupted_sweep_goes_on_with_what_is_missing(store):
    asked = {"kind": ["lda", "knn", "ridge"], "workers": 1}
    first = ss.sweep(store, **asked)
    assert (first.fitted, first.table.name) == (6, "made.sweep.jsonl")
    lines = first.table.read_bytes().splitlines(keepends=True)
    first.table.write_bytes(b"".join(lines[:4]) + lines[4][:30])
    again = ss.sweep(store, **asked)
    assert (again.fitted, figures(again)) == (2, figures(first))
    assert ss.sweep(store, **asked).fitted == 0
    assert ss.sweep(store, **asked, seed=1).fitted == 6


def test_what_changed_is_fitted_again(store):
    asked = {"kind": "lda", "workers": 1}
    assert ss.sweep(store, **asked).fitted == 2
    store.remove("noise")
    store.add("noise", ids=store.corpus.ids.tolist(), pooled=np.random.default_rng(0).normal(size=(N, WIDTH)))
    assert ss.sweep(store, **asked).fitted == 1


def test_a_share_and_a_number_per_class_are_drawn_of_the_training_utterances_alone(store):
    found = ss.sweep(store, "clear", kind="lda", train_share=[0.25, 1], per_class=4, repeats=3, workers=1)
    by_train = {one.train: one for one in found.heads}
    assert {name: (one.draws, one.n_train) for name, one in by_train.items()} == {
        "all": (1, 72),
        "25%": (3, 18),
        "4 per class": (3, 12),
    }
    assert by_train["all"].ci95 is not None
    assert by_train["all"].std is None
    accuracies = [measure_by_hand(store, 4, repeat) for repeat in range(3)]
    one = by_train["4 per class"]
    assert (one.accuracy, one.std, one.ci95) == pytest.approx((np.mean(accuracies), np.std(accuracies, ddof=1), None))
    assert found.best[0].head == by_train["all"]
    assert found.best[0].note == "not corrected: there is one head, nothing was chosen"
    assert list(by_train) == ["all", "25%", "4 per class"]


def test_the_amounts_of_a_head_follow_each_other(store):
    kinds = ("centroid", "lda", "logreg")
    found = ss.sweep(store, "clear", kind=kinds, train_share=[0.25, 0.1, 1], repeats=1, workers=1).heads
    on_all = found[::3]
    assert [one.accuracy for one in on_all] == sorted((one.accuracy for one in on_all), reverse=True)
    expected = [(one.kind, amount) for one in on_all for amount in ("all", "25%", "10%")]
    assert [(one.kind, one.train) for one in found] == expected


def measure_by_hand(store, number, repeat):
    """The accuracy of heads that are fitted on so many of each class, each fold's drawn by one seed."""
    values, [lda] = store.pooled("clear", on="all"), choose_classifiers("lda", None, class_weight=None, seed=42)
    right = 0
    for pair in range(SPEAKERS // 2):
        rng, is_judged = np.random.default_rng([42, repeat]), np.isin(OWN, [2 * pair, 2 * pair + 1])
        train = np.flatnonzero(~is_judged)
        drawn = np.concatenate([rng.permutation(train[LABELS[train] == label])[:number] for label in range(3)])
        fitted = fit_classifier(lda.estimator, values[np.sort(drawn)], LABELS[np.sort(drawn)])
        right += (fitted.predict(values[is_judged]) == LABELS[is_judged]).sum()
    return right / N


def test_the_best_of_noise_is_corrected_for_its_choice(store):
    found = ss.sweep(store, "noise", kind=["lda", "knn", "centroid", "logreg", "svm", "ridge"], workers=1)
    [best] = found.best
    assert best.head == found.heads[0]
    assert best.n_candidates == 6
    assert best.selection.method == "bootstrap by speaker"
    assert best.selection.corrected < best.selection.apparent == found.heads[0].accuracy
    line = next(iter(found.describe()))
    assert line.startswith(f"best by pairs: {best.head.kind} on noise@0, apparent ")
    assert (
        f"for having been chosen among 6 on these {best.head.n} utterances (bootstrap by speaker, 1000 repeats)" in line
    )


def test_a_split_into_parts_is_judged_on_its_test_part(store):
    found = ss.sweep(store, "clear", kind="lda", split="apart", workers=1)
    [head] = ss.head(store, "clear", kind="lda", split="apart")
    figure = ss.evaluate(store, head.member, on="test", split="apart").records()[0]
    assert (found.heads[0].accuracy, found.heads[0].n) == (figure["accuracy"], 24)
    assert found.heads[0].protocol == "apart"


def test_the_best_become_members(store):
    found = ss.sweep(store, kind=["lda", "knn"], normalise=["train", "speaker"], keep=2, workers=1)
    assert len(found.kept) == 2
    kept = ss.evaluate(store, found.kept, on="all").records()
    assert [one["accuracy"] for one in kept] == [one.accuracy for one in found.heads[:2]]
    cautions = ss.evaluate(store, found.kept[0], on="all").cautions
    left = found.best[0].selection
    assert any(f"chosen among 8 heads on {N} of these {N} utterances" in one for one in cautions)
    assert any(f"accuracy {left.apparent:.2%} there, corrected {left.corrected:.2%}" in one for one in cautions)
    again = ss.sweep(store, kind=["lda", "knn"], normalise=["train", "speaker"], keep=1, workers=1)
    assert not again.kept
    assert len(again.problems) == 1


def test_a_source_that_has_learned_from_these_utterances_is_named(store):
    """Planted: a source that holds the answers, and says that it was trained on all of them."""
    told = (np.eye(3)[LABELS] + np.random.default_rng(0).normal(scale=0.05, size=(N, 3))).astype(np.float32)
    store.add("leak", ids=store.corpus.ids.tolist(), pooled=told, trained_on="train", split="apart")
    found = ss.sweep(store, kind="lda", workers=1)
    assert found.heads[0].source == "leak@0"
    assert any(line.startswith("head on leak was trained on 48 of these 96 utterances") for line in found.cautions)
    assert not any("clear" in line for line in found.cautions)
    careful = ss.sweep(store, "clear", kind="lda", normalise="speaker", workers=1)
    assert careful.cautions == (
        "head on clear was standardised by speaker on all recordings, these among them, without their labels: its "
        "figures need those recordings",
    )


def test_the_command_prints_the_best_first_and_says_all_of_it_in_json(store, serstore):
    words = ("sweep", "--kind", "lda,knn", "--workers", "1", "--store", store.path)
    lines = serstore(*words, "--train-share", "0.5,1", "--top", "3").out.splitlines()
    assert lines[0].startswith("best by pairs: ")
    header = "kind inputs fitted on utterances accuracy 95% interval ± over draws balanced accuracy 95% interval "
    assert " ".join(lines[1].split()) == f"{header}core seconds"
    assert lines[-2] == "… and 5 more"
    assert lines[-1] == f"{store.path.with_suffix('.sweep.jsonl')}: 24 figures, 24 of them computed now"
    document = serstore(*words, "--json").json
    assert document["fitted"] == 0
    assert document["best"][0]["selection"]["corrected"] <= document["heads"][0]["accuracy"]
    assert json.dumps(document["best"][0]["head"]) == json.dumps(document["heads"][0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "lad"}, "unknown head 'lad': expected one of lda (nearest)"),
        ({"train_share": 0}, "`train_share` is 0: expected a share above 0, at most 1"),
        ({"per_class": 1.5}, "`per_class` is 1.5: expected a whole number from 1 on"),
        ({"repeats": 0}, "`repeats` is 0: expected a whole number from 1 on"),
        ({"cv": "pairs", "split": "apart"}, "`cv` pairs with a `split` or a `fold`: expected one of them"),
        ({"cv": "apart"}, "split apart has the parts train, valid, test: expected one that consists of folds"),
        ({"normalise": "speakers"}, "unknown normalisation 'speakers': expected one of speaker (nearest)"),
        ({"workers": 0}, "`workers` is 0: expected a whole number from 1 on"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_in_one_line(store, options, message):
    with pytest.raises(ss.SerstoreError) as refused:
        ss.sweep(store, **options)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_cannot_be_fitted_is_left_out_and_said(store):
    found = ss.sweep(store, "clear", kind=["centroid", "knn", "svm"], per_class=1, repeats=1, workers=1)
    reasons = sorted(problem.partition(" (")[0] for problem in found.problems)
    assert reasons == [f"{kind} cannot be fitted on 3 utterances of clear@0" for kind in ("centroid", "knn")]
    assert [one.kind for one in found.heads] == ["svm"]


def test_a_table_of_something_else_is_refused(store, tmp_path, serstore):
    (tmp_path / "other.jsonl").write_text('{"step": 1}\n')
    done = serstore("sweep", "--store", store.path, "--table", tmp_path / "other.jsonl")
    assert done.code == 1
    assert "other.jsonl, line 1: expected a line that `serstore sweep` wrote; name another --table" in done.err


def test_a_sweep_of_which_nothing_can_be_fitted_says_why(store):
    with pytest.raises(ss.CorpusError, match="knn cannot be fitted on 3 utterances of clear@0"):
        ss.sweep(store, "clear", kind="knn", per_class=1, workers=1)
