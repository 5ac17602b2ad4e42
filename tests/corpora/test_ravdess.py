from pathlib import Path

import numpy as np
import pytest

from ser_store.corpora.ravdess import describe_ravdess_ids, load_ravdess, parse_ravdess_id
from ser_store.errors import AudioError, CorpusError, SerstoreError

soundfile = pytest.importorskip("soundfile")


def record(path: Path, *, seed: int = 0, seconds: float = 0.3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * 16_000)), 16_000)
    return path


def refusal(audio: Path, kind: type[SerstoreError] = CorpusError) -> str:
    with pytest.raises(kind) as caught:
        load_ravdess(audio)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_id_says_label_speaker_and_columns() -> None:
    assert parse_ravdess_id("03-01-06-02-01-02-12") == {
        "label": "fearful",
        "speaker": "12",
        "sex": "female",
        "intensity": "strong",
        "statement": "kids",
        "repetition": 2,
    }


@pytest.mark.parametrize(
    "utterance_id",
    [
        "03-02-06-02-01-02-12",  # song
        "01-01-06-02-01-02-12",  # video
        "03-01-09-02-01-02-12",  # no such emotion
        "03-01-06-02-01-02-25",  # no such actor
        "03-01-06-02-01-02-00",
        "03-01-06-02-01-02",
        "03-01-06-02-01-02-12-01",
        "hello",
        "",
    ],
)
def test_other_ids_say_nothing(utterance_id: str) -> None:
    assert parse_ravdess_id(utterance_id) is None


def test_an_id_that_is_not_ravdess_leaves_the_others_their_speakers() -> None:
    told = describe_ravdess_ids(["03-01-01-01-01-01-07", "a"])
    assert told is not None
    assert told[0].tolist() == ["07", ""]
    assert told[1]["sex"].tolist() == ["male", ""]


def test_ids_alone_tell_speakers_and_columns() -> None:
    told = describe_ravdess_ids(["03-01-01-01-01-01-01", "03-01-05-02-02-02-24"])
    assert told is not None
    speakers, columns = told
    assert speakers.tolist() == ["01", "24"]
    assert {name: column.tolist() for name, column in columns.items()} == {
        "sex": ["male", "female"],
        "intensity": ["normal", "strong"],
        "statement": ["kids", "dogs"],
        "repetition": [1, 2],
    }
    assert columns["repetition"].dtype == np.int64
    assert describe_ravdess_ids(["a"]) is None
    assert describe_ravdess_ids([]) is None


def test_recordings_are_found_at_any_depth_and_in_any_container(tmp_path: Path) -> None:
    record(tmp_path / "03-01-05-01-01-01-02.flac")
    record(tmp_path / "speech" / "Actor_01" / "03-01-03-01-01-01-01.WAV", seconds=0.5)
    built = load_ravdess(tmp_path)
    corpus = built.corpus
    assert corpus.name == "ravdess"
    assert corpus.ids.tolist() == ["03-01-03-01-01-01-01", "03-01-05-01-01-01-02"]
    assert corpus.classes == ("angry", "happy")
    assert corpus.labels.tolist() == [1, 0]
    assert corpus.labels.dtype == np.int16
    assert corpus.speakers is not None
    assert corpus.speakers.tolist() == ["01", "02"]
    assert corpus.paths is not None
    assert corpus.paths.tolist() == ["speech/Actor_01/03-01-03-01-01-01-01.WAV", "03-01-05-01-01-01-02.flac"]
    assert corpus.audio_root == str(tmp_path)
    assert corpus.columns["duration"].tolist() == [0.5, 0.3]
    assert corpus.columns["sample_rate"].tolist() == [16_000, 16_000]
    assert built.skipped == ()
    assert built.ignored == 0


