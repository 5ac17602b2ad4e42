import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from ser_store.audio.decode import Waveform, compute_audio_digest, load_speech, load_waveform, resample
from ser_store.errors import AudioError

soundfile = pytest.importorskip("soundfile")


def make_tone(seconds: float = 0.5, *, rate: int = 16_000, hertz: float = 200.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = 16_000, **options: object) -> Path:
    soundfile.write(path, samples, rate, **options)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(AudioError) as caught:
        load_waveform(path)
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("name", "tolerance"), [("a.wav", 0.0), ("a.flac", 0.0), ("a.mp3", 0.05), ("a.ogg", 0.05), ("A.WAV", 0.0)]
)
def test_every_container_decodes_to_the_samples_that_were_written(tmp_path: Path, name: str, tolerance: float) -> None:
    tone = make_tone(rate=44_100)
    waveform = load_waveform(write(tmp_path / name, tone, 44_100))
    assert waveform.sample_rate == 44_100
    assert waveform.samples.dtype == np.float32
    np.testing.assert_allclose(waveform.samples, tone, atol=tolerance + 1 / 32_768)


def test_channels_are_mixed_by_their_mean(tmp_path: Path) -> None:
    tone = make_tone()
    waveform = load_waveform(write(tmp_path / "a.wav", np.stack([tone, 0 * tone], axis=1), subtype="FLOAT"))
    np.testing.assert_array_equal(waveform.samples, tone / 2)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_same_recording_as_wav_and_as_flac_has_the_same_digest(tmp_path: Path, subtype: str, channels: int) -> None:
    # Whole numbers: soundfile rounds fractions differently for the two containers.
    samples = np.random.default_rng(0).integers(-(2**31), 2**31, (8_000, channels)).astype(np.int32)
    wav = load_waveform(write(tmp_path / "a.wav", samples, subtype=subtype))
    flac = load_waveform(write(tmp_path / "b.flac", samples, subtype=subtype))
    assert compute_audio_digest(wav) == compute_audio_digest(flac)


def test_the_digest_is_of_the_rate_and_the_samples() -> None:
    samples = np.array([0.25, -0.5], np.float32)
    expected = hashlib.sha256((8_000).to_bytes(4, "little") + samples.astype("<f4").tobytes()).digest()
    assert compute_audio_digest(Waveform(samples, 8_000)) == expected
    assert compute_audio_digest(Waveform(samples, 16_000)) != expected
    assert compute_audio_digest(Waveform(samples[::-1], 8_000)) != expected


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.ogg"])
def test_a_truncated_recording_is_refused(tmp_path: Path, name: str, fraction: float) -> None:
    path = write(tmp_path / name, np.random.default_rng(0).uniform(-0.5, 0.5, 32_000))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    assert "truncated" in refusal(path)


def test_a_truncated_wav_says_how_much_is_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", make_tone())
    path.write_bytes(path.read_bytes()[:-1_000])
    assert "truncated (15,000 of 16,000 bytes of audio)" in refusal(path)


def test_a_truncated_rf64_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", make_tone(), format="RF64")
    assert len(load_waveform(path).samples) == 8_000
    path.write_bytes(path.read_bytes()[:-1_000])
    assert "truncated (15,000 of 16,000 bytes of audio)" in refusal(path)


def test_a_wav_written_to_a_pipe_states_no_length_and_is_read_to_its_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", make_tone())
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert len(load_waveform(path).samples) == 8_000


def without_mp3_index(path: Path) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[content.index(content[:2], 4) :])  # the first frame holds nothing else
    return path


def test_an_mp3_of_constant_rate_needs_no_index(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 96_000)
    path = write(tmp_path / "a.mp3", noise, 48_000, bitrate_mode="CONSTANT", compression_level=0.5)
    assert load_waveform(without_mp3_index(path)).seconds == pytest.approx(2.0, abs=0.06)


