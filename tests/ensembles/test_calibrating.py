"""Calibrated members: a temperature for each, fitted on speakers that it does not score."""

import numpy as np
import pytest
from scipy.special import log_softmax

import ser_store as ss
from ser_store.evaluation.fitted import group_speakers
from ser_store.voting.fitted import fit_weights
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord, Selection

N, CLASSES = 160, ("angry", "happy", "sad")
SPEAKERS = np.arange(N) % 8
NOTHING = {"n": N, "models": []}
PARTS = np.where(SPEAKERS < 2, "train", np.where(SPEAKERS < 5, "valid", "test"))


def make_store(path, *, permute=None):
    """A network that is far too sure of itself, an SVM on it, and labels alone."""
    rng = np.random.default_rng(5)
    truth = rng.integers(len(CLASSES), size=N)
    scores = rng.normal(size=(N, len(CLASSES)))
    scores[np.arange(N), truth] += 1.2
    labels = truth.copy()
    if permute is not None:
        own = permute == SPEAKERS
        labels[own] = np.random.default_rng(1).permutation(truth[own])
    store = ss.Store.create(
        path,
        ids=[f"u{place:03}" for place in range(N)],
        labels=labels,
        classes=CLASSES,
        speakers=[f"s{one}" for one in SPEAKERS],
        splits={"usual": PARTS.tolist()},
    )
    ids = store.corpus.ids.tolist()
    store.add("net", step=10, ids=ids, logits=8 * scores, trained_on="train")
    store.add("net", step=20, ids=ids, logits=4 * scores, trained_on="train")
    store.add_run(RunRecord("svm", "head", "net", details={"head": "svm", "source": "net@10", "scores": "scores"}))
    store.write_member(Member("svm", 0, np.arange(N, dtype=np.int32), (0.3 * scores).astype(np.float32)))
    store.add_run(RunRecord("plain", "import", "plain"))
    store.write_member(Member("plain", 0, np.arange(N, dtype=np.int32), predicted=truth.astype(np.int16)))
    return store


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "sure.store")


def test_scores_are_divided_by_a_temperature_of_other_speakers(store):
    (done,) = ss.calibrate(store, "net@10").members
    rows, labels = store.corpus.rows("test"), store.corpus.labels
    groups = group_speakers(store.corpus, rows, split=None, way_out="")
    assert (done.member, done.source, done.n, groups.count) == ("net-calibrated@10", "net@10", 60, 3)
    scores = log_softmax(store.logits(["net@10"], rows).astype(float), axis=2)
    for group, temperature in enumerate(done.temperatures):
        own = groups.places == group
        assert temperature == 1 / fit_weights(scores[:, ~own], labels[rows[~own]])[0]
        expected = log_softmax(scores[0, own] / temperature, axis=1)
        np.testing.assert_allclose(store.logits([done.member], rows[own])[0], expected, atol=1e-5)
    np.testing.assert_array_equal(*store.predictions(["net@10", done.member], rows))
    np.testing.assert_array_equal(store.covered(done.member), rows)


def test_the_figures_are_those_of_evaluate_before_and_after(store, serstore):
    words = ("calibrate", "net@10", "net@20", "svm", "--store", store.path)
    document = serstore(*words, "--json").json
    assert [one["member"] for one in document["members"]] == [
        "net-calibrated@10",
        "net-calibrated@20",
        "svm-calibrated@0",
    ]
    for one in document["members"]:
        for key, name in (("before", one["source"]), ("after", one["member"])):
            figures = ss.evaluate(store, name, on="test").records()[0]
            assert one["log_loss"][key] == pytest.approx(figures["log_loss"], abs=1e-6)
            assert one["ece"][key] == pytest.approx(figures["ece"], abs=1e-6)
        assert one["log_loss"]["after"] < one["log_loss"]["before"]
    first, second, _ = document["members"]
    assert first["temperature"] == pytest.approx(2 * second["temperature"], rel=1e-3)
    assert store.run("net-calibrated").details["scores"] == "log-probabilities"


def test_it_prints_the_temperature_and_what_it_has_brought(store, serstore):
    done = serstore("calibrate", "net@10", "--store", store.path)
    assert done.code == 0
    heading, header, _, row, where = done.out.splitlines()
    assert heading.startswith("1 member on test of the split ")
    assert header.split("  ")[0] == "member"
    assert row.startswith("net-calibrated@10")
    assert where.startswith("temperatures: fitted 3 times on test, each time without the speaker that is scored")


def test_labels_of_a_speaker_do_not_change_what_is_said_of_him(tmp_path, store):
    other = make_store(tmp_path / "permuted.store", permute=6)
    own = np.flatnonzero(SPEAKERS == 6)
    assert (store.corpus.labels != other.corpus.labels).sum() > 5
    said = []
    for one in (store, other):
        ss.calibrate(one, "net@10")
        said.append(one.logits(["net-calibrated@10"], one.corpus.rows("test"))[0])
    places = np.isin(store.corpus.rows("test"), own)
    np.testing.assert_array_equal(said[0][places], said[1][places])
    assert (said[0][~places] != said[1][~places]).any()


