"""``vote`` as a Python user meets it: what stands for a store, names and groups of options, and what comes back."""

from pathlib import Path

import numpy as np
import pytest
from ensemble_samples import list_results

import ser_store as ss


def test_a_store_is_a_store_or_its_path(sample):
    path = sample.store.path
    found = [ss.vote(store, k=2, all_combos=True, correction="none") for store in (sample.store, str(path), Path(path))]
    assert list_results(found[0]) == list_results(found[1]) == list_results(found[2])


def test_a_bare_string_is_one_name(sample):
    report = ss.vote(sample.store, "xl", steps="all")
    assert report.candidates == ("xl@10", "xl@20", "xl@30")
    limited = ss.vote(sample.store, k=2, all_combos=True, limits=ss.Limits(include="xl", exclude="base"))
    assert limited.ensembles[0].members == ("large@30", "xl@10")


def test_a_method_alone_stands_for_its_group_of_options(sample):
    asked = {"k": 3, "steps": "all", "correction": "none"}
    alone = ss.vote(sample.store, search="greedy", **asked)
    assert list_results(alone) == list_results(ss.vote(sample.store, search=ss.Search("greedy"), **asked))
    assert alone.options.correction == ss.Correction("none")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limits": 0.9}, r"`limits` is 0\.9: expected a `Limits`, such as `Limits\(min_accuracy=0\.9\)`"),
        ({"search": 3}, "`search` is 3: expected a `Search`, or the name of a method"),
        ({"correction": ss.Search()}, "expected a `Correction`, or the name of a method"),
    ],
)
def test_another_thing_than_a_group_of_options_is_refused(sample, options, message):
    with pytest.raises(ss.EnsembleError, match=message):
        ss.vote(sample.store, **options)


def test_numbers_of_numpy_are_numbers(sample):
    weights = np.array([3.0, 1.0, 1.0])
    report = ss.vote(sample.store, ["xl", "base", "large"], k=np.int64(3), top=np.int32(1), weights=weights)
    assert report.weights == (1.0, 1.0, 3.0)
    assert report.candidates == ("base@20", "large@30", "xl@10")


def test_the_frame_has_a_row_for_each_of_the_best(sample):
    report = ss.vote(sample.store, k=2, all_combos=True, steps="all", top=5, correction="none")
    frame = report.to_frame()
    columns = ["rank", "members", "k", "correct", "n", "accuracy", "balanced_accuracy", "low", "high", "ties", "gain"]
    assert frame.columns == columns
    assert frame["rank"].to_list() == [1, 2, 3, 4, 5]
    assert frame["members"].to_list() == ["+".join(one.members) for one in report.ensembles]
    assert frame["accuracy"].to_list() == [one.score.accuracy for one in report.ensembles]
    elsewhere = ss.vote(sample.store, k=2, all_combos=True, select_on="valid")
    assert elsewhere.to_frame().columns == [*columns, "chosen_accuracy"]
    assert set(report.distribution.to_frame().columns) == {"correct", "ensembles"}


def test_what_is_shown_is_short_and_what_is_printed_is_the_command_s(sample):
    report = ss.vote(sample.store, k=2, all_combos=True, correction="none")
    assert len(repr(report).splitlines()) <= 10
    assert "  not corrected: `correction` none" in str(report).splitlines()
    assert str(report.ensembles[0]).startswith("large@30+xl@10: ")


def test_an_ensemble_has_one_interval_whoever_is_asked_for_it():
    store = ss.open_example()
    voted = ss.vote(store, k=3, all_combos=True, correction="none", top=3).ensembles
    names = [one.name for one in voted]
    evaluated = ss.evaluate(store, [one.members for one in voted]).members
    compared = ss.compare(store, names).compared
    assert voted[0].interval.method == "bootstrap by speaker"
    assert [one.interval for one in voted] == [one.interval for one in evaluated]
    assert [one.interval for one in voted] == [one.interval for one in compared]
