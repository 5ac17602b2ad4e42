import numpy as np
import pytest

from ser_store.audio import load_waveform, resample
from ser_store.corpora.fingerprints import compute_fingerprint, find_near_duplicates

RATE = 16_000


@pytest.fixture(scope="module")
def recordings(speech):
    """Twelve recordings of one statement: three speakers, two emotions, two repetitions."""
    paths = [path for path in sorted(speech.rglob("*.wav")) if path.stem.split("-")[2] in ("01", "05")]
    assert len(paths) == 12
    return [load_waveform(path).samples for path in paths]


def fingerprint(samples, sample_rate=RATE):
    return compute_fingerprint(np.asarray(samples, dtype=np.float32), sample_rate=sample_rate)


def cut(samples):
    return samples[1_234:-2_345]


def quieter(samples):
    return samples * 0.1


def noisy(samples):
    return samples + np.random.default_rng(0).normal(size=len(samples)) * samples.std() * 0.05


def narrow(samples):
    """8 bit, as telephones code it."""
    return np.round(samples / np.abs(samples).max() * 127) / 127


@pytest.mark.parametrize("disguise", [cut, quieter, noisy, narrow])
def test_a_recording_is_known_again_in_disguise(recordings, disguise):
    originals = [fingerprint(samples) for samples in recordings]
    for place, samples in enumerate(recordings):
        assert find_near_duplicates([*originals, fingerprint(disguise(samples))]) == [[place, len(recordings)]]


def test_a_recording_is_known_again_at_another_sample_rate(recordings):
    originals = [fingerprint(samples) for samples in recordings]
    for place, samples in enumerate(recordings):
        resampled = fingerprint(resample(samples, sample_rate=RATE, to=11_025), 11_025)
        assert find_near_duplicates([*originals, resampled]) == [[place, len(recordings)]]


def test_repetitions_by_one_speaker_are_not_the_same_recording(recordings):
    assert find_near_duplicates([fingerprint(samples) for samples in recordings]) == []


def test_copies_of_copies_are_one_group(recordings):
    first, second = recordings[:2]
    prints = [fingerprint(one) for one in (first, second, cut(first), quieter(first), cut(second))]
    assert find_near_duplicates(prints) == [[0, 2, 3], [1, 4]]


def test_what_is_too_short_or_silent_is_like_nothing_else():
    short, silent = fingerprint(np.ones(100)), fingerprint(np.zeros(RATE))
    assert (len(short), silent.any()) == (0, False)
    assert find_near_duplicates([short, silent, silent, short]) == []


@pytest.mark.ravdess
def test_the_48_khz_originals_are_known_again_among_the_16_khz_copies(ravdess_48k, ravdess_16k):
    originals = sorted(ravdess_48k.rglob("*.wav"))[:12]
    copies = [next(ravdess_16k.rglob(f"{path.stem}.flac")) for path in originals]
    prints = []
    for path in (*originals, *copies):
        waveform = load_waveform(path)
        prints.append(compute_fingerprint(waveform.samples, sample_rate=waveform.sample_rate))
    assert find_near_duplicates(prints) == [[place, place + 12] for place in range(12)]
