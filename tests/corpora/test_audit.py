import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ser_store.corpora.published.loading import load_published
from ser_store.corpora.published.page import open_page
from ser_store.corpora.splits.audit import compute_audit, find_unusual_durations, flag_leaks
from ser_store.corpora.splits.draw import add_split
from ser_store.errors import UnknownNameError
from ser_store_h5.corpus import Corpus


@pytest.fixture
def corpus() -> Corpus:
    """Two speakers, two takes each of an ``a`` and a ``b``; u0 and u6 sound the same, and so do u1, u2 and u3."""
    digests = np.arange(8, dtype=np.uint8)[:, None].repeat(32, axis=1)
    digests[6] = digests[0]
    digests[2:4] = digests[1]
    return Corpus(
        name="small",
        ids=np.array([f"u{number}" for number in range(8)]),
        labels=np.array([0, 0, 1, 1] * 2, dtype=np.int16),
        classes=("a", "b"),
        speakers=np.array(["x"] * 4 + ["y"] * 4),
        columns={"repetition": np.array([1, 2] * 4)},
        paths=np.array([f"u{number}.wav" for number in range(8)]),
        audio_digests=digests,
    )


def with_parts(corpus: Corpus, parts: str) -> Corpus:
    names = {"t": "train", "v": "valid", "e": "test", "1": "fold-1", "2": "fold-2", " ": ""}
    return corpus.with_split("mine", np.array([names[part] for part in parts]))


def test_leakage_between_train_and_test_is_counted(corpus: Corpus) -> None:
    audit = compute_audit(with_parts(corpus, "teeettvv"))
    assert audit.to_json() == {
        "split": "mine",
        "n": {"train": 3, "valid": 2, "test": 3},
        "classes": {"train": {"a": 3, "b": 0}, "valid": {"a": 0, "b": 2}, "test": {"a": 1, "b": 2}},
        "speakers": {"train": 2, "valid": 1, "test": 1},
        "shared_speakers": 2,
        "twins_across": 1,
        "test_with_twin_in_train": 1,
        "test_with_twin_in_train_share": 1 / 3,
        "duplicate_audio": [["u0", "u6"], ["u1", "u2", "u3"]],
        "duplicate_audio_across": 1,
        "near_duplicates": None,
        "near_duplicates_across": None,
    }


def test_each_kind_of_leak_is_flagged_for_the_utterances_asked_about(corpus: Corpus) -> None:
    split = with_parts(corpus, "teeettvv")
    rows = split.rows("test")
    leaks = flag_leaks(split, rows)
    assert {kind: leaked.tolist() for kind, leaked in leaks.items()} == {
        "speaker": [True, True, True],
        "twin": [True, False, False],
        "audio": [False, False, False],
    }
    copied = flag_leaks(split, rows, copies=[(0, 3), (1, 2)])
    assert copied["audio"].tolist() == [False, False, True]


def test_groups_of_near_duplicates_are_named_and_counted_across_parts(corpus: Corpus) -> None:
    audit = compute_audit(with_parts(corpus, "teeettvv"), near_duplicates=[(0, 3), (1, 2)])
    assert audit.near_duplicates == [["u0", "u3"], ["u1", "u2"]]
    assert audit.near_duplicates_across == 1


def test_a_twin_in_valid_is_across_but_not_in_train(corpus: Corpus) -> None:
    audit = compute_audit(with_parts(corpus, "tteevett"))
    assert audit.twins_across == 1
    assert audit.test_with_twin_in_train == 0


def test_between_folds_every_utterance_with_a_twin_in_another_fold_counts(corpus: Corpus) -> None:
    audit = compute_audit(with_parts(corpus, "12111222"))
    assert audit.n == {"fold-1": 4, "fold-2": 4}
    assert audit.twins_across == 2
    assert audit.test_with_twin_in_train == 4
    assert audit.test_with_twin_in_train_share == 0.5


def test_utterances_outside_the_split_leak_nothing(corpus: Corpus) -> None:
    audit = compute_audit(with_parts(corpus, "tt    ee"))
    assert audit.n == {"train": 2, "test": 2}
    assert audit.shared_speakers == 0
    assert audit.twins_across == 0
    assert audit.duplicate_audio_across == 1
    assert audit.duplicate_audio == [["u0", "u6"], ["u1", "u2", "u3"]]


