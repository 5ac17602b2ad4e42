"""What published corpora and spreadsheets write is read as meant, and said; what cannot be meant is refused."""

import unicodedata
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from ser_store.corpora.building import BuiltCorpus
from ser_store.corpora.manifest import load_manifest
from ser_store.corpora.splits.train_eval_rows import choose_train_eval_rows
from ser_store.errors import CorpusError

soundfile = pytest.importorskip("soundfile")


@pytest.fixture(scope="module")
def wav(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``wav/a.wav`` to ``wav/j.wav`` of 0.3 s each. Manifests are added to it."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "wav").mkdir()
    for seed, name in enumerate("abcdefghij"):
        samples = np.random.default_rng(seed).uniform(-0.5, 0.5, 4_800)
        soundfile.write(folder / "wav" / f"{name}.wav", samples, 16_000)
    return folder


def read(folder: Path, content: str | pl.DataFrame) -> BuiltCorpus:
    path = folder / ("mine.csv" if isinstance(content, str) else "mine.parquet")
    if isinstance(content, str):
        path.write_bytes(content.encode())
    else:
        content.write_parquet(path)
    return load_manifest(path)


def refusal(folder: Path, content: str | pl.DataFrame) -> str:
    with pytest.raises(CorpusError) as caught:
        read(folder, content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def labels(built: BuiltCorpus) -> list[str]:
    return [built.corpus.classes[label] for label in built.corpus.labels]


def speakers(built: BuiltCorpus) -> list[str] | None:
    return None if built.corpus.speakers is None else built.corpus.speakers.tolist()


def rows(header: str, cells: str) -> str:
    """A manifest of as many recordings as there are words in ``cells``, their label or whatever ``header`` says."""
    lines = [f"wav/{name}.wav,{cell}" for name, cell in zip("abcdefghij", cells.split("|"), strict=False)]
    return "\n".join([f"path,{header}", *lines, ""])


SAME = [
    "file,emotion,Speaker\nwav/a.wav,happy,1\nwav/b.wav,sad,2\n",
    "File Name,Emotion,speaker_id\nwav/a.wav,happy,1\nwav/b.wav,sad,2\n",
    "FileName;EmoClass;SpkrID\r\nwav/a.wav;happy;1\r\nwav/b.wav;sad;2\r\n",
    "wav_path\tlabel\tactor\nwav/a.wav\thappy\t1\nwav/b.wav\tsad\t2\n",
    ",path,label,speaker\n0,wav/a.wav,happy,1\n1,wav/b.wav,sad,2\n",
    '"","path","label","speaker"\n"1","wav/a.wav","happy","1"\n"2","wav/b.wav","sad","2"\n',
    "\ufeffpath,label,speaker,\nwav/a.wav,happy,1,\nwav/b.wav,sad,2,\n",
    "path,label,speaker,\nwav/a.wav,happy,1\nwav/b.wav,sad,2\n",
    "path,label,speaker\nwav/a.wav,happy,1,\nwav/b.wav,sad,2,\n",
    "\npath,label,speaker\n\nwav/a.wav,happy,1\n,,\nwav/b.wav,sad,2\n\n",
    "sep=;\r\npath;label;speaker\r\nwav/a.wav;happy;1\r\nwav/b.wav;sad;2\r\n",
    "path,label,speaker\nwav\\a.wav,happy,1\nwav\\b.wav,sad,2\n",
    'path, label, speaker\nwav/a.wav, "happy", "1"\nwav/b.wav, "sad", "2"\n',
    "path,label,speaker\n./wav/a.wav,happy,1.0\nwav/../wav/b.wav,sad,2.0\n",
    "path,label,speaker\nwav/a.wav,happy,1\nwav/a.wav,happy,1\nwav/b.wav,sad,2\n",
    "path,label,speaker,start,end\nwav/a.wav,happy,1,0 days,NaT\nwav/b.wav,sad,2,0 days,NaT\n",
]


@pytest.mark.parametrize("text", SAME)
def test_one_manifest_in_the_guises_of_several_tools(wav: Path, text: str) -> None:
    built = read(wav, text)
    assert built.corpus.ids.tolist() == ["a", "b"]
    assert labels(built) == ["happy", "sad"]
    assert speakers(built) == ["1", "2"]


def test_what_was_understood_is_said_in_two_lines(wav: Path) -> None:
    text = "FileName;Emotion;Spkr_ID;Split_Set;age;score;note\nwav/a.wav;x;1;Train;30;0,5;p\nwav/b.wav;y;2;Dev;40;1;q\n"
    built = read(wav, text)
    assert built.notes == (
        "mine.csv: path is column 'FileName', label is column 'Emotion', speaker is column 'Spkr_ID', split is column "
        "'Split_Set'; ids are the names of the recordings",
        "further columns: age (whole numbers), score (numbers), note (text), duration (measured), "
        "sample_rate (measured)",
    )
    assert built.corpus.columns["score"].tolist() == [0.5, 1]
    assert built.corpus.parts("Split_Set").tolist() == ["train", "valid"]
    assert "no column for speaker or split" in read(wav, rows("label", "x|y")).notes[0]


def test_ten_spellings_of_seven_classes_are_seven(wav: Path) -> None:
    written = "Fear|fear|Ärger|A\u0308rger|very happy|very_happy|sad|neutral |calm|joy"
    built = read(wav, rows("label", written))
    assert built.corpus.classes == ("Fear", "calm", "joy", "neutral", "sad", "very happy", "Ärger")
    assert np.bincount(built.corpus.labels).tolist() == [2, 1, 1, 1, 1, 2, 2]
    said = "labels that are one class but for their spelling: 'Fear' ('fear'), 'very happy' ('very_happy')"
    assert built.notes[2:] == (said,)


def test_speakers_that_differ_in_case_form_or_zeros_are_one(wav: Path) -> None:
    built = read(wav, rows("label,speaker", "x,Zoé|x,Zoe\u0301|y,zoé|y,01|y,1|x,1"))
    assert speakers(built) == ["Zoé", "Zoé", "Zoé", "1", "1", "1"]
    assert built.notes[2:] == ("speakers that are one but for their spelling: '1' ('01'), 'Zoé' ('zoé')",)


@pytest.mark.parametrize("missing", ["", " ", "nan", "NA", "None", "<NA>", "#N/A", "unknown"])
def test_a_missing_speaker_is_none_and_said(wav: Path, missing: str) -> None:
    built = read(wav, rows("label,speaker", f"x,p1|y,{missing}|y,p2"))
    assert speakers(built) == ["p1", "", "p2"]
    assert [line for line in built.notes if "unknown" in line] == [
        "the speaker of 1 of 3 utterances is unknown (first: b): each of them counts as a speaker of its own, and is "
        "outside of splits by speaker"
    ]
    none = read(wav, rows("label,Speaker", f"x,{missing}|y,{missing}"))
    assert speakers(none) is None
    assert "column 'Speaker' is empty: no speaker is known" in none.notes


@pytest.mark.parametrize("missing", ["nan", "None", "NA"])
def test_a_missing_label_or_path_is_no_label_or_path(wav: Path, missing: str) -> None:
    message = refusal(wav, rows("label", f"x|{missing}|y"))
    assert f"has no label in row 2 below the header, empty rows not counted ('{missing}' says that" in message
    assert "has no path in row 1" in refusal(wav, f"path,label\n{missing},x\nwav/a.wav,y\n")


@pytest.mark.parametrize(
    ("header", "cells", "column"),
    [
        ("label,start,end", "x,0.0,1.5|y,1.5,3", "'start' (1.5 in row 2)"),
        ("label,offset", "x,0|y,2", "'offset' (2 in row 2)"),
        ("label,Start Time", "x,00:00:01|y,00:00:02", "'Start Time' (00:00:01 in row 1)"),
        ("label,segment_end", "x,12|y,", "'segment_end' (12 in row 1)"),
    ],
)
def test_segments_are_refused_with_the_way_out(wav: Path, header: str, cells: str, column: str) -> None:
    message = refusal(wav, rows(header, cells))
    assert f"has a column {column}: expected whole recordings, not segments" in message
    assert "cut them into a file each, or, if every row is a whole file, drop the column" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path,label,Speaker,speaker\nwav/a.wav,x,1,1\n", "columns 'Speaker' and 'speaker': expected one for the sp"),
        ("file,wav,label\nwav/a.wav,a,x\n", "columns 'file' and 'wav': expected one for the path; rename the one"),
        ("path,label,age, age\nwav/a.wav,x,1,1\n", "column 'age' stands twice"),
        ("path,label\nwav/a.wav,x\nwav/a.wav,y\n", "labels 'a.wav' 'x' in row 1 and 'y' in row 2"),
        ("path,label\nwav/a.wav,x\n./wav/a.wav,y\n", "labels 'a.wav' 'x' in row 1 and 'y' in row 2"),
        ("path,label,utt\nwav/a.wav,x,u\nwav/a.wav,y,v\n", "labels 'a.wav' 'x' in row 1 and 'y' in row 2"),
        ("path,label,age\nwav/a.wav,x,1\nwav/a.wav,x,2\n", "says different things of 'a.wav' in rows 1 and 2"),
        ("path,label,utterance\nwav/a.wav,x,u\nwav/b.wav,y,u\n", "two recordings have the id 'u'"),
    ],
)
def test_what_contradicts_itself_is_refused_by_column_or_row(wav: Path, text: str, expected: str) -> None:
    assert expected in refusal(wav, text)


