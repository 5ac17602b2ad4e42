from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ser_store.audio.decode import load_waveform
from ser_store.backbones.acoustic import compute_mfcc_statistics
from ser_store.corpora.building import read_recordings
from ser_store.corpora.fingerprints import find_near_duplicates
from ser_store.corpora.synthetic import Utterance, iter_utterances, synthesise, write_synthetic_corpus
from ser_store.corpora.synthetic_voice import SAMPLE_RATE, Voice, speak
from ser_store.errors import CorpusError, StoreError

soundfile = pytest.importorskip("soundfile")

NEUTRAL, CALM, HAPPY, SAD, ANGRY, FEARFUL, DISGUST, SURPRISED = range(1, 9)
PLAIN = Voice(
    pitch=150.0,
    span=0.5,
    ending=0.0,
    tempo=1.0,
    level=-30.0,
    tilt=8.0,
    breath=-30.0,
    roughness=0.003,
    tremor=0.0,
    formants=1.0,
)

Samples = NDArray[np.float32]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    write_synthetic_corpus(folder, speakers=8)
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[tuple[int, str]]]:
    """The recordings of a single speaker, and what the progress of writing them was told."""
    seen: list[tuple[int, str]] = []

    def record(items, /, *, total, label):  # type: ignore[no-untyped-def]
        seen.append((total, label))
        return items

    return write_synthetic_corpus(tmp_path_factory.mktemp("alone"), speakers=1, progress=record), seen


@pytest.fixture(scope="module")
def utterances(folder: Path) -> dict[tuple[int, ...], Samples]:
    """The recordings of the corpus by the last five numbers of their names, emotion first and actor last."""
    recordings = {}
    for path in sorted(folder.rglob("*.wav")):
        samples, _ = soundfile.read(path, dtype="float32")
        recordings[tuple(int(part) for part in path.stem.split("-")[2:])] = samples
    return recordings


def test_no_two_are_the_same_recording(folder: Path) -> None:
    paths = sorted(folder.rglob("*.wav"))
    fingerprints = [recording.fingerprint for recording in read_recordings(paths, fingerprints=True)]
    assert len(fingerprints) == 480
    assert find_near_duplicates(fingerprints, lambda place: load_waveform(paths[place])) == []


def speak_plainly(**changes: float) -> Samples:
    return speak(1, replace(PLAIN, **changes), np.random.default_rng(0))


PLAIN_SPEECH = speak_plainly()