def test_what_a_temperature_is_fitted_on_is_learned_from(store):
    ss.calibrate(store, "net@10", select_on="valid")
    assert len(store.covered("net-calibrated@10")) == N
    cautions = {part: ss.evaluate(store, "net-calibrated@10", on=part).cautions for part in ("test", "valid", "train")}
    assert cautions["test"] == ()
    assert "was trained on 60 of these 60 utterances" in cautions["valid"][0]
    assert "was trained on 40 of these 40 utterances" in cautions["train"][0]
    ss.calibrate(store, "net@20", run="crossed")
    assert ss.evaluate(store, "crossed").cautions == ()


def test_a_part_that_was_trained_on_is_no_part_to_fit_on(store):
    done = ss.calibrate(store, "net@10", select_on="train")
    assert [line for line in done.cautions if line.endswith("surer of than of others: net@10; fit on another part")]
    assert ss.calibrate(store, "net@10", select_on="valid", run="better").cautions == ()


def test_a_soft_vote_of_decision_values_names_the_way_to_probabilities(store, serstore):
    words = ("vote", "net@10", "--rule", "soft", "--correct", "none", "--store", store.path)
    said = serstore(*words, "svm").err
    assert "svm@0 holds an SVM's decision values" in said
    assert "`serstore calibrate` makes probabilities of them" in said
    ss.calibrate(store, "svm")
    assert "softmax" not in serstore(*words, "svm-calibrated").err


def test_a_model_has_one_vote_unless_it_is_named_with_what_is_calibrated(store):
    store.add("other", ids=store.corpus.ids.tolist(), logits=store.logits(["net@20"], on="all")[0])
    ss.calibrate(store, ["net@10", "other"], on="all")
    for rule in ("hard", "pool"):
        report = ss.vote(store, ["net-calibrated", "n*@10", "o*"], rule=rule, on="all")
        assert report.candidates == ("net-calibrated@10", "other-calibrated@0")
        assert "left out, since they vote as calibrated: net@10, other@0" in report.cautions
    assert set(ss.vote(store).candidates) >= {"net-calibrated@10", "net@20", "other-calibrated@0", "svm@0"}
    both = ss.vote(store, ["net@10", "net-calibrated@10", "net@20"])
    assert set(both.candidates) == {"net@10", "net-calibrated@10", "net@20"}
    [line] = [one for one in both.cautions if "several votes" in one]
    assert "as it is and calibrated: net@10 and net-calibrated@10" in line
    with pytest.raises(ss.EnsembleError, match="one vote for what is calibrated left"):
        ss.vote(store, limits=ss.Limits(include="other"), on="all")


@pytest.mark.parametrize(
    ("members", "options", "error", "message"),
    [
        ([], {}, ss.StoreError, "no member is named"),
        (["plain"], {}, ss.StoreError, "plain@0 has labels only: expected logits or probabilities to fit a weight to"),
        (["net@10", "svm"], {"run": "mine"}, ss.StoreError, "`run` mine for members of 2 runs: expected those of one"),
        (["net@10"], {"select_on": "test"}, ss.EnsembleError, "have 60 utterances in common"),
        (["net@11"], {}, ss.UnknownNameError, "11"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(store, members, options, error, message):
    with pytest.raises(error, match=message):
        ss.calibrate(store, members, **options)
    assert store.runs() == ["net", "plain", "svm"]


def test_scores_no_better_than_a_guess_are_refused(store):
    store.add("worse", step=1, ids=store.corpus.ids.tolist(), logits=-store.logits(["net@10"], on="all")[0])
    with pytest.raises(ss.StoreError, match="worse@1 is no better than a guess on test"):
        ss.calibrate(store, "worse@1")
    assert not store.has_run("worse-calibrated")


def test_the_steps_of_a_run_are_fitted_alike(store):
    ss.calibrate(store, "net@10")
    with pytest.raises(ss.ExistsError, match="run net-calibrated is in"):
        ss.calibrate(store, "net@10")
    with pytest.raises(ss.ExistsError, match="with select_on None, cv speaker, this one with select_on valid, cv"):
        ss.calibrate(store, "net@20", select_on="valid")
    assert ss.calibrate(store, "net@20").members[0].member == "net-calibrated@20"


def test_what_is_said_of_a_source_is_said_of_what_is_calibrated(store):
    rows = np.arange(N, dtype=np.int32)
    selected = Selection(10, "best", "test", "the best")
    details = {"head": "logreg", "source": "net@10", "split": "usual", "normalise": "speaker", "fitted": NOTHING}
    store.add_run(RunRecord("mine", "head", "net", details=details, selected=selected))
    store.write_member(Member("mine", 10, rows, store.logits(["net@10"], rows)[0]))
    ss.calibrate(store, "mine")
    kinds = ["was standardised by speaker on all recordings", "was selected among the steps of mine-calibrated on 60"]
    cautions = ss.evaluate(store, "mine-calibrated", on="test").cautions
    assert [any(kind in line for line in cautions) for kind in kinds] == [True, True]