def test_rows_that_repeat_a_recording_are_said(wav: Path) -> None:
    built = read(wav, "path,label\nwav/a.wav,x\nwav/b.wav,y\nwav/a.wav,x\nwav/./a.wav,X\nwav/c.wav,X\n")
    assert built.corpus.ids.tolist() == ["a", "b", "c"]
    assert "rows that say the same twice are taken once: 2, first 'a.wav' in rows 1 and 3" in built.notes
    several = read(wav, "path,label,utt_id\nwav/a.wav,x,u\nwav/b.wav,y,v\nwav/a.wav,x,w\n")
    assert several.corpus.ids.tolist() == ["u", "v", "w"]
    assert "recordings that count as several utterances: 1, first 'a.wav' in rows 1 and 3" in several.notes


def test_the_fields_own_name_goes_before_other_words_for_it(wav: Path) -> None:
    built = read(wav, "path,file,label,emotion\nwav/a.wav,p,0,happy\nwav/b.wav,q,1,sad\n")
    assert built.corpus.classes == ("0", "1")
    assert {name: built.corpus.columns[name].tolist() for name in ("file", "emotion")} == {
        "file": ["p", "q"],
        "emotion": ["happy", "sad"],
    }


@pytest.mark.parametrize("numbers", [["10", "9", "1"], ["10.0", "9.0", "1.0"], [10, 9, 1], [10.0, 9.0, 1.0]])
def test_whole_numbers_are_classes_in_the_order_of_numbers(wav: Path, numbers: list[str] | list[float]) -> None:
    paths = [f"wav/{name}.wav" for name in "abc"]
    for content in (
        pl.DataFrame({"path": paths, "label": numbers}),
        rows("label", "|".join(str(number) for number in numbers)),
    ):
        built = read(wav, content)
        assert built.corpus.classes == ("1", "9", "10")
        assert labels(built) == ["10", "9", "1"]
        said = ["column 'label' holds whole numbers: 10.0 is taken for 10"]
        assert list(built.notes[2:]) == (said if "." in str(numbers[0]) else [])


