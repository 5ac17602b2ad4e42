"""``serstore predict``: which files it takes, what it prints and writes, what it says of the recordings."""

import json
import shutil

import numpy as np
import polars
import pytest
import soundfile
from typer.testing import CliRunner

import ser_store as ss
from ser_store_cli.app import app


@pytest.fixture(scope="module")
def store(serstore, speech, tmp_path_factory):
    """A store with a head on MFCC features that was kept, and one of decision values. Read only."""
    path = tmp_path_factory.mktemp("heads") / "speech.store"
    assert serstore("init", "--corpus", "ravdess", "--audio", speech, "--split", "speaker", "--store", path).code == 0
    ss.extract(path, model="mfcc")
    ss.head(path, "mfcc", kind=["lda", "svm"], keep=True)
    return path


@pytest.fixture
def run(serstore, store):
    def run(*words, code=0):
        done = serstore("predict", *words, "--store", store)
        assert done.code == code, done.err
        return done

    return run


@pytest.fixture
def recording(speech):
    return next(iter(sorted((speech / "Actor_03").glob("*.wav"))))


def write(path, seconds, *, rate=16_000, channels=1, seed=0):
    samples = 0.1 * np.random.default_rng(seed).normal(size=(round(seconds * rate), 1))
    soundfile.write(path, np.repeat(samples, channels, axis=1), rate)
    return path


def test_one_recording_is_one_row_and_nothing_else_on_stdout(run, recording):
    done = run("mfcc-lda", recording)
    header, _, row = done.out.splitlines()
    assert header.split()[:4] == ["file", "seconds", "class", "probability"]
    assert header.split()[4:] == ["angry", "calm", "disgust", "fearful", "happy", "neutral", "sad", "surprised"]
    assert row.startswith(str(recording))
    assert done.err == ""


def test_the_json_document_is_as_stated(run, recording):
    document = run("mfcc-lda", recording, "--json").json
    assert list(document) == ["members", "rule", "predictions"]
    assert (document["members"], document["rule"]) == (["mfcc-lda@0"], None)
    [one] = document["predictions"]
    assert list(one) == ["file", "start", "end", "label", "probabilities"]
    assert (one["file"], one["start"]) == (str(recording), 0.0)
    assert one["end"] == pytest.approx(soundfile.info(recording).duration)
    assert one["label"] == max(one["probabilities"], key=one["probabilities"].get)
    assert sum(one["probabilities"].values()) == pytest.approx(1)


def test_without_probabilities_there_are_none_and_one_line_says_why(run, recording):
    done = run("mfcc-svm", recording, "--json")
    assert done.json["predictions"][0]["probabilities"] is None
    assert done.err == "serstore: mfcc-svm@0 says an SVM's decision values: no probabilities are given\n"
    assert run("mfcc-svm", recording).out.splitlines()[0].split() == ["file", "seconds", "class"]


def test_a_folder_is_taken_with_all_below_by_suffix_and_the_rest_is_counted(run, speech, tmp_path):
    folder = shutil.copytree(speech / "Actor_01", tmp_path / "a" / "Actor_01").parent
    n = len(list(folder.rglob("*.wav")))
    for name in ("a.txt", "b.txt", "c.pdf", ".hidden.wav", "._mac.wav"):
        (folder / name).write_text("no sound")
    done = run("mfcc-lda", folder, "--json")
    assert len(done.json["predictions"]) == n
    assert done.err == "serstore: left out 3 files that are no recordings (.txt 2, .pdf 1)\n"


def test_recordings_that_the_model_learned_from_are_told_by_their_samples(run, store, speech, tmp_path):
    corpus = ss.Store(store).corpus
    [learned] = [speech / path for path in corpus.paths[corpus.rows("train")][:1]]
    copied = shutil.copy(learned, tmp_path / "another_name.wav")
    fresh = speech / corpus.paths[corpus.rows("test")][0]
    assert "caution: mfcc-lda learned from this recording: " in run("mfcc-lda", copied).err
    assert run("mfcc-lda", fresh).err == ""
    assert f"learned from 1 of these 2 recordings (such as {copied}): " in run("mfcc-lda", fresh, copied).err


def test_names_are_read_from_standard_input(store, recording):
    words = ["predict", "mfcc-lda", "-", "--json", "--store", str(store)]
    done = CliRunner().invoke(app, words, input=f"{recording}\n\n")
    assert [one["file"] for one in json.loads(done.stdout)["predictions"]] == [str(recording)]


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_the_rows_are_written_to_a_new_file(run, speech, tmp_path, suffix):
    path, words = tmp_path / f"said{suffix}", ("mfcc-lda", speech / "Actor_03", "-o", tmp_path / f"said{suffix}")
    done = run(*words)
    assert (done.out, done.err) == (f"wrote 16 rows to {path}\n", "")
    if suffix == ".json":
        assert len(json.loads(path.read_text())["predictions"]) == 16
    else:
        frame = (polars.read_csv if suffix == ".csv" else polars.read_parquet)(path)
        assert frame.columns[:5] == ["file", "start", "end", "label", "p_angry"]
        assert frame.height == 16
    assert "is there already: expected a new file" in run(*words, code=1).err


