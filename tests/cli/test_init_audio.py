"""What init and audit say of recordings that are not as they should be."""

from pathlib import Path

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    folder = tmp_path / "audio"
    folder.mkdir()
    for actor in range(1, 9):
        for emotion in ("03", "05"):
            samples = np.random.default_rng(actor).uniform(-0.5, 0.5, 4_800)
            soundfile.write(folder / f"03-01-{emotion}-01-01-01-{actor:02d}.wav", samples, 16_000)
    return folder


def init(audio, tmp_path, *options):
    words = ("init", "--corpus", "ravdess", "--audio", audio, "--split", "speaker", "--store", tmp_path / "a.store")
    return (*words, *options)


def claim(path, more=36):
    content = bytearray(path.read_bytes())
    content[40:44] = (9_600 + more).to_bytes(4, "little")
    path.write_bytes(content)


def test_notes_are_counted_and_the_first_are_printed(serstore, audio, tmp_path):
    for path in audio.glob("*.wav"):
        claim(path)
    outcome = serstore(*init(audio, tmp_path))
    assert outcome.code == 0, outcome.err
    notes = [line for line in outcome.err.splitlines() if line.startswith("serstore: note: ")]
    assert len(notes) == 6
    assert "states 9,636 bytes of audio and holds 9,600: read to its end" in notes[0]
    assert notes[-1] == "serstore: note: 16 in all, of which these are the first; --json lists all"


def test_notes_are_in_the_document(serstore, audio, tmp_path):
    claim(min(audio.glob("*.wav")))
    document = serstore(*init(audio, tmp_path, "--json")).json
    assert (document["n"], document["skipped"], document["ignored"], len(document["notes"])) == (16, [], 0, 1)


def test_strict_refuses_what_is_noted(serstore, audio, tmp_path):
    claim(min(audio.glob("*.wav")))
    outcome = serstore(*init(audio, tmp_path, "--strict"))
    assert outcome.code == 1
    (line,) = outcome.err.splitlines()
    assert "1 of 16 recordings cannot be used" in line
    assert "states 9,636 bytes of audio and holds 9,600" in line


def test_sixty_spoken_files_of_a_format_that_is_not_read_are_no_songs(serstore, audio, tmp_path):
    for place in range(60):
        (audio / f"03-01-0{1 + place % 8}-01-01-02-{1 + place // 8:02d}.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    outcome = serstore(*init(audio, tmp_path))
    assert outcome.code == 1
    assert "60 of 76 recordings cannot be used" in outcome.err
    assert "is there as .m4a only" in outcome.err
    outcome = serstore(*init(audio, tmp_path, "--skip-bad"))
    assert outcome.code == 0
    assert "left out: 60 in all, of which these are the first" in outcome.err
    assert "songs" not in outcome.err


@pytest.mark.parametrize(
    ("kind", "subtype"), [("WAV", "GSM610"), ("WAV", "G721_32"), ("WAV", "NMS_ADPCM_16"), ("XI", "DPCM_16")]
)
@pytest.mark.parametrize("source", ["ravdess", "manifest"])
def test_codecs_that_cannot_seek_are_read_or_refused_in_one_line(serstore, audio, tmp_path, kind, subtype, source):
    path = audio / "03-01-06-01-01-01-01.wav"
    soundfile.write(path, np.sin(np.arange(8_000) / 9) / 2, 8_000, format=kind, subtype=subtype)
    words = init(audio, tmp_path)
    if source == "manifest":
        table = tmp_path / "all.csv"
        rows = [f"{one.name},{one.stem[6:8]},{one.stem[-2:]}" for one in sorted(audio.glob("*.wav"))]
        table.write_text("\n".join(["path,label,speaker", *rows]))
        words = ("init", "--corpus", table, *words[3:])
    outcome = serstore(*words)
    if kind == "WAV":
        assert outcome.code == 0, outcome.err
        assert "17 utterances" in outcome.out
        return
    assert outcome.code == 1
    (line,) = outcome.err.splitlines()
    assert f"{path} cannot be decoded (its format, XI, is not read)" in line
    assert serstore(*words, "--skip-bad").code == 0


def test_audit_says_which_lengths_and_headers_are_out_of_line(serstore, audio, tmp_path):
    soundfile.write(audio / "03-01-03-01-02-01-01.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 960_000), 16_000)
    claim(audio / "03-01-05-01-01-01-08.wav")
    assert serstore(*init(audio, tmp_path)).code == 0
    outcome = serstore("audit", "--store", tmp_path / "a.store", "--json")
    document = outcome.json
    assert document["unusual_durations"] == [{"utterance": "03-01-03-01-02-01-01", "seconds": 60.0}]
    lengths, headers = (line for line in document["cautions"] if line.startswith("recordings "))
    assert "out of line in length: 1 of 17, 03-01-03-01-02-01-01 of 60.0 s, where the median is 0.3 s" in lengths
    assert "not as their headers say: 1; the first: " in headers
    printed = serstore("audit", "--store", tmp_path / "a.store")
    assert "length out of line: 03-01-03-01-02-01-01, 60.0 s" in printed.out
    assert lengths in printed.err
