"""Who is judged on utterances that it has learned from is said to be, wherever figures are given."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord
from ser_store_h5.store import Store


@pytest.fixture
def path(paper_store, tmp_path):
    """A run that two splits cut across: by ``mine`` it was trained on the first 100 of 288 utterances."""
    path = shutil.copytree(paper_store, tmp_path / "paper.store")
    store = Store(path)
    corpus = store.corpus
    mine = np.array(["train"] * 100 + ["test"] * (len(corpus) - 100))
    store.update_corpus(replace(corpus, splits={**corpus.splits, "mine": mine}))
    store = Store(path)
    details = {"split": "mine", "fold": None, "on": "test"}
    store.add_run(RunRecord(run="r", kind="finetune", backbone="tiny-hubert", details=details))
    said = store.predictions(["xlsr53"], on="all")[0]
    rows = np.arange(len(corpus), dtype=np.int32)
    store.write_member(Member("r", 1, rows, predicted=said))
    return path


CAUTION = "r was trained on 100 of these 288 utterances (split mine): its figures are too good; --split mine has others"


@pytest.mark.parametrize(
    "words", [("evaluate", "r"), ("compare", "r", "xlsr53"), ("vote", "r", "xlsr53", "hubert-base", "--k", 3)]
)
def test_it_is_said_with_the_split_that_has_others(words, path, serstore):
    done = serstore(*words, "--store", path, "--json")
    assert done.code == 0, done.err
    assert CAUTION in done.json["cautions"]
    done = serstore(*words, "--store", path)
    assert CAUTION in done.err + done.out


def test_nothing_is_said_where_the_run_has_learned_from_none(path, serstore):
    assert serstore("evaluate", "r", "--split", "mine", "--store", path, "--json").json["cautions"] == []
    assert serstore("evaluate", "xlsr53", "--store", path, "--json").json["cautions"] == []
