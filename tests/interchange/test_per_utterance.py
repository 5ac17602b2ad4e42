"""What members said about every utterance, as one data frame."""

import numpy as np
import polars as pl
import pytest

import ser_store as ss

IDS = ["a", "b", "c"]


@pytest.fixture
def store(tmp_path):
    made = ss.Store.create(tmp_path / "my.store", ids=IDS, labels=["sad", "happy", "sad"], speakers=["s", None, "t"])
    made.add("asked", ids=IDS, predicted=["sad", None, "happy"])
    made.add("sure", ids=IDS, probabilities=[[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]])
    return made


def test_there_is_a_row_for_each_member_and_utterance(store):
    frame = ss.predictions(store)
    assert frame.columns == [
        *("member", "utterance", "path", "speaker", "part", "label", "predicted", "correct", "p_happy", "p_sad")
    ]
    assert frame["member"].to_list() == ["asked@0"] * 3 + ["sure@0"] * 3
    assert frame["predicted"].to_list() == ["sad", None, "happy", "sad", "happy", "happy"]
    assert frame["correct"].to_list() == [True, False, False, True, True, False]
    assert frame["speaker"].to_list() == ["s", None, "t"] * 2
    assert frame["p_sad"].to_list()[:3] == [None] * 3
    np.testing.assert_allclose(frame["p_sad"].to_list()[3:], [0.75, 0.5, 0.0], atol=1e-9)


def test_the_share_of_correct_rows_is_the_accuracy():
    example = ss.open_example()
    frame = ss.predictions(example).group_by("member", maintain_order=True).agg(pl.col("correct").mean())
    evaluated = {one.member: one.metrics.accuracy for one in ss.evaluate(example).members}
    assert dict(frame.iter_rows()) == pytest.approx(evaluated)


def test_an_ensemble_has_the_shares_of_its_votes_or_the_mean_of_its_scores(store):
    store.add("doubtful", ids=IDS, probabilities=[[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]])
    hard = ss.predictions(store, "asked+sure+doubtful")
    assert hard["member"].unique().to_list() == ["asked@0+sure@0+doubtful@0"]
    assert hard["predicted"].to_list() == ["sad", "happy", "happy"]
    np.testing.assert_allclose(
        hard["p_happy"].to_list(), [1 / 3, 1 / 3, 1.0]
    )  # of three votes; one left the second out
    soft = ss.predictions(store, "sure+doubtful", rule="soft")
    np.testing.assert_allclose(soft["p_happy"].to_list(), [0.5, 0.375, 0.75], atol=1e-6)
    assert soft["predicted"].to_list() == ["happy", "sad", "happy"]
    logs = ss.predictions(store, "sure+doubtful", rule="soft-log")
    np.testing.assert_allclose(logs["p_happy"].to_list()[:2], [0.5, 0.366025], atol=1e-5)


def test_what_an_ensemble_answers_here_is_what_evaluate_judges():
    store = ss.open_example("whisper-base")
    name = "whisper-base-ft+whisper-base-tuned+whisper-base-pool"
    for rule in ("hard", "soft", "soft-log"):
        [one] = ss.evaluate(store, name, rule=rule).members
        frame = ss.predictions(store, name, rule=rule)
        assert int(frame["correct"].sum()) == one.metrics.correct
        shares = frame.select(pl.col("^p_.*$")).to_numpy()
        np.testing.assert_allclose(shares.sum(axis=1), 1.0)


def test_the_table_is_exported_with_members_and_ensembles(store, tmp_path):
    words = ["asked", "asked+sure"]
    done = ss.export(store, tmp_path / "rows.csv", words, what="utterances")
    written = pl.read_csv(tmp_path / "rows.csv")
    assert done.members == 2
    assert written.to_dicts() == pl.read_csv(ss.predictions(store, words).write_csv().encode()).to_dicts()
    assert written["correct"].to_list() == [True, False, False, True, True, False]
    with pytest.raises(ss.StoreError, match=r"rows.npz: cannot hold utterances as .npz: expected .csv, .parquet"):
        ss.export(store, tmp_path / "rows.npz", what="utterances")
