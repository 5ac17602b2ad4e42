"""The splits of a store: listed, described, added, removed, and the default one."""

import numpy as np
import pytest

import ser_store as ss
from ser_store_h5.runs import RunRecord


@pytest.fixture
def store(tmp_path):
    n = 24
    return ss.Store.create(
        tmp_path / "made.store",
        ids=[f"u{place:02}" for place in range(n)],
        labels=["happy", "sad"] * (n // 2),
        speakers=[f"s{place // 6}" for place in range(n)],
        splits={"paper": ["test" if place < 6 else "train" for place in range(n)]},
        session=[place // 12 for place in range(n)],
        take=[f"take {place}" for place in range(n)],
    )


def test_they_are_listed_as_the_contract_says(store, serstore):
    document = serstore("splits", "--json", "--store", store.path).json
    assert document["splits"] == [
        {
            "name": "paper",
            "default": True,
            "kind": "paper",
            "parts": {
                "train": {"n": 18, "speakers": ["s1", "s2", "s3"], "classes": {"happy": 9, "sad": 9}},
                "test": {"n": 6, "speakers": ["s0"], "classes": {"happy": 3, "sad": 3}},
            },
        }
    ]
    assert "18 train, 6 test" in serstore("splits", "--store", store.path).out
    assert "test: 6 utterances of s0" in serstore("splits", "--describe", "paper", "--store", store.path).out


def test_one_is_added_without_the_recordings_and_the_default_stays(store, serstore):
    told = serstore("splits", "--add", "speaker-folds", "--folds", 2, "--json", "--store", store.path)
    assert [(one["name"], one["default"], one["kind"]) for one in told.json["splits"]] == [
        ("paper", True, "paper"),
        ("speaker-folds-2-folds", False, "speaker-folds"),
    ]
    assert "the split is called speaker-folds-2-folds" in told.err
    found = ss.splits(store.path, "session", add="session", default="session").splits
    assert [(one.kind, one.default, [part.part for part in one.parts]) for one in found] == [
        ("column", True, ["fold-0", "fold-1"])
    ]
    assert ss.Store(store.path).corpus.default_split == "session"


def test_one_is_removed_unless_it_is_in_use(store):
    ss.splits(store, add="session")
    store.add_run(RunRecord("mine", "head", "x", details={"cv": "session"}))
    with pytest.raises(ss.StoreError, match="split session cannot be removed: runs mine were made by it"):
        ss.splits(store, remove="session")
    with pytest.raises(ss.StoreError, match="paper is the default split: expected another one"):
        ss.splits(store, remove="paper")
    store.remove("mine")
    assert [one.name for one in ss.splits(store, remove="session").splits] == ["paper"]
    assert ss.splits(store, remove="paper").splits == ()
    assert ss.Store(store.path).corpus.default_split is None


def test_a_split_is_drawn_several_times_by_the_seeds_that_follow(store, serstore):
    found = ss.splits(store, add="kfold", folds=3, seed=7, repeats=2)
    names = ["kfold-3-folds-7", "kfold-3-folds-8"]
    assert [one.name for one in found.splits] == ["paper", *names]
    assert found.notes == (f"the splits are called {', '.join(names)}, after their seed or number of folds",)
    corpus = ss.Store(store.path).corpus
    for name, seed in zip(names, (7, 8), strict=True):
        alone = ss.Store.create(store.path.with_name(f"{name}.store"), corpus)
        ss.splits(alone, remove=name)
        ss.splits(alone, add="kfold", folds=3, seed=seed)
        assert alone.corpus.parts(name).tolist() == corpus.parts(name).tolist()
    assert (corpus.parts(names[0]) != corpus.parts(names[1])).any()
    told = serstore("splits", "--add", "kfold", "--repeats", 3, "--json", "--store", store.path).json
    assert {"kfold", "kfold-1", "kfold-2"} <= {one["name"] for one in told["splits"]}


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"repeats": 3}, ss.SerstoreError, "are those of a split to `add`"),
        ({"add": "kfold", "repeats": 1}, ss.CorpusError, "`repeats` is 1: expected a whole number from 2 on"),
        ({"add": "loso", "repeats": 2}, ss.CorpusError, "`repeats` of split 'loso', which is always the same"),
        ({"add": "session", "repeats": 2}, ss.CorpusError, "always the same: expected one of paper, "),
        ({"add": "take"}, ss.CorpusError, "column 'take' has 24 different values for 24 utterances"),
        ({"add": "papier"}, ss.UnknownNameError, "unknown split 'papier'"),
        ({"add": "paper", "seed": 101}, ss.CorpusError, "split 'paper' is there with other parts"),
        ({"default": "kfold"}, ss.UnknownNameError, "unknown split 'kfold'"),
        ({"describe": "kfold"}, ss.UnknownNameError, "unknown split 'kfold'"),
        ({"seed": 3}, ss.SerstoreError, "are those of a split to `add`"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_and_changes_nothing(store, asked, error, said):
    before = store.corpus.splits
    with pytest.raises(error, match=said) as caught:
        ss.splits(store, **asked)
    assert "\n" not in str(caught.value)
    after = ss.Store(store.path).corpus.splits
    assert {name: np.unique(parts).tolist() for name, parts in after.items()} == {
        name: np.unique(parts).tolist() for name, parts in before.items()
    }
