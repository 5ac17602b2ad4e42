from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ser_store.corpora.building import check_column_name
from ser_store.corpora.manifest import load_manifest
from ser_store.errors import AudioError, CorpusError

soundfile = pytest.importorskip("soundfile")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with recordings ``wav/a.wav`` to ``wav/d.wav``, for a manifest to lie beside."""
    (tmp_path / "wav").mkdir()
    for seed, name in enumerate("abcd"):
        samples = np.random.default_rng(seed).uniform(-0.5, 0.5, 4_800)
        soundfile.write(tmp_path / "wav" / f"{name}.wav", samples, 16_000)
    return tmp_path


def write(folder: Path, text: str, *, name: str = "mine.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(manifest: Path, audio: Path | None = None) -> str:
    with pytest.raises(CorpusError) as caught:
        load_manifest(manifest, audio=audio)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_path_and_label_are_enough(folder: Path) -> None:
    corpus = load_manifest(write(folder, "path,label\nwav/b.wav,sad\nwav/a.wav,happy\n")).corpus
    assert corpus.name == "mine"
    assert corpus.ids.tolist() == ["a", "b"]
    assert corpus.classes == ("happy", "sad")
    assert corpus.labels.tolist() == [0, 1]
    assert corpus.speakers is None
    assert not corpus.splits
    assert list(corpus.columns) == ["duration", "sample_rate"]
    assert corpus.paths is not None
    assert corpus.paths.tolist() == ["wav/a.wav", "wav/b.wav"]
    assert corpus.audio_root == str(folder)


def test_relative_paths_start_from_the_audio_folder_if_one_is_given(folder: Path) -> None:
    (folder / "lists").mkdir()
    manifest = write(folder / "lists", "path,label\nb.wav,sad\na.wav,happy\n")
    corpus = load_manifest(manifest, audio=folder / "wav").corpus
    assert corpus.audio_root == str(folder / "wav")
    assert corpus.paths is not None
    assert corpus.paths.tolist() == ["a.wav", "b.wav"]


def test_the_root_is_a_folder_that_holds_all_recordings_wherever_the_manifest_lies(folder: Path) -> None:
    (folder / "lists").mkdir()
    manifest = write(folder / "lists", f"path,label\n../wav/b.wav,sad\n{folder / 'wav' / 'a.wav'},happy\n")
    corpus = load_manifest(manifest).corpus
    assert corpus.audio_root == str(folder)
    assert corpus.paths is not None
    assert corpus.paths.tolist() == ["wav/a.wav", "wav/b.wav"]


def test_further_columns_keep_their_type(folder: Path) -> None:
    manifest = write(
        folder,
        "path,label,utterance,speaker,age,score,clean,note,gap\n"
        "wav/a.wav,happy,u1,01,30,0.5,true,x,1\n"
        "wav/b.wav,sad,u2,02,40,,false,,\n",
    )
    corpus = load_manifest(manifest).corpus
    assert corpus.ids.tolist() == ["u1", "u2"]
    assert corpus.speakers is not None
    assert corpus.speakers.tolist() == ["01", "02"]
    kinds = {name: column.dtype.kind for name, column in corpus.columns.items()}
    assert kinds == {
        "age": "i",
        "score": "f",
        "clean": "U",
        "note": "U",
        "gap": "f",
        "duration": "f",
        "sample_rate": "i",
    }
    assert corpus.columns["clean"].tolist() == ["true", "false"]
    assert corpus.columns["note"].tolist() == ["x", ""]
    np.testing.assert_array_equal(corpus.columns["score"], [0.5, np.nan])
    np.testing.assert_array_equal(corpus.columns["gap"], [1, np.nan])


def test_parquet_says_the_same_as_csv(folder: Path) -> None:
    manifest = write(folder, "path,label,speaker,age,split\nwav/a.wav,happy,01,30,train\nwav/b.wav,sad,02,40,dev\n")
    table = pl.read_csv(manifest, schema_overrides={"speaker": pl.String})
    table.with_columns(pl.col("label").cast(pl.Categorical), pl.col("age").cast(pl.UInt8)).write_parquet(
        folder / "mine.parquet"
    )
    from_csv, from_parquet = load_manifest(manifest).corpus, load_manifest(folder / "mine.parquet").corpus
    assert from_csv.digest == from_parquet.digest
    for name, column in from_csv.columns.items():
        np.testing.assert_array_equal(column, from_parquet.columns[name])
        assert column.dtype == from_parquet.columns[name].dtype
    np.testing.assert_array_equal(from_csv.parts("split"), from_parquet.parts("split"))


def test_a_split_column_becomes_a_split_with_usual_names(folder: Path) -> None:
    manifest = write(
        folder, "path,label,split\nwav/a.wav,x,Training\nwav/b.wav,y,dev\nwav/c.wav,y,eval\nwav/d.wav,x,\n"
    )
    corpus = load_manifest(manifest).corpus
    assert corpus.parts("split").tolist() == ["train", "valid", "test", ""]
    assert corpus.default_split == "split"
    assert "split" not in corpus.columns


def test_numbered_parts_become_folds(folder: Path) -> None:
    corpus = load_manifest(write(folder, "path,label,split\nwav/a.wav,x,1\nwav/b.wav,y,2\n")).corpus
    assert corpus.parts("split").tolist() == ["fold-1", "fold-2"]


def test_measured_durations_take_the_place_of_stated_ones(folder: Path) -> None:
    corpus = load_manifest(write(folder, "path,label,duration\nwav/a.wav,x,300\nwav/b.wav,y,300\n")).corpus
    assert corpus.columns["duration"].tolist() == [0.3, 0.3]


def test_spaces_and_a_byte_order_mark_do_not_matter(folder: Path) -> None:
    corpus = load_manifest(write(folder, "\ufeffpath, label\nwav/a.wav, happy\nwav/b.wav,sad \n")).corpus
    assert corpus.classes == ("happy", "sad")


def test_a_manifest_without_a_needed_column_says_what_it_has(folder: Path) -> None:
    message = refusal(write(folder, "name,label\nwav/a.wav,happy\n"))
    assert "no column 'path': expected the columns 'path' (or 'file') and 'label' (or 'emotion')" in message
    assert "found 'name', 'label'; rename its columns" in message


@pytest.mark.parametrize("column", ["path", "label", "utterance"])
def test_an_empty_cell_is_named_by_its_row(folder: Path, column: str) -> None:
    cells = {"path": "wav/b.wav", "label": "sad", "utterance": "b", "speaker": "2", column: " "}
    manifest = write(folder, f"path,label,utterance,speaker\nwav/a.wav,happy,a,1\n{','.join(cells.values())}\n")
    assert f"has no {column} in row 2 below the header" in refusal(manifest)


def test_speakers_that_are_empty_throughout_are_unknown(folder: Path) -> None:
    assert load_manifest(write(folder, "path,label,speaker\nwav/a.wav,x,\nwav/b.wav,y,\n")).corpus.speakers is None


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("m.csv", b"path,label\n", "has no rows"),
        ("m.csv", b"", "cannot be read as a table (empty CSV)"),
        ("m.csv", b"path,label\na.wav,x,y\n", "cannot be read"),
        ("m.csv", b"path,label\n\xff\xfe.wav,x\n", "(byte 0xff in line 2 is not UTF-8): expected CSV in UTF-8"),
        ("m.parquet", b"junk", "cannot be read as a table"),
        ("m.xlsx", b"junk", "is of type '.xlsx': expected one of .csv, .parquet"),
        ("m.csv", b"path,label,a/b\nwav/a.wav,x,1\nwav/b.wav,y,1\n", "column or split name 'a/b': expected"),
        ("m.csv", b"path,label,\nwav/a.wav,x,1\nwav/b.wav,y,1\n", "column 3 has no name, but cells such as '1'"),
        ("m.csv", b"path,label\nwav/a.wav,x\nwav/b.wav,x\n", "1 classes"),
        ("m.csv", b'path,label\nwav/a.wav,"x\ny"\nwav/b.wav,x\n', "without line breaks"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(folder: Path, name: str, content: bytes, expected: str) -> None:
    (folder / name).write_bytes(content)
    assert expected in refusal(folder / name)


def test_a_column_of_lists_is_refused(folder: Path) -> None:
    table = pl.DataFrame({"path": ["wav/a.wav", "wav/b.wav"], "label": ["x", "y"], "tags": [["p"], ["q"]]})
    table.write_parquet(folder / "m.parquet")
    assert "column 'tags' of List(String) that cannot be kept" in refusal(folder / "m.parquet")


def test_numbers_beyond_64_bits_are_refused(folder: Path) -> None:
    table = pl.DataFrame(
        {"path": ["wav/a.wav"], "label": ["x"], "big": [2**64 - 1]}, schema_overrides={"big": pl.UInt64}
    )
    table.write_parquet(folder / "m.parquet")
    assert "column 'big' of UInt64 that cannot be kept" in refusal(folder / "m.parquet")


def test_a_missing_manifest_or_audio_folder_is_named(folder: Path) -> None:
    assert "none.csv: no such file" in refusal(folder / "none.csv")
    manifest = write(folder, "path,label\na.wav,happy\n")
    assert f"{folder / 'none'} is not a folder" in refusal(manifest, folder / "none")


def test_a_missing_recording_is_named(folder: Path) -> None:
    with pytest.raises(AudioError) as caught:
        load_manifest(write(folder, "path,label\nwav/a.wav,happy\nwav/z.wav,sad\n"))
    message = str(caught.value)
    assert message.startswith("1 of 2 recordings cannot be used")
    assert f"{folder / 'wav' / 'z.wav'} does not exist" in message


def test_recordings_with_the_same_stem_are_refused_with_both_paths_and_the_way_out(folder: Path) -> None:
    message = refusal(write(folder, "path,label\nwav/a.wav,happy\nother/a.wav,sad\n"))
    assert "two recordings have the id 'a'" in message
    assert str(folder / "wav" / "a.wav") in message
    assert str(folder / "other" / "a.wav") in message
    assert "'utterance'" in message


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "x" * 101, "utterance", "path", "label", "speaker"])
def test_names_that_cannot_be_columns_are_refused(name: str) -> None:
    with pytest.raises(CorpusError, match="expected"):
        check_column_name(name)


@pytest.mark.parametrize("name", ["a", "x" * 100, "Größe", "a b", "...", "split"])
def test_all_other_names_can_be_columns(name: str) -> None:
    check_column_name(name)


def test_a_table_in_utf_16_is_said_to_be_one(folder: Path) -> None:
    manifest = folder / "mine.csv"
    manifest.write_text("path,label\nwav/b.wav,sad\n", encoding="utf-16")
    assert "(NUL in its header, as in UTF-16): expected CSV in UTF-8; save it again" in refusal(manifest)
