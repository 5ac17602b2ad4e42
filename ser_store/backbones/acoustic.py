"""Acoustic feature sets: backbones without weights. Statistics of cepstral coefficients, or of log-mel bands."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.audio.decode import SAMPLE_RATE
from ser_store.errors import AudioError, require

MFCC_SIZE = 240
LOGMEL_SIZE = 160

N_MFCC = 40
N_MELS = 40
N_BANDS = 80
N_FFT = 512
WINDOW = 400
HOP = 160
DELTA_WINDOW = 5

# Raised whenever the numbers change for the same recording, so that cached ones are recognised as old.
ACOUSTIC_VERSION = 1
ACOUSTIC_SETTINGS = (
    f"mfcc v{ACOUSTIC_VERSION}: {SAMPLE_RATE} Hz, n_mfcc {N_MFCC}, n_mels {N_MELS}, n_fft {N_FFT}, "
    f"window {WINDOW} hann, hop {HOP}, log mel, dct ortho, deltas over {DELTA_WINDOW} frames, "
    "mean and population standard deviation"
)
LOGMEL_SETTINGS = (
    f"logmel v1: {SAMPLE_RATE} Hz, n_mels {N_BANDS} on the scale of slaney, n_fft {N_FFT}, window {WINDOW} hann, "
    f"hop {HOP}, log of band energy + 1e-6, mean and population standard deviation"
)


def compute_mfcc_statistics(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the 240 MFCC statistics of one utterance, ``(240,)`` float32.

    40 coefficients per frame (25 ms Hann windows every 10 ms, 512-point FFT, 40 mel bands over 0 to 8 kHz, natural
    logarithm of band energy + 1e-6, orthonormal DCT-II including the zeroth coefficient), their first and second
    differences by regression over five frames, and over all frames the mean and the population standard deviation.

    Order: means of the coefficients 0..39, of their deltas, of their delta-deltas; then the standard deviations in
    the same order.

    Args:
        samples: ``(n,)`` float32, mono at 16 kHz, full scale ±1; not normalised, since level carries emotion.

    Raises:
        AudioError: if the samples are not one channel, not finite, or too short for one window.
        MissingExtraError: if torchaudio is not installed.
    """
    torch, functional = require("torch"), require("torchaudio").functional
    with torch.inference_mode():
        coefficients = _load_mfcc()(_check_samples(samples, "MFCC"))
        deltas = functional.compute_deltas(coefficients, win_length=DELTA_WINDOW)
        accelerations = functional.compute_deltas(deltas, win_length=DELTA_WINDOW)
        frames = torch.cat([coefficients, deltas, accelerations])
        return _describe_frames(frames)


def compute_logmel_statistics(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The 160 statistics of the log-mel bands of one utterance, ``(160,)`` float32.

    80 bands per frame (25 ms Hann windows every 10 ms, 512-point FFT, triangles of height 1 over 0 to 8 kHz on
    Slaney's mel scale, as Whisper's; natural logarithm of band energy + 1e-6), and over all frames the mean of each,
    then the population standard deviation.

    Args:
        samples: as for :func:`compute_mfcc_statistics`.

    Raises:
        AudioError: if the samples are not one channel, not finite, or too short for one window.
        MissingExtraError: if torchaudio is not installed.
    """
    torch = require("torch")
    with torch.inference_mode():
        return _describe_frames(torch.log(_load_mel()(_check_samples(samples, "log-mel bands")) + 1e-6))


@dataclass(frozen=True)
class FeatureSet:
    """How the features of a recording are computed.

    Attributes:
        settings: all that decides the numbers, as a member's provenance keeps it.
        compute: ``(n,)`` samples to ``(d,)`` numbers, float32.
    """

    settings: str
    compute: Callable[[NDArray[np.float32]], NDArray[np.float32]]


FEATURE_SETS = {
    "mfcc": FeatureSet(ACOUSTIC_SETTINGS, compute_mfcc_statistics),
    "logmel": FeatureSet(LOGMEL_SETTINGS, compute_logmel_statistics),
}


def _check_samples(samples: NDArray[np.float32], what: str) -> Any:
    """A tensor of the samples."""
    if samples.ndim != 1 or len(samples) < WINDOW:
        raise AudioError(
            f"samples of shape {samples.shape} have no {what}: expected one channel of at least {WINDOW} samples "
            f"({1000 * WINDOW // SAMPLE_RATE} ms at {SAMPLE_RATE} Hz); leave the recording out"
        )
    if not np.isfinite(samples).all():
        raise AudioError("the samples contain NaN or infinity: expected finite numbers; leave the recording out")
    torch = require("torch")
    # A copy: torch warns about arrays that it could write to but must not.
    return torch.tensor(samples, dtype=torch.float32)


def _describe_frames(frames: Any) -> NDArray[np.float32]:
    """``(2 b,)``: of ``(b, f)`` the means over all frames, then the population standard deviations."""
    statistics: NDArray[np.float32] = (
        require("torch").cat([frames.mean(dim=1), frames.std(dim=1, correction=0)]).numpy()
    )
    return statistics


@cache
def _load_mel() -> Any:
    return require("torchaudio").transforms.MelSpectrogram(
        sample_rate=SAMPLE_RATE, n_fft=N_FFT, win_length=WINDOW, hop_length=HOP, n_mels=N_BANDS, mel_scale="slaney"
    )


@cache
def _load_mfcc() -> Any:
    """torchaudio's MFCC, built once: its filter bank and DCT matrix take longer than an utterance."""
    return require("torchaudio").transforms.MFCC(
        sample_rate=SAMPLE_RATE,
        n_mfcc=N_MFCC,
        norm="ortho",
        log_mels=True,
        melkwargs={"n_fft": N_FFT, "win_length": WINDOW, "hop_length": HOP, "n_mels": N_MELS},
    )
