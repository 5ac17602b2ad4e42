"""Acoustic fingerprints: which recordings are the same one, cut, amplified, resampled or encoded again.

Source: J. Haitsma and T. Kalker, "A highly robust audio fingerprinting system", ISMIR 2002; with shorter frames, since
utterances last seconds where songs last minutes. Synthetic voices share bits without being copies, so the samples have
the last word.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ser_store.audio.decode import Waveform

FRAME_SECONDS = 0.064
HOP_SECONDS = 0.016
BANDS_HZ = (300.0, 3_000.0)  # below what telephone bandwidth and lossy coding leave alone
WORD_BITS = 32
# Frames this far below the loudest one are pauses: their bits are those of the noise.
ACTIVE_DB = 35.0
# Bits that differ: about one half between different recordings, at least 0.34 among the 1,440 of RAVDESS, 0.32 among
# 720 of the synthetic corpus; 0.35 is the paper's threshold.
MAX_BIT_ERRORS = 0.33
# Correlation of the samples where bits agree, each band counting alike: at most 0.22 between different recordings
# (RAVDESS and three synthetic corpora of 1,440), at least 0.66 between copies (lossy coding, cuts, noise, clipping,
# telephone bands). Were the loudest harmonics to decide, voices of one pitch would reach 0.72.
MIN_CORRELATION = 0.4
_LAG_RATE = 32_000  # lags are told apart to 31 µs, a tenth of a period at 3 kHz
MIN_SHARED_SECONDS = 0.5
# A word that more recordings share than this is one of noise or hum, and tells nothing.
MAX_POSTINGS = 50

Words = NDArray[np.uint32]


def compute_fingerprint(samples: NDArray[np.float32], *, sample_rate: int) -> Words:
    """Compute the fingerprint of a recording, ``(m,)`` uint32: one word for every 16 ms, 0 for frames without sound.

    Bit b of a word is the sign of how the energy difference of bands b and b + 1 changed since the frame before; the
    33 bands lie between 300 and 3,000 Hz, equally spaced in the logarithm.

    Args:
        samples: ``(n,)`` float32, mono, at ``sample_rate``.
    """
    energies = _compute_band_energies(samples, sample_rate)
    if len(energies) < 2:
        return np.zeros(0, dtype=np.uint32)
    differences = energies[:, :-1] - energies[:, 1:]
    bits = np.diff(differences, axis=0) > 0
    words: Words = (bits.astype(np.uint64) << np.arange(WORD_BITS, dtype=np.uint64)).sum(axis=1).astype(np.uint32)
    loudness = energies.sum(axis=1)[1:]
    words[loudness < loudness.max() * 10 ** (-ACTIVE_DB / 10)] = 0
    return words


def _compute_band_energies(samples: NDArray[np.float32], sample_rate: int) -> NDArray[np.float64]:
    """``(frames, 33)``; frames and bands are fixed in seconds and Hz, whatever the sample rate."""
    length = round(FRAME_SECONDS * sample_rate)
    starts = np.round(np.arange(0, len(samples) / sample_rate - FRAME_SECONDS, HOP_SECONDS) * sample_rate).astype(int)
    if not len(starts):
        return np.zeros((0, WORD_BITS + 1))
    frames = np.lib.stride_tricks.sliding_window_view(samples, length)[starts] * np.hanning(length).astype(np.float32)
    spectrum = np.fft.rfft(frames, axis=1)
    power = spectrum.real.astype(np.float64) ** 2 + spectrum.imag.astype(np.float64) ** 2
    edges = np.geomspace(*BANDS_HZ, WORD_BITS + 2) * FRAME_SECONDS
    # A band narrower than a bin takes its share of the bin: energies summed up to an edge, interpolated between bins.
    missing = max(0, math.ceil(edges[-1]) + 1 - power.shape[1])  # bins above half the sample rate, below 6 kHz
    power = np.pad(power, ((0, 0), (0, missing)))
    below = np.concatenate([np.zeros((len(power), 1)), np.cumsum(power, axis=1)], axis=1)
    low = np.floor(edges).astype(int)
    at_edges = below[:, low] + (edges - low) * (below[:, low + 1] - below[:, low])
    return np.diff(at_edges, axis=1)


def find_near_duplicates(fingerprints: Sequence[Words], load: Callable[[int], Waveform]) -> list[list[int]]:
    """Find groups of recordings, by place and ascending, of which each sounds like another one of its group.

    Two recordings are compared at the distance at which most of their equal words stand; they are the same if over
    their common stretch, of at least half a second of sound, at most a third of the bits differ, and the samples
    correlate.

    Args:
        load: decodes the recording at a place; is asked where bits agree.
    """
    from scipy.cluster.hierarchy import DisjointSet

    groups = DisjointSet(range(len(fingerprints)))
    for (first, second), offset in _find_candidates(fingerprints):
        if (
            not groups.connected(first, second)
            and _has_same_bits(fingerprints[first], fingerprints[second], offset)
            and _correlate(load(first), load(second), offset * HOP_SECONDS) >= MIN_CORRELATION
        ):
            groups.merge(first, second)
    return sorted(sorted(group) for group in groups.subsets() if len(group) > 1)


def _find_candidates(fingerprints: Sequence[Words]) -> list[tuple[tuple[int, int], int]]:
    """Pairs that share a word, with the distance at which most of their words agree."""
    words = np.concatenate([np.zeros(0, dtype=np.uint32), *fingerprints])
    owner = np.repeat(np.arange(len(fingerprints)), [len(own) for own in fingerprints])
    frame = np.concatenate([np.zeros(0, dtype=int), *(np.arange(len(own)) for own in fingerprints)])
    order = np.argsort(words, kind="stable")
    order = order[words[order] != 0]
    bounds = np.flatnonzero(np.diff(words[order], prepend=0, append=0))
    votes: Counter[tuple[int, int, int]] = Counter()
    for start, end in pairwise(bounds):
        places = order[start:end]
        if 1 < len(places) <= MAX_POSTINGS:
            for i, one in enumerate(places):
                for other in places[i + 1 :]:
                    if owner[one] != owner[other]:
                        votes[int(owner[one]), int(owner[other]), int(frame[other] - frame[one])] += 1
    best: dict[tuple[int, int], tuple[int, int]] = {}
    for (first, second, offset), count in votes.items():
        if count > best.get((first, second), (0, 0))[0]:
            best[first, second] = (count, offset)
    return [(pair, offset) for pair, (_, offset) in sorted(best.items())]


def _has_same_bits(first: Words, second: Words, offset: int) -> bool:
    """Whether ``second``, moved back by ``offset`` frames, has the bits of ``first`` wherever both have sound."""
    start, end = max(0, -offset), min(len(first), len(second) - offset)
    if end <= start:
        return False
    one, other = first[start:end], second[start + offset : end + offset]
    both = (one != 0) & (other != 0)
    if both.sum() * HOP_SECONDS < MIN_SHARED_SECONDS:
        return False
    errors = np.bitwise_count(one[both] ^ other[both]).mean() / WORD_BITS
    return bool(errors <= MAX_BIT_ERRORS)


def _correlate(first: Waveform, second: Waveform, offset: float) -> float:
    """The largest normalised cross-correlation, 0 to 1, within a frame around ``offset`` seconds, whatever the sign.

    Of the spectra over one common length, so the sample rates need not be the same; each band has the same energy.
    """
    starts = max(0.0, -offset), max(0.0, offset)
    seconds = min(one.seconds - start for one, start in zip((first, second), starts, strict=True))
    length = math.ceil(seconds + FRAME_SECONDS)  # whole seconds, so that every rate has the same frequencies
    edges = np.round(np.geomspace(*BANDS_HZ, WORD_BITS + 2) * length).astype(int)
    cross = np.ones(length * _LAG_RATE // 2 + 1, dtype=np.complex128)
    for one, start in zip((first, second), starts, strict=True):
        begin = round(start * one.sample_rate)
        heard = one.samples[begin : begin + round(seconds * one.sample_rate)]
        spectrum = np.zeros_like(cross)
        found = np.fft.rfft(heard, length * one.sample_rate)[: edges[-1]]
        spectrum[: len(found)] = found
        energies = np.add.reduceat(np.square(np.abs(spectrum)), edges)[:-1]
        spectrum[edges[0] : edges[-1]] /= np.repeat(np.sqrt(np.maximum(energies, 1e-30)), np.diff(edges))
        spectrum[: edges[0]] = 0.0
        cross = cross.conj() * spectrum
    lags = np.fft.irfft(cross) * (len(cross) - 1) / (WORD_BITS + 1)
    reach = round(FRAME_SECONDS * _LAG_RATE)
    return float(np.abs(np.roll(lags, reach)[: 2 * reach + 1]).max())
