"""Acoustic feature sets: backbones without weights. Here the statistics of mel-frequency cepstral coefficients."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.audio.decode import SAMPLE_RATE
from ser_store.errors import AudioError, require

MFCC_SIZE = 240

N_MFCC = 40
N_MELS = 40
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
    if samples.ndim != 1 or len(samples) < WINDOW:
        raise AudioError(
            f"samples of shape {samples.shape} have no MFCC: expected one channel of at least {WINDOW} samples "
            f"({1000 * WINDOW // SAMPLE_RATE} ms at {SAMPLE_RATE} Hz); leave the recording out"
        )
    if not np.isfinite(samples).all():
        raise AudioError("the samples contain NaN or infinity: expected finite numbers; leave the recording out")
    torch, functional = require("torch"), require("torchaudio").functional
    with torch.inference_mode():
        # A copy: torch warns about arrays that it could write to but must not.
        coefficients = _load_transform()(torch.tensor(samples, dtype=torch.float32))
        deltas = functional.compute_deltas(coefficients, win_length=DELTA_WINDOW)
        accelerations = functional.compute_deltas(deltas, win_length=DELTA_WINDOW)
        frames = torch.cat([coefficients, deltas, accelerations])
        statistics: NDArray[np.float32] = torch.cat([frames.mean(dim=1), frames.std(dim=1, correction=0)]).numpy()
    return statistics


@cache
def _load_transform() -> Any:
    """torchaudio's MFCC, built once: its filter bank and DCT matrix take longer than an utterance."""
    return require("torchaudio").transforms.MFCC(
        sample_rate=SAMPLE_RATE,
        n_mfcc=N_MFCC,
        norm="ortho",
        log_mels=True,
        melkwargs={"n_fft": N_FFT, "win_length": WINDOW, "hop_length": HOP, "n_mels": N_MELS},
    )
