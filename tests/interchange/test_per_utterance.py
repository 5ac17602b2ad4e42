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