def test_numbers_and_codes_are_told_apart(wav: Path) -> None:
    built = read(
        wav, rows("label,code,big,age,gap,share,exp", "x,007,12345678901234567890,30,NA,1,1e3|y,010,1,40,3,.5,2")
    )
    kept = {name: values.dtype.kind for name, values in built.corpus.columns.items()}
    assert kept == {
        **{"code": "U", "big": "U", "age": "i", "gap": "f", "share": "f", "exp": "f"},
        **{"duration": "f", "sample_rate": "i"},
    }
    assert built.corpus.columns["big"].tolist() == ["12345678901234567890", "1"]
    np.testing.assert_array_equal(built.corpus.columns["gap"], [np.nan, 3])


def test_commas_are_decimal_only_where_they_separate_nothing(wav: Path) -> None:
    built = read(wav, "path;label;score;pair\nwav/a.wav;x;-0,5;1,2\nwav/b.wav;y;2;3,x\n")
    assert built.corpus.columns["score"].tolist() == [-0.5, 2.0]
    assert built.corpus.columns["pair"].tolist() == ["1,2", "3,x"]
    assert read(wav, 'path,label,score\nwav/a.wav,x,"0,5"\nwav/b.wav,y,1\n').corpus.columns["score"].tolist() == [
        "0,5",
        "1",
    ]


