"""A small source-filter synthesiser: two sentences as phones, a glottal source and a cascade of formants.

It is our own because nothing on the package index serves: the kept synthesisers that control voice quality (Praat's
KlattGrid in praat-parselmouth, VocalTractLab) are GPL and leave phones and prosody to the caller, eSpeak is GPL, bound
to platforms and has no voice quality, and pyworld only resynthesises recordings.

The design is Klatt's: D. H. Klatt, "Software for a cascade/parallel formant synthesizer", JASA 67 (1980), with the
glottal flow of D. H. Klatt and L. C. Klatt, "Analysis, synthesis, and perception of voice quality variations among
female and male talkers", JASA 87 (1990).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
FRAME = 128  # samples in 8 ms, over which the vocal tract stands still
FRAME_RATE = SAMPLE_RATE / FRAME

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Voice:
    """How one utterance is spoken.

    Attributes:
        pitch: median fundamental frequency, Hz.
        span: height of the pitch accents, semitones.
        ending: pitch movement over the last quarter of the utterance, semitones; positive rises.
        tempo: speed, 1 is about 1.3 s for a sentence.
        level: root mean square of the utterance, dB below full scale (so negative).
        tilt: attenuation of the voice at 3 kHz, dB; lax voices have more.
        breath: aspiration noise against the voice, dB.
        roughness: standard deviation of the length of a glottal cycle, relative (jitter); twice that in amplitude.
        tremor: depth of a 7 Hz modulation of pitch, semitones.
        formants: factor on all formant frequencies; 1 is an average man, about 1.17 an average woman.
    """

    pitch: float
    span: float
    ending: float
    tempo: float
    level: float
    tilt: float
    breath: float
    roughness: float
    tremor: float
    formants: float


class Phone(NamedTuple):
    """A stretch of sound: formant targets (Hz), length (s), amplitudes of the three sources, the noise's band (Hz)."""

    f1: float
    f2: float
    f3: float
    seconds: float
    voicing: float = 1.0
    aspiration: float = 0.0
    frication: float = 0.0
    band: tuple[float, float] = (2000.0, 5000.0)


# Vowels: the men's averages of G. E. Peterson and H. L. Barney, "Control methods used in a study of the vowels",
# JASA 24 (1952), for the vowels of kids, dogs and talking as TIMIT spells them (ih, aa, ao, ah, er). Consonants: loci
# and noise bands roughly as in Klatt (1980). A stop is two phones, its closure (kcl) and its release (k).
PHONES = {
    "ih": Phone(390, 1990, 2550, 0.055),
    "aa": Phone(730, 1090, 2440, 0.070),
    "ao": Phone(570, 840, 2410, 0.085),
    "ah": Phone(640, 1190, 2390, 0.040),
    "er": Phone(490, 1350, 1690, 0.055, 0.8),
    "ng": Phone(280, 2000, 2700, 0.050, 0.4),
    "kcl": Phone(300, 1990, 2850, 0.045, 0.0),
    "k": Phone(350, 1950, 2800, 0.040, 0.0, 0.15, 0.25, (1500.0, 2800.0)),
    "gcl": Phone(250, 1600, 2400, 0.040, 0.15),
    "g": Phone(300, 1700, 2400, 0.015, 0.4, 0.1, 0.2, (1500.0, 2800.0)),
    "tcl": Phone(300, 1700, 2600, 0.045, 0.0),
    "t": Phone(350, 1700, 2600, 0.040, 0.0, 0.12, 0.3, (3500.0, 6500.0)),
    "dcl": Phone(220, 1600, 2600, 0.040, 0.15),
    "d": Phone(300, 1650, 2600, 0.015, 0.4, 0.1, 0.2, (3000.0, 6000.0)),
    "bcl": Phone(220, 1000, 2200, 0.040, 0.15),
    "b": Phone(300, 1050, 2200, 0.015, 0.5, 0.05, 0.15, (500.0, 2500.0)),
    "dx": Phone(300, 1700, 2600, 0.020, 0.3),
    "s": Phone(320, 1400, 2550, 0.080, 0.0, 0.0, 0.3, (4000.0, 7200.0)),
    "z": Phone(280, 1400, 2550, 0.055, 0.3, 0.0, 0.15, (4000.0, 7200.0)),
    "dh": Phone(270, 1300, 2550, 0.030, 0.5, 0.0, 0.05, (2500.0, 7000.0)),
}

# A star marks a pitch accent.
STATEMENTS = {
    1: "kcl k ih* dcl z aa er tcl t ao* kcl k ih ng bcl b aa ih dh ah dcl d ao* er",  # Kids are talking by the door
    2: "dcl d ao* gcl g z aa er s ih* dx ih ng bcl b aa ih dh ah dcl d ao* er",  # Dogs are sitting by the door
}

HIGHER_FORMANTS = (3500.0, 4500.0, 5500.0)
BANDWIDTHS = (70.0, 100.0, 140.0, 220.0, 300.0, 400.0)


