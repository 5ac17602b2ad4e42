from pathlib import Path

import numpy as np
import pytest

from ser_store.corpora.building import Reading
from ser_store.corpora.published.fields import describe_name, read_ids
from ser_store.corpora.published.loading import load_published
from ser_store.corpora.published.page import open_page
from ser_store.errors import AudioError, CorpusError, SerstoreError

soundfile = pytest.importorskip("soundfile")


RAVDESS = open_page("ravdess")


def load_ravdess(audio, **how):
    return load_published(RAVDESS, audio, Reading(**how))


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
    assert describe_name(RAVDESS, "03-01-06-02-01-02-12") == {
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
    assert describe_name(RAVDESS, utterance_id) is None


def test_an_id_that_is_not_ravdess_leaves_the_others_their_speakers() -> None:
    told = read_ids(RAVDESS, ["03-01-01-01-01-01-07", "a"])
    assert told is not None
    assert told[0].tolist() == ["07", ""]
    assert told[1]["sex"].tolist() == ["male", ""]


def test_ids_alone_tell_speakers_and_columns() -> None:
    told = read_ids(RAVDESS, ["03-01-01-01-01-01-01", "03-01-05-02-02-02-24"])
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
    assert read_ids(RAVDESS, ["b", "a"]) is None
    assert read_ids(RAVDESS, []) is None


def test_an_odd_id_costs_no_other_its_speaker() -> None:
    told = read_ids(RAVDESS, ["a", "03-01-05-02-02-02-24"])
    assert told is not None
    speakers, columns = told
    assert speakers.tolist() == ["", "24"]
    assert columns["sex"].tolist() == ["", "female"]
    np.testing.assert_array_equal(columns["repetition"], [np.nan, 2])


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


@pytest.mark.parametrize("suffix", [".aiff", ".aif", ".AIFF", ".w64", ".au", ".snd", ".caf", ".sph"])
def test_further_formats_are_read(tmp_path: Path, suffix: str) -> None:
    kind = {".w64": "W64", ".au": "AU", ".snd": "AU", ".caf": "CAF", ".sph": "NIST"}.get(suffix, "AIFF")
    path = record(tmp_path / "03-01-03-01-01-01-01.wav")
    samples, rate = soundfile.read(record(tmp_path / "03-01-05-01-01-01-01.wav"))
    soundfile.write(path.with_suffix(suffix), samples, rate, format=kind)
    path.unlink()
    built = load_ravdess(tmp_path)
    assert (len(built.corpus), built.ignored, built.skipped, built.notes) == (2, 0, (), ())


def test_a_linked_folder_belongs_to_the_corpus(tmp_path: Path) -> None:
    record(tmp_path / "audio" / "Actor_01" / "03-01-03-01-01-01-01.wav")
    record(tmp_path / "disk" / "03-01-05-01-01-01-02.wav", seed=1)
    (tmp_path / "audio" / "Actor_02").symlink_to(tmp_path / "disk")
    corpus = load_ravdess(tmp_path / "audio").corpus
    assert corpus.paths is not None
    assert corpus.paths.tolist() == ["Actor_01/03-01-03-01-01-01-01.wav", "Actor_02/03-01-05-01-01-01-02.wav"]
    assert corpus.audio_root == str(tmp_path / "audio")


def lose(folder: Path, how: str) -> str:
    """One spoken recording that cannot be read, and what is said of it."""
    path = folder / "Actor_02" / "03-01-05-01-01-01-02"
    path.parent.mkdir(parents=True)
    if how == "folder":
        path.parent.rmdir()
        path.parent.symlink_to("not_mounted")
        return "is a link to not_mounted, which cannot be followed"
    if how == "link":
        path.with_suffix(".wav").symlink_to("gone.wav")
        return "is a link to gone.wav, which cannot be followed"
    if how == "actor":
        record(path.with_name("03-01-05-01-01-01-25.wav"))
        return "03-01-05-01-01-01-25.wav is named like RAVDESS speech but has no such emotion"
    path.with_suffix(how).write_bytes(b"\0\0\0\x20ftypM4A ")
    path.with_suffix(".TextGrid").write_bytes(b"words")
    found = f".TextGrid and {how}" if how else "a file without suffix and .TextGrid"
    return f"03-01-05-01-01-01-02 is there as {found} only"


@pytest.mark.parametrize("how", [".m4a", ".mp4", ".wma", "", "folder", "link", "actor"])
def test_spoken_recordings_that_cannot_be_read_are_refused_or_left_out_with_a_word(tmp_path: Path, how: str) -> None:
    for emotion in ("03", "05"):
        record(tmp_path / "Actor_01" / f"03-01-{emotion}-01-01-01-01.wav")
    record(tmp_path / "03-02-05-01-01-01-01.wav")
    said = lose(tmp_path, how)
    message = refusal(tmp_path, AudioError)
    assert message.startswith("1 of 3 recordings cannot be used; mend them, or leave them out by `skip_bad`; first: ")
    assert said in message
    built = load_ravdess(tmp_path, skip_bad=True)
    assert (len(built.corpus), built.ignored, len(built.skipped)) == (2, 1, 1)
    assert said in built.skipped[0]


def test_nothing_but_recordings_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    said = lose(tmp_path, ".m4a")
    assert said in refusal(tmp_path)


def test_a_companion_of_a_recording_is_no_recording(tmp_path: Path) -> None:
    for emotion in ("03", "05"):
        record(tmp_path / f"03-01-{emotion}-01-01-01-01.wav")
    for name in ("03-01-03-01-01-01-01.TextGrid", "03-01-03-01-01-01-01.m4a", "._03-01-03-01-01-01-01.wav"):
        (tmp_path / name).write_bytes(b"words")
    built = load_ravdess(tmp_path)
    assert (len(built.corpus), built.ignored, built.skipped, built.notes) == (2, 0, (), ())


def test_audio_under_other_names_is_noted(tmp_path: Path) -> None:
    for name in ("03-01-03-01-01-01-01", "03-01-05-01-01-01-01", "03-01-05-01-01-01-01 (1)", "kids"):
        record(tmp_path / f"{name}.wav")
    built = load_ravdess(tmp_path, strict=True)
    assert len(built.corpus) == 2
    first = tmp_path / "03-01-05-01-01-01-01 (1).wav"
    assert built.notes == (f"audio files without a RAVDESS name, left out: 2; the first is {first}",)


def claim(path: Path, more: int) -> None:
    content = bytearray(path.read_bytes())
    content[40:44] = (int.from_bytes(content[40:44], "little") + more).to_bytes(4, "little")
    path.write_bytes(content)


def test_what_a_header_misstates_is_noted_or_refused_when_strict(tmp_path: Path) -> None:
    record(tmp_path / "03-01-03-01-01-01-01.wav")
    lying = record(tmp_path / "03-01-05-01-01-01-01.wav")
    record(tmp_path / "03-01-06-01-01-01-01.wav")
    claim(lying, 36)
    note = f"{lying} states 9,636 bytes of audio and holds 9,600: read to its end"
    built = load_ravdess(tmp_path)
    assert (len(built.corpus), built.skipped, built.notes) == (3, (), (note,))
    assert built.corpus.columns["duration"].tolist() == [0.3] * 3
    with pytest.raises(AudioError, match=r"^1 of 3 recordings cannot be used.*states 9,636 bytes of audio and holds"):
        load_ravdess(tmp_path, strict=True)
    left = load_ravdess(tmp_path, strict=True, skip_bad=True)
    assert (len(left.corpus), left.skipped, left.notes) == (2, (note,), ())


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none") == (
        f"{tmp_path / 'none'} does not exist: expected the folder of the RAVDESS recordings; check `audio`"
    )
    (tmp_path / "file").touch()
    assert "is a file: expected the folder" in refusal(tmp_path / "file")


def test_a_folder_without_ravdess_says_what_was_seen_and_what_was_expected(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "03-02-05-01-01-01-01.wav"):
        (tmp_path / name).touch()
    message = refusal(tmp_path)
    assert "no RAVDESS speech recording among 3 files" in message
    assert "03-01-05-02-01-01-12.wav" in message
    assert "`corpus` FILE.csv" in message


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
    assert message.startswith("2 of 3 recordings cannot be used; mend them, or leave them out by `skip_bad`; first: ")
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
