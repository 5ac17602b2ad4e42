"""What a vote refuses, and what it says then."""

import numpy as np
import pytest
from ensemble_samples import N_TEST, N, make_corpus, search

from ser_store import Limits, Search, Store, vote
from ser_store.ensembles import read_weights
from ser_store.ensembles.candidate_pool import pose_pool
from ser_store.ensembles.cost import estimate_seconds, format_duration
from ser_store.ensembles.options import VoteOptions
from ser_store.errors import EnsembleError, StoreError, UnknownNameError
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord


def test_a_search_out_of_reach_is_refused_with_what_can_be_done(sample, monkeypatch):
    monkeypatch.setattr("ser_store.ensembles.cost.MAX_SECONDS", 1e-9)
    monkeypatch.setattr("ser_store.ensembles.cost._MEASURED_FROM", 0.0)
    with pytest.raises(EnsembleError) as refused:
        search(sample, k=4)
    text = str(refused.value)
    assert "126 ensembles of 4 of 9 candidates would take about" in text
    for way_out in ("`search` greedy", "`search` pruned `max_seconds`", "`search` exhaustive"):
        assert way_out in text
    with pytest.raises(EnsembleError) as refused:
        search(sample, k=4, rule="soft")
    assert "pruned" not in str(refused.value)
    assert search(sample, k=4, search="exhaustive").searched == 126
    assert search(sample, k=4, search="greedy").search == "greedy"


def test_the_time_of_a_long_search_is_measured(sample, monkeypatch):
    monkeypatch.setattr("ser_store.ensembles.cost._MEASURED_FROM", 0.0)
    rng = np.random.default_rng(0)
    pool = pose_pool(_make_candidates(rng, m=40, n=100), VoteOptions(ks=(5, 15)))
    few, many = (estimate_seconds(problem, Search()) for problem in pool.iter_problems())
    # 658,008 and 40,225,345,056 ensembles.
    assert 0 < few < 60 < many


def _make_candidates(rng, *, m, n):
    from ser_store.ensembles.candidates import Candidates

    truth = rng.integers(4, size=n).astype(np.int16)
    predictions = np.where(rng.random((m, n)) < 0.7, truth, rng.integers(4, size=(m, n))).astype(np.int16)
    return Candidates(tuple(f"r@{step}" for step in range(m)), predictions, truth, None, 4)


def test_without_compiled_code_a_long_search_is_refused_by_the_time_that_numpy_takes(sample, monkeypatch):
    monkeypatch.setattr("ser_store.ensembles.cost.MAX_SECONDS", 1e-9)
    monkeypatch.setattr("ser_store.ensembles.cost._MEASURED_FROM", 0.0)
    measured = []

    def measure(problem, search, backend):
        measured.append(backend)
        return 1.0

    monkeypatch.setattr("ser_store.ensembles.cost.measure_rate", measure)
    for obstacle in (None, "no compiler"):
        monkeypatch.setattr("ser_store.ensembles.cost.find_obstacle", lambda found=obstacle: found)
        with pytest.raises(EnsembleError, match=r"126 ensembles of 4 of 9 candidates would take about 2\.1 minutes"):
            search(sample, k=4)
    assert measured == ["bitsliced", "batched"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "0.5 seconds"), (600, "10 minutes"), (5400, "1.5 hours"), (1e6, "11.6 days"), (1e20, "3e+12 years")],
)
def test_durations_are_in_the_largest_unit(seconds, text):
    assert format_duration(seconds) == text


