"""Acoustic feature sets, backbones without weights: statistics of cepstra or log-mel bands; openSMILE's functionals."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.audio.decode import SAMPLE_RATE
from ser_store.errors import AudioError, require

MFCC_SIZE = 240
LOGMEL_SIZE = 160
EGEMAPS_SIZE = 88
COMPARE_SIZE = 6_373

N_MFCC = 40
N_MELS = 40
N_BANDS = 80
N_FFT = 512
WINDOW = 400
HOP = 160
DELTA_WINDOW = 5
# The longest of openSMILE's windows, 60 ms, in which it looks for the pitch.
PITCH_WINDOW = 960

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
    torch = require("torch")
    with torch.inference_mode():
        coefficients = _compute_log_mel(samples, "MFCC", N_MELS, "htk") @ _make_dct()
        deltas = _compute_deltas(coefficients)
        return _describe_frames(torch.cat([coefficients, deltas, _compute_deltas(deltas)], dim=1))


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
    with require("torch").inference_mode():
        return _describe_frames(_compute_log_mel(samples, "log-mel bands", N_BANDS, "slaney"))


def compute_functionals(samples: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Return the functionals of one utterance by openSMILE, ``(88,)`` or ``(6373,)`` float32, in openSMILE's order.

    Sources: Eyben et al. (2016), "The Geneva minimalistic acoustic parameter set"; Schuller et al. (2016), "The
    INTERSPEECH 2016 computational paralinguistics challenge".

    Args:
        samples: as for :func:`compute_mfcc_statistics`.
        name: openSMILE's for the set: ``eGeMAPSv02`` or ``ComParE_2016``.

    Raises:
        AudioError: if the samples are not one channel, not finite, or too short for one window.
        MissingExtraError: if opensmile is not installed.
    """
    _check_samples(samples, f"functionals of {name}", least=PITCH_WINDOW)
    # It makes whole numbers of 16 bits of them, in which +1.0 would become -1.0.
    heard = np.clip(samples, -1.0, np.float32(32767 / 32768))
    functionals: NDArray[np.float32] = _load_smile(name)(heard, SAMPLE_RATE).reshape(-1)
    return functionals


@dataclass(frozen=True)
class FeatureSet:
    """How the features of a recording are computed.

    Attributes:
        settings: all that decides the numbers, as a member's provenance keeps it.
        compute: ``(n,)`` samples to ``(d,)`` numbers, float32.
        is_narrow: whether float16 holds them well enough to be kept so.
    """

    settings: str
    compute: Callable[[NDArray[np.float32]], NDArray[np.float32]]
    is_narrow: bool = True


def _describe_smile(name: str) -> FeatureSet:
    """Of numbers whose sizes lie up to fifteen powers of ten apart."""
    settings = f"openSMILE {name} v1: functionals of the whole utterance, {SAMPLE_RATE} Hz, 16 bit"
    return FeatureSet(settings, partial(compute_functionals, name=name), is_narrow=False)


FEATURE_SETS = {
    "mfcc": FeatureSet(ACOUSTIC_SETTINGS, compute_mfcc_statistics),
    "logmel": FeatureSet(LOGMEL_SETTINGS, compute_logmel_statistics),
    "egemaps": _describe_smile("eGeMAPSv02"),
    "compare": _describe_smile("ComParE_2016"),
}


def _check_samples(samples: NDArray[np.float32], what: str, *, least: int = WINDOW) -> None:
    if samples.ndim != 1 or len(samples) < least:
        raise AudioError(
            f"samples of shape {samples.shape} have no {what}: expected one channel of at least {least} samples "
            f"({1000 * least // SAMPLE_RATE} ms at {SAMPLE_RATE} Hz); leave the recording out"
        )
    if not np.isfinite(samples).all():
        raise AudioError("the samples contain NaN or infinity: expected finite numbers; leave the recording out")


@cache
def _load_smile(name: str) -> Any:
    smile = require("opensmile")
    return smile.Smile(feature_set=smile.FeatureSet[name], feature_level=smile.FeatureLevel.Functionals)


def _compute_log_mel(samples: NDArray[np.float32], what: str, bands: int, scale: str) -> Any:
    """``(f, bands)``: the logarithm of each frame's energy."""
    _check_samples(samples, what)
    torch = require("torch")
    window, filters = _make_window(), _make_filters(bands, scale)
    # A copy: torch warns about arrays that it could write to but must not.
    waveform = torch.tensor(samples, dtype=torch.float32)
    spectra = torch.stft(waveform, N_FFT, HOP, WINDOW, window, return_complex=True)
    # Real and imaginary parts side by side, squared and weighed alike: their sum is the band's energy.
    squares = torch.view_as_real(spectra.T).square_().flatten(1)
    return (squares @ filters).add_(1e-6).log_()


def _compute_deltas(frames: Any) -> Any:
    """``(f, b)``: the slope at each frame by regression over ``DELTA_WINDOW``; the first and last frame go on."""
    reach, count = DELTA_WINDOW // 2, len(frames)
    around = require("torch").cat([frames[:1].expand(reach, -1), frames, frames[-1:].expand(reach, -1)])
    slopes = sum(
        n * (around[reach + n : reach + n + count] - around[reach - n : reach - n + count]) for n in range(1, reach + 1)
    )
    return slopes / (2 * sum(n * n for n in range(1, reach + 1)))


def _describe_frames(frames: Any) -> NDArray[np.float32]:
    """``(2 b,)``: of ``(f, b)`` the means over all frames, then the population standard deviations."""
    means = frames.mean(dim=0)
    # torch's own takes seven times as long.
    deviations = (frames - means).square_().mean(dim=0).sqrt_()
    statistics: NDArray[np.float32] = require("torch").cat([means, deviations]).numpy()
    return statistics


@cache
def _make_window() -> Any:
    return require("torch").hann_window(WINDOW)


@cache
def _make_filters(bands: int, scale: str) -> Any:
    """``(2 · 257, bands)``: the triangle of each band, for real and imaginary parts in turn."""
    functional = require("torchaudio").functional
    triangles = functional.melscale_fbanks(N_FFT // 2 + 1, 0.0, SAMPLE_RATE / 2, bands, SAMPLE_RATE, mel_scale=scale)
    return triangles.repeat_interleave(2, dim=0)


@cache
def _make_dct() -> Any:
    return require("torchaudio").functional.create_dct(N_MFCC, N_MELS, norm="ortho")