def test_songs_and_videos_are_ignored_and_counted_and_other_files_are_not(tmp_path: Path) -> None:
    record(tmp_path / "03-01-03-01-01-01-01.wav")
    record(tmp_path / "03-01-05-01-01-01-01.wav")
    record(tmp_path / "03-02-05-01-01-01-01.wav")
    for name in ("01-01-05-01-01-01-01.mp4", "readme.txt", "._03-01-04-01-01-01-01.wav"):
        (tmp_path / name).write_bytes(b"no audio")
    built = load_ravdess(tmp_path)
    assert len(built.corpus) == 2
    assert built.ignored == 2


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == (
        f"{tmp_path / 'none'} does not exist: expected the folder of the RAVDESS recordings; check --audio"
    )
    (tmp_path / "file").touch()
    assert "is a file: expected the folder" in refusal(tmp_path / "file")


def test_a_folder_without_ravdess_says_what_was_seen_and_what_was_expected(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "03-02-05-01-01-01-01.wav"):
        (tmp_path / name).touch()
    message = refusal(tmp_path)
    assert "no RAVDESS speech recording among 3 files" in message
    assert "03-01-05-02-01-01-12.wav" in message
    assert "--corpus FILE.csv" in message


def test_the_same_recording_twice_is_refused_with_both_paths(tmp_path: Path) -> None:
    first = record(tmp_path / "a" / "03-01-03-01-01-01-01.wav")
    second = record(tmp_path / "b" / "03-01-03-01-01-01-01.flac")
    message = refusal(tmp_path)
    assert "'03-01-03-01-01-01-01'" in message
    assert str(first) in message
    assert str(second) in message


def test_bad_recordings_are_refused_with_their_number_and_the_first_by_path(tmp_path: Path) -> None:
    record(tmp_path / "03-01-03-01-01-01-01.wav")
    record(tmp_path / "03-01-04-01-01-01-01.wav", seconds=0.01)
    (tmp_path / "03-01-05-01-01-01-01.wav").touch()
    message = refusal(tmp_path, AudioError)
    assert message.startswith("2 of 3 recordings cannot be used; mend them, or leave them out with --skip-bad; first: ")
    assert "03-01-04-01-01-01-01.wav is 10 ms long" in message


def test_bad_recordings_can_be_left_out(tmp_path: Path) -> None:
    record(tmp_path / "03-01-03-01-01-01-01.wav")
    record(tmp_path / "03-01-04-01-01-01-01.wav", seconds=0.01)
    record(tmp_path / "03-01-05-01-01-01-01.wav")
    built = load_ravdess(tmp_path, skip_bad=True)
    assert built.corpus.classes == ("angry", "happy")
    assert len(built.skipped) == 1
    assert "03-01-04-01-01-01-01.wav is 10 ms long" in built.skipped[0]


def test_nothing_but_bad_recordings_is_refused_also_when_they_may_be_left_out(tmp_path: Path) -> None:
    record(tmp_path / "03-01-04-01-01-01-01.wav", seconds=0.01)
    with pytest.raises(AudioError, match=r"^1 of 1 recordings cannot be used; check the audio folder; first: "):
        load_ravdess(tmp_path, skip_bad=True)


def test_progress_is_told_of_every_recording(tmp_path: Path) -> None:
    record(tmp_path / "03-01-03-01-01-01-01.wav")
    record(tmp_path / "03-01-05-01-01-01-01.wav")
    told = []

    def progress(items, /, *, total, label):  # type: ignore[no-untyped-def]
        for item in items:
            told.append((total, label))
            yield item

    load_ravdess(tmp_path, progress=progress)
    assert told == [(2, "recordings")] * 2


@pytest.mark.ravdess
def test_the_sixty_three_originals_are_read(ravdess_48k: Path) -> None:
    corpus = load_ravdess(ravdess_48k).corpus
    assert len(corpus) == 63
    assert set(corpus.columns["sample_rate"].tolist()) == {48_000}
    assert corpus.audio_digests is not None
    assert len(np.unique(corpus.audio_digests, axis=0)) == 63
