"""Votes from a store: the same ensemble decides the same, whoever else is there, and equal sums are ties."""

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from ensemble_samples import list_results

from ser_store import Search, Store, vote
from ser_store.evaluation.choice.ensemble_names import VotingRule, vote_ensemble
from ser_store.evaluation.comparing import compare
from ser_store.metrics import compute_balanced_accuracy
from ser_store_h5.corpus import Corpus
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord

CLASSES = ("angry", "happy", "sad")
RULES = [
    *(("hard", tie) for tie in ("lowest", "confidence", "best", "abstain")),
    ("soft", "lowest"),
    ("soft-log", "lowest"),
]


def make_store(path, logits, labels, *, classes=CLASSES, kind="finetune", details=None):
    """Runs ``a``, ``b``, … of one step each with these logits, ``(m, n, c)``."""
    n = len(labels)
    store = Store.create(
        path,
        Corpus(
            name="votes",
            ids=np.array([f"u{row:03}" for row in range(n)]),
            labels=np.array(labels, dtype=np.int16),
            classes=classes,
        ),
    )
    for run, own in zip("abcdefghij", np.asarray(logits, dtype=np.float32), strict=False):
        store.add_run(RunRecord(run, kind, "elsewhere", details=details or {}))
        store.write_member(Member(run, 1, np.arange(n, dtype=np.int32), logits=own))
    return store


def name_winners(winners, *, c=3):
    """Logits of members that vote for these classes, ``(m, n)``."""
    return np.eye(c)[np.asarray(winners)]


@pytest.fixture(scope="module")
def coarse(tmp_path_factory):
    """Six members whose logits are small whole numbers, so that sums are often equal."""
    rng = np.random.default_rng(2)
    labels = rng.integers(3, size=60)
    logits = rng.integers(-2, 3, size=(6, 60, 3)) + np.eye(3, dtype=int)[labels]
    return make_store(tmp_path_factory.mktemp("coarse") / "coarse.store", logits, labels)


def test_weights_of_a_tenth_and_two_tenths_are_one_to_two_beside_whoever_it_is(tmp_path):
    store = make_store(tmp_path / "tenths.store", name_winners([[1, 0], [1, 0], [0, 1], [2, 2]]), [1, 1])
    weights = {"a": 0.1, "b": 0.1, "c": 0.2, "d": 0.3}
    alone = vote(store, ["a", "b", "c"], weights=weights, correction="none").ensembles[0].score
    assert (alone.correct, alone.n, alone.ties) == (0, 2, 2)
    search = vote(store, k=3, all_combos=True, weights=weights, correction="none")
    assert [one.score for one in search.ensembles if one.members == ("a@1", "b@1", "c@1")] == [alone]
    for four in ([0.1, 0.1, 0.1, 0.3], [1, 1, 1, 3]):
        even = make_store(tmp_path / f"{four[0]}.store", name_winners([[0, 1]] * 3 + [[1, 0]]), [0, 0])
        assert vote(even, weights=four, correction="none").ensembles[0].score.ties == 2


@pytest.mark.parametrize(
    "weights",
    [
        {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.3, "e": 0.6, "f": 0.7},
        {"a": 0.8194444444444444, "b": 0.75, "c": 1 / 3, "d": 1 / 3, "e": 2 / 3, "f": 0.123456789},
        {"a": 1e-9, "b": 2e-9, "c": 1e9, "d": 1e9, "e": 2e9, "f": 0},
        "accuracy",
        "balanced-accuracy",
    ],
    ids=["tenths", "all digits", "of every size", "accuracy", "balanced-accuracy"],
)
@pytest.mark.parametrize(("rule", "tie"), RULES)
def test_an_ensemble_scores_alone_and_by_other_units_of_weight_what_it_scores_in_a_search(coarse, rule, tie, weights):
    options = {"rule": rule, "tie": tie, "correction": "none"}
    search = vote(coarse, k=3, all_combos=True, weights=weights, top=20, **options)
    assert len(search.ensembles) == 20
    for one in search.ensembles:
        own = weights
        if not isinstance(weights, str):
            own = {name: 10 * weight for name, weight in weights.items()}
        alone = vote(coarse, one.members[::-1], weights=own, **options)
        assert list_results(alone) == [(one.members, one.score.correct, one.score.balanced_accuracy, one.score.ties)]


