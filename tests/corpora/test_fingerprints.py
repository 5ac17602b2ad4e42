import io

import numpy as np
import pytest

from ser_store.audio.decode import Waveform, load_waveform, resample
from ser_store.corpora import fingerprints
from ser_store.corpora.fingerprints import MIN_CORRELATION, compute_fingerprint, find_near_duplicates
from ser_store.corpora.synthetic import Utterance, synthesise

soundfile = pytest.importorskip("soundfile")

RATE = 16_000


@pytest.fixture(scope="module")
def recordings(speech):
    """Twelve recordings of one statement: three speakers, two emotions, two repetitions."""
    paths = [path for path in sorted(speech.rglob("*.wav")) if path.stem.split("-")[2] in ("01", "05")]
    assert len(paths) == 12
    return [load_waveform(path) for path in paths]


def fingerprint(waveform):
    return compute_fingerprint(waveform.samples, sample_rate=waveform.sample_rate)


def find(waveforms):
    return find_near_duplicates([fingerprint(waveform) for waveform in waveforms], waveforms.__getitem__)


def as_waveform(samples, rate=RATE):
    return Waveform(np.asarray(samples, dtype=np.float32), rate)


def cut(samples):
    return as_waveform(samples[1_234:-2_345])


def quieter(samples):
    return as_waveform(samples * 0.1)


def turned_over(samples):
    return as_waveform(-samples)


def noisy(samples):
    return as_waveform(samples + np.random.default_rng(0).normal(size=len(samples)) * samples.std() * 0.05)


def narrow(samples):
    """8 bit, as telephones code it."""
    return as_waveform(np.round(samples / np.abs(samples).max() * 127) / 127)


def clipped(samples):
    return as_waveform(np.clip(samples * 5 / np.abs(samples).max(), -1, 1))


def emphasised(samples):
    return as_waveform(np.append(samples[:1], samples[1:] - 0.97 * samples[:-1]))


def resampled(samples):
    return as_waveform(resample(samples, sample_rate=RATE, to=11_025), 11_025)


def coded(kind, subtype):
    def encode(samples):
        file = io.BytesIO()
        soundfile.write(file, samples, RATE, format=kind, subtype=subtype)
        file.seek(0)
        return as_waveform(soundfile.read(file)[0])

    encode.__name__ = subtype
    return encode


DISGUISES = [cut, quieter, turned_over, noisy, narrow, clipped, emphasised, resampled]
DISGUISES += [coded("MP3", "MPEG_LAYER_III"), coded("OGG", "VORBIS"), coded("OGG", "OPUS"), coded("WAV", "ULAW")]


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_recording_is_known_again_in_disguise(recordings, disguise):
    if disguise is resampled:
        pytest.importorskip("torchaudio")
    for place, original in enumerate(recordings):
        assert find([*recordings, disguise(original.samples)]) == [[place, len(recordings)]]


def test_repetitions_by_one_speaker_are_not_the_same_recording(recordings):
    assert find(recordings) == []


def test_copies_of_copies_are_one_group(recordings):
    first, second = recordings[:2]
    one, other = first.samples, second.samples
    assert find([first, second, cut(one), quieter(one), cut(other)]) == [[0, 2, 3], [1, 4]]


def test_what_is_too_short_or_silent_is_like_nothing_else():
    short, silent = as_waveform(np.ones(100)), as_waveform(np.zeros(RATE))
    assert (len(fingerprint(short)), fingerprint(silent).any()) == (0, False)
    assert find([short, silent, silent, short]) == []


def test_four_thousand_samples_per_second_are_enough(recordings):
    pytest.importorskip("torchaudio")
    slow = as_waveform(resample(recordings[0].samples, sample_rate=RATE, to=4_000), 4_000)
    assert find([slow, recordings[1], slow]) == [[0, 2]]


# Of the synthetic corpora of 24 speakers with seeds 0 and 1, all pairs of which the bits agree.
ALIKE = [
    (0, "03-01-03-01-02-01-05", "03-01-03-02-02-02-05"),
    (0, "03-01-03-01-02-01-03", "03-01-05-01-02-01-03"),
    (0, "03-01-03-02-02-02-05", "03-01-03-01-02-01-09"),
    (1, "03-01-08-02-02-02-07", "03-01-08-02-02-02-15"),
    (1, "03-01-03-01-02-02-17", "03-01-03-01-02-02-19"),
]


@pytest.mark.parametrize(("seed", "first", "second"), ALIKE)
def test_synthetic_recordings_whose_bits_agree_are_told_apart_by_their_samples(seed, first, second, monkeypatch):
    pair = [as_waveform(synthesise(Utterance(*map(int, stem.split("-")[2:])), seed=seed)) for stem in (first, second)]
    monkeypatch.setattr(fingerprints, "MIN_CORRELATION", 0.0)
    assert find(pair) == [[0, 1]]
    monkeypatch.setattr(fingerprints, "MIN_CORRELATION", MIN_CORRELATION / 1.5)
    assert find(pair) == []


@pytest.mark.ravdess
def test_the_48_khz_originals_are_known_again_among_the_16_khz_copies(ravdess_48k, ravdess_16k):
    originals = sorted(ravdess_48k.rglob("*.wav"))[:12]
    copies = [next(ravdess_16k.rglob(f"{path.stem}.flac")) for path in originals]
    assert find([load_waveform(path) for path in (*originals, *copies)]) == [[place, place + 12] for place in range(12)]