def test_missing_predictions_of_named_candidates_are_refused_and_others_left_out(sample, tmp_path):
    store = Store.create(tmp_path / "partial.store", make_corpus())
    store.add_run(RunRecord("a", "import", "elsewhere"))
    for step, missing in ((1, []), (2, [3]), (3, [5, 7]), (4, [])):
        rows = np.setdiff1d(np.arange(N), missing).astype(np.int32)
        store.write_member(Member("a", step, rows, predicted=np.zeros(len(rows), dtype=np.int16)))
    with pytest.raises(StoreError) as refused:
        vote(store, ["a@1", "a@2", "a@3"], k=2, all_combos=True)
    text = str(refused.value)
    assert "a@2 says nothing about 1 of the 40 utterances asked for (u003)" in text
    assert "a@3 says nothing about 2 of the 40 utterances asked for (u005, u007)" in text
    assert "`exclude`" in text
    found = vote(store, steps="all", k=2, all_combos=True)
    assert found.candidates == ("a@1", "a@4")
    assert found.cautions[0] == (
        "2 of 4 members left out, since they do not cover the 40 utterances of test: a@2 39, a@3 38 of them"
    )
    assert vote(store, steps="all", limits=Limits(exclude=["a@2", "a@3"])).candidates == ("a@1", "a@4")
    assert vote(store, steps="all", on="valid").ensembles[0].score.n == N - N_TEST


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 10}, r"`k` is 10 with 9 candidates \(base@10, .*\): expected 1 to 9"),
        ({"k": 2, "all_combos": False}, "search all 36 ensembles with `all_combos`"),
        ({"k": 0}, "`k` is 0: expected a whole number from 1 on"),
        ({"k": []}, "expected a whole number from 1 on"),
        ({"k": 4, "one_step_per_run": True}, "no ensemble of 4 of the 9 candidates .* `one_step_per_run`"),
        ({"k": 1, "include": ["xl@10", "xl@20"]}, "no ensemble of 1 of the 9 candidates"),
        ({"rule": "soft", "tie": "abstain"}, "`tie` abstain with `rule` soft: .*drop `tie`"),
        ({"min_accuracy": 1.2}, "`min_accuracy` is 1.2: expected a share of 1, 0.012 for 1.2%"),
        ({"min_accuracy": 90}, "`min_accuracy` is 90: expected a share of 1, 0.9 for 90%"),
        ({"min_accuracy": 900}, "`min_accuracy` is 900: expected a share of 1, such as 0.9"),
        ({"min_accuracy": -0.1}, "`min_accuracy` is -0.1: expected a share of 1, such as 0.9"),
        ({"min_accuracy": float("nan")}, "`min_accuracy` is nan: expected a share of 1"),
        (
            {"min_accuracy": 0.99},
            r"no candidate reaches `min_accuracy` 0.99: the best is \w+@\d+ with 0\.75, 30 of 40 right",
        ),
        ({"threads": 0}, "`threads` is 0: expected a whole number from 1 on"),
        ({"threads": "2"}, "`threads` is '2': expected a whole number from 1 on"),
        ({"threads": 1.5}, "`threads` is 1.5: expected a whole number"),
        ({"repeats": "200"}, "`repeats` is '200': expected a whole number from 1 on"),
        ({"seed": "0"}, "`seed` is '0': expected a whole number from 0 on"),
        ({"seed": None}, "`seed` is None: expected a whole number from 0 on"),
        ({"top": "20"}, "`top` is '20': expected a whole number from 1 on"),
        ({"top": True}, "`top` is True: expected a whole number from 1 on"),
        ({"k": True}, "`k` is True: expected a whole number from 1 on, or several"),
        ({"k": "3"}, "`k` is '3': expected a whole number"),
        ({"k": [2, 2.5]}, "`k` is 2.5: expected a whole number"),
        ({"min_accuracy": "0.9"}, "`min_accuracy` is '0.9': expected a share of 1, such as 0.9"),
        ({"search": "pruned", "max_seconds": "5"}, "`max_seconds` is '5': expected a positive number"),
        ({"search": "pruned", "max_seconds": 0}, "`max_seconds` is 0: expected a positive number"),
        ({"weights": 3}, "`weights` is 3: expected a number for each candidate, or accuracy or balanced_accuracy"),
        ({"weights": ["a"] * 9}, "`weights` is 'a': expected finite numbers from 0 on; that of base@10 is none"),
        ({"weights": {"base": "1", "large": 1, "xl": 1}}, "`weights` is '1': .*; that of base@10 is none"),
        ({"weights": [1, float("nan")] + [1] * 7}, "`weights` is nan: .*; that of base@20 is none"),
        ({"max_seconds": 5}, "`max_seconds` 5 with `search` auto: .* `search` pruned"),
        ({"search": "pruned", "max_seconds": -1}, "expected a positive number"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "`scheduler` with `backend` auto: expected `backend` dask"),
        ({"search": "greedy", "one_step_per_run": True}, "`search` greedy with `one_step_per_run` or `include`"),
        ({"search": "greedy", "weights": "accuracy"}, "`search` greedy with weights"),
        ({"search": "pruned", "objective": "balanced_accuracy"}, "`search` pruned by balanced_accuracy"),
        ({"search": "pruned", "backend": "loky"}, "`search` pruned with `backend` loky"),
        ({"search": "pruned", "rule": "soft"}, "`search` pruned with soft voting"),
        ({"search": "pruned", "tie": "best"}, "ties by best"),
        ({"backend": "loky", "include": ["xl"]}, "`backend` loky with `one_step_per_run` or `include`"),
        ({"select_on": "test"}, "`select_on` test and `on` test have 40 utterances in common"),
        ({"select_on": "valid", "on": "all"}, "have 20 utterances in common"),
        ({"by": "room", "on": "valid", "weights": [1, 2]}, "2 weights for 9 candidates: .* base@10, base@20"),
        ({"weights": {"base": 1, "xl": 2}}, "there is no weight for large@10, large@20, large@30"),
        ({"weights": [-1] * 9}, "expected finite numbers from 0 on"),
        ({"weights": [0] * 9}, "not all of them 0"),
        ({"exclude": ["*"]}, "`exclude` leaves no candidate"),
        ({"scores": "x.csv"}, "expected a name that ends in .parquet"),
        ({"scores": "nowhere/x.parquet"}, "there is no folder nowhere"),
        ({"scores": "x.parquet", "search": "greedy"}, "`scores` with `search` greedy"),
        ({"scores": "x.parquet", "include": ["xl"]}, "`scores` with `one_step_per_run` or `include`"),
        ({"scores": "x.parquet", "backend": "loky"}, "`scores` with `backend` loky"),
        ({"scores": "x.parquet", "k": [3, 5]}, "`scores` with 2 sizes of ensembles: expected one `k`"),
    ],
    ids=str,
)
def test_what_does_not_go_together_is_refused_in_one_line(sample, options, message):
    with pytest.raises(EnsembleError, match=message) as refused:
        search(sample, **options)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "softt"}, r"unknown voting rule 'softt': expected one of soft \(nearest\)"),
        ({"tie": "first"}, "unknown tie rule"),
        ({"objective": "f1"}, "unknown objective"),
        ({"search": "gredy"}, r"greedy \(nearest\)"),
        ({"backend": "dusk"}, r"dask \(nearest\)"),
        ({"correction": "bootstap"}, r"unknown correction 'bootstap': expected one of bootstrap \(nearest\)"),
        ({"weights": "acuracy"}, r"accuracy \(nearest\)"),
        ({"include": ["xk"]}, r"unknown candidate to include 'xk': expected one of .*pattern such as"),
        ({"exclude": ["base@11"]}, r"base@10 \(nearest\)"),
        ({"select_on": "vald"}, r"valid \(nearest\)"),
        ({"by": "speakr"}, r"speaker \(nearest\)"),
        ({"steps": "some"}, "unknown choice of steps"),
    ],
    ids=str,
)
def test_unknown_names_are_refused_with_the_nearest(sample, options, message):
    with pytest.raises(UnknownNameError, match=message):
        search(sample, **{"correction": "bootstrap"} | options)