@pytest.mark.ravdess
def test_an_mp3_whose_length_is_guessed_too_long_is_read_to_its_end(tmp_path: Path, ravdess_48k: Path) -> None:
    original = load_waveform(next(ravdess_48k.rglob("03-01-01-01-01-01-01.wav")))
    path = without_mp3_index(write(tmp_path / "a.mp3", original.samples, original.sample_rate))
    assert soundfile.info(path).duration > 5.0
    assert load_waveform(path).seconds == pytest.approx(original.seconds, abs=0.06)


def test_an_mp3_that_would_be_cut_where_its_length_was_guessed_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp3", make_tone(2.0, rate=48_000), 48_000, bitrate_mode="VARIABLE")
    assert "was decoded in part" in refusal(without_mp3_index(path))


def test_an_mp3_behind_a_tag_is_checked_too(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp3", make_tone(2.0))
    tagged = b"ID3\x04\x00\x00\x00\x00\x01\x00" + bytes(128) + path.read_bytes()
    path.write_bytes(tagged)
    assert load_waveform(path).seconds == pytest.approx(2.0, abs=0.06)
    path.write_bytes(tagged[:-5])
    assert "truncated (its last MP3 frame is incomplete)" in refusal(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert "does not exist: expected a recording" in refusal(tmp_path / "none.wav")


def test_a_folder_is_no_recording(tmp_path: Path) -> None:
    (tmp_path / "a.wav").mkdir()
    assert "is a folder: expected a recording" in refusal(tmp_path / "a.wav")


def test_a_pipe_is_no_recording_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    assert "is no regular file" in refusal(tmp_path / "a.wav")


def test_a_link_to_nothing_says_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "a.wav").symlink_to("disk/b.wav")
    assert "is a link to disk/b.wav, which does not exist" in refusal(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.raw", "a.txt"])
def test_what_is_no_audio_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"this is no audio " * 100)
    assert "cannot be decoded" in refusal(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.touch()
    assert "is empty (0 bytes)" in refusal(path)


def test_a_file_without_samples_is_refused(tmp_path: Path) -> None:
    assert "holds no samples" in refusal(write(tmp_path / "a.wav", np.zeros(0)))


def test_ten_milliseconds_are_too_short(tmp_path: Path) -> None:
    assert "is 10 ms long: expected at least 250 ms" in refusal(write(tmp_path / "a.wav", make_tone(0.01)))


def test_a_quarter_of_a_second_is_long_enough(tmp_path: Path) -> None:
    assert load_waveform(write(tmp_path / "a.wav", make_tone(0.25))).seconds == 0.25


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_that_are_not_finite_are_refused(tmp_path: Path, wrong: float, channels: int) -> None:
    samples = np.stack([make_tone()] * channels, axis=1)
    samples[100:103] = [wrong, -wrong][:channels]
    message = refusal(write(tmp_path / "a.wav", samples, subtype="FLOAT"))
    assert "holds 3 samples that are NaN or infinite" in message


@pytest.mark.parametrize(("offset", "got"), [(0.0, "is silent"), (0.25, "is constant (all samples are near 0.25: an")])
@pytest.mark.parametrize("channels", [1, 2])
def test_silence_and_an_offset_without_sound_are_told_apart(
    tmp_path: Path, offset: float, got: str, channels: int
) -> None:
    hiss = np.random.default_rng(0).choice([-1, 1], (8_000, channels)) / 32_768
    message = refusal(write(tmp_path / "a.wav", hiss + offset))
    assert got in (message if channels == 1 else message.replace("0.25, 0.25", "0.25"))


def test_two_offsets_that_cancel_are_constant(tmp_path: Path) -> None:
    channels = np.stack([np.full(8_000, 0.5), np.full(8_000, -0.5)], axis=1)
    assert "is constant (all samples are near 0.5, -0.5: an offset)" in refusal(write(tmp_path / "a.wav", channels))


@pytest.mark.parametrize("other", [-1.0, -0.95])
def test_channels_that_cancel_are_refused_as_such(tmp_path: Path, other: float) -> None:
    channels = np.stack([make_tone(), other * make_tone()], axis=1)
    assert "has channels that cancel each other when they are mixed (-" in refusal(write(tmp_path / "a.wav", channels))


@pytest.mark.parametrize("silent", [1, 5])
def test_silent_channels_beside_one_that_speaks_do_not_cancel_it(tmp_path: Path, silent: int) -> None:
    channels = np.stack([make_tone(), *[np.zeros(8_000, np.float32)] * silent], axis=1)
    np.testing.assert_allclose(
        load_waveform(write(tmp_path / "a.wav", channels, subtype="FLOAT")).samples,
        make_tone() / (silent + 1),
        atol=1e-6,
    )


def test_channels_without_relation_are_mixed(tmp_path: Path) -> None:
    channels = np.random.default_rng(0).uniform(-0.5, 0.5, (8_000, 6))
    np.testing.assert_allclose(
        load_waveform(write(tmp_path / "a.wav", channels)).samples, channels.mean(axis=1), atol=1e-4
    )


def test_a_whisper_is_not_silence(tmp_path: Path) -> None:
    assert load_waveform(write(tmp_path / "a.wav", 0.002 * make_tone())).samples.max() > 0


def test_integers_in_a_float_file_are_refused(tmp_path: Path) -> None:
    message = refusal(write(tmp_path / "a.wav", 60_000 * make_tone(), subtype="FLOAT"))
    assert "expected -1 to 1" in message
    assert "32,768" in message


def test_a_small_overshoot_is_clipped(tmp_path: Path) -> None:
    waveform = load_waveform(write(tmp_path / "a.wav", 2.5 * make_tone(), subtype="FLOAT"))
    assert waveform.samples.max() == 1.0
    assert waveform.samples.min() == -1.0


def test_an_implausible_sample_rate_is_refused(tmp_path: Path) -> None:
    assert "states 100 samples per second" in refusal(write(tmp_path / "a.wav", make_tone(), 100))


def test_a_flac_that_states_hours_is_refused_before_memory_is_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", make_tone())
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F
    content[22:26] = b"\xff" * 4  # STREAMINFO: 36 bits of total samples
    path.write_bytes(content)
    assert "is longer than 3,600 s" in refusal(path)


def test_resampling_to_the_same_rate_changes_nothing() -> None:
    tone = make_tone()
    assert resample(tone, sample_rate=16_000) is tone


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 48_000, 11_127])
def test_resampling_keeps_a_tone(rate: int) -> None:
    pytest.importorskip("torchaudio")
    resampled = resample(make_tone(0.5, rate=rate), sample_rate=rate)
    assert resampled.dtype == np.float32
    assert len(resampled) == pytest.approx(8_000, abs=1)
    inside = slice(500, 7_500)  # the ends ring
    np.testing.assert_allclose(resampled[inside], make_tone()[inside], atol=5e-3)


