"""The best ensemble of a vote, saved: a member like any other, that says how it was chosen."""

import numpy as np
import pytest

import ser_store as ss
from ser_store.errors import ExistsError
from ser_store.interchange.listing import ls, rm
from ser_store_h5.pack.merging import merge
from ser_store_h5.pack.packing import pack

N = 120
IDS = [f"u{row:03}" for row in range(N)]
PARTS = np.where(np.arange(N) % 3 == 0, "valid", "test")


@pytest.fixture
def store(tmp_path):
    """Five models with logits, of twelve speakers; the fifth does not cover the first ten utterances."""
    rng = np.random.default_rng(4)
    labels = rng.integers(4, size=N)
    speakers = [f"s{row // 10}" for row in range(N)]
    made = ss.Store.create(
        tmp_path / "mine.store",
        ids=IDS,
        labels=labels,
        classes=list("abcd"),
        speakers=speakers,
        splits={"usual": PARTS},
    )
    for number in range(5):
        logits = rng.normal(size=(N, 4))
        logits[np.arange(N), labels] += 1.2
        first = 10 if number == 4 else 0
        made.add(f"m{number}", ids=IDS[first:], logits=logits[first:], trained_on="valid")
    return made


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tie": "best"},
        {"tie": "abstain"},
        {"rule": "soft"},
        {"rule": "soft-log"},
        {"rule": "weighted"},
        {"rule": "soft", "weights": "balanced_accuracy"},
        {"objective": "balanced_accuracy", "limits": ss.Limits(include="m1")},
        {"select_on": "valid"},
    ],
    ids=str,
)
def test_a_saved_ensemble_has_the_figures_that_the_vote_reported(store, options):
    report = ss.vote(store, k=3, all_combos=True, on="test", save="best3", **options)
    assert report.saved == "best3@0"
    best = report.ensembles[0]
    [evaluated] = ss.evaluate(store, "best3", on="test").members
    assert (evaluated.metrics.correct, evaluated.metrics.n) == (best.score.correct, best.score.n)
    assert evaluated.metrics.balanced_accuracy == pytest.approx(best.score.balanced_accuracy)
    assert (evaluated.probabilities is None) == (not options.get("rule", "hard").startswith("soft"))
    assert store.run("best3").details["members"] == list(best.members)


def test_a_saved_ensemble_votes_beside_its_members_where_it_is_named_alone(store):
    ss.vote(store, k=3, all_combos=True, on="test", save="best3")
    voting = [ss.vote(store, members, on="test").ensembles[0].members for members in ((), ["*"], ["best3", "m1"])]
    assert "best3@0" not in voting[0]
    assert voting[1] == voting[0]
    assert voting[2] == ("best3@0", "m1@0")
    with pytest.raises(ss.EnsembleError, match=r"best\*: saved ensembles alone, whose members vote"):
        ss.vote(store, "best*", on="test")


def test_where_it_was_chosen_a_caution_gives_the_corrected_figure_and_elsewhere_none(store):
    report = ss.vote(store, k=3, all_combos=True, on="test", save="best3")
    selection = report.selection
    expected = (
        f"best3 was chosen among 4 ensembles on 80 of these 80 utterances: its figures are too good; accuracy "
        f"{selection.apparent:.2%} there, corrected {selection.corrected:.2%}"
    )
    assert expected in ss.evaluate(store, "best3", on="test").cautions
    assert expected in ss.compare(store, ["best3", "m1"], on="test").cautions
    assert not [line for line in ss.evaluate(store, "best3", on="valid").cautions if "chosen among" in line]


def test_it_has_learned_from_what_its_members_have_learned_from(store):
    ss.vote(store, k=3, all_combos=True, on="test", save="best3")
    [line] = [line for line in ss.evaluate(store, "best3", on="valid").cautions if "trained on 40 of these" in line]
    assert line.startswith("best3 was trained on 40 of these 40 utterances")


def test_what_members_of_another_split_have_learned_from_is_said_of_it(store):
    store.update_corpus(store.corpus.with_split("other", np.roll(PARTS, 1)))
    ss.vote(store, k=3, all_combos=True, on="test", split="other", save="best3")
    lines = ss.evaluate(store, "best3", on="valid").cautions
    assert [line for line in lines if line.startswith("best3 was trained on 40 of these 40 utterances, through its")]


def test_it_covers_what_all_its_members_cover(store):
    store.update_corpus(store.corpus.with_split("late", np.where(np.arange(N) < 10, "train", "test")))
    ss.vote(store, ["m0", "m1", "m4"], split="late", on="test", save="part")
    assert store.covered("part").tolist() == list(range(10, N))
    assert store.run("part").details["chosen"] is None


def test_it_stands_wherever_a_member_does_and_is_no_candidate_of_its_own_accord(store, tmp_path, serstore):
    found = ss.vote(store, k=3, all_combos=True, on="test", save="best3")
    again = ss.vote(store, k=3, all_combos=True, on="test")
    assert again.candidates == found.candidates
    assert "best3@0" in ss.vote(store, ["best3", "m0", "m1"], on="test").candidates
    assert ss.export(store, tmp_path / "best.csv", "best3").members == 1
    assert "best3@0" in str(ls(store))
    assert serstore("info", "--store", store.path).code == 0
    assert serstore("verify", "--store", store.path).code == 0
    with pytest.raises(ExistsError, match="best3"):
        ss.vote(store, k=2, all_combos=True, on="test", save="best3")
    packed = pack(store, tmp_path / "packed.h5").members
    assert "best3@0" in packed
    assert ss.evaluate(tmp_path / "packed.h5", "best3").members[0].metrics.correct == found.ensembles[0].score.correct
    rm(store, "best3")
    assert "best3" not in store.runs()
    merge(store, ss.Store(tmp_path / "packed.h5"))
    assert store.run("best3").details["chosen"]["ensembles"] == 4


def test_the_command_saves_and_says_the_name(store, serstore):
    words = ("vote", "--k", 3, "--all-combos", "--on", "test", "--store", store.path)
    assert serstore(*words, "--save", "one").out.endswith("the best is saved as one@0\n")
    assert serstore(*words, "--save", "two", "--json").json["saved"] == "two@0"
    refused = serstore(*words, "--save", "one")
    assert (refused.code, refused.out) == (1, "")
