"""What the voting benchmark measures with: that voters decide alike, and that figures are what they say."""

import json
from importlib.util import find_spec
from math import comb

import numpy as np
import pytest

from measuring.voters import VOTERS, Voter
from measuring.voting import compare_voting
from measuring.voting_problem import VotingProblem
from measuring.voting_table import print_voting
from ser_store.errors import EnsembleError
from ser_store.voting import hard_vote, soft_vote

SMALL = VotingProblem(runs=3, steps=4, n=40, n_classes=5, k=3, seed=1)


@pytest.mark.filterwarnings("ignore")  # of libraries about each other
@pytest.mark.parametrize("voter", VOTERS, ids=lambda voter: f"{voter.name}, {voter.rule}")
def test_a_library_decides_as_the_rule_does(voter):
    pytest.importorskip(voter.library)
    for members in SMALL.sample(5):
        votes, probabilities = SMALL.predictions[members], SMALL.probabilities[members]
        expected = soft_vote(probabilities) if voter.rule == "soft" else hard_vote(votes, n_classes=5)
        np.testing.assert_array_equal(voter.prepare(votes, probabilities)(), expected.predicted)


def test_every_search_is_timed_and_related_to_the_baseline_of_its_rule():
    compared = compare_voting(SMALL, repeats=2, voters=())
    assert compared.checked == comb(12, 3)
    assert [(rate.rule, rate.name) for rate in compared.rates if rate.threads == 1] == [
        ("hard", "one-hot numpy"),
        ("hard", "serstore, batched"),
        ("hard", "serstore, bitsliced"),
        ("soft", "float32 numpy"),
        ("soft", "serstore, batched"),
        ("soft", "serstore, summed"),
    ]
    for rule in ("hard", "soft"):
        baseline, *others = [rate for rate in compared.rates if rate.rule == rule]
        assert baseline.ratio == 1
        assert baseline.measured == 220
        for rate in others:
            assert rate.ratio == pytest.approx(rate.per_second / baseline.per_second)
            assert rate.per_second == rate.measured / rate.seconds > 0


def test_the_table_has_a_line_for_each_that_votes(capsys):
    print_voting(compare_voting(SMALL, repeats=1))
    said = capsys.readouterr().out
    assert "3 of 12 members, 40 utterances, 5 classes: 220 ensembles" in said
    lines = said.splitlines()
    for name in ("one-hot numpy", "serstore, bitsliced", "float32 numpy", "serstore, summed", "scipy.stats.mode"):
        assert any(line.startswith(name) for line in lines), name


def test_the_document_says_what_was_measured_on_which_machine():
    document = json.loads(json.dumps(compare_voting(SMALL, repeats=1, voters=()).to_json()))
    assert document["voting_problem"] == {
        "runs": 3, "steps": 4, "n": 40, "n_classes": 5, "k": 3, "seed": 1, "members": 12, "ensembles": 220,
    }  # fmt: skip
    assert {"numpy", "numba", "ser-store", "python"} <= document["versions"].keys()
    assert document["machine"]["cores"] >= 1
    assert document["rates"][0].keys() == {"name", "rule", "threads", "measured", "seconds", "ratio", "per_second"}


def test_a_library_that_is_not_installed_is_named():
    absent = Voter("nobody's vote", "a_library_that_nobody_wrote", "hard", lambda votes, _: lambda: votes[0])
    assert find_spec(absent.library) is None
    compared = compare_voting(SMALL, repeats=1, voters=(absent,))
    assert compared.missing == {"nobody's vote": "a_library_that_nobody_wrote"}
    assert "nobody's vote" not in {rate.name for rate in compared.rates}


def test_a_library_that_decides_otherwise_is_not_timed():
    contrary = Voter("the contrary", "json", "hard", lambda votes, _: lambda: (votes[0] + 1) % 5)
    with pytest.raises(EnsembleError, match="the contrary decides otherwise than hard voting: nothing is timed"):
        compare_voting(SMALL, repeats=1, voters=(contrary,))


def test_a_library_is_timed_by_the_ensembles_it_voted():
    own = Voter("our own", "json", "hard", lambda votes, _: lambda: hard_vote(votes, n_classes=5).predicted)
    rate = compare_voting(SMALL, repeats=1, voters=(own,)).rates[0]
    assert (rate.name, rate.measured, rate.threads) == ("our own", 40, 1)
    assert rate.ratio > 0


@pytest.mark.parametrize(
    ("posed", "repeats", "message"),
    [
        (VotingProblem(runs=1, steps=3, k=4), 1, "4 of 3 members, 1 times: expected 2 to 3 members, at least once"),
        (VotingProblem(runs=1, steps=3, k=1), 1, "1 of 3 members"),
        (SMALL, 0, "0 times"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(posed, repeats, message):
    with pytest.raises(EnsembleError, match=message):
        compare_voting(posed, repeats=repeats)


def test_ensembles_of_a_sample_hold_different_members_in_order():
    sample = SMALL.sample(50)
    assert sample.shape == (50, 3)
    assert (np.diff(sample, axis=1) > 0).all()
    assert sample.min() >= 0
    assert sample.max() == 11
    np.testing.assert_array_equal(sample, VotingProblem(runs=3, steps=4, n=40, n_classes=5, k=3, seed=1).sample(50))


def test_the_usual_members_are_as_good_as_those_published():
    usual = VotingProblem()
    accuracies = (usual.predictions == usual.truth).mean(axis=1)
    assert (usual.m, usual.total) == (84, 30_872_016)
    assert 0.82 < accuracies.min() < accuracies.max() < 0.94
    assert usual.count_members(at_most=50_000) == 24
    assert SMALL.count_members(at_most=0) == 3
