"""Augmentation of the waveform: the same utterance as it might have been recorded another time."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ser_store.audio.decode import SAMPLE_RATE
from ser_store.recipes.validation import check_range, check_share, check_whole

if TYPE_CHECKING:
    from torch import Tensor

Range = tuple[float, float]
PARTS = ("speed", "reverb", "noise", "gain")
# Speeds in whole hundredths: torchaudio's kernel for 0.93 is small, for 0.9317 it takes a second.
_HUNDREDTHS = 100
# A room's response is over when it has fallen by 60 dB: ln(10^6) / 2.
_DECAY = 6.907755


@dataclass(frozen=True)
class Augmentation:
    """How often and how much training utterances are changed. The defaults change nothing.

    Attributes:
        speed_prob: share of the utterances played at another speed, which changes pitch and length.
        speed_range: factors, drawn uniformly in hundredths.
        reverb_prob: share of the utterances heard in a room.
        reverb_seconds: the time its sound takes to fall by 60 dB, drawn uniformly.
        noise_prob: share of the utterances with white noise added.
        noise_db: signal-to-noise ratios in dB, drawn uniformly.
        gain_prob: share of the utterances made louder or softer; what goes past full scale is clipped. Without that,
            a feature extractor that normalises takes the gain back.
        gain_db: gains in dB, drawn uniformly.
        versions: so many different versions there are of each utterance, which the epochs take in turn; None for a new
            one in each epoch.

    >>> import ser_store as ss
    >>> ss.Recipe().changed(noise_prob=0.5, noise_db=(5, 20)).augmentation.noise_db
    (5, 20)
    """

    speed_prob: float = 0.0
    speed_range: Range = (0.9, 1.1)
    reverb_prob: float = 0.0
    reverb_seconds: Range = (0.2, 0.8)
    noise_prob: float = 0.0
    noise_db: Range = (10.0, 30.0)
    gain_prob: float = 0.0
    gain_db: Range = (-12.0, 12.0)
    versions: int | None = None

    def __post_init__(self) -> None:
        for part in PARTS:
            check_share(f"{part}_prob", getattr(self, f"{part}_prob"))
        check_range("speed_range", self.speed_range, lowest=0.5, highest=2)
        check_range("reverb_seconds", self.reverb_seconds, lowest=0.05, highest=5)
        check_range("noise_db", self.noise_db, lowest=-60, highest=120)
        check_range("gain_db", self.gain_db, lowest=-60, highest=60)
        if self.versions is not None:
            check_whole("versions", self.versions, at_least=1)

    @property
    def changes_nothing(self) -> bool:
        return not any(getattr(self, f"{part}_prob") for part in PARTS)


def augment(samples: NDArray[np.float32], augmentation: Augmentation, rng: np.random.Generator) -> NDArray[np.float32]:
    """Change the speed of an utterance, then add a room, noise and gain, each with its own probability.

    Args:
        samples: ``(n,)`` float32, mono, at 16 kHz, in [-1, 1].
        rng: the same state gives the same samples.

    Returns:
        ``(n,)`` float32, in [-1, 1]; ``(ceil(n / factor),)`` at another speed.
    """
    import torch

    from ser_store.common.threads import single_torch_thread

    chosen = {part: bool(rng.random() < getattr(augmentation, f"{part}_prob")) for part in PARTS}
    # All numbers are drawn, so that one part's probability does not change what another one does.
    factor = int(rng.integers(*_to_hundredths(augmentation.speed_range)))
    seconds, ratio, gain = (
        float(rng.uniform(*bounds))
        for bounds in (augmentation.reverb_seconds, augmentation.noise_db, augmentation.gain_db)
    )
    room_rng, noise_rng = rng.spawn(2)
    if not any(chosen.values()):
        return samples
    # Sums round differently in another number of threads, and a data-loading process has one.
    with torch.inference_mode(), single_torch_thread():
        heard = torch.from_numpy(samples)
        if chosen["speed"]:
            heard = _resample(heard, factor)
        if chosen["reverb"]:
            heard = _reverberate(heard, seconds, room_rng)
        if chosen["noise"]:
            heard = _add_noise(heard, ratio, noise_rng)
        if chosen["gain"]:
            heard = heard * 10 ** (gain / 20)
        changed: NDArray[np.float32] = heard.clamp(-1, 1).numpy()
    return changed


def _to_hundredths(bounds: Range) -> tuple[int, int]:
    """Whole hundredths from the first bound to the second, for a half-open draw."""
    return round(bounds[0] * _HUNDREDTHS), round(bounds[1] * _HUNDREDTHS) + 1


def change_speed(samples: NDArray[np.float32], speed: float) -> NDArray[np.float32]:
    """Return an utterance as played at another speed, which changes pitch and length: ``(ceil(n / speed),)`` float32.

    Args:
        samples: ``(n,)`` float32, mono, at 16 kHz, in [-1, 1].
        speed: a factor in whole hundredths, such as 0.9.
    """
    import torch

    from ser_store.common.threads import single_torch_thread

    with torch.inference_mode(), single_torch_thread():
        played: NDArray[np.float32] = (
            _resample(torch.from_numpy(samples), round(speed * _HUNDREDTHS)).clamp(-1, 1).numpy()
        )
    return played


def _resample(heard: "Tensor", hundredths: int) -> "Tensor":
    """So many hundredths as fast, as torchaudio's ``speed`` would; that takes 0.57 for 9,119 of 16,000 samples."""
    from torchaudio.functional import resample

    changed: Tensor = resample(heard, hundredths, _HUNDREDTHS)
    return changed


def _reverberate(heard: "Tensor", seconds: float, rng: np.random.Generator) -> "Tensor":
    """In a room of this reverberation time, as loud as before and no longer.

    Its response is the direct sound and white noise that decays exponentially, of the same energy as the direct sound
    (Polack, La transmission de l'énergie sonore dans les salles, 1988).
    """
    import torch
    from torchaudio.functional import fftconvolve

    times = np.arange(1, max(2, round(seconds * SAMPLE_RATE)) + 1) / SAMPLE_RATE
    tail = rng.standard_normal(len(times)) * np.exp(-_DECAY * times / seconds)
    response = np.concatenate([[1.0], tail / np.linalg.norm(tail)])
    room: Tensor = fftconvolve(heard, torch.from_numpy(response.astype(np.float32)))[: len(heard)]
    loud: Tensor = room * (heard.norm() / room.norm())
    return loud


def _add_noise(heard: "Tensor", ratio: float, rng: np.random.Generator) -> "Tensor":
    import torch
    from torchaudio.functional import add_noise

    noise = torch.from_numpy(rng.standard_normal(len(heard), dtype=np.float32))
    noisy: Tensor = add_noise(heard, noise, torch.tensor(ratio, dtype=torch.float32))
    return noisy