@pytest.mark.parametrize("text", ["accurate", "1,two", "missing.csv"])
def test_weights_that_are_none_are_refused(text):
    with pytest.raises(EnsembleError, match="expected accuracy, balanced-accuracy, numbers with commas between"):
        read_weights(text)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("member,mass\na,1\n", "is no table of weights"),
        ("member,weight\na,heavy\n", "is no table of weights"),
        ("member,weight\n", "has 0 rows for 0 members"),
        ("member,weight\na,1\na,2\n", "has 2 rows for 1 members"),
    ],
)
def test_tables_that_hold_no_weights_are_refused(table, message, tmp_path):
    file = tmp_path / "weights.csv"
    file.write_text(table)
    with pytest.raises(EnsembleError, match=message):
        read_weights(str(file))


def test_more_than_fifteen_members_are_for_other_searches(tmp_path):
    corpus = make_corpus()
    store = Store.create(tmp_path / "many.store", corpus)
    store.add_run(RunRecord("a", "import", "elsewhere"))
    rng = np.random.default_rng(0)
    for step in range(18):
        predicted = np.where(rng.random(N) < 0.7, corpus.labels, rng.integers(4, size=N)).astype(np.int16)
        store.write_member(Member("a", step, np.arange(N, dtype=np.int32), predicted=predicted))
    with pytest.raises(EnsembleError, match="`k` is 16: expected at most 15 for an exhaustive search"):
        vote(store, steps="all", k=16, all_combos=True)
    exact = vote(store, steps="all", k=16, search="pruned", correction="none")
    assert exact.proved
    assert exact.found[0].total == 153
    assert len(vote(store, steps="all").ensembles[0].members) == 18
    with pytest.raises(StoreError, match="a@0 has labels only: expected logits"):
        vote(store, steps="all", rule="soft", k=2, all_combos=True)