def test_without_a_test_part_what_is_not_trained_on_is_tried(corpus: Corpus) -> None:
    audit = compute_audit(with_parts(corpus, "tvtttvtt"))
    assert (audit.test_with_twin_in_train, audit.test_with_twin_in_train_share) == (2, 1.0)
    split = with_parts(corpus, "tvtttvtt")
    assert flag_leaks(split, np.arange(8, dtype=np.int32))["twin"].tolist() == [part == "v" for part in "tvtttvtt"]
    alone = compute_audit(with_parts(corpus, "tttttttt"))
    assert (alone.test_with_twin_in_train, alone.test_with_twin_in_train_share) == (0, 0.0)


def test_of_three_takes_the_one_outside_the_split_does_not_count(corpus: Corpus) -> None:
    three = replace(corpus, labels=np.array([0, 0, 0, 1, 0, 0, 1, 1], dtype=np.int16))
    audit = compute_audit(with_parts(three, "12 12211"))
    assert audit.twins_across == 1
    assert audit.test_with_twin_in_train == 2


def test_a_corpus_without_a_split_is_one_part(corpus: Corpus) -> None:
    audit = compute_audit(corpus)
    assert audit.split is None
    assert audit.n == {"all": 8}
    assert (audit.shared_speakers, audit.twins_across, audit.duplicate_audio_across) == (0, 0, 0)


@pytest.mark.parametrize(
    ("durations", "unusual", "said"),
    [
        ([3.0, 4.0, 4.5, 5.0, 3.5, 4.0, 2.0, 30.0], [], ""),
        (
            [3.0, 4.0, 4.5, 5.0, 3.5, 4.0, 2.0, 60.0],
            [("u7", 60.0)],
            "out of line in length: 1 of 8, u7 of 60.0",
        ),
        (
            [3.0, 4.0, 4.5, 184.0, 3.5, 0.3, 4.0, 90.0],
            [("u3", 184.0), ("u7", 90.0), ("u5", 0.3)],
            "u3 of 184.0 s to u5 of 0.3",
        ),
    ],
)
def test_minutes_among_seconds_are_out_of_line(
    corpus: Corpus, durations: list[float], unusual: list[tuple[str, float]], said: str
) -> None:
    found, cautions = find_unusual_durations(replace(corpus, columns={"duration": np.array(durations)}))
    assert list(found) == unusual
    assert said in "".join(cautions)
    assert bool(cautions) == bool(unusual)


def test_durations_that_are_not_known_are_not_out_of_line(corpus: Corpus) -> None:
    assert find_unusual_durations(corpus) == ((), ())


def test_what_is_unknown_is_none() -> None:
    bare = Corpus(name="bare", ids=np.array(["a", "b"]), labels=np.array([0, 1], np.int16), classes=("x", "y"))
    audit = compute_audit(bare.with_split("mine", np.array(["train", "test"])))
    assert audit.speakers is None
    assert audit.shared_speakers is None
    assert audit.twins_across is None
    assert audit.test_with_twin_in_train is None
    assert audit.test_with_twin_in_train_share is None
    assert audit.duplicate_audio is None
    assert audit.duplicate_audio_across is None
    json.dumps(audit.to_json())


def test_an_unknown_split_is_refused(corpus: Corpus) -> None:
    with pytest.raises(UnknownNameError, match="unknown split 'none'"):
        compute_audit(corpus, split="none")


@pytest.mark.ravdess
def test_the_published_split_of_ravdess_leaks_twins_and_speakers(ravdess_16k: Path) -> None:
    built = load_published(open_page("ravdess"), ravdess_16k)
    assert built.skipped == ()
    assert built.corpus.columns["duration"].sum() == pytest.approx(5_329, abs=1)
    audit = compute_audit(add_split(built.corpus, "paper"), split="paper")
    assert audit.n == {"train": 1_152, "test": 288}
    assert audit.shared_speakers == 24
    assert audit.test_with_twin_in_train == 240
    assert audit.test_with_twin_in_train_share == pytest.approx(0.833, abs=5e-4)
    # The two takes of one sentence by actor 07 are the same recording, on both sides of the split.
    assert audit.duplicate_audio == [["03-01-03-01-02-01-07", "03-01-03-01-02-02-07"]]
    assert audit.duplicate_audio_across == 1
