import numpy as np
import pytest

from ser_store.errors import CorpusError, EnsembleError, MetricError, StoreError, UnknownNameError
from ser_store.evaluation.choice.ensemble_names import VotingRule, vote_ensemble
from ser_store.evaluation.choice.member_choice import resolve_ensemble
from ser_store.evaluation.comparing import compare
from ser_store.statistics.comparisons import compare_pairs
from ser_store.statistics.matched_tests import cochran_q, holm, mcnemar
from ser_store.voting.rules import hard_vote, soft_vote
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store

N = 120
SHARES = {"a": 0.95, "b": 0.8, "c": 0.78, "d": 0.4}


def make_store(path, *, n_speakers=12):
    """Members a@1 … d@1 with logits, of which a is right most often and d least; e@1 holds labels only."""
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=N).astype(np.int16)
    corpus = Corpus(
        name="c",
        ids=np.array([f"u{i:03}" for i in range(N)]),
        labels=labels,
        classes=("angry", "calm", "happy", "sad"),
        speakers=None if n_speakers is None else np.array([f"s{i % n_speakers:02}" for i in range(N)]),
    )
    store = Store.create(path, corpus)
    rows = np.arange(N, dtype=np.int32)
    for run, share in SHARES.items():
        said = np.where(rng.random(N) < share, labels, rng.integers(4, size=N))
        store.add_run(RunRecord(run, "finetune", "tiny"))
        logits = (rng.random((N, 4)) + 2 * np.eye(4)[said]).astype(np.float32)
        store.write_member(Member(run, 1, rows, logits=logits))
    store.add_run(RunRecord("e", "imported", "unknown"))
    store.write_member(Member("e", 1, rows, predicted=labels[::-1].copy()))
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("compared") / "c.store")


def find_correct(store, *names):
    rows = store.corpus.rows("all")
    return store.predictions(names, rows) == store.corpus.labels[rows]


def test_two_members_are_compared_as_their_arrays_are(store):
    found = compare(store, ["a", "d"])
    correct = find_correct(store, "a", "d")
    [expected] = compare_pairs(correct, ["a@1", "d@1"], groups=store.corpus.speakers)
    [pair] = found.pairs
    assert pair.test == expected
    assert pair.p_mcnemar == mcnemar(*correct)
    assert pair.test.verdict == "better"
    assert (found.unit, found.n_units, found.cochran) == ("speaker", 12, None)


def test_the_order_turns_the_verdict_round(store):
    assert compare(store, ["d", "a"]).pairs[0].test.verdict == "worse"


def test_members_that_are_alike_cannot_be_told_apart(store):
    assert compare(store, ["b", "c"]).pairs[0].test.verdict == "cannot tell"


def test_utterances_are_the_unit_without_speakers_or_on_request(store, tmp_path):
    for found in (
        compare(make_store(tmp_path / "d.store", n_speakers=None), ["a", "b"]),
        compare(store, ["a", "b"], unit="utterance"),
    ):
        assert (found.unit, found.n_units) == ("utterance", N)
        assert found.pairs[0].test.method == "McNemar"
        assert found.pairs[0].test.p == pytest.approx(found.pairs[0].p_mcnemar)
        assert found.compared[0].interval.method == "Wilson"


def test_several_are_compared_in_all_pairs_and_by_cochran_s_test(store):
    found = compare(store, ["a", "b", "c"])
    assert [(pair.test.first, pair.test.second) for pair in found.pairs] == [
        ("a@1", "b@1"),
        ("a@1", "c@1"),
        ("b@1", "c@1"),
    ]
    assert found.cochran == cochran_q(find_correct(store, "a", "b", "c"))
    assert [pair.test.p_holm for pair in found.pairs] == pytest.approx(holm([pair.test.p for pair in found.pairs]))


def test_against_one_leaves_fewer_tests_to_correct_for(store):
    found = compare(store, ["b", "c", "d"], against="a")
    assert [one.name for one in found.compared] == ["b@1", "c@1", "d@1", "a@1"]
    assert [(pair.test.first, pair.test.second) for pair in found.pairs] == [
        (name, "a@1") for name in ("b@1", "c@1", "d@1")
    ]
    alone = [compare(store, [name, "a"]).pairs[0].test.p for name in ("b", "c", "d")]
    assert [pair.test.p for pair in found.pairs] == alone
    assert [pair.test.p_holm for pair in found.pairs] == pytest.approx(holm(alone))
    assert found.pairs[2].test.verdict == "worse"