def cut_voiced_frames(samples: Samples) -> NDArray[np.float64]:
    """The louder 40 ms frames, ``(n, 640)``: vowels, since fricatives and closures are weaker."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 640)[::160].astype(np.float64)
    return frames[np.mean(frames**2, axis=1) > 0.5 * np.mean(samples.astype(np.float64) ** 2)]


def estimate_pitch(samples: Samples) -> float:
    """Median over the voiced frames of the autocorrelation's highest peak between 60 and 500 Hz."""
    spectra = np.abs(np.fft.rfft(cut_voiced_frames(samples), 2048, axis=1)) ** 2
    lags = np.arange(SAMPLE_RATE // 500, SAMPLE_RATE // 60)
    # The overlap of a frame with itself shrinks with the lag; undone, otherwise low voices lose. Not quite, otherwise
    # two cycles win over one.
    correlations = np.fft.irfft(spectra, axis=1)[:, lags] / (640 - 0.8 * lags)
    return float(np.median(SAMPLE_RATE / lags[np.argmax(correlations, axis=1)]))


def measure_share_above(samples: Samples, hertz: float) -> float:
    """The share of the voiced frames' energy above a frequency, dB."""
    power = np.abs(np.fft.rfft(cut_voiced_frames(samples) * np.hanning(640), axis=1)) ** 2
    above = np.fft.rfftfreq(640, 1 / SAMPLE_RATE) > hertz
    return float(10.0 * np.log10(power[:, above].sum() / power.sum()))


def measure_level(samples: Samples) -> float:
    return float(10.0 * np.log10(np.mean(samples.astype(np.float64) ** 2)))


def test_names_and_folders_are_those_of_ravdess_with_sixty_utterances_per_speaker(folder: Path) -> None:
    expected = {
        f"Actor_{actor:02d}/03-01-{emotion:02d}-{intensity:02d}-{statement:02d}-{repetition:02d}-{actor:02d}.wav"
        for actor, emotion, intensity, statement, repetition in product(range(1, 9), range(1, 9), *[(1, 2)] * 3)
        if (emotion, intensity) != (1, 2)
    }
    assert len(expected) == 8 * 60
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == expected


def test_the_paths_are_returned_in_order_and_progress_sees_every_utterance(alone) -> None:  # type: ignore[no-untyped-def]
    paths, seen = alone
    assert paths == sorted(paths[0].parents[1].rglob("*.wav"))
    assert len(paths) == 60
    assert seen == [(60, "synthesising")]


def test_recordings_are_16_khz_mono_16_bit(folder: Path) -> None:
    formats = {(file.samplerate, file.channels, file.subtype) for file in map(soundfile.info, folder.rglob("*.wav"))}
    assert formats == {(16_000, 1, "PCM_16")}


def test_recordings_are_neither_silent_nor_clipped_and_last_as_long_as_a_sentence(
    utterances: dict[tuple[int, ...], Samples],
) -> None:
    peaks = np.array([np.abs(samples).max() for samples in utterances.values()])
    seconds = np.array([len(samples) for samples in utterances.values()]) / SAMPLE_RATE
    assert peaks.min() > 0.01
    assert peaks.max() < 0.99
    assert min(measure_level(samples) for samples in utterances.values()) > -55.0
    assert seconds.min() > 0.7
    assert seconds.max() < 2.5
    assert 1.0 < seconds.mean() < 1.8


def test_a_file_depends_on_its_name_and_the_seed_but_not_on_the_number_of_speakers(  # type: ignore[no-untyped-def]
    folder: Path, alone, tmp_path: Path
) -> None:
    write_synthetic_corpus(tmp_path, speakers=1, seed=1)
    for path in alone[0]:
        name = path.relative_to(path.parents[1])
        assert path.read_bytes() == (folder / name).read_bytes()
        assert path.read_bytes() != (tmp_path / name).read_bytes()


def test_a_second_run_writes_the_same_bytes_and_mends_a_torn_file(alone) -> None:  # type: ignore[no-untyped-def]
    paths, _ = alone
    before = [path.read_bytes() for path in paths]
    paths[7].write_bytes(before[7][:1000])
    assert write_synthetic_corpus(paths[0].parents[1], speakers=1) == paths
    assert [path.read_bytes() for path in paths] == before


def test_no_two_recordings_are_the_same(utterances: dict[tuple[int, ...], Samples]) -> None:
    assert len({samples.tobytes() for samples in utterances.values()}) == len(utterances)


def test_women_speak_higher_than_men(utterances: dict[tuple[int, ...], Samples]) -> None:
    pitches = {actor: estimate_pitch(utterances[NEUTRAL, 1, 1, 1, actor]) for actor in range(1, 9)}
    assert max(pitches[actor] for actor in (1, 3, 5, 7)) < min(pitches[actor] for actor in (2, 4, 6, 8))


def test_aroused_emotions_are_spoken_higher_than_subdued_ones(utterances: dict[tuple[int, ...], Samples]) -> None:
    def mean_pitch(emotion: int) -> float:
        pitches = [estimate_pitch(utterances[emotion, 2, 1, 1, actor]) for actor in range(1, 9)]
        return float(np.exp(np.mean(np.log(pitches))))

    low = [mean_pitch(emotion) for emotion in (CALM, SAD, DISGUST)]
    high = [mean_pitch(emotion) for emotion in (HAPPY, ANGRY, FEARFUL, SURPRISED)]
    assert min(high) > 1.1 * max(low)


def test_emotions_differ_in_level_and_pace(utterances: dict[tuple[int, ...], Samples]) -> None:
    def mean_of(measure, emotion: int, intensity: int) -> float:  # type: ignore[no-untyped-def]
        return float(np.mean([measure(s) for key, s in utterances.items() if key[:2] == (emotion, intensity)]))

    assert mean_of(measure_level, ANGRY, 2) > mean_of(measure_level, ANGRY, 1) + 1.0
    assert mean_of(measure_level, ANGRY, 1) > mean_of(measure_level, NEUTRAL, 1) + 4.0
    assert mean_of(measure_level, NEUTRAL, 1) > mean_of(measure_level, SAD, 1) + 3.0
    assert mean_of(len, SAD, 2) > mean_of(len, SAD, 1) > mean_of(len, NEUTRAL, 1) > mean_of(len, FEARFUL, 1)


def test_a_linear_head_on_mfcc_statistics_is_right_on_60_to_95_percent_of_unseen_speakers(
    utterances: dict[tuple[int, ...], Samples],
) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    keys = np.array(list(utterances))
    statistics = np.stack([compute_mfcc_statistics(samples) for samples in utterances.values()])
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    with threadpool_limits(1):  # on busy cores, waiting for each other takes the threads ten times as long
        accuracies = cross_val_score(head, statistics, keys[:, 0], groups=keys[:, 4], cv=GroupKFold(4))
    assert 0.60 <= accuracies.mean() <= 0.95


@pytest.mark.parametrize("pitch", [90.0, 150.0, 260.0])
def test_the_voice_has_the_pitch_asked_for(pitch: float) -> None:
    assert estimate_pitch(speak_plainly(pitch=pitch)) == pytest.approx(pitch, rel=0.06)


def test_the_ending_rises_or_falls() -> None:
    rising, falling = speak_plainly(ending=6.0), speak_plainly(ending=-6.0)
    last = slice(-6000, -2000)
    assert estimate_pitch(rising[last]) > 1.3 * estimate_pitch(falling[last])


def test_a_lax_voice_is_duller_and_a_breathy_one_noisier() -> None:
    assert measure_share_above(speak_plainly(tilt=18.0), 1500.0) < measure_share_above(PLAIN_SPEECH, 1500.0) - 2.0
    assert measure_share_above(speak_plainly(breath=-8.0), 3000.0) > measure_share_above(PLAIN_SPEECH, 3000.0) + 1.0


def test_tempo_shortens_and_level_is_kept() -> None:
    assert len(speak_plainly(tempo=1.3)) < 0.85 * len(PLAIN_SPEECH)
    assert measure_level(speak_plainly(level=-24.0)) == pytest.approx(-24.0, abs=0.1)


def test_a_shorter_vocal_tract_moves_the_first_formant_up() -> None:
    def first_formant(samples: Samples) -> float:
        power = np.abs(np.fft.rfft(samples[:16_000].astype(np.float64))) ** 2
        hertz = np.fft.rfftfreq(16_000, 1 / SAMPLE_RATE)
        band = (hertz > 250.0) & (hertz < 1100.0)
        return float(np.sum(hertz[band] * power[band]) / power[band].sum())

    assert first_formant(speak_plainly(formants=1.2)) > 1.05 * first_formant(PLAIN_SPEECH)


def test_an_utterance_in_memory_is_the_one_on_disk(utterances: dict[tuple[int, ...], Samples]) -> None:
    samples = synthesise(Utterance(ANGRY, 2, 2, 1, 3))
    assert samples.dtype == np.float32
    np.testing.assert_allclose(utterances[ANGRY, 2, 2, 1, 3], samples, atol=1e-4)


def test_utterances_can_be_listed_without_making_a_sound() -> None:
    stems = [utterance.stem for utterance in iter_utterances(2)]
    assert len(set(stems)) == 120
    assert stems[0] == "03-01-01-01-01-01-01"


@pytest.mark.parametrize("speakers", [0, -1, 25])
def test_a_number_of_speakers_that_cannot_be_is_stated(tmp_path: Path, speakers: int) -> None:
    with pytest.raises(CorpusError, match=rf"^a synthetic corpus of {speakers} speakers .*expected 1 to 24$"):
        write_synthetic_corpus(tmp_path, speakers=speakers)
    assert list(tmp_path.iterdir()) == []


def test_a_negative_seed_is_stated(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"^seed -1 .*expected 0 or a positive whole number$"):
        write_synthetic_corpus(tmp_path, seed=-1)


def test_a_folder_that_is_a_file_is_stated(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("here first")
    with pytest.raises(StoreError, match=r"^[^\n]*taken[^\n]*could not be written[^\n]*$"):
        write_synthetic_corpus(tmp_path / "taken", speakers=1)
    assert (tmp_path / "taken").read_text() == "here first"
