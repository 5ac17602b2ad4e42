"""A synthetic corpus in the layout of RAVDESS: deterministic, speech-like, and neither trivial nor hopeless.

It stands in for recordings in the demonstration and the tests; figures obtained on it say nothing about people.
"""

import os
from collections.abc import Iterator
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ser_store.corpora.synthetic_voice import SAMPLE_RATE, Voice, speak
from ser_store.errors import CorpusError, require
from ser_store_h5.disk.atomic import stated_disk_problems
from ser_store_h5.progress import ProgressLike, to_progress

MAX_SPEAKERS = 24  # as many actors as RAVDESS has

Cues = NDArray[np.float64]


class Utterance(NamedTuple):
    """What a RAVDESS name says, as its numbers: emotion 1-8, intensity, statement and repetition 1-2, actor."""

    emotion: int
    intensity: int
    statement: int
    repetition: int
    actor: int

    @property
    def stem(self) -> str:
        """The utterance's id, and the name of its file without the suffix."""
        return "03-01-" + "-".join(f"{part:02d}" for part in self)


# The cues of a voice, those of Voice in its order, in units that add up: pitch, span and ending in semitones, tempo in
# percent, level, tilt and breath in dB, roughness in percent, tremor in semitones, formants in percent.
NEUTRAL = np.array([0.0, 3.0, -2.5, 0.0, -30.0, 9.0, -24.0, 1.0, 0.1, 0.0])

# Directions and rough sizes after K. R. Scherer, "Vocal communication of emotion: A review of research paradigms",
# Speech Communication 40 (2003), and P. N. Juslin and P. Laukka, "Communication of emotions in vocal expression and
# music performance", Psychological Bulletin 129 (2003). In the numbering of RAVDESS.
EMOTIONS = {
    1: np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),  # neutral
    2: np.array([-1.5, -1.5, 1.0, -10.0, -3.5, 2.5, 2.0, -0.4, -0.1, 1.5]),  # calm: low, flat, soft
    3: np.array([4.0, 3.0, 1.0, 6.0, 4.5, -3.5, 0.0, -0.2, 0.0, 5.0]),  # happy: high, lively, bright, lips spread
    4: np.array([1.0, -1.5, -2.0, -14.0, -6.0, 5.5, 11.0, 1.2, 0.25, -2.0]),  # sad: slow, falling, dull, breathy
    5: np.array([3.0, 1.5, -2.5, 8.0, 9.0, -6.5, -6.0, 1.8, 0.0, 1.0]),  # angry: loud, pressed, bright, rough
    6: np.array([5.5, -1.0, 1.5, 14.0, 0.5, 0.5, 8.0, 1.8, 0.6, 0.0]),  # fearful: high, fast, trembling
    7: np.array([-2.5, 0.5, -1.5, -8.0, 1.0, -2.0, -3.0, 4.5, 0.0, -6.0]),  # disgust: low, creaky, tract lengthened
    8: np.array([5.5, 4.5, 7.0, -2.0, 2.0, 1.0, 3.0, 0.0, 0.0, 1.5]),  # surprised: high, very lively, rising
}
INTENSITIES = {1: 0.95, 2: 1.4}

# Standard deviations of the same cues, between speakers and between utterances of a speaker; and how much a speaker's
# way with an emotion differs from the common one: in strength, and in each cue against the spread of utterances.
# Set so that a linear classifier on MFCC statistics gets about three quarters of unseen speakers' utterances right.
SPEAKER_SPREAD = np.array([1.5, 0.3, 0.4, 4.0, 1.25, 1.0, 1.5, 0.15, 0.02, 2.2])
UTTERANCE_SPREAD = np.array([1.0, 0.6, 1.0, 5.0, 1.5, 1.2, 2.0, 0.3, 0.05, 1.2])
STRENGTH_SPREAD = 0.2
HABIT_SPREAD = 0.5

PITCH = {"male": 112.0, "female": 200.0}  # Hz
FORMANTS = {"male": 1.0, "female": 1.16}


