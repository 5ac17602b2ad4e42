import json

import numpy as np
import pytest

import ser_store
from ser_store.errors import StoreError, UnknownNameError
from ser_store.evaluation import evaluate
from ser_store.metrics import evaluate_predictions
from ser_store.metrics.calibration import evaluate_logits
from ser_store.statistics.intervals import metric_intervals, wilson_interval
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

N = 48


def make_store(path, *, speakers=True):
    """Forty-eight utterances of three classes, 24 of them test; runs ``net`` with logits and ``said`` with labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=N).astype(np.int16)
    corpus = Corpus(
        name="c",
        ids=np.array([f"u{i:02}" for i in range(N)]),
        labels=labels,
        classes=("angry", "calm", "sad"),
        speakers=np.array([f"s{i % 6}" for i in range(N)]) if speakers else None,
        columns={"sex": np.array(["f", "m"])[np.arange(N) % 2]},
        splits={"half": np.where(np.arange(N) < 24, "train", "test")},
        default_split="half",
    )
    store = Store.create(path, corpus)
    rows = np.arange(N, dtype=np.int32)
    for run in ("net", "said"):
        store.add_run(RunRecord(run, "finetune", "tiny"))
    for step in (10, 20):
        logits = (rng.normal(size=(N, 3)) + step / 10 * np.eye(3)[labels]).astype(np.float32)
        store.write_member(Member("net", step, rows, logits=logits))
    predicted = np.where(rng.random(N) < 0.8, labels, 0).astype(np.int16)
    store.write_member(Member("said", 1, rows, predicted=predicted))
    return store


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "c.store")


def test_figures_from_the_store_are_those_of_its_arrays(store):
    found = evaluate(store)
    rows = store.corpus.rows("test")
    truth = store.corpus.labels[rows]
    assert (found.on, [member.member for member in found.members]) == ("test", ["net@20", "said@1"])
    for member in found.members:
        expected = evaluate_predictions(truth, store.predictions([member.member], rows)[0], n_classes=3)
        assert member.metrics.confusion.tolist() == expected.confusion.tolist()
        assert (member.metrics.accuracy, member.metrics.mcc) == (expected.accuracy, expected.mcc)
    assert found.members[0].probabilities == evaluate_logits(truth, store.logits(["net@20"], rows)[0])
    assert found.members[1].probabilities is None


def test_intervals_are_by_speaker_where_speakers_are_known(store):
    member = evaluate(store, ["net"]).members[0]
    rows = store.corpus.rows("test")
    expected = metric_intervals(
        store.corpus.labels[rows],
        store.predictions(["net"], rows)[0],
        n_classes=3,
        groups=store.corpus.speakers[rows],
    )
    assert member.interval.method == "bootstrap by speaker"
    assert member.interval.bounds == pytest.approx(expected["accuracy"].bounds)
    assert member.intervals["kappa"] == expected["kappa"]


def test_intervals_are_wilson_s_without_speakers_or_where_they_are_asked_for(store, tmp_path):
    for found in (evaluate(make_store(tmp_path / "d.store", speakers=False)), evaluate(store, interval="wilson")):
        metrics = found.members[0].metrics
        assert found.members[0].interval.method == "Wilson"
        assert found.members[0].interval.bounds == wilson_interval(metrics.correct, metrics.n)


def test_members_that_are_not_named_have_an_interval_of_the_accuracy_only(store):
    assert evaluate(store).members[0].intervals == {}
    assert "log_loss" in evaluate(store, ["net"]).members[0].intervals


def test_all_steps_are_evaluated_on_request(store):
    assert [member.member for member in evaluate(store, steps="all").members] == ["net@10", "net@20", "said@1"]
    assert [member.member for member in evaluate(store, ["net"], steps="all").members] == ["net@10", "net@20"]


def test_the_document_keeps_its_contract(store):
    document = json.loads(json.dumps(evaluate(store, ["net", "said"], by="sex").to_json(normalise="true")))
    assert (document["on"], document["by"]) == ("test", "sex")
    net, said = document["members"]
    contract = {"member", "n", "correct", "accuracy", "balanced_accuracy", "ci95", "classes", "confusion"}
    contract |= {"per_class", "macro_avg", "weighted_avg"}
    further = {"ci95_method", "kappa", "mcc", "top2", "log_loss", "brier", "ece", "intervals", "confusion_normalised"}
    assert contract | further < set(net)
    assert set(net) == set(said)
    assert [said[name] for name in ("top2", "log_loss", "brier", "ece")] == [None] * 4
    assert all(isinstance(net[name], float) for name in ("top2", "log_loss", "brier", "ece"))
    assert set(net["per_class"]) == set(net["classes"])
    assert [sum(row) for row in net["confusion_normalised"]] == pytest.approx([1, 1, 1])
    assert net["ci95"] == net["intervals"]["accuracy"]


def test_every_metric_is_given_for_every_group(store):
    [member] = evaluate(store, ["net"], by="sex").to_json()["members"]
    assert set(member["groups"]) == {"f", "m"}
    for group in member["groups"].values():
        assert {"accuracy", "per_class", "macro_avg", "mcc", "log_loss", "ci95", "small"} < set(group)
    assert sum(group["correct"] for group in member["groups"].values()) == member["correct"]
    accuracies = [group["accuracy"] for group in member["groups"].values()]
    assert member["gap"]["gap"] == pytest.approx(max(accuracies) - min(accuracies))
    assert 0 < member["gap"]["p"] <= 1


def test_what_is_not_there_is_refused(store):
    with pytest.raises(UnknownNameError, match="unknown column 'sexx': expected one of sex"):
        evaluate(store, by="sexx")
    with pytest.raises(UnknownNameError, match="unknown choice of steps 'some'"):
        evaluate(store, steps="some")
    with pytest.raises(UnknownNameError, match="unknown normalisation 'rows'"):
        evaluate(store).to_json(normalise="rows")
    store.add_run(RunRecord("frozen", "frozen", "tiny"))
    rows = np.arange(N, dtype=np.int32)
    store.write_member(Member("frozen", 0, rows, pooled=np.zeros((N, 2), dtype=np.float16)))
    with pytest.raises(StoreError, match="frozen@0 has pooled representations only"):
        evaluate(store, ["frozen"])


def test_the_library_s_front_door_is_the_same_function():
    assert ser_store.evaluate is evaluate


def test_a_member_that_gives_one_answer_only_is_named(tmp_path):
    ids, labels = [f"u{n}" for n in range(8)], ["sad", "happy"] * 4
    store = Store.create(tmp_path / "one.store", ids=ids, labels=labels)
    for name, said in (("a", ["happy"] * 8), ("b", labels), ("c", ["happy"] * 8), ("d", ["sad"] * 7 + [None])):
        store.add(name, ids=ids, predicted=said)
    found = [line for line in evaluate(store).cautions if "one class only" in line]
    assert found == ["a@0, c@0 predict one class only, happy: their accuracy is the share of that class"]


def test_utterances_of_some_classes_alone_are_judged_on_where_they_are_named(tmp_path):
    ids, labels = [f"u{n}" for n in range(9)], ["sad", "happy", "calm"] * 3
    store = Store.create(tmp_path / "some.store", ids=ids, labels=labels)
    store.add("a", ids=ids, predicted=["sad", "happy", "happy"] * 3)
    found = evaluate(store, "a", classes=["happy", "sad"])
    assert (found.members[0].metrics.n, found.members[0].metrics.accuracy) == (6, 1.0)
    assert found.cautions[0] == "of 9 utterances the 6 of happy, sad alone are judged on"
    with pytest.raises(UnknownNameError, match="unknown class 'glad'"):
        evaluate(store, "a", classes=["glad"])
