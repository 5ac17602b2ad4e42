"""What headers state against what files hold: decoded right, or refused or noted in one line with the file's name."""

import struct
from pathlib import Path

import numpy as np
import pytest

from ser_store.audio.decode import load_waveform
from ser_store.errors import AudioError

soundfile = pytest.importorskip("soundfile")

RATE = 16_000
READ = {"WAV", "WAVEX", "RF64", "W64", "FLAC", "MP3", "OGG", "AIFF", "AU", "CAF", "NIST"}
COARSE = {"GSM610", "G721_32", "G723_24", "G723_40", "NMS_ADPCM_16", "NMS_ADPCM_24", "NMS_ADPCM_32"}
COARSE |= {"IMA_ADPCM", "MS_ADPCM", "OPUS", "VORBIS", "MPEG_LAYER_III"}


def make_sound(n: int = RATE, rate: int = RATE) -> np.ndarray:
    seconds = np.arange(n) / rate
    partials = [(200, 0, 0.3), (430, 1, 0.2), (790, 2, 0.1)]
    sound = sum(size * np.sin(2 * np.pi * hertz * seconds + phase) for hertz, phase, size in partials)
    return (0.6 * sound * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * seconds))).astype(np.float32)


def encode(path: Path, kind: str = "WAV", subtype: str | None = None, n: int = RATE, **options: object) -> bytearray:
    soundfile.write(path, make_sound(n), RATE, format=kind, subtype=subtype, **options)
    return bytearray(path.read_bytes())


def put(content: bytearray, place: int, kind: str, *numbers: int) -> bytearray:
    struct.pack_into(kind, content, place, *numbers)
    return content