def write_synthetic_corpus(
    folder: str | os.PathLike[str], *, speakers: int = 12, seed: int = 0, progress: ProgressLike = False
) -> list[Path]:
    """Write 60 utterances per speaker as ``folder/Actor_NN/03-01-EE-II-SS-RR-AA.wav``: 16 kHz, mono, 16 bit.

    Names mean what they mean in RAVDESS: modality, channel, emotion (01 neutral, 02 calm, 03 happy, 04 sad, 05 angry,
    06 fearful, 07 disgust, 08 surprised), intensity (neutral has only 01), statement, repetition, actor (odd: male).
    A file's bytes depend on its name and the seed alone (given the versions of numpy and scipy), not on ``speakers``.
    A file bears its name only when complete; one that is there is written again; others in the folder are left alone.

    Args:
        folder: is made where it does not exist.
        speakers: 1 to 24.
        seed: not negative.
        progress: show a bar over the utterances; or a function that does, see
            :class:`ser_store_h5.progress.Progress`.

    Returns:
        the paths of the ``60 * speakers`` files, ascending.

    Raises:
        CorpusError: if ``speakers`` or ``seed`` is out of range.
        StoreError: if a file cannot be written.
        MissingExtraError: without soundfile.

    >>> import ser_store as ss
    >>> len(ss.write_synthetic_corpus("speech", speakers=1))
    60
    """
    folder = Path(folder)
    if not 1 <= speakers <= MAX_SPEAKERS:
        raise CorpusError(f"a synthetic corpus of {speakers} speakers was asked for: expected 1 to {MAX_SPEAKERS}")
    if seed < 0:
        raise CorpusError(f"seed {seed} was given for the synthetic corpus: expected 0 or a positive whole number")
    utterances = list(iter_utterances(speakers))
    paths = []
    for utterance in to_progress(progress)(utterances, total=len(utterances), label="synthesising"):
        path = folder / f"Actor_{utterance.actor:02d}" / f"{utterance.stem}.wav"
        _write_wav(path, synthesise(utterance, seed=seed))
        paths.append(path)
    return sorted(paths)


def iter_utterances(speakers: int) -> Iterator[Utterance]:
    """Yield the 60 utterances of every speaker: all emotions, intensities, statements and repetitions there are."""
    for actor, emotion, intensity, statement, repetition in product(
        range(1, speakers + 1), EMOTIONS, INTENSITIES, (1, 2), (1, 2)
    ):
        if emotion != 1 or intensity == 1:
            yield Utterance(emotion, intensity, statement, repetition, actor)


def synthesise(utterance: Utterance, *, seed: int = 0) -> NDArray[np.float32]:
    """Return the samples of one utterance, ``(n,)`` float32 within ±0.98 at 16 kHz."""
    rng = np.random.default_rng([seed, 1, *utterance])
    sex = "male" if utterance.actor % 2 else "female"
    cues = _speaker_cues(utterance, seed) + UTTERANCE_SPREAD * rng.standard_normal(len(NEUTRAL))
    pitch, span, ending, tempo, level, tilt, breath, roughness, tremor, formants = cues.tolist()
    voice = Voice(
        pitch=PITCH[sex] * 2.0 ** (pitch / 12.0),
        span=max(0.3, span),
        ending=ending,
        tempo=1.0 + max(-35.0, tempo) / 100.0,
        level=min(-12.0, level),
        tilt=tilt,
        breath=min(-4.0, breath),
        roughness=max(0.3, roughness) / 100.0,
        tremor=max(0.0, tremor),
        formants=FORMANTS[sex] * (1.0 + formants / 100.0),
    )
    return speak(utterance.statement, voice, rng)


def _speaker_cues(utterance: Utterance, seed: int) -> Cues:
    """What this speaker's voice does in this emotion and intensity, the chance of the moment aside."""
    rng = np.random.default_rng([seed, 0, utterance.actor])
    # Evenly spread, so that no seed brings a speaker unlike all others.
    own = SPEAKER_SPREAD * rng.uniform(-1.7, 1.7, len(NEUTRAL))
    strengths = np.exp(STRENGTH_SPREAD * rng.standard_normal(len(EMOTIONS)))
    habits = HABIT_SPREAD * UTTERANCE_SPREAD * rng.standard_normal((len(EMOTIONS), len(NEUTRAL)))
    place = utterance.emotion - 1
    strength = INTENSITIES[utterance.intensity] * strengths[place]
    return np.asarray(NEUTRAL + own + strength * EMOTIONS[utterance.emotion] + habits[place])


def _write_wav(path: Path, samples: NDArray[np.float32]) -> None:
    encoded = BytesIO()
    integers = np.round(samples * 32767.0).astype(np.int16)
    require("soundfile").write(encoded, integers, SAMPLE_RATE, subtype="PCM_16", format="WAV")
    unfinished = path.with_suffix(".part")
    with stated_disk_problems(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_bytes(encoded.getbuffer())
        unfinished.replace(path)
