"""Whom a model learns from, and whom it is judged on."""

import numpy as np
import pytest

from ser_store.corpora.splits.train_eval_rows import check_trainable, choose_train_eval_rows
from ser_store.errors import CorpusError
from ser_store_h5.corpus import Corpus


def corpus(parts):
    n = len(parts)
    return Corpus(
        name="x",
        ids=np.array([f"u{i:02}" for i in range(n)]),
        labels=np.arange(n, dtype=np.int16) % 2,
        classes=("a", "b"),
    ).with_split("s", np.array(parts))


def test_all_who_are_not_trained_on_are_evaluated_and_the_validation_part_is_watched():
    train_eval = choose_train_eval_rows(corpus(["train", "valid", "test", "train", "test", ""]))
    assert (train_eval.train.tolist(), train_eval.evaluated.tolist(), train_eval.monitored.tolist()) == (
        [0, 3],
        [1, 2, 4],
        [1],
    )
    assert train_eval.on == "valid"


def test_without_a_validation_part_the_test_part_is_watched():
    assert choose_train_eval_rows(corpus(["train", "test"])).on == "test"


def test_one_fold_is_evaluated_and_the_others_are_trained_on():
    train_eval = choose_train_eval_rows(corpus(["fold-1", "fold-2", "fold-3", "fold-2", ""]), fold=2)
    assert (train_eval.train.tolist(), train_eval.evaluated.tolist(), train_eval.on) == ([0, 2], [1, 3], "fold-2")


@pytest.mark.parametrize("fold", [None, 4])
def test_a_split_into_folds_needs_one_of_them(fold):
    with pytest.raises(CorpusError, match="split s has the parts fold-1, fold-2: expected a `fold`"):
        choose_train_eval_rows(corpus(["fold-1", "fold-2"]), fold=fold)


def test_a_fold_of_a_split_without_folds_is_refused():
    with pytest.raises(CorpusError, match="split s has no folds: got `fold` 1; expected none, or a `split` into folds"):
        choose_train_eval_rows(corpus(["train", "test"]), fold=1)


def test_a_split_without_a_part_to_evaluate_is_refused():
    with pytest.raises(CorpusError, match="split s has no valid or test part"):
        choose_train_eval_rows(corpus(["train", "train"]))


@pytest.mark.parametrize("fold", [None, 1])
def test_a_split_without_a_part_to_train_on_is_refused(fold):
    with pytest.raises(CorpusError, match="split s has the parts valid, test: expected train and others, or folds"):
        choose_train_eval_rows(corpus(["test", "valid"]), fold=fold)


@pytest.mark.parametrize("fold", [None, 1])
def test_one_fold_alone_leaves_nothing_to_train_on(fold):
    with pytest.raises(CorpusError, match="split s has the parts fold-1: expected train and others, or folds"):
        choose_train_eval_rows(corpus(["fold-1", "fold-1", ""]), fold=fold)


def test_of_many_parts_without_a_use_a_dozen_are_shown():
    with pytest.raises(CorpusError, match=r"the parts p-0, p-1, .*, p-9, p-10, p-11, … \(20 in all\): expected train"):
        check_trainable(corpus([f"p-{i}" for i in range(20)]))
