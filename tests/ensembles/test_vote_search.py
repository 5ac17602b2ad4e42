"""Votes from a store, against trying every ensemble by the definitions of the rules."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest
from ensemble_samples import N_TEST, interrupt_in, list_results, runs_of, search

from ser_store import vote
from ser_store.ensembles import Distribution, read_weights
from ser_store.errors import ExistsError
from ser_store.metrics import compute_balanced_accuracy
from ser_store.voting.diversity import compute_pair_diversity
from ser_store.voting.greedy import search_greedy
from ser_store.voting.problem import pose_problem


def test_all_ensembles_are_ranked_as_by_hand(sample):
    report = search(sample, top=1000)
    expected = sample.rank(3)
    assert list_results(report) == expected
    assert (report.searched, report.complete, report.search, report.proved) == (84, True, "exhaustive", True)
    alone = {name: sample.right(name, sample.test).mean() for name in sample.names}
    best = max(sorted(alone), key=alone.__getitem__)
    assert report.best_single == (best, alone[best])
    assert report.gain == expected[0][1] / N_TEST - alone[best]


def test_all_scores_are_distributed_as_by_hand(sample):
    distribution = search(sample).distribution
    correct = [one[1] for one in sample.rank(3)]
    assert dict(zip(distribution.correct, distribution.ensembles, strict=True)) == {
        score: correct.count(score) for score in sorted(set(correct))
    }
    quantiles = np.quantile(correct, [0, 0.25, 0.5, 0.75, 1], method="inverted_cdf")
    assert distribution.find_quantiles() == tuple(quantiles.astype(int))


def test_quantiles_of_one_ensemble_are_its_score():
    assert Distribution((7,), (1,)).find_quantiles() == (7, 7, 7, 7, 7)


def test_a_run_alone_stands_for_its_selected_step(sample):
    report = vote(sample.store, k=2, all_combos=True, correction="none")
    assert report.candidates == ("base@20", "large@30", "xl@10")
    assert list_results(report) == sample.rank(2, names=report.candidates)
    assert vote(sample.store, ["xl", "base@10"], k=2).ensembles[0].members == ("base@10", "xl@10")


def test_the_order_in_which_candidates_are_named_changes_nothing(sample):
    names = ["xl@10", "base@10", "large@20", "base@30"]
    one, other = (search(sample, *order, steps="selected", k=2, weights="accuracy") for order in (names, names[::-1]))
    assert (list_results(one), one.candidates) == (list_results(other), other.candidates)


@pytest.mark.parametrize(
    "rule",
    [
        *({"tie": tie} for tie in ("lowest", "confidence", "best", "abstain")),
        {"rule": "soft"},
        {"rule": "soft-log"},
    ],
    ids=str,
)
@pytest.mark.parametrize("k", [2, 4])
def test_every_rule_ranks_as_by_hand(sample, rule, k):
    assert list_results(search(sample, k=k, top=1000, **rule)) == sample.rank(k, **rule)


def test_balanced_accuracy_can_be_what_the_best_is_best_by(sample):
    report = search(sample, top=1000, objective="balanced-accuracy")
    expected = sample.rank(3, objective="balanced_accuracy")
    assert list_results(report) == expected
    assert expected != sample.rank(3)


def test_weights_by_accuracy_are_the_utterances_right(sample):
    weights = {name: int(sample.right(name, sample.test).sum()) for name in sample.names}
    expected = sample.rank(3, weights=weights)
    assert expected != sample.rank(3)
    for options in ({"weights": "accuracy"}, {"rule": "weighted"}, {"rule": "weighted", "weights": "accuracy"}):
        report = search(sample, top=1000, **options)
        assert list_results(report) == expected
        assert dict(zip(report.candidates, report.weights, strict=True)) == weights


def test_weights_by_balanced_accuracy(sample):
    report = search(sample, k=9, weights="balanced-accuracy", rule="soft")
    truth = sample.truth[sample.test]
    weights = {
        name: compute_balanced_accuracy(truth, sample.predicted[name][sample.test], n_classes=4)
        for name in sample.names
    }
    assert list_results(report) == sample.rank(9, weights=weights, rule="soft")


def test_weights_in_the_order_named_by_run_and_from_a_file(sample, tmp_path):
    names = ("xl@10", "base@10", "large@20", "base@30")
    weights = dict(zip(names, (3.0, 1.0, 2.0, 0.5), strict=True))
    expected = sample.rank(3, names=names, weights=weights)
    assert expected != sample.rank(3, names=names)
    table = tmp_path / "weights.csv"
    table.write_text("member,weight\nxl,3\nbase@30,0.5\nlarge,2\nbase,1\nnobody,9\n")
    for given in ([3, 1, 2, 0.5], {"xl": 3, "base": 1, "large": 2, "base@30": 0.5}, read_weights(str(table))):
        assert list_results(search(sample, *names, steps="selected", weights=given)) == expected
    assert read_weights("3,1,2,0.5") == [3, 1, 2, 0.5]
    assert read_weights("balanced-accuracy") == "balanced_accuracy"


def test_candidates_below_the_least_accuracy_are_left_out(sample):
    least = 0.6
    reaching = [name for name in sample.names if sample.right(name, sample.test).mean() >= least]
    assert 3 < len(reaching) < 9
    report = search(sample, min_accuracy=least, top=1000)
    assert report.candidates == tuple(reaching)
    assert list_results(report) == sample.rank(3, names=reaching)


def test_one_step_of_each_run(sample):
    report = search(sample, one_step_per_run=True, top=1000)
    assert report.searched == 27
    assert list_results(report) == sample.rank(3, allows=lambda members: len(runs_of(members)) == 3)
    assert sum(report.distribution.ensembles) == 27


@pytest.mark.parametrize(
    ("include", "allows"),
    [
        (["base@20"], lambda members: "base@20" in members),
        (["base@20", "xl@30"], lambda members: {"base@20", "xl@30"} <= set(members)),
        (["large"], lambda members: "large" in runs_of(members)),
        (["*@10"], lambda members: any(name.endswith("@10") for name in members)),
    ],
    ids=["a member", "two members", "a run", "a pattern"],
)
def test_included_members_runs_and_patterns_are_in_every_ensemble(sample, include, allows):
    assert list_results(search(sample, include=include, top=1000)) == sample.rank(3, allows=allows)


def test_an_included_member_need_not_reach_the_least_accuracy(sample):
    worst = min(sample.names, key=lambda name: sample.right(name, sample.test).mean())
    report = search(sample, include=[worst], min_accuracy=0.6, k=2, top=1000)
    assert all(worst in one.members for one in report.ensembles)
    assert len(report.ensembles) == len(report.candidates) - 1 > 2


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        (["base@20"], lambda name: name != "base@20"),
        (["large"], lambda name: not name.startswith("large")),
        (["*@10", "xl@20"], lambda name: not name.endswith("@10") and name != "xl@20"),
    ],
    ids=["a member", "a run", "a pattern and a member"],
)
def test_excluded_members_runs_and_patterns_are_no_candidates(sample, exclude, left):
    names = [name for name in sample.names if left(name)]
    assert list_results(search(sample, exclude=exclude, top=1000)) == sample.rank(3, names=names)


def test_several_sizes_have_a_best_each_and_one_over_all(sample):
    report = search(sample, k=[5, 1, 3], top=1000)
    assert list_results(report) == sample.rank([1, 3, 5])
    for k in (1, 3, 5):
        assert [one.members for one in report.best_by_size[k]] == [one[0] for one in sample.rank(k)]
    document = report.to_json()
    assert document["k"] == [1, 3, 5]
    assert [(one["k"], one["searched"]) for one in document["by_k"]] == [(1, 9), (3, 84), (5, 126)]
    assert document["searched"] == 219 == sum(document["distribution"]["ensembles"])
    assert {one["k"] for one in document["results"]} == {1, 3, 5}


def test_greedy_selection_takes_the_path_of_the_library(sample):
    report = search(sample, k=12, search="greedy", all_combos=False, rule="soft", top=1000)
    predictions = np.array([sample.predicted[name][sample.test] for name in sample.names])
    probabilities = np.array([sample.probabilities[name][sample.test] for name in sample.names])
    found = search_greedy(
        pose_problem(
            predictions, sample.truth[sample.test], k=12, n_classes=4, rule="soft", probabilities=probabilities
        )
    )
    assert report.ensembles[0].members == tuple(sample.names[place] for place in found.results[0].members)
    assert report.ensembles[0].score == found.results[0]
    assert len(report.ensembles) == 12
    assert (report.search, report.proved, report.distribution) == ("greedy", False, None)
    assert search(sample, k=3, search="greedy", top=1).selection is None


def test_pruned_search_finds_the_best_and_proves_it(sample):
    report = search(sample, k=5, search="pruned", tie="abstain", top=7)
    assert list_results(report) == sample.rank(5, tie="abstain")[:7]
    assert (report.search, report.proved, report.complete) == ("pruned", True, True)
    assert report.to_json()["bound"] == report.ensembles[0].score.correct


@pytest.mark.parametrize("options", [{"threads": 1}, {"backend": "batched"}, {"backend": "threading", "threads": 2}])
def test_threads_and_back_ends_change_nothing(sample, options):
    assert list_results(search(sample, k=4, **options)) == sample.rank(4)[:20]


def test_all_scores_go_into_a_file(sample, tmp_path):
    file = tmp_path / "scores.parquet"
    search(sample, scores=file, weights="accuracy")
    table = pl.read_parquet(file)
    weights = {name: int(sample.right(name, sample.test).sum()) for name in sample.names}
    expected = {members: correct for members, correct, *_ in sample.rank(3, weights=weights)}
    assert {tuple(row[:3]): row[3] for row in table.iter_rows()} == expected
    assert table.columns == ["member_1", "member_2", "member_3", "correct"]
    assert [path.name for path in tmp_path.iterdir()] == ["scores.parquet"]
    with pytest.raises(ExistsError, match="is there already: choose another name"):
        search(sample, scores=file)


def test_diversity_says_who_brings_what(sample):
    report = search(sample, diversity=True, weights="accuracy")
    best = report.ensembles[0].members
    weights = {name: int(sample.right(name, sample.test).sum()) for name in sample.names}
    document = report.to_json()["diversity"]
    for row, name in zip(document["contributions"], best, strict=True):
        others = [other for other in best if other != name]
        without = (sample.decide(others, sample.test, weights=weights).predicted == sample.truth[sample.test]).mean()
        assert (row["member"], row["accuracy"]) == (name, weights[name] / N_TEST)
        assert row["accuracy_without"] == without
    any_right = np.any([sample.right(name, sample.test) for name in best], axis=0).mean()
    assert document["ensemble"]["oracle_accuracy"] == any_right
    assert len(document["pairs"]) == 36
    pairs = compute_pair_diversity(
        [sample.predicted[name][sample.test] for name in sample.names], sample.truth[sample.test], n_classes=4
    )
    pair = next(one for one in document["pairs"] if one["members"] == list(sample.names[:2]))
    assert pair["kappa"] == pairs.kappa[0, 1]
    assert pair["disagreement"] == pairs.disagreement[0, 1]


def test_contributions_are_of_the_ensemble_as_it_voted_where_others_chose_its_best(sample):
    apart = 0
    for pair in combinations(sample.names, 2):
        asked = {"k": 2, "tie": "best", "correction": "none"}
        report = search(sample, *pair, diversity=True, select_on="valid", **asked)
        assert report.diversity.contributions.correct == report.ensembles[0].score.correct
        apart += search(sample, *pair, **asked).ensembles[0].score.correct != report.ensembles[0].score.correct
    assert apart, "valid and test prefer others"


def test_an_interrupt_leaves_the_best_so_far(sample, monkeypatch):
    monkeypatch.setattr("ser_store.voting.numpy_search.BLOCK_BYTES", 2000)
    report = search(sample, k=[3, 4], progress=interrupt_in("voting", after=2), correction="bootstrap")
    assert not report.complete
    assert 0 < report.searched < 84
    assert (report.selection, report.note) == (None, "not corrected: interrupted")
    with pytest.raises(KeyboardInterrupt):
        search(sample, progress=interrupt_in("voting", after=0))
