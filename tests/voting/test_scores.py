"""All scores against voting every combination of ``itertools``, and what is written of them."""

from itertools import combinations
from math import comb

import numpy as np
import polars as pl
import pytest
from vote_samples import from_arrays

from ser_store.voting import hard_vote, scores, soft_vote, write_scores_parquet
from ser_store.voting.compiled import parts
from ser_store.voting.subsets import rank_lexicographic, unrank_lexicographic

compute_scores = from_arrays(scores.compute_scores)


def draw_candidates(m, n, n_classes):
    rng = np.random.default_rng(m)
    truth = rng.integers(n_classes, size=n)
    probabilities = rng.dirichlet(np.ones(n_classes), size=(m, n))
    probabilities[:, np.arange(n), truth] += 0.2
    probabilities /= probabilities.sum(axis=2, keepdims=True)
    return probabilities, probabilities.argmax(axis=2), truth


@pytest.mark.parametrize("part_size", [1, 1000, 2**28])
@pytest.mark.parametrize(("backend", "rule"), [("bitsliced", "hard"), ("summed", "soft"), ("batched", "soft")])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 6])
def test_every_score_is_in_its_lexicographic_place(monkeypatch, k, backend, rule, part_size):
    monkeypatch.setattr(parts, "PART_SIZE", part_size)
    probabilities, predictions, truth = draw_candidates(11, 40, 4)
    case = {"k": k, "n_classes": 4, "rule": rule, "probabilities": probabilities}
    found = compute_scores(predictions, truth, backend=backend if k > 1 else "batched", **case)
    expected = []
    for members in map(list, combinations(range(11), k)):
        votes = soft_vote(probabilities[members]) if rule == "soft" else hard_vote(predictions[members], n_classes=4)
        expected.append(int((votes.predicted == truth).sum()))
    assert found.dtype == np.int16
    assert found.tolist() == expected


@pytest.mark.parametrize("backend", ["bitsliced", "summed", "batched"])
def test_scores_beyond_16_bits_are_kept(backend):
    truth = np.zeros(40_000, dtype=np.int64)
    found = compute_scores(np.zeros((4, 40_000), dtype=np.int16), truth, k=2, n_classes=2, backend=backend)
    assert found.dtype == np.int32
    assert found.tolist() == [40_000] * 6


def test_scores_in_a_file_are_those_in_memory(tmp_path):
    _, predictions, truth = draw_candidates(9, 40, 4)
    mapped = compute_scores(predictions, truth, k=3, n_classes=4, path=tmp_path / "scores.npy")
    mapped.flush()
    np.testing.assert_array_equal(
        np.load(tmp_path / "scores.npy"), compute_scores(predictions, truth, k=3, n_classes=4)
    )


@pytest.mark.parametrize("size", range(1, 6))
def test_lexicographic_ranks_are_those_of_itertools(size):
    expected = np.array(list(combinations(range(9), size)))
    np.testing.assert_array_equal(unrank_lexicographic(0, len(expected), size=size, n_candidates=9), expected)
    np.testing.assert_array_equal(unrank_lexicographic(5, 8, size=size, n_candidates=9), expected[5:8])
    np.testing.assert_array_equal(rank_lexicographic(expected, n_candidates=9), np.arange(len(expected)))


def test_ranks_are_right_where_other_subsets_leave_64_bits():
    last = np.arange(200 - 8, 200)[None]
    assert rank_lexicographic(last, n_candidates=200).tolist() == [comb(200, 8) - 1]


def test_a_row_of_the_table_is_an_ensemble(tmp_path, monkeypatch):
    names = [f"run@{step}" for step in range(9)]
    monkeypatch.setattr(scores, "_CHUNK_ROWS", 50)
    _, predictions, truth = draw_candidates(9, 40, 4)
    found = compute_scores(predictions, truth, k=3, n_classes=4)
    write_scores_parquet(tmp_path / "scores.parquet", found, k=3, names=names)
    table = pl.read_parquet(tmp_path / "scores.parquet")
    members = combinations(names, 3)
    assert table.rows() == [(*chosen, score) for chosen, score in zip(members, found.tolist(), strict=True)]
    assert table.schema["member_1"] == pl.Enum(names)
    assert [file.name for file in tmp_path.iterdir()] == ["scores.parquet"]


def test_an_interrupted_writing_leaves_nothing(tmp_path):
    def interrupt(items, /, *, total, label):
        raise OSError("no space left")

    scores = np.zeros(3, dtype=np.int16)
    for _ in range(30):  # what is left behind by a thread that comes late is not left every time
        with pytest.raises(Exception, match="no space left"):
            write_scores_parquet(tmp_path / "a.parquet", scores, k=2, names=["a", "b", "c"], progress=interrupt)
        assert list(tmp_path.iterdir()) == []