class Score(NamedTuple):
    """A sentence laid out in time: ``p`` phones, ``f`` frames of 8 ms."""

    phones: list[Phone]
    borders: NDArray[np.int64]  # (p + 1,) frames
    accents: FloatArray  # (a,) frames, the centres of the accented vowels
    n_frames: int


def speak(statement: int, voice: Voice, rng: np.random.Generator) -> NDArray[np.float32]:
    """Synthesise one of the two sentences.

    Args:
        statement: 1 ("Kids are talking by the door") or 2 ("Dogs are sitting by the door").
        voice: how it is spoken.
        rng: where all that is random in the sound is drawn from.

    Returns:
        ``(n,)`` float32 within ±0.98, 16 kHz, mono; 0.9 to 2.1 s long.
    """
    score = _lay_out(statement, voice, rng)
    n = score.n_frames * FRAME
    noise = rng.standard_normal(n)
    pulses, openness = _make_pulses(_draw_pitch(score, voice, rng), voice, rng)
    voicing, aspiration = (_draw_amplitude(score, name) for name in ("voicing", "aspiration"))
    breath = 10.0 ** (voice.breath / 20.0)
    source = voicing * (pulses + breath * openness * noise) + aspiration * noise
    sound = _resonate(source, _draw_formants(score, voice))
    sound = sound / np.sqrt(np.mean(sound**2)) + _make_frication(score, rng)
    sound *= 10.0 ** (voice.level / 20.0) / np.sqrt(np.mean(sound**2))
    sound += 10.0 ** (-66.0 / 20.0) * rng.standard_normal(n)  # the room
    return np.asarray(sound * min(1.0, 0.98 / np.abs(sound).max()), dtype=np.float32)


def _lay_out(statement: int, voice: Voice, rng: np.random.Generator) -> Score:
    tokens = STATEMENTS[statement].split()
    phones = [PHONES[token.rstrip("*")] for token in tokens]
    # Vowels give way to tempo more than consonants do, and the last syllable is drawn out.
    yields = np.array([1.2 if phone.voicing >= 0.8 else 0.7 for phone in phones])
    seconds = np.array([phone.seconds for phone in phones]) * voice.tempo**-yields
    seconds *= np.exp(0.08 * rng.standard_normal(len(phones)))
    seconds[[token.endswith("*") for token in tokens]] *= 1.15
    seconds[-2:] *= 1.3
    lead, tail = rng.integers(4, 12, size=2).tolist()
    borders = lead + np.concatenate([[0], np.round(np.cumsum(seconds) * FRAME_RATE)]).astype(np.int64)
    centres = 0.5 * (borders[:-1] + borders[1:])
    accents = centres[[token.endswith("*") for token in tokens]]
    return Score(phones, borders, accents, int(borders[-1]) + tail)


def _draw_pitch(score: Score, voice: Voice, rng: np.random.Generator) -> FloatArray:
    """Fundamental frequency per sample, Hz: declination, accents, the ending, tremor and a slow drift."""
    frames = np.arange(score.n_frames, dtype=np.float64)
    first, last = score.borders[0], score.borders[-1]
    progress = np.clip((frames - first) / (last - first), 0.0, 1.0)
    heights = voice.span * np.exp(0.15 * rng.standard_normal(len(score.accents)))
    bumps = heights * np.exp(-0.5 * ((frames[:, None] - score.accents) / (0.06 * FRAME_RATE)) ** 2)
    semitones = bumps.sum(axis=1) - 0.4 * voice.span * progress
    semitones += voice.ending * np.clip((progress - 0.75) / 0.25, 0.0, 1.0)
    phase = rng.uniform(0.0, 2.0 * np.pi)
    semitones += voice.tremor * np.sin(2.0 * np.pi * 7.0 * frames / FRAME_RATE + phase)
    knots = np.linspace(0.0, score.n_frames, 8)
    semitones += np.interp(frames, knots, 0.4 * rng.standard_normal(8))
    pitch = voice.pitch * 2.0 ** (semitones / 12.0)
    return _to_samples(np.clip(pitch, 50.0, 700.0))


