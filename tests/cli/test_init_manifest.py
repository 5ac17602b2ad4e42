"""What ``init`` understood of a manifest is printed, and in its JSON."""

import pytest


@pytest.fixture
def manifest(speech, tmp_path):
    """The synthetic recordings by session and speaker, as a spreadsheet in Europe writes them."""
    lines = ["FileName;Emotion;SpkrID;Session"]
    for path in sorted(speech.rglob("*.*")):
        if path.is_file():
            emotion, actor = path.stem.split("-")[2], path.stem.split("-")[-1]
            lines.append(f"{path};{emotion};{'nan' if len(lines) == 1 else actor};Ses{actor}")
    (tmp_path / "mine.csv").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "mine.csv"


def test_init_says_what_it_understood(serstore, manifest, tmp_path):
    words = ("init", "--corpus", manifest, "--split", "Session", "--store", tmp_path / "m.store")
    document = serstore(*words, "--json").json
    assert document["parts"] == {"fold-1": 16, "fold-2": 16, "fold-3": 16}
    assert document["notes"] == [
        "mine.csv: path is column 'FileName', label is column 'Emotion', speaker is column 'SpkrID'; ids are the names "
        "of the recordings; no column for split",
        "further columns: Session (text), duration (measured), sample_rate (measured)",
        "the speaker of 1 of 48 utterances is unknown (first: 03-01-01-01-01-01-01): each of them counts as a speaker "
        "of its own, and is outside of splits by speaker",
        "the folds are fold-1: Ses01, fold-2: Ses02, fold-3: Ses03",
    ]
    told = serstore(*words)
    for line in document["notes"]:
        assert line in told.err
    assert "48 utterances, 3 speakers" in told.out


def test_a_session_is_left_out_by_what_comes_after_init(serstore, manifest, tmp_path):
    store = tmp_path / "m.store"
    assert serstore("init", "--corpus", manifest, "--split", "Session", "--store", store).code == 0
    assert serstore("extract", "--model", "mfcc", "--store", store).code == 0
    fitted = serstore("head", "--kind", "logreg", "--split", "Session", "--fold", "2", "--store", store)
    assert fitted.code == 0, fitted.err
    assert serstore("evaluate", "--on", "fold-2", "--json", "--store", store).json["members"][0]["n"] == 16


def test_the_help_names_the_columns_of_a_table(serstore):
    said = " ".join(serstore("init", "--help").out.split())
    for column in ("path", "label", "speaker", "utterance", "split"):
        assert f"- {column}" in said.partition("Its columns:")[2].partition("Options")[0]
