"""The library as a Python user meets it: ten lines, as they are written in the issue that asked for them."""

import csv
import os

import numpy as np
import polars as pl
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

import ser_store as ss
from ser_store.interchange.import_ import import_file

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


FACTS = {"utterance": IDS, "emotion": LABELS, "speaker": SPEAKERS}
SAID = {"mine@100": guess(0.7, 1), "other@100": guess(0.6, 2)}


def make_wide():
    return {**FACTS, **SAID}


def make_long(**answers):
    """Columns of a row for each utterance of each model; ``answers`` are the columns of both models' answers."""
    facts = {header: [*cells, *cells] for header, cells in FACTS.items()}
    runs = [name.split("@")[0] for name in SAID for _ in IDS]
    return {**facts, "run": runs, "step": [100] * len(runs), **answers}


def make_labels():
    return make_long(predicted=[answer for said in SAID.values() for answer in said])


def make_numbers(convert):
    logits = 2 * np.eye(3)[[CLASSES.index(answer) for said in SAID.values() for answer in said]]
    numbers = convert(logits + np.random.default_rng(5).normal(size=logits.shape) / 4)
    return make_long(**dict(zip(CLASSES, numbers.T.tolist(), strict=True)))


def share(logits):
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


SHAPES = {
    "wide": make_wide,
    "long": make_labels,
    "logits": lambda: make_numbers(lambda logits: logits),
    "probabilities": lambda: make_numbers(share),
    "percentages": lambda: make_numbers(lambda logits: 100 * share(logits)),
    "log-probabilities": lambda: make_numbers(lambda logits: np.log(share(logits))),
    "paths for ids": lambda: {**make_wide(), "utterance": [f"audio/{name}.wav" for name in IDS]},
    "classes in capitals": lambda: {**make_wide(), "mine@100": [answer.upper() for answer in SAID["mine@100"]]},
}


def save_by_hand(columns, path):
    write(path, [tuple(columns), *zip(*columns.values(), strict=True)])


def save_by_hand_with_semicolons(columns, path):
    rows = [tuple(columns), *zip(*columns.values(), strict=True)]
    path.write_text("".join(";".join(map(str, row)) + "\r\n" for row in rows), encoding="utf-8-sig")


def save_by_polars(columns, path):
    pl.DataFrame(columns).write_csv(path)


def save_by_pandas(columns, path):
    """With its index, as it does unless told otherwise."""
    pytest.importorskip("pandas").DataFrame(columns).to_csv(path)


def save_by_pandas_with_ids_as_index(columns, path):
    pytest.importorskip("pandas").DataFrame(columns).set_index("utterance").to_csv(path)


def save_as_parquet(columns, path):
    pl.DataFrame(columns).write_parquet(path.with_suffix(".parquet"))


WAYS = (
    *(save_by_hand, save_by_hand_with_semicolons, save_by_polars, save_by_pandas),
    *(save_by_pandas_with_ids_as_index, save_as_parquet),
)


@pytest.fixture(params=["wide", "long"])
def desk(request, tmp_path, monkeypatch):
    """A folder with ``mine.csv``: two models, wide or long."""
    monkeypatch.chdir(tmp_path)
    save_by_hand(SHAPES[request.param](), tmp_path / "mine.csv")
    return tmp_path


@pytest.mark.parametrize("shape", SHAPES)
def test_the_ten_lines_run_as_written_with_every_shape_of_table(shape, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_by_hand(SHAPES[shape](), tmp_path / "mine.csv")
    from sklearn.linear_model import LogisticRegression

    # Those of paths are the names of the recordings, as the store has them.
    ids = [f"audio/{name}.wav" for name in IDS] if shape == "paths for ids" else IDS
    logits = np.eye(3)[[CLASSES.index(label) for label in LABELS]] + draw_normal(3)

    store = ss.import_predictions("mine.csv", store="mine.store", label="emotion")
    store.add("wavlm", step=500, ids=ids, logits=logits)
    print(ss.evaluate(store))
    ss.evaluate(store, "wavlm").to_frame()
    best = ss.vote(store, k=3, all_combos=True).ensembles[0]
    ss.evaluate(store, best.members)  # an ensemble is evaluated like a member
    ss.head(store, "wavlm", estimator=LogisticRegression(C=1), cv="speaker")
    ss.audit(store)
    ss.export(store, "out.parquet")

    assert (tmp_path / "out.parquet").is_file()
    assert store.runs() == ["mine", "other", "wavlm", "wavlm-logisticregression"]
    again = ss.import_predictions("out.parquet", store="again.store", label="label")
    assert again.corpus.ids.tolist() == store.corpus.ids.tolist()


@pytest.mark.parametrize("save", WAYS)
@pytest.mark.parametrize("shape", ["wide", "long", "probabilities"])
def test_a_table_says_the_same_whoever_saved_it(shape, save, tmp_path):
    columns = SHAPES[shape]()
    save_by_hand(columns, tmp_path / "hand.csv")
    save(columns, tmp_path / "mine.csv")
    [file] = tmp_path.glob("mine.*")
    expected, made = (
        ss.import_predictions(path, store=tmp_path / f"{path.stem}.store", label="emotion")
        for path in (tmp_path / "hand.csv", file)
    )
    assert made.member_names() == expected.member_names() == list(SAID)
    assert made.corpus.speakers.tolist() == SPEAKERS
    np.testing.assert_array_equal(made.predictions(list(SAID)), expected.predictions(list(SAID)))
    if shape == "probabilities":
        np.testing.assert_array_equal(made.logits(list(SAID)), expected.logits(list(SAID)))


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
    assert ss.gc(store).removed == ()
    assert ss.export(store, str(desk / "out.csv"), "mine").members == 1
    assert ss.pack(store, str(desk / "packed.h5")).members
    assert ss.unpack(str(desk / "packed.h5"), str(desk / "again.store")).runs() == ["mine", "other"]
    assert ss.merge(store, desk / "again.store").added == ()
    removed = ss.rm(store, "other")
    assert (removed.members, str(removed)) == (("other@100",), "removed other@100")


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
        ss.describe_store(store),
    ):
        assert len(repr(result).splitlines()) <= 10
        assert len(repr(result)) <= 1000
        assert str(result).count("\n") >= 1
        assert "<" in result._repr_html_()
    for result in (ss.evaluate(store), ss.compare(store), ss.steps(store), ss.vote(store, k=2), ss.ls(store)):
        assert result.to_frame().height >= 1


def test_a_store_shows_its_runs_in_a_notebook_and_only_its_path_where_it_is_damaged(desk):
    store = ss.import_predictions("mine.csv", store="mine.store", label="emotion")
    assert "<td>mine</td><td>100</td>" in store._repr_html_()
    (store.path / "corpus.h5").write_bytes(b"nothing")
    assert ss.Store(store.path)._repr_html_().startswith("<pre>Store(")


def test_what_was_done_is_one_line_and_a_frame(desk):
    store = ss.import_predictions("mine.csv", store="mine.store", label="emotion")
    again = import_file("mine.csv", store=store, label="emotion")
    done = {
        "imported 0 members on 120 utterances; 2 members there already, the same": again,
        "wrote predicted of 2 members on 120 utterances to out.csv": ss.export(store, "out.csv"),
        "removed other@100": ss.rm(store, "other"),
    }
    for line, result in done.items():
        assert str(result) == line
        assert len(repr(result).splitlines()) <= 10
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