def save(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(AudioError) as caught:
        load_waveform(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


ENCODINGS = [
    (kind, subtype) for kind in soundfile.available_formats() for subtype in soundfile.available_subtypes(kind)
]


@pytest.mark.parametrize(("kind", "subtype"), ENCODINGS)
def test_every_encoding_is_decoded_or_refused_in_one_line(tmp_path: Path, kind: str, subtype: str) -> None:
    path = tmp_path / "a.bin"
    for rate in (8_000, 16_000, 44_100):  # some take one rate alone
        sound = make_sound(rate, rate)
        try:
            soundfile.write(path, sound, rate, format=kind, subtype=subtype)
            break
        except soundfile.LibsndfileError as problem:
            reason = problem
    else:
        pytest.skip(f"cannot be written: {reason}")
    if kind not in READ:
        assert "cannot be decoded" in refusal(path)
        return
    waveform = load_waveform(path)
    assert waveform.note is None
    assert waveform.sample_rate == rate
    # Codecs with blocks fill the last one up.
    assert rate <= len(waveform.samples) <= rate * 1.05
    heard = waveform.samples[:rate]
    if subtype in COARSE:
        assert np.corrcoef(heard, sound)[0, 1] > 0.99
    else:
        np.testing.assert_allclose(heard, sound, atol=0.009 if subtype[-2:] in ("S8", "U8", "AW") else 1e-4)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert any(word in refusal(path) for word in ("truncated", "cannot be decoded"))


LENGTHS = {  # the chunk's name, the struct of its length, how far behind the name, and what the length counts besides
    "WAV": (b"data", "<I", 4, 0),
    "WAVEX": (b"data", "<I", 4, 0),
    "RF64": (b"ds64", "<Q", 16, 0),
    "AIFF": (b"SSND", ">I", 4, 8),
    "CAF": (b"data", ">q", 4, 4),
    "W64": (b"data", "<Q", 16, 24),
    "AU": (b".snd", ">I", 8, 0),
}


def restate(content: bytearray, kind: str, length: int) -> bytearray:
    name, number, behind, besides = LENGTHS[kind]
    return put(content, content.index(name) + behind, number, length + besides)


@pytest.mark.parametrize("more", [1, 2, 8, 35, 36, 44])
@pytest.mark.parametrize("kind", LENGTHS)
def test_a_few_bytes_too_many_in_the_header_are_noted_and_all_samples_read(
    tmp_path: Path, kind: str, more: int
) -> None:
    path = tmp_path / "a.bin"
    content = encode(path, kind, "PCM_16")
    expected = load_waveform(path).samples
    waveform = load_waveform(save(path, restate(content, kind, 2 * RATE + more)))
    np.testing.assert_array_equal(waveform.samples, expected)
    assert waveform.note == (
        f"{path} states {2 * RATE + more:,} bytes of audio and holds {2 * RATE:,}: read to its end"
    )


@pytest.mark.parametrize("kind", LENGTHS)
def test_many_bytes_too_many_are_a_truncated_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.bin"
    save(path, restate(encode(path, kind, "PCM_16"), kind, 2 * RATE + 1_000))
    assert f"is truncated ({2 * RATE:,} of {2 * RATE + 1_000:,} bytes of audio)" in refusal(path)


@pytest.mark.parametrize("length", [0, 0x7FFFF000, 0xFFFFFFFF, -1])
@pytest.mark.parametrize("kind", LENGTHS)
def test_without_a_stated_length_all_samples_are_read_and_it_is_noted(tmp_path: Path, kind: str, length: int) -> None:
    path = tmp_path / "a.bin"
    content = encode(path, kind, "PCM_16")
    expected = load_waveform(path).samples
    number, besides = LENGTHS[kind][1], LENGTHS[kind][3]
    # Counted with what the length has besides, which a writer that knows nothing leaves out.
    limit = 2 ** (8 * struct.calcsize(number))
    stated = length if number == ">q" else length % limit
    waveform = load_waveform(save(path, restate(content, kind, stated - besides)))
    np.testing.assert_array_equal(waveform.samples, expected)
    assert waveform.note == f"{path} does not state its length: read to its end; whether it is whole is not known"


@pytest.mark.parametrize("riff", [0, 36])
def test_a_recorder_that_was_killed_leaves_its_recording(tmp_path: Path, riff: int) -> None:
    path = tmp_path / "a.wav"
    content = put(put(encode(path, "WAV", "PCM_16"), 4, "<I", riff), 40, "<I", 0)
    waveform = load_waveform(save(path, content))
    np.testing.assert_allclose(waveform.samples, make_sound(), atol=1e-4)
    assert "does not state its length" in str(waveform.note)


def test_an_empty_wav_with_a_comment_behind_it_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    content = encode(path, n=0) + b"LIST" + struct.pack("<I", 3_000) + b"INFO" + bytes(2_996)
    assert "holds no samples" in refusal(save(path, content))


def test_flac_from_a_pipe_is_read_to_its_end_and_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    content = encode(path, "FLAC", n=100_000)
    content[21] &= 0xF0  # STREAMINFO: 36 bits of total samples, 0 for unknown
    content[22:26] = bytes(4)
    waveform = load_waveform(save(path, content))
    np.testing.assert_allclose(waveform.samples, make_sound(100_000), atol=1e-4)
    assert "does not state its length" in str(waveform.note)
    assert "may be truncated" in refusal(save(path, content[: len(content) // 2]))


def test_flac_that_states_more_than_it_has_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    content = put(encode(path, "FLAC"), 22, ">I", RATE + 1_000)
    assert f"is truncated ({RATE:,} of {RATE + 1_000:,} frames)" in refusal(save(path, content))


@pytest.mark.parametrize("kind", ["FLAC", "OGG"])
def test_two_streams_behind_each_other_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.bin"
    content = encode(path, kind)
    assert "holds 2 streams, of which only the first" in refusal(save(path, content + content))


def find_mp3_index(content: bytearray) -> int:
    return max(content.find(b"Xing"), content.find(b"Info"))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_an_mp3_index_that_states_too_few_frames_is_noted_and_all_are_read(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.mp3"
    content = encode(path, "MP3", n=2 * RATE)
    expected = load_waveform(path)
    place = find_mp3_index(content) + 8
    (frames,) = struct.unpack_from(">I", content, place)
    waveform = load_waveform(save(path, put(content, place, ">I", int(frames * share))))
    np.testing.assert_array_equal(waveform.samples, expected.samples)
    assert expected.note is None
    assert waveform.note == f"{path} states {int(frames * share)} MP3 frames and holds {frames}: read to its end"


def test_an_mp3_index_that_states_too_many_frames_is_a_truncated_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    content = encode(path, "MP3", n=2 * RATE)
    assert "of 200 MP3 frames)" in refusal(save(path, put(content, find_mp3_index(content) + 8, ">I", 200)))


@pytest.mark.parametrize("between", [b"", b"TAG" + bytes(125), b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)])
def test_two_mp3_files_behind_each_other_are_read_and_noted(tmp_path: Path, between: bytes) -> None:
    path = tmp_path / "a.mp3"
    content = encode(path, "MP3", n=2 * RATE)
    waveform = load_waveform(save(path, content + between + content))
    assert waveform.seconds == pytest.approx(4.0, abs=0.15)
    assert "MP3 frames and holds" in str(waveform.note)


@pytest.mark.parametrize("tail", [b"TAG" + bytes(125), b"APETAGEX" + bytes(40), bytes(64)])
def test_tags_behind_an_mp3_are_no_audio(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "a.mp3"
    assert load_waveform(save(path, encode(path, "MP3") + tail)).note is None


@pytest.mark.parametrize(
    ("tail", "unread"),
    [
        (b"LIST" + struct.pack("<I", 8) + b"INFOIART", 0),
        (b"id3 " + struct.pack("<I", 4) + bytes(4), 0),
        (bytes(512), 0),
        (np.arange(1, 401, dtype="<i2").tobytes(), 800),
    ],
)
def test_what_lies_behind_the_stated_audio_is_a_chunk_or_noted(tmp_path: Path, tail: bytes, unread: int) -> None:
    path = tmp_path / "a.wav"
    note = load_waveform(save(path, encode(path, "WAV", "PCM_16") + tail)).note
    expected = f"{path} holds 800 bytes behind the {2 * RATE:,} bytes of audio that it states: not read"
    assert note == (expected if unread else None)


def test_a_chunk_of_odd_length_ahead_of_the_audio_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    content = encode(path, "WAV", "PCM_16")
    waveform = load_waveform(save(path, content[:12] + b"junk" + struct.pack("<I", 3) + b"abc\0" + content[12:]))
    np.testing.assert_allclose(waveform.samples, make_sound(), atol=1e-4)
    assert waveform.note is None


@pytest.mark.parametrize(
    ("kind", "subtype"), [("WAV", "PCM_U8"), ("W64", "PCM_U8"), ("RF64", "PCM_U8"), ("AU", "PCM_S8")]
)
def test_an_odd_number_of_bytes_is_whole(tmp_path: Path, kind: str, subtype: str) -> None:
    path = tmp_path / "a.bin"
    encode(path, kind, subtype, n=RATE - 1)
    waveform = load_waveform(path)
    assert (len(waveform.samples), waveform.note) == (RATE - 1, None)


@pytest.mark.parametrize("rate", [8_000, 12_000, 16_000, 24_000, 48_000])
def test_opus_keeps_its_rate_and_length(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "a.opus"
    soundfile.write(path, make_sound(rate, rate), rate, format="OGG", subtype="OPUS")
    waveform = load_waveform(path)
    assert (waveform.sample_rate, len(waveform.samples), waveform.note) == (rate, rate, None)


LFS = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.wav", LFS, "it is a Git LFS pointer in place of the recording"),
        ("a.wav", b"/annex/objects/SHA256E-s3--abc.wav\n", "it is a git-annex pointer"),
        ("._a.wav", b"\0\x05\x16\x07\0\x02\0\0Mac OS X        " + bytes(200), "it is an AppleDouble file"),
        ("a.wav", b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(200), "it is MPEG-4"),
        ("a.m4a", b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(200), "it is MPEG-4"),
        ("a.wav", "<!DOCTYPE html><p>Zugriff verweigert, ä".encode() * 50, "it is text"),
        ("a.wav", b"0.1 0.2\r\n" * 300, "it is text"),
        # libsndfile takes these suffixes for headerless samples, and text for noise.
        ("a.au", b"no audio at all\n" * 300, "it is text"),
        ("a.snd", b"no audio at all\n" * 300, "it is text"),
        ("a.gsm", b"no audio at all\n" * 300, "it is text"),
        ("a.vox", b"no audio at all\n" * 300, "it is text"),
        ("a.vox", bytes(range(256)) * 20, "its format, RAW, is not read"),
        ("a.wav", bytes(4_096), "it is nothing but zeros"),
        ("a.wav", b"RIFF", "Format not recognised"),
    ],
)
def test_what_is_no_recording_is_named_for_what_it_is(tmp_path: Path, name: str, content: bytes, what: str) -> None:
    assert what in refusal(save(tmp_path / name, content))


@pytest.mark.parametrize("kind", sorted(READ - {"WAVEX"}))
def test_damaged_headers_are_read_or_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.bin"
    whole = encode(path, kind, n=6_000)
    rng = np.random.default_rng(0)
    refusals = []
    for _ in range(60):
        content = bytearray(whole)
        for place in rng.integers(0, 120, rng.integers(1, 4)):
            content[place] = rng.choice([0, 127, 128, 255, rng.integers(256)])
        save(path, content)
        try:
            assert np.isfinite(load_waveform(path).samples).all()
        except AudioError as problem:
            refusals.append(str(problem))
    assert refusals
    assert all(str(path) in refusal and "\n" not in refusal for refusal in refusals)