@pytest.mark.parametrize("weights", [None, [1, 2, 1, 3, 1, 1]])
@pytest.mark.parametrize("scale", [1, 0.25, 0.1])
def test_soft_log_voting_is_by_exact_sums_of_the_logits_that_are_stored(tmp_path, scale, weights):
    rng = np.random.default_rng(5)
    labels = rng.integers(3, size=80)
    logits = (rng.integers(-9, 10, size=(6, 80, 3)) * scale).astype(np.float32)
    store = make_store(tmp_path / "sums.store", logits, labels)
    whole = [1] * 6 if weights is None else weights
    expected, n_ties = {}, 0
    for members in combinations(range(6), 3):
        predicted, tied = [], 0
        for row in range(80):
            sums = [sum(whole[m] * Fraction(float(logits[m, row, c])) for m in members) for c in range(3)]
            predicted.append(sums.index(max(sums)))
            tied += sums.count(max(sums)) > 1
        correct = int(np.count_nonzero(np.array(predicted) == labels))
        balanced = compute_balanced_accuracy(labels, predicted, n_classes=3)
        expected[tuple(f"{'abcdef'[m]}@1" for m in members)] = (correct, balanced, tied)
        n_ties += tied
    assert n_ties > (0 if scale == 0.1 else 40)
    for backend in ("batched", "summed"):
        found = vote(
            store,
            k=3,
            all_combos=True,
            rule="soft-log",
            weights=weights,
            search=Search(backend=backend),
            correction="none",
            top=20,
        )
        assert {row[0]: row[1:] for row in list_results(found)} == expected


@pytest.mark.parametrize(("rule", "tie"), RULES)
def test_the_order_in_which_members_are_named_does_not_matter_to_any_command(coarse, rule, tie):
    rows = coarse.corpus.rows("all")
    decided = [
        vote_ensemble(coarse, list(names), rows, rule=VotingRule(rule, tie)) for names in ("abcd", "dbca", "cdab")
    ]
    for other in decided[1:]:
        np.testing.assert_array_equal(other, decided[0])
    votes = [vote(coarse, list(names), rule=rule, tie=tie, correction="none") for names in ("abcd", "dcba")]
    assert votes[0].ensembles == votes[1].ensembles
    compared = compare(coarse, ["e", "d+b+a+c"], rule=rule, tie=tie).compared[1].metrics
    assert (
        compared.correct == votes[0].ensembles[0].score.correct == np.count_nonzero(decided[0] == coarse.corpus.labels)
    )


def test_of_equally_accurate_members_the_first_by_name_decides(tmp_path):
    store = make_store(tmp_path / "equal.store", name_winners([[2, 0], [1, 1]]), [2, 1])
    for names in (["a", "b"], ["b", "a"]):
        assert vote(store, names, tie="best", correction="none").ensembles[0].score.correct == 1
        decided = vote_ensemble(store, names, store.corpus.rows("all"), rule=VotingRule("hard", "best"))
        assert decided.tolist() == [2, 0]


def test_probabilities_that_were_imported_add_up_as_they_were_written(tmp_path):
    probabilities = np.array([[[0.6, 0.4]], [[0.3, 0.7]], [[0.6, 0.4]], [[0.2, 0.8]], [[0.25, 0.75]], [[0.55, 0.45]]])
    store = make_store(
        tmp_path / "decimals.store",
        np.log(probabilities),
        [1],
        classes=("no", "yes"),
        kind="import",
        details={"scores": "log-probabilities"},
    )
    found = vote(store, ["a", "b", "c"], rule="soft", correction="none").ensembles[0].score
    assert (found.correct, found.ties) == (0, 1)
    tied = vote(store, ["c", "d", "e", "f"], rule="soft", weights=[1, 1, 1, 1], correction="none").ensembles[0].score
    assert (tied.correct, tied.ties) == (1, 0)
    assert (
        vote(store, ["d", "e", "f"], rule="soft", weights=[0.1, 0, 0.6], correction="none").ensembles[0].score.ties == 1
    )


@pytest.mark.parametrize(
    ("rule", "decided"),
    [
        (VotingRule(), [0, 1, -1, 2]),
        (VotingRule(tie="abstain"), [0, -1, -1, 2]),
        (VotingRule(tie="best"), [0, -1, -1, 2]),
    ],
    ids=str,
)
def test_an_answer_that_is_none_of_the_classes_is_a_vote_for_one_that_comes_last(tmp_path, rule, decided):
    store = Store.create(
        tmp_path / "answers.store",
        Corpus("answers", np.array(["u0", "u1", "u2", "u3"]), np.array([0, 1, 0, 2], dtype=np.int16), CLASSES),
    )
    for run, answers in {"a": [0, -1, -1, 2], "b": [0, 1, -1, -1], "c": [2, 2, 0, 2]}.items():
        store.add_run(RunRecord(run, "import", "elsewhere"))
        predicted = np.array(answers, dtype=np.int16)
        store.write_member(Member(run, 1, np.arange(4, dtype=np.int32), predicted=predicted))
    rows = store.corpus.rows("all")
    assert vote_ensemble(store, ["c", "b", "a"], rows, rule=rule).tolist() == decided
    found = vote(store, tie=rule.tie, correction="none").ensembles[0].score
    assert (found.correct, found.ties) == (np.count_nonzero(np.array(decided) == store.corpus.labels), 1)