def test_against_the_best_is_against_the_most_accurate_and_warns_of_the_choice(store):
    found = compare(store, ["b", "a", "c"], against="best")
    assert {pair.test.second for pair in found.pairs} == {"a@1"}
    assert any("chosen on these utterances" in caution for caution in found.cautions)


def test_an_ensemble_is_compared_by_its_name(store):
    found = compare(store, ["d@1", "a+b@1+c"])
    ensemble = found.compared[1]
    assert (ensemble.name, ensemble.members) == ("a@1+b@1+c@1", ("a@1", "b@1", "c@1"))
    rows = store.corpus.rows("all")
    voted = hard_vote(store.predictions(["a", "b", "c"], rows), n_classes=4).predicted
    assert ensemble.metrics.correct == np.count_nonzero(voted == store.corpus.labels)
    assert any("ensemble" in caution for caution in found.cautions)


@pytest.mark.parametrize("tie", ["lowest", "confidence", "best", "abstain"])
def test_ensembles_vote_by_the_rules_of_voting(store, tie):
    rows = store.corpus.rows("all")
    predicted = store.predictions(["a", "b", "d"], rows)
    logits = store.logits(["a", "b", "d"], rows).astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    accuracies = (predicted == store.corpus.labels).mean(axis=1)
    expected = hard_vote(predicted, n_classes=4, tie=tie, probabilities=probabilities, accuracies=accuracies)
    voted = vote_ensemble(store, ["a", "b", "d"], rows, rule=VotingRule("hard", tie))
    np.testing.assert_array_equal(voted, expected.predicted)
    soft = vote_ensemble(store, ["a", "b", "d"], rows, rule=VotingRule("soft"))
    np.testing.assert_array_equal(soft, soft_vote(probabilities).predicted)


def test_few_speakers_are_said_to_be_too_few(tmp_path):
    found = compare(make_store(tmp_path / "few.store", n_speakers=4), ["a", "d"])
    assert found.pairs[0].test.verdict == "cannot tell"
    assert found.cautions == ("4 speakers cannot give a p below 0.125, whatever the difference",)


def test_the_document_names_both_and_the_verdict(store):
    document = compare(store, ["a", "b+c+d"], alpha=0.01).to_json()
    assert [one["name"] for one in document["compared"]] == ["a@1", "b@1+c@1+d@1"]
    assert (document["n"], document["unit"], document["alpha"], document["cochran"]) == (N, "speaker", 0.01, None)
    [pair] = document["pairs"]
    assert {"only_first", "only_second", "difference", "ci95", "p", "p_holm", "p_mcnemar", "verdict"} < set(pair)
    assert pair["difference"] == pytest.approx((pair["only_first"] - pair["only_second"]) / N)


@pytest.mark.parametrize(
    ("names", "options", "error", "message"),
    [
        (["a"], {}, EnsembleError, "there is only a@1 to compare: expected two members or ensembles or more"),
        (["a", "a@1"], {}, EnsembleError, "a@1 is named twice"),
        (["a+b", "b+a"], {}, EnsembleError, r"b@1\+a@1 is named twice"),
        (["a", "b++c"], {}, EnsembleError, r"'b\+\+c' names no member at one side of a plus sign"),
        (["a", "b+b"], {}, StoreError, "b@1 is named twice"),
        (["a", "z"], {}, UnknownNameError, "unknown member 'z'"),
        (["a", "b"], {"unit": "speakers"}, UnknownNameError, "unknown unit 'speakers': expected one of speaker"),
        (["a", "b"], {"rule": "sof"}, UnknownNameError, "unknown voting rule 'sof'"),
        (["a", "b"], {"tie": "low"}, UnknownNameError, "unknown tie rule 'low'"),
        (["a", "b"], {"alpha": 5.0}, MetricError, "`alpha` is 5"),
        (["a", "b+e"], {"rule": "soft"}, StoreError, "e@1 has labels only"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(store, names, options, error, message):
    with pytest.raises(error, match=message) as refused:
        compare(store, names, **options)
    assert "\n" not in str(refused.value)


def test_speakers_are_refused_where_none_are_known(tmp_path):
    with pytest.raises(CorpusError, match="no speakers are known here"):
        compare(make_store(tmp_path / "none.store", n_speakers=None), ["a", "b"], unit="speaker")


def test_a_member_is_an_ensemble_of_one(store):
    assert resolve_ensemble(store, "a") == ["a@1"]
    rows = store.corpus.rows("all")
    voted = vote_ensemble(store, ["a"], rows, rule=VotingRule("soft"))
    np.testing.assert_array_equal(voted, store.predictions(["a"], rows)[0])
