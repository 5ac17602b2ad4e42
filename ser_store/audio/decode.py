"""Recordings: decoded to mono float32, checked for what makes them useless, resampled to what the backbones hear."""

import hashlib
import math
import stat
import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_store.audio.containers.chunks import UNSTATED, Extent, truncated
from ser_store.audio.containers.detection import measure_extent, name_foreign
from ser_store.errors import AudioError, require

SAMPLE_RATE = 16_000
"""Samples per second that every backbone expects."""

MIN_SECONDS = 0.25
MAX_SECONDS = 3_600.0
AUDIO_SUFFIXES = frozenset(
    {".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".aifc", ".w64", ".au", ".snd", ".caf", ".sph"}
)

# Of which it is known whether all is there. libsndfile's others are shortened in silence, have no sample rate (XI), or
# are guessed from the suffix (RAW: text called .au is noise).
_FORMATS = frozenset({"WAV", "WAVEX", "RF64", "W64", "FLAC", "MP3", "OGG", "AIFF", "AU", "CAF", "NIST"})
_EXPECTED = "expected a complete WAV, FLAC, MP3, OGG, AIFF, AU, CAF or NIST file"
# What libsndfile says of a FLAC file from a pipe.
_UNKNOWN_FRAMES = 0x7FFF_FFFF_FFFF_FFFF

# Outside these a header is damaged, and resampling would need unbounded memory.
_PLAUSIBLE_RATES = (4_000, 768_000)
# Largest amplitude that counts as digital silence: three steps of 16 bit.
_SILENCE = 1e-4
# Lossy decoders overshoot full scale by a little. Beyond this a float file holds integers that nobody scaled.
_OVERSHOOT = 2.0
# What is left of the channels' power, against that of channels without relation, when they cancel each other: -20 dB.
_CANCELLED = 0.01
# Size of torchaudio's polyphase kernel above which an FFT is quicker: 44.1 kHz needs 1e5, 11,127 Hz 2e8 (3 GB, 12 s).
_MAX_KERNEL = 10_000_000


@dataclass(frozen=True)
class Waveform:
    """One decoded recording.

    Attributes:
        samples: ``(n,)`` float32, mono, in [-1, 1].
        sample_rate: samples per second.
        note: what its header says that is not so, and what was read; None where all is as it says.
        channels: that were mixed to one.
    """

    samples: NDArray[np.float32]
    sample_rate: int
    note: str | None = None
    channels: int = 1

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.sample_rate


def load_waveform(path: str | Path) -> Waveform:
    """Decode a WAV (RF64 and W64 too), FLAC, MP3, OGG, AIFF, AU, CAF or NIST file at its own sample rate.

    Channels are mixed by their mean. What lossy decoders overshoot is clipped to [-1, 1]. A header that states no
    length, or a few bytes more than there are, is mended: what is there is read to its end, and noted.

    Raises:
        AudioError: if the file does not exist, cannot be decoded, is truncated, empty, shorter than
            ``MIN_SECONDS``, longer than ``MAX_SECONDS``, not finite, not scaled to full scale, silent or constant, or
            has channels that cancel each other.
        MissingExtraError: without the ``train`` extra.
    """
    path = Path(path)
    extent = _measure(path)
    channels, sample_rate, stated = _decode(path, extent)
    if extent is not None and len(channels) < extent.least_samples:
        raise AudioError(
            f"{path} was decoded in part ({len(channels):,} of at least {extent.least_samples:,} samples): expected an "
            f"MP3 with an index or a constant bit rate; convert it again"
        )
    if extent is None and len(channels) < stated < _UNKNOWN_FRAMES:
        raise truncated(path, present=len(channels), stated=stated, unit="frames")
    with np.errstate(invalid="ignore"):
        # The mean of a single channel takes a third as long as decoding it. The sum makes -0 a 0, as the mean does.
        samples = channels[:, 0] + np.float32(0) if channels.shape[1] == 1 else channels.mean(axis=1, dtype=np.float32)
    _check_samples(path, samples, sample_rate)
    _check_sound(path, samples, channels)
    note = extent.describe() if extent is not None else UNSTATED if stated == _UNKNOWN_FRAMES else None
    return Waveform(np.clip(samples, -1.0, 1.0), sample_rate, note and f"{path} {note}", channels.shape[1])


def resample(samples: NDArray[np.float32], *, sample_rate: int, to: int = SAMPLE_RATE) -> NDArray[np.float32]:
    """Resample ``(n,)`` float32 at ``sample_rate`` to ``(ceil(n · to / sample_rate),)`` float32 at ``to``.

    By torchaudio's windowed sinc; by scipy's FFT where the two rates share so small a divisor that the sinc's kernel
    would not fit into memory. Equal rates return ``samples`` as they are.
    """
    if sample_rate == to:
        return samples
    divisor = math.gcd(sample_rate, to)
    period, new_period = sample_rate // divisor, to // divisor
    if period * new_period > _MAX_KERNEL:
        from scipy.signal import resample as resample_by_fft

        whole = np.pad(samples, (0, -len(samples) % period))  # whole periods, so that time is not stretched
        length = math.ceil(len(samples) * to / sample_rate)
        return np.asarray(resample_by_fft(whole, len(whole) // period * new_period)[:length], dtype=np.float32)
    torch, functional = require("torch"), require("torchaudio.functional")
    with torch.inference_mode():
        resampled: NDArray[np.float32] = functional.resample(torch.tensor(samples), sample_rate, to).numpy()
    return resampled


def load_speech(path: str | Path) -> NDArray[np.float32]:
    """Return a recording as the backbones hear it: ``(n,)`` float32, mono, at ``SAMPLE_RATE``.

    Raises:
        AudioError: as :func:`load_waveform`.
    """
    waveform = load_waveform(path)
    return resample(waveform.samples, sample_rate=waveform.sample_rate)


def compute_audio_digest(waveform: Waveform) -> bytes:
    """Return the SHA-256 (32 bytes) of what is heard: the same recording has the same digest as WAV and as FLAC.

    Over the sample rate as a little-endian unsigned 32-bit integer, then the mono samples as little-endian float32.
    """
    heard = hashlib.sha256(struct.pack("<I", waveform.sample_rate))
    heard.update(np.ascontiguousarray(waveform.samples, dtype="<f4").data)
    return heard.digest()


def _decode(path: Path, extent: Extent | None) -> tuple[NDArray[np.float32], int, int]:
    """Channels ``(n, c)``, samples per second, and how many frames the file states."""
    soundfile = require("soundfile")
    try:
        # By name it is quicker than through Python, and uses all cores.
        with soundfile.SoundFile(
            path if extent is None or extent.repair is None else _mend(path, extent.repair)
        ) as file:
            if file.format not in _FORMATS:
                raise _undecodable(path, f"its format, {file.format}, is not read")
            _check_header(path, file.frames, file.samplerate)
            return _read_to_end(file), file.samplerate, file.frames
    # TypeError: a suffix that means headerless samples. MemoryError: a header that lies about its channels or frames.
    except (soundfile.SoundFileError, TypeError, MemoryError) as problem:
        reason = " ".join(str(getattr(problem, "error_string", problem)).split()).rstrip(".")
        raise _undecodable(path, reason) from problem


def _mend(path: Path, repair: tuple[int, bytes]) -> BytesIO:
    content, (place, mended) = bytearray(path.read_bytes()), repair
    content[place : place + len(mended)] = mended
    return BytesIO(content)


def _read_to_end(file: Any) -> NDArray[np.float32]:
    # soundfile seeks behind every block, which many codecs cannot, nor FLAC without a stated length.
    file.seekable = lambda: False
    size = max(1, min(file.frames, 60 * file.samplerate))
    blocks = [file.read(size, dtype="float32", always_2d=True)]
    while len(blocks[-1]) == size and len(blocks) * size <= MAX_SECONDS * file.samplerate:
        blocks.append(file.read(size, dtype="float32", always_2d=True))
    return np.concatenate(blocks) if len(blocks) > 1 else blocks[0]


def _undecodable(path: Path, reason: str) -> AudioError:
    foreign = name_foreign(path)
    if foreign is not None:
        kind, way_out = foreign
        return AudioError(f"{path} cannot be decoded, it is {kind}: {_EXPECTED}; {way_out}")
    return AudioError(
        f"{path} cannot be decoded ({reason}): {_EXPECTED}; it may be truncated, copy or convert it again or leave it "
        f"out"
    )


def _check_header(path: Path, frames: int, sample_rate: int) -> None:
    lowest, highest = _PLAUSIBLE_RATES
    if not lowest <= sample_rate <= highest:
        raise AudioError(
            f"{path} states {sample_rate:,} samples per second: expected {lowest:,} to {highest:,}; convert it again "
            f"or leave it out"
        )
    if MAX_SECONDS * sample_rate < frames < _UNKNOWN_FRAMES:
        raise _too_long(path)


def _too_long(path: Path) -> AudioError:
    return AudioError(f"{path} is longer than {MAX_SECONDS:,.0f} s: expected one utterance; cut it into utterances")


def _check_samples(path: Path, samples: NDArray[np.float32], sample_rate: int) -> None:
    seconds = len(samples) / sample_rate
    if len(samples) == 0:
        raise AudioError(f"{path} holds no samples: expected a recording; record it again or leave it out")
    if seconds < MIN_SECONDS:
        raise AudioError(
            f"{path} is {seconds * 1000:.0f} ms long: expected at least {MIN_SECONDS * 1000:.0f} ms; "
            f"record it again or leave it out"
        )
    if seconds > MAX_SECONDS:
        raise _too_long(path)
    finite = np.isfinite(samples)
    if not finite.all():
        raise AudioError(
            f"{path} holds {np.count_nonzero(~finite):,} samples that are NaN or infinite: expected numbers from -1 "
            f"to 1; export it again or leave it out"
        )
    peak = float(np.abs(samples).max())
    if peak > _OVERSHOOT:
        raise AudioError(
            f"{path} holds samples up to {peak:,.6g}: expected -1 to 1; divide them by full scale (32,768 for 16 bit)"
        )


def _check_sound(path: Path, samples: NDArray[np.float32], channels: NDArray[np.float32]) -> None:
    """Refuse what holds no sound, and what has sound that is gone once its channels are mixed."""
    offsets = channels.mean(axis=0, dtype=np.float64).astype(np.float32)
    if np.abs(channels - offsets).max() <= _SILENCE:
        if np.abs(offsets).max() <= _SILENCE:
            got = f"is silent (no sample above {_SILENCE:g})"
        else:
            got = f"is constant (all samples are near {', '.join(f'{offset:.3g}' for offset in offsets)}: an offset)"
        raise AudioError(f"{path} {got}: expected speech; record it again or leave it out")
    if channels.shape[1] == 1:
        return
    power = np.square(channels - offsets).mean(dtype=np.float64) / channels.shape[1]
    left = np.square(samples - offsets.mean()).mean(dtype=np.float64) / power
    if left < _CANCELLED:
        raise AudioError(
            f"{path} has channels that cancel each other when they are mixed ({10 * np.log10(left + 1e-12):.0f} dB are "
            f"left): expected channels in phase; keep one of the {channels.shape[1]}, or turn one over"
        )


def _measure(path: Path) -> Extent | None:
    try:
        if not stat.S_ISREG((status := path.stat()).st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
            raise AudioError(f"{path} is {kind}: expected a recording; check the path")
        if status.st_size == 0:
            raise AudioError(f"{path} is empty (0 bytes): expected a recording; copy it again or leave it out")
        return measure_extent(path)
    except FileNotFoundError as missing:
        got = f"is a link to {path.readlink()}, which does not exist" if path.is_symlink() else "does not exist"
        raise AudioError(f"{path} {got}: expected a recording; check the path and the audio folder") from missing
    except OSError as problem:
        raise AudioError(
            f"{path} cannot be read ({problem.strerror}): expected a recording; check the path and its permissions"
        ) from problem