def test_a_long_recording_in_windows_of_which_each_is_heard_alone(run, tmp_path):
    path = write(tmp_path / "long.wav", 7.5)
    done = run("mfcc-lda", path, "--window", 3, "--hop", 1.5, "--json")
    rows = done.json["predictions"]
    assert [(one["start"], one["end"]) for one in rows] == [(0, 3), (1.5, 4.5), (3, 6), (4.5, 7.5)]
    samples, rate = soundfile.read(path)
    soundfile.write(tmp_path / "part.wav", samples[3 * rate : 6 * rate], rate)
    [part] = run("mfcc-lda", tmp_path / "part.wav", "--json").json["predictions"]
    assert list(part["probabilities"].values()) == pytest.approx(list(rows[2]["probabilities"].values()), abs=1e-6)
    table = run("mfcc-lda", path, "--window", 3).out
    assert table.splitlines()[0].split()[:3] == ["file", "start", "end"]
    assert len(table.splitlines()) == 2 + 3


def test_what_is_resampled_mixed_down_or_far_too_long_is_said_in_a_line_each(run, tmp_path):
    write(tmp_path / "a.wav", 3, rate=48_000, channels=2)
    write(tmp_path / "b.wav", 3, rate=48_000)
    write(tmp_path / "c.wav", 3, rate=8_000)
    write(tmp_path / "d.wav", 40)
    write(tmp_path / "e.wav", 0.3)
    mixed, long, short = run("mfcc-lda", tmp_path).err.splitlines()
    assert mixed == (
        "serstore: recordings: resampled to 16 kHz 3 of 5 (2 from 48 kHz, 1 from 8 kHz); mixed down to one channel "
        "1 of 5"
    )
    assert "1 of 5 are more than 2 times as long as the longest recording of the corpus" in long
    assert long.endswith("--window says one for each part")
    assert "1 of 5 are less than half as long" in short


def test_bad_recordings_end_it_before_anything_or_are_left_out(run, recording, tmp_path):
    shutil.copy(recording, tmp_path / "b.wav")
    (tmp_path / "a.wav").write_bytes(b"RIFF, but no more")
    write(tmp_path / "c.wav", 0.1)
    failed = run("mfcc-lda", tmp_path, code=1)
    assert len(failed.err.splitlines()) == 1
    assert "a.wav" in failed.err
    assert failed.err.endswith("so with 1 more of 3, --on-bad skip leaves them out\n")
    done = run("mfcc-lda", tmp_path, "--on-bad", "skip", "--json")
    assert [one["file"] for one in done.json["predictions"]] == [str(tmp_path / "b.wav")]
    assert "left out 2 recordings that cannot be used; the first: " in done.err
    (tmp_path / "b.wav").unlink()
    assert "none of the 2 recordings can be used" in run("mfcc-lda", tmp_path, "--on-bad", "skip", code=1).err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("mfcc-lda",), "no recordings are named: expected files, or folders of them"),
        (("mfcc-lda", "nowhere.wav"), "nowhere.wav does not exist: expected a recording"),
        (("mfcc-lad", "nowhere.wav"), "mfcc-lda"),
        (("mfcc", "nowhere.wav"), "fit one by `serstore head --keep`"),
        (("./nowhere", "nowhere.wav"), "nowhere"),
        (("mfcc-lda", ".", "-o", "said.txt"), "said.txt: cannot be written as .txt"),
        (("mfcc-lda", "x.wav", "--device", "cud"), "unknown device 'cud': expected one of cuda (nearest), cpu"),
    ],
)
def test_bad_input_is_refused_in_one_line(run, words, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*words, code=1)
    assert done.out == ""
    [line] = done.err.splitlines()
    assert told in line


def test_a_folder_without_recordings_is_refused(run, tmp_path):
    (tmp_path / "a.txt").write_text("")
    assert (
        f"{tmp_path} has no recordings among its 1 files: expected files such as"
        in run("mfcc-lda", tmp_path, code=1).err
    )


def test_in_a_narrow_terminal_the_next_best_class_stands_for_all(store, recording):
    said = ss.predict("mfcc-lda", recording, store=store)
    assert "then" in said.tabulate(len(str(recording)) + 60).header
    assert "then" not in said.tabulate(len(str(recording)) + 200).header
    assert str(said) == str(said.tabulate())
    assert said.to_frame().height == 1
