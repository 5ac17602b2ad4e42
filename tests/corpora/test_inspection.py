from pathlib import Path

import numpy as np
import pytest

from ser_store.corpora.inspection import inspect_recordings
from ser_store.corpora.published.loading import load_published
from ser_store.corpora.published.page import open_page
from ser_store.errors import CorpusError
from ser_store_h5.corpus import Corpus


@pytest.fixture
def recorded(tmp_path: Path) -> Corpus:
    soundfile = pytest.importorskip("soundfile")
    for seed, emotion in enumerate(("03", "04", "05", "06")):
        samples = np.random.default_rng(seed).uniform(-0.5, 0.5, 4_800)
        soundfile.write(tmp_path / f"03-01-{emotion}-01-01-01-01.wav", samples, 16_000)
    return load_published(open_page("ravdess"), tmp_path).corpus


def test_recordings_that_are_as_they_were_are_not_bad(recorded: Corpus, tmp_path: Path) -> None:
    assert inspect_recordings(recorded, tmp_path).bad_files == ()


def test_missing_unusable_and_changed_recordings_are_found(recorded: Corpus, tmp_path: Path) -> None:
    happy, sad, angry, fearful = sorted(tmp_path.glob("*.wav"))
    happy.unlink()
    sad.write_bytes(sad.read_bytes()[:-100])
    angry.write_bytes(fearful.read_bytes())
    missing, truncated, changed = inspect_recordings(recorded, tmp_path).bad_files
    assert missing.startswith(f"{happy} does not exist")
    assert truncated.startswith(f"{sad} is truncated")
    assert changed.startswith(f"{angry} is not the recording that the corpus was made from")


def test_headers_that_misstate_their_length_are_noted(recorded: Corpus, tmp_path: Path) -> None:
    path = min(tmp_path.glob("*.wav"))
    content = bytearray(path.read_bytes())
    content[40:44] = (9_601).to_bytes(4, "little")
    path.write_bytes(content)
    inspection = inspect_recordings(recorded, tmp_path)
    assert inspection.bad_files == ()
    assert inspection.notes == (f"{path} states 9,601 bytes of audio and holds 9,600: read to its end",)


@pytest.mark.ravdess
def test_one_recording_of_ravdess_is_there_twice(ravdess_16k: Path, tmp_path: Path) -> None:
    # The actors whose recordings are the most alike.
    for path in (one for actor in ("07", "15", "23") for one in ravdess_16k.rglob(f"*-{actor}.flac")):
        (tmp_path / path.name).symlink_to(path)
    corpus = load_published(open_page("ravdess"), tmp_path).corpus
    assert len(corpus) == 180
    inspection = inspect_recordings(corpus, tmp_path)
    assert [corpus.ids[list(rows)].tolist() for rows in inspection.near_duplicates] == [
        ["03-01-03-01-02-01-07", "03-01-03-01-02-02-07"]
    ]
    assert (inspection.bad_files, inspection.notes) == ((), ())


def test_a_corpus_without_audio_or_folder_is_refused(recorded: Corpus, tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is not a folder: expected the recordings' folder"):
        inspect_recordings(recorded, tmp_path / "none")
    bare = Corpus(name="bare", ids=np.array(["a", "b"]), labels=np.array([0, 1], np.int16), classes=("x", "y"))
    with pytest.raises(CorpusError, match="made without audio"):
        inspect_recordings(bare, tmp_path)