def test_speech_is_mono_at_16_khz(tmp_path: Path) -> None:
    pytest.importorskip("torchaudio")
    tone = make_tone(rate=48_000)
    speech = load_speech(write(tmp_path / "a.wav", np.stack([tone, tone], axis=1), 48_000))
    assert speech.shape == (8_000,)
    assert speech.dtype == np.float32


@pytest.mark.ravdess
def test_the_five_stereo_originals_are_read_as_mono(ravdess_48k: Path) -> None:
    stereo = [path for path in sorted(ravdess_48k.rglob("*.wav")) if soundfile.info(path).channels == 2]
    assert len(stereo) == 5
    for path in stereo:
        channels, _ = soundfile.read(path, dtype="float32")
        np.testing.assert_array_equal(load_waveform(path).samples, channels.mean(axis=1, dtype=np.float32))


@pytest.mark.ravdess
def test_an_original_resampled_is_the_recording_at_16_khz(ravdess_48k: Path, ravdess_16k: Path) -> None:
    pytest.importorskip("torchaudio")
    ours = load_speech(next(ravdess_48k.rglob("03-01-05-01-01-01-01.wav")))
    theirs = load_waveform(next(ravdess_16k.rglob("03-01-05-01-01-01-01.flac"))).samples
    assert len(ours) == pytest.approx(len(theirs), abs=1)
    length = min(len(ours), len(theirs))
    assert np.corrcoef(ours[:length], theirs[:length])[0, 1] > 0.999
