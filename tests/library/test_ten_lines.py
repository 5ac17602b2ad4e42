"""The library as a Python user meets it: ten lines, as they are written in the issue that asked for them."""

import csv
import os

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

import ser_store as ss

CLASSES = ("angry", "happy", "sad")
IDS = [f"u{place:03d}" for place in range(120)]
LABELS = [CLASSES[place % 3] for place in range(120)]
SPEAKERS = [f"s{place // 12}" for place in range(120)]


def write(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def guess(share, seed):
    draw = np.random.default_rng(seed)
    return [label if draw.random() < share else CLASSES[draw.integers(3)] for label in LABELS]


def draw_normal(width, seed=0):
    return np.random.default_rng(seed).normal(size=(len(IDS), width))


@pytest.fixture(params=["wide", "long"])
def desk(request, tmp_path, monkeypatch):
    """A folder with ``mine.csv``: two models, wide or long."""
    monkeypatch.chdir(tmp_path)
    said = {"mine@100": guess(0.7, 1), "other@100": guess(0.6, 2)}
    facts = zip(IDS, LABELS, SPEAKERS, strict=True)
    if request.param == "wide":
        rows = [(*fact, *answers) for fact, *answers in zip(facts, *said.values(), strict=True)]
        write(tmp_path / "mine.csv", [("utterance", "emotion", "speaker", *said), *rows])
    else:
        facts = list(facts)
        rows = [
            (*fact, name.split("@")[0], 100, answer)
            for name, answers in said.items()
            for fact, answer in zip(facts, answers, strict=True)
        ]
        write(tmp_path / "mine.csv", [("utterance", "emotion", "speaker", "run", "step", "predicted"), *rows])
    return tmp_path


def test_the_ten_lines_run_as_written(desk):
    from sklearn.linear_model import LogisticRegression

    ids, logits = IDS, np.eye(3)[[CLASSES.index(label) for label in LABELS]] + draw_normal(3)

    store = ss.import_predictions("mine.csv", store="mine.store", label="emotion")
    store.add("wavlm", step=500, ids=ids, logits=logits)
    print(ss.evaluate(store))
    ss.evaluate(store, "wavlm").to_frame()
    best = ss.vote(store, k=3, all_combos=True).ensembles[0]
    ss.evaluate(store, best.members)  # an ensemble is evaluated like a member
    ss.head(store, "wavlm", estimator=LogisticRegression(C=1), cv="speaker")
    ss.audit(store)
    ss.export(store, "out.parquet")

    assert (desk / "out.parquet").is_file()
    assert store.runs() == ["mine", "other", "wavlm", "wavlm-logisticregression"]


def test_an_ensemble_is_evaluated_like_a_member(desk):
    store = ss.import_predictions("mine.csv", store="mine.store", label="emotion")
    store.add("third", ids=IDS, predicted=guess(0.8, 3))
    best = ss.vote(store, k=3, all_combos=True).ensembles[0]
    [one] = ss.evaluate(store, best.members).members
    assert one.member == "mine@100+other@100+third@0"
    assert (one.metrics.correct, one.metrics.n) == (best.score.correct, 120)
    assert one.metrics.confusion.sum() == 120
    assert len(ss.evaluate(store, list(best.members)).members) == 3
    [again] = ss.evaluate("mine.store", "other+third+mine").members
    assert (again.member, again.metrics.correct) == ("other@100+third@0+mine@100", best.score.correct)
    assert ss.predictions(store, best.members)["correct"].sum() == best.score.correct


@pytest.mark.parametrize("as_path", [str, os.fspath, lambda path: path, ss.Store])
def test_a_store_is_meant_by_its_path_or_itself(desk, as_path):
    made = ss.import_predictions(desk / "mine.csv", store=str(desk / "mine.store"), label="emotion")
    store = as_path(made.path)
    evaluated = ss.evaluate(store, "mine")
    assert [one.member for one in evaluated.members] == ["mine@100"]
    assert ss.vote(store, "mine").ensembles[0].members == ("mine@100",)
    assert len(ss.ls(store).members) == 2
    assert ss.steps(store, "mine").runs[0].run == "mine"
    assert ss.compare(store, ["mine", "other"]).pairs
    assert ss.find_hard_utterances(store).members
    assert ss.describe_store(store).corpus.name == "mine"
    assert ss.verify_store(store).ok
    assert ss.sweep(store).removed == ()
    assert ss.export(store, str(desk / "out.csv"), "mine").members == 1
    assert ss.pack(store, str(desk / "packed.h5")).members
    assert ss.unpack(str(desk / "packed.h5"), str(desk / "again.store")).runs() == ["mine", "other"]
    assert ss.merge(store, desk / "again.store").added == ()
    assert ss.rm(store, "other").members == ("other@100",)


def test_results_are_short_where_they_are_shown_and_whole_where_they_are_printed(desk):
    store = ss.import_predictions("mine.csv", store="mine.store", label="emotion")
    for result in (
        ss.evaluate(store),
        ss.evaluate(store, "mine"),
        ss.compare(store),
        ss.steps(store),
        ss.vote(store, k=2),
        ss.ls(store),
        ss.audit(store),
        ss.models(),
        ss.find_hard_utterances(store),
    ):
        assert len(repr(result).splitlines()) <= 10
        assert len(repr(result)) <= 1000
        assert str(result).count("\n") >= 1
        assert "<" in result._repr_html_()
    for result in (ss.evaluate(store), ss.compare(store), ss.steps(store), ss.vote(store, k=2), ss.ls(store)):
        assert result.to_frame().height >= 1


class ClassesAlone(ClassifierMixin, BaseEstimator):
    """Has neither probabilities nor decision values."""

    def fit(self, inputs, labels):
        self.classes_ = np.unique(labels)
        return self

    def predict(self, inputs):
        return np.zeros(len(inputs), dtype=int)


def test_any_estimator_is_cloned_and_never_fitted_on_what_it_scores(desk):
    from sklearn.neighbors import NearestCentroid
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler
    from sklearn.svm import LinearSVC

    store = ss.import_predictions("mine.csv", store="mine.store", label="emotion")
    store.add("own", ids=IDS, pooled=draw_normal(5))
    own = ClassesAlone()
    [plain] = ss.head(store, "own", estimator=own, cv="speaker")
    assert not hasattr(own, "classes_")
    assert store.describe_member(plain.member).logits is None
    assert set(store.predictions([plain.member])[0].tolist()) == {0}
    [svm] = ss.head(store, "own", estimator=LinearSVC(), cv="speaker")
    assert store.run("own-linearsvc").details["scores"] == "scores"
    assert any(svm.member in line for line in ss.evaluate(store, svm.member).loss_cautions)
    pipeline = make_pipeline(MinMaxScaler(), NearestCentroid())
    [centroid] = ss.head(store, "own", estimator=pipeline, cv="speaker", run="centroid")
    assert store.run("centroid").details["estimator"]["class"].endswith("Pipeline")
    # Noise, scored out of fold, tells nothing: a head that had seen its rows would be far better than chance.
    assert ss.evaluate(store, centroid.member).members[0].metrics.accuracy < 0.55
    with pytest.raises(ss.StoreError, match="expected one of the two"):
        ss.head(store, "own", kind="svm", estimator=own)
    with pytest.raises(ss.StoreError, match="expected an instance of a scikit-learn classifier"):
        ss.head(store, "own", estimator="svm")
    with pytest.raises(ss.StoreError, match="expected an instance of a scikit-learn classifier"):
        ss.head(store, "own", estimator=LinearSVC)


def test_decision_values_of_pairs_of_classes_are_not_taken_for_those_of_classes(tmp_path):
    """Three classes have three pairs: the shape does not tell them apart."""
    from sklearn.svm import SVC

    apart = np.eye(3)[[CLASSES.index(label) for label in LABELS]] * 10 + draw_normal(3)
    store = ss.Store.create(tmp_path / "svm.store", ids=IDS, labels=LABELS, speakers=SPEAKERS)
    store.add("own", ids=IDS, pooled=apart)
    for shape in ("ovr", "ovo"):
        [fitted] = ss.head(store, "own", estimator=SVC(decision_function_shape=shape), cv="speaker", run=shape)
        assert ss.evaluate(store, fitted.member).members[0].metrics.accuracy == 1.0


def test_a_list_may_hold_an_ensemble(desk):
    store = ss.import_predictions("mine.csv", store="mine.store", label="emotion")
    store.add("third", ids=IDS, predicted=guess(0.8, 3))
    best = ss.vote(store, k=3, all_combos=True).ensembles[0]
    assert [one.member for one in ss.evaluate(store, [best.members, "mine"]).members] == [str(best.members), "mine@100"]
