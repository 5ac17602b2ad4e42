"""Corpora without recordings: what a table alone makes, what needs audio says, and how recordings are added."""

from pathlib import Path

import numpy as np
import pytest

from ser_store.corpora.create import init
from ser_store.errors import CorpusError
from ser_store.evaluation.audit import audit
from ser_store_h5.member import Member
from ser_store_h5.runs import RunRecord

TABLE = "id;class;spk;fold;StartTime\nu1;angry;a;1;0.5\nu2;sad;a;1;1.5\nu3;angry;b;2;2\nu4;sad;b;2;3\n"


def write(folder: Path, text: str = TABLE, name: str = "meta.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_table_alone_makes_a_corpus_all_of_which_is_judged(tmp_path: Path) -> None:
    made = init(tmp_path / "s", corpus=write(tmp_path), no_audio=True)
    corpus = made.store.corpus
    assert corpus.ids.tolist() == ["u1", "u2", "u3", "u4"]
    assert corpus.classes == ("angry", "sad")
    assert corpus.speakers is not None
    assert corpus.speakers.tolist() == ["a", "a", "b", "b"]
    assert corpus.columns["StartTime"].tolist() == [0.5, 1.5, 2.0, 3.0]  # no audio, so that nothing is cut out of it
    assert corpus.paths is corpus.audio_digests is corpus.audio_root is None
    assert corpus.default_split == "imported"
    assert corpus.parts("fold").tolist() == ["fold-1", "fold-1", "fold-2", "fold-2"]
    assert made.notes[0] == (
        "meta.csv: label is column 'class', utterance is column 'id', speaker is column 'spk'; no column for split"
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("meta.tsv", "utterance\temotion\nu1\tangry\nu2\tsad\n"),
        ("meta.csv", "file,emotion\nwav/u1.wav,angry\nwav/u2.wav,sad\n"),
        ("meta.csv", "filename|class\nu1.flac|angry\nu2.flac|sad\n"),
        ("meta.csv", "wav,category\nC:\\x\\u1.wav,angry\nC:\\x\\u2.wav,sad\n"),
        ("meta.csv", "name,label\nu1,angry\nu2,sad\n"),
    ],
)
def test_ids_are_a_column_or_the_names_of_recordings(tmp_path: Path, name: str, text: str) -> None:
    corpus = init(tmp_path / "s", corpus=write(tmp_path, text, name), no_audio=True).store.corpus
    assert corpus.ids.tolist() == ["u1", "u2"]
    assert corpus.classes == ("angry", "sad")


def test_a_table_has_its_own_split_and_labels_are_mapped(tmp_path: Path) -> None:
    table = write(tmp_path, "utterance,label,split\na,anger,train\nb,joy,dev\nc,sadness,test\nd,other,test\n")
    (tmp_path / "map.toml").write_text('angry = "anger"\nhappy = ["joy"]\ndrop = ["other"]\n')
    made = init(tmp_path / "s", corpus=table, no_audio=True, labels=tmp_path / "map.toml")
    corpus = made.store.corpus
    assert corpus.classes == ("angry", "happy", "sadness")
    assert corpus.default_split == "split"
    assert corpus.parts().tolist() == ["train", "valid", "test"]
    assert any("labels dropped by" in line for line in made.notes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "label,age\nangry,3\nsad,4\n",
            r"has no column 'path': expected the columns 'utterance', or 'path'",
        ),
        ("id,age\na,3\nb,4\n", r"has no column 'label'"),
        ("id,key,label\na,1,sad\nb,2,angry\n", r"has the columns 'id' and 'key': expected one for the utterance"),
        ("id,label\na,sad\na,angry\n", r"labels 'a' 'sad' in row 1 and 'angry' in row 2"),
        ("id,label,x\na,sad,1\na,sad,2\nb,angry,1\n", r"says different things of 'a' in rows 1 and 2"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(CorpusError, match=said):
        init(tmp_path / "s", corpus=write(tmp_path, text), no_audio=True)
    assert not (tmp_path / "s").exists()


def test_audio_and_no_audio_are_two_wishes(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"got `audio` .* and `no_audio`: expected one of them"):
        init(tmp_path / "s", corpus=write(tmp_path), audio=tmp_path, no_audio=True)


def test_recordings_are_added_later_by_the_ids(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    table = write(tmp_path, "id,label,fold\nu1,angry,1\nu2,sad,1\nu3,angry,2\nu4,sad,2\n")
    store = init(tmp_path / "s", corpus=table, no_audio=True).store
    store.add_run(RunRecord("said", "import", "said"))
    store.write_member(Member("said", 0, np.arange(4, dtype=np.int32), predicted=np.zeros(4, dtype=np.int16)))
    with pytest.raises(CorpusError, match=r"made without audio: .* `init\(\)` with its table as `corpus`"):
        audit(store, audio=tmp_path)
    (tmp_path / "wav" / "deep").mkdir(parents=True)

    def record(name: str) -> None:
        samples = np.random.default_rng(len(name)).uniform(-0.5, 0.5, 4_800 + ord(name[-1]))
        soundfile.write(tmp_path / "wav" / f"{name}.wav", samples, 16_000)

    for name in ("u1", "deep/u2", "u3"):
        record(name)
    with pytest.raises(CorpusError, match=r"holds no recording called 'u4', an id in .*, and likewise for 1 of 4 ids"):
        init(tmp_path / "s", corpus=table, audio=tmp_path / "wav")
    record("u4")
    made = init(tmp_path / "s", corpus=table, audio=tmp_path / "wav", split="fold")
    corpus = made.store.corpus
    assert not made.created
    assert corpus.paths is not None
    assert corpus.paths.tolist() == ["u1.wav", "deep/u2.wav", "u3.wav", "u4.wav"]
    assert made.store.member_names() == ["said@0"]
    assert audit(made.store).bad_files == []