def _make_pulses(pitch: FloatArray, voice: Voice, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """The derivative of the glottal flow (unit root mean square) and how open the glottis is (0..1), per sample."""
    from scipy.signal import lfilter

    n_cycles = int(pitch.sum() / SAMPLE_RATE) + 2
    # Jitter: cycle borders move along the phase; shimmer: every cycle has its own strength.
    steps = 1.0 + np.clip(voice.roughness * rng.standard_normal(n_cycles), -0.45, 0.45)
    strengths = np.maximum(0.1, 1.0 + 2.0 * voice.roughness * rng.standard_normal(n_cycles))
    borders = np.concatenate([[0.0], np.cumsum(steps / steps.mean())])
    phase = np.interp(np.cumsum(pitch) / SAMPLE_RATE, borders, np.arange(n_cycles + 1, dtype=np.float64))
    cycle = np.minimum(phase.astype(np.int64), n_cycles - 1)
    # Breathy voices keep the glottis open for longer.
    open_quotient = float(np.clip(0.72 + 0.012 * voice.breath, 0.4, 0.9))
    place = (phase - cycle) / open_quotient
    flow = np.where(place < 1.0, 6.75 * place**2 * (1.0 - place), 0.0)
    pole = _tilt_pole(voice.tilt)
    # Differences of the flow alias less than samples of its derivative, which jumps where the glottis closes.
    pulses = lfilter([1.0 - pole], [1.0, -pole], np.diff(flow * strengths[cycle], prepend=0.0))
    return pulses / np.sqrt(np.mean(pulses**2)), flow + 0.2


def _tilt_pole(tilt: float) -> float:
    """The pole of a one-pole low-pass with unit gain at 0 Hz that attenuates 3 kHz by ``tilt`` dB (at most 24)."""
    gain = 10.0 ** (-float(np.clip(tilt, 0.1, 24.0)) / 10.0)
    a, b = 1.0 - gain, 1.0 - gain * np.cos(2.0 * np.pi * 3000.0 / SAMPLE_RATE)
    return float((b - np.sqrt(b * b - a * a)) / a)


def _draw_amplitude(score: Score, name: str) -> FloatArray:
    """The amplitude of a source per sample: the phones' values, smoothed over three frames."""
    steps = np.zeros(score.n_frames)
    for phone, start, stop in zip(score.phones, score.borders[:-1], score.borders[1:], strict=True):
        steps[start:stop] = getattr(phone, name)
    smooth = np.convolve(steps, [0.25, 0.5, 0.25], mode="same")
    return _to_samples(smooth)


def _to_samples(per_frame: FloatArray) -> FloatArray:
    n_frames = len(per_frame)
    return np.asarray(np.interp(np.arange(n_frames * FRAME) / FRAME, np.arange(n_frames), per_frame))


def _draw_formants(score: Score, voice: Voice) -> FloatArray:
    """``(f, 6)`` formant frequencies, Hz: steady in the middle half of a phone, linear from phone to phone."""
    lengths = np.diff(score.borders)
    anchors = np.stack([score.borders[:-1] + 0.25 * lengths, score.borders[1:] - 0.25 * lengths], axis=1).ravel()
    targets = np.repeat([[phone.f1, phone.f2, phone.f3, *HIGHER_FORMANTS] for phone in score.phones], 2, axis=0)
    frames = np.arange(score.n_frames)
    tracks = np.stack([np.interp(frames, anchors, target) for target in targets.T], axis=1)
    return np.asarray(np.minimum(tracks * voice.formants, 0.49 * SAMPLE_RATE))


def _resonate(source: FloatArray, formants: FloatArray) -> FloatArray:
    """A cascade of two-pole resonators with unit gain at 0 Hz, whose coefficients change every frame.

    The highest formant comes first: what a moving low formant adds at the borders of frames is not amplified then.
    """
    from scipy.signal import sosfilt

    radius = np.exp(-np.pi * np.asarray(BANDWIDTHS[::-1]) / SAMPLE_RATE)
    sections = np.zeros((*formants.shape, 6))
    sections[..., 3] = 1.0
    sections[..., 4] = -2.0 * radius * np.cos(2.0 * np.pi * formants[:, ::-1] / SAMPLE_RATE)
    sections[..., 5] = radius**2
    sections[..., 0] = sections[..., 3:].sum(axis=-1)
    state = np.zeros((formants.shape[1], 2))
    filtered = np.empty_like(source)
    for frame, section in enumerate(sections):
        span = slice(frame * FRAME, (frame + 1) * FRAME)
        filtered[span], state = sosfilt(section, source[span], zi=state)
    return filtered


def _make_frication(score: Score, rng: np.random.Generator) -> FloatArray:
    """Noise of fricatives and bursts per sample, each in the band of its phone."""
    from scipy.signal import sosfilt

    frication = np.zeros(score.n_frames * FRAME)
    for phone, start, stop in zip(score.phones, score.borders[:-1] * FRAME, score.borders[1:] * FRAME, strict=True):
        if phone.frication == 0.0 or stop == start:
            continue
        hiss = sosfilt(_band_pass(phone.band), rng.standard_normal(stop - start))
        fade = np.minimum(1.0, np.minimum(np.arange(stop - start) + 1, np.arange(stop - start, 0, -1)) / 160.0)
        frication[start:stop] += phone.frication * fade * hiss / np.sqrt(np.mean(hiss**2))
    return frication


@lru_cache(maxsize=32)
def _band_pass(band: tuple[float, float]) -> FloatArray:
    from scipy.signal import butter

    return np.asarray(butter(2, band, "bandpass", fs=SAMPLE_RATE, output="sos"))