def test_columns_of_parquet_keep_what_they_are(wav: Path) -> None:
    table = pl.DataFrame(
        {
            "file": [f"wav/{name}.wav" for name in "abc"],
            "label": pl.Series(["x", "y", "y"]).cast(pl.Categorical),
            "speaker": [1, 2, None],
            "digits": ["1", "2", "3"],
            "flag": [True, False, None],
            "nothing": pl.Series([None] * 3, dtype=pl.Null),
            "age": [1, 2, None],
        }
    )
    built = read(wav, table)
    assert (labels(built), speakers(built)) == (["x", "y", "y"], ["1", "2", ""])
    columns = {name: values.tolist() for name, values in built.corpus.columns.items()}
    assert (columns["digits"], columns["flag"]) == (["1", "2", "3"], ["true", "false", ""])
    assert columns["nothing"] == ["", "", ""]
    assert columns["age"][:2] == [1.0, 2.0]
    assert labels(read(wav, table.with_columns(label=pl.Series([True, False, True])))) == ["true", "false", "true"]
    for bad in ([b"x", b"y", b"y"], [["x"], ["y"], ["y"]]):
        assert "has a column 'label' of" in refusal(wav, table.with_columns(label=pl.Series(bad)))


def test_recordings_are_found_in_the_other_unicode_form(wav: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "Grüße/müller.wav") for form in ("NFC", "NFD"))
    (wav / apart).parent.mkdir()
    (wav / apart).write_bytes((wav / "wav" / "a.wav").read_bytes())
    for written in (composed, apart, composed.replace("/", "\\")):
        built = read(wav, f"path,label\n{written},x\nwav/b.wav,y\n")
        assert built.corpus.ids.tolist() == ["b", "müller"]
        assert built.corpus.paths is not None
        assert (wav / built.corpus.paths[1]).is_file()


def test_ids_are_kept_composed_and_differ_by_case(wav: Path) -> None:
    built = read(wav, "path,label,utterance\nwav/a.wav,x,mu\u0308ller\nwav/b.wav,y,Müller\n")
    assert built.corpus.ids.tolist() == ["Müller", "müller"]
    message = refusal(wav, "path,label,utterance\nwav/a.wav,x,mu\u0308ller\nwav/b.wav,y,müller\n")
    assert "two recordings have the id 'müller'" in message


def test_sessions_by_name_are_folds_and_it_is_said_which(wav: Path) -> None:
    built = read(wav, rows("label,split", "x,Ses01|y,Ses02|x,Ses10|y,ses01|y,nan"))
    corpus = built.corpus
    assert corpus.parts("split").tolist() == ["fold-1", "fold-2", "fold-3", "fold-1", ""]
    assert built.notes[2:] == ("the folds are fold-1: Ses01, fold-2: Ses02, fold-3: Ses10",)
    assert corpus.columns["split"].tolist() == ["Ses01", "Ses02", "Ses10", "ses01", ""]
    train_eval = choose_train_eval_rows(corpus, fold=1)
    assert (train_eval.evaluated.tolist(), train_eval.train.tolist()) == ([0, 3], [1, 2])


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("Train|Dev|Test1", ["train", "valid", "Test1"]),
        ("1.0|2.0|2.0", ["fold-1", "fold-2", "fold-2"]),
        ("fold 1|fold_2|2", ["fold-1", "fold-2", "fold-2"]),
        ("train|None|test", ["train", "", "test"]),
        ("B|A|a", ["fold-2", "fold-1", "fold-1"]),
    ],
)
def test_parts_of_the_manifest_are_the_usual_ones_or_folds(wav: Path, written: str, parts: list[str]) -> None:
    text = rows("label,Split", "|".join(f"x{place % 2},{part}" for place, part in enumerate(written.split("|"))))
    assert read(wav, text).corpus.parts("split").tolist() == parts


def test_an_empty_split_is_none(wav: Path) -> None:
    built = read(wav, rows("label,Partition", "x,|y,nan"))
    assert not built.corpus.splits
    assert "column 'Partition' is empty: there is no split of the manifest's own" in built.notes
