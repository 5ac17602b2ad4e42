"""An utterance whose speaker is unknown is a group of its own where speakers are groups, and counts as none."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ser_store.corpora.published.fields import describe_name
from ser_store.corpora.published.page import open_page
from ser_store.corpora.splits.audit import compute_audit, flag_leaks
from ser_store.corpora.splits.draw import twin_groups
from ser_store.corpora.splits.speakers import describe_unknown_speakers
from ser_store.evaluation.comparing import compare
from ser_store.evaluation.members import evaluate
from ser_store.evaluation.slices import find_groups
from ser_store.interchange.import_ import import_file
from ser_store_h5.corpus import Corpus
from ser_store_h5.store import Store


def make_corpus(*speakers: str) -> Corpus:
    n = len(speakers)
    return Corpus(
        name="small",
        ids=np.array([f"u{place}" for place in range(n)]),
        labels=np.zeros(n, dtype=np.int16),
        classes=("a", "b"),
        speakers=np.array(speakers),
        columns={"repetition": np.ones(n, dtype=np.int64)},
    )


def test_each_unknown_speaker_is_a_group_of_its_own() -> None:
    corpus = make_corpus("x", "", "y", "", "x")
    groups = corpus.speaker_groups()
    assert groups is not None
    assert np.unique(groups, return_inverse=True)[1].tolist() == [2, 0, 3, 1, 2]
    some = corpus.speaker_groups(np.array([3, 1, 0]))
    assert some is not None
    assert some.tolist() == groups[[3, 1, 0]].tolist()
    assert corpus.known_speakers == ["x", "y"]
    assert make_corpus("", "").speaker_groups() is None
    assert Corpus("bare", np.array(["u"]), np.array([0], np.int16), ("a", "b")).speaker_groups() is None


def test_unknown_speakers_are_neither_counted_nor_shared_nor_twins() -> None:
    corpus = make_corpus("x", "", "", "x").with_split("s", np.array(["train", "train", "test", "test"]))
    audit = compute_audit(corpus)
    assert (audit.speakers, audit.shared_speakers) == ({"train": 1, "test": 1}, 1)
    assert flag_leaks(corpus, np.array([2, 3], dtype=np.int32))["speaker"].tolist() == [False, True]
    twins = twin_groups(corpus)
    assert twins is not None
    assert len(set(twins.tolist())) == 3
    assert find_groups(corpus, "speaker").tolist() == ["x", "unknown", "unknown", "x"]


def test_how_many_are_unknown_is_said_where_some_are_known() -> None:
    [line] = describe_unknown_speakers(make_corpus("x", "", ""))
    assert line.startswith("the speaker of 2 of 3 utterances is unknown (first: u1)")
    assert describe_unknown_speakers(make_corpus("x", "y")) == ()
    assert describe_unknown_speakers(make_corpus("", "")) == ()


@pytest.mark.parametrize("odd", ["take two", "03-01-05-01-01-01-01.wav", "speech/03-01-05-01-01-01-01"])
def test_one_odd_id_leaves_figures_by_speaker(tmp_path: Path, odd: str) -> None:
    ids = [f"03-01-0{emotion}-01-01-01-{actor:02}" for emotion in (4, 5) for actor in range(1, 13)]
    truth = [str((describe_name(open_page("ravdess"), name) or {})["label"]) for name in ids]
    wrong = {"angry": "sad", "sad": "angry"}
    table = {
        "utterance": [odd if name == "03-01-05-01-01-01-01" else name for name in ids],
        "emotion": truth,
        "a@1": truth,
        # By speaker: 7 of the 12 are all wrong.
        "b@1": [wrong[label] if int(name[-2:]) <= 7 else label for name, label in zip(ids, truth, strict=True)],
    }
    pl.DataFrame(table).write_csv(tmp_path / "said.csv")
    import_file(tmp_path / "said.csv", store=tmp_path / "said.store", label="emotion")
    store = Store(tmp_path / "said.store")
    assert len(store.corpus.known_speakers) == 12
    found = compare(store, ["a", "b"])
    assert found.unit == "speaker"
    assert found.pairs[0].test.p >= 2**-7  # by utterance it is 2 ** -13
    [_, member] = evaluate(store).members
    assert member.interval.high - member.interval.low > 0.4
