"""Recordings: decoded to mono float32, checked for what makes them useless, resampled to what the backbones hear."""

import hashlib
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ser_store.errors import AudioError, require

SAMPLE_RATE = 16_000
"""Samples per second that every backbone expects."""

MIN_SECONDS = 0.25
MAX_SECONDS = 3_600.0
AUDIO_SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus"})

# Outside these a header is damaged, and resampling would need unbounded memory.
_PLAUSIBLE_RATES = (4_000, 768_000)
# Largest amplitude that counts as digital silence: three steps of 16 bit.
_SILENCE = 1e-4
# Lossy decoders overshoot full scale by a little. Beyond this a float file holds integers that nobody scaled.
_OVERSHOOT = 2.0
# Writers to a pipe do not know the length; SoX writes 0x7FFFF000, others 0xFFFFFFFF.
_UNKNOWN_LENGTH = 0x7FFFF000
# Bytes after the last frame that may be tags: the largest frame and an ID3v1 tag.
_MP3_TAIL = 1_441 + 128
# Size of torchaudio's polyphase kernel above which an FFT is quicker: 44.1 kHz needs 1e5, 11,127 Hz 2e8 (3 GB, 12 s).
_MAX_KERNEL = 10_000_000


@dataclass(frozen=True)
class Waveform:
    """One decoded recording.

    Attributes:
        samples: ``(n,)`` float32, mono, in [-1, 1].
        sample_rate: samples per second.
    """

    samples: NDArray[np.float32]
    sample_rate: int

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.sample_rate


def load_waveform(path: str | Path) -> Waveform:
    """Decode a WAV, FLAC, MP3 or OGG file at its own sample rate, its channels mixed by their mean.

    What lossy decoders overshoot is clipped to [-1, 1]. libsndfile's other formats are read too, but whether one of
    those was cut off in the middle is not known.

    Raises:
        AudioError: if the file does not exist, cannot be decoded, is truncated, empty, shorter than
            ``MIN_SECONDS``, longer than ``MAX_SECONDS``, not finite, not scaled to full scale, or silent.
        MissingExtraError: without the ``train`` extra.
    """
    path = Path(path)
    _check_complete(path)
    waveform = _decode(path)
    _check_samples(path, waveform)
    return Waveform(np.clip(waveform.samples, -1.0, 1.0), waveform.sample_rate)


def resample(samples: NDArray[np.float32], *, sample_rate: int, to: int = SAMPLE_RATE) -> NDArray[np.float32]:
    """``(n,)`` float32 at ``sample_rate`` to ``(ceil(n · to / sample_rate),)`` float32 at ``to``.

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
    """A recording as the backbones hear it: ``(n,)`` float32, mono, at ``SAMPLE_RATE``.

    Raises:
        AudioError: as :func:`load_waveform`.
    """
    waveform = load_waveform(path)
    return resample(waveform.samples, sample_rate=waveform.sample_rate)


def compute_audio_digest(waveform: Waveform) -> bytes:
    """SHA-256 (32 bytes) of what is heard: the same recording has the same digest as WAV and as FLAC.

    Over the sample rate as a little-endian unsigned 32-bit integer, then the mono samples as little-endian float32.
    """
    heard = hashlib.sha256(struct.pack("<I", waveform.sample_rate))
    heard.update(np.ascontiguousarray(waveform.samples, dtype="<f4").data)
    return heard.digest()


def _decode(path: Path) -> Waveform:
    soundfile = require("soundfile")
    try:
        with path.open("rb") as opened:
            guessed = _is_mp3(opened) and _find_mp3_index(opened) is None
            opened.seek(0)
            # Through Python only where needed, to see how far it was read: by name it is quicker, and uses all cores.
            with soundfile.SoundFile(opened if guessed else path) as file:
                stated, sample_rate = file.frames, file.samplerate
                _check_header(path, stated, sample_rate)
                channels = file.read(dtype="float32", always_2d=True)
            unread = path.stat().st_size - opened.tell() if guessed else 0
    # TypeError: a suffix that means headerless samples. MemoryError: a header that lies about its channels or frames.
    except (soundfile.SoundFileError, TypeError, MemoryError) as problem:
        reason = " ".join(str(getattr(problem, "error_string", problem)).split()).rstrip(".")
        raise AudioError(
            f"{path} cannot be decoded ({reason}): expected a complete WAV, FLAC, MP3 or OGG file; it may be "
            f"truncated, copy or convert it again or leave it out"
        ) from problem
    if unread > _MP3_TAIL:
        raise AudioError(
            f"{path} states no length and {unread:,} bytes of it were not decoded: expected an MP3 with an index or a "
            f"constant bit rate; convert it again"
        )
    if len(channels) < stated and not guessed:
        raise _truncated(path, present=len(channels), stated=stated, unit="frames")
    with np.errstate(invalid="ignore"):
        return Waveform(channels.mean(axis=1, dtype=np.float32), sample_rate)


def _check_header(path: Path, frames: int, sample_rate: int) -> None:
    lowest, highest = _PLAUSIBLE_RATES
    if not lowest <= sample_rate <= highest:
        raise AudioError(
            f"{path} states {sample_rate:,} samples per second: expected {lowest:,} to {highest:,}; convert it again "
            f"or leave it out"
        )
    if frames > MAX_SECONDS * sample_rate:
        raise AudioError(
            f"{path} states no length or one above {MAX_SECONDS:,.0f} s: expected one utterance; cut it into "
            f"utterances, or convert it again so that its header states its length"
        )


def _check_samples(path: Path, waveform: Waveform) -> None:
    samples, seconds = waveform.samples, waveform.seconds
    if len(samples) == 0:
        raise AudioError(f"{path} holds no samples: expected a recording; record it again or leave it out")
    if seconds < MIN_SECONDS:
        raise AudioError(
            f"{path} is {seconds * 1000:.0f} ms long: expected at least {MIN_SECONDS * 1000:.0f} ms; "
            f"record it again or leave it out"
        )
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
    if np.abs(samples - samples.mean(dtype=np.float64)).max() <= _SILENCE:
        raise AudioError(
            f"{path} is silent (no sample above {_SILENCE:g}): expected speech; record it again or leave it out"
        )


def _check_complete(path: Path) -> None:
    """Refuse what is cut off: libsndfile silently shortens WAV, OGG and MP3 to what is there."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size == 0:
                raise AudioError(f"{path} is empty (0 bytes): expected a recording; copy it again or leave it out")
            shortfall = _find_shortfall(path, file, size)
    except FileNotFoundError as missing:
        raise AudioError(
            f"{path} does not exist: expected a recording; check the path and the audio folder"
        ) from missing
    except OSError as problem:
        raise AudioError(
            f"{path} cannot be read ({problem.strerror}): expected a recording; check the path and its permissions"
        ) from problem
    if shortfall is not None and shortfall[0] < shortfall[1]:
        raise _truncated(path, present=shortfall[0], stated=shortfall[1], unit="bytes of audio")


def _find_shortfall(path: Path, file: BinaryIO, size: int) -> tuple[int, int] | None:
    """Bytes of audio that are present and that are stated, or None where none are stated."""
    magic = file.read(4)
    if magic in {b"RIFF", b"RF64"}:
        return _find_wav_length(file, size)
    if magic == b"OggS" and not _is_ogg_ended(file, size):
        raise AudioError(
            f"{path} is truncated (its last Ogg page is missing or incomplete): expected a complete recording; "
            f"copy it again or leave it out"
        )
    if _is_mp3(file) and (index := _find_mp3_index(file)) is not None:
        start, stated = index
        return size - start, stated
    return None


def _truncated(path: Path, *, present: int, stated: int, unit: str) -> AudioError:
    return AudioError(
        f"{path} is truncated ({present:,} of {stated:,} {unit}): expected a complete recording; copy it again or "
        f"leave it out"
    )


def _find_wav_length(file: BinaryIO, size: int) -> tuple[int, int] | None:
    """Bytes present and stated of the RIFF data chunk, or None if it states no length."""
    position, long_length = 12, 0
    for _ in range(1_000):  # chunks; a file has a handful
        if position + 8 > size:
            break
        file.seek(position)
        name, length = struct.unpack("<4sI", file.read(8))
        position += 8
        if name == b"ds64" and position + 16 <= size:
            long_length = struct.unpack("<8xQ", file.read(16))[0]
        elif name == b"data":
            stated = long_length if length == 0xFFFFFFFF and long_length else length
            unknown = not long_length and length >= _UNKNOWN_LENGTH
            return None if unknown else (size - position, stated)
        position += length + length % 2  # chunks are padded to an even length
    return None


def _is_ogg_ended(file: BinaryIO, size: int) -> bool:
    """Whether the last page is there in full and bears the end-of-stream flag (RFC 3533, section 6)."""
    largest_page = 65_307
    file.seek(max(0, size - largest_page))
    tail = file.read()
    start = tail.rfind(b"OggS\0")
    if start < 0 or start + 27 > len(tail):
        return False
    flags, segments = tail[start + 5], tail[start + 26]
    body = start + 27 + segments
    return bool(flags & 4) and body + sum(tail[start + 27 : body]) <= len(tail)


def _is_mp3(file: BinaryIO) -> bool:
    file.seek(0)
    magic = file.read(3)
    return magic == b"ID3" or (len(magic) == 3 and magic[0] == 0xFF and magic[1] >= 0xE0)


def _find_mp3_index(file: BinaryIO) -> tuple[int, int] | None:
    """Where an MP3's audio starts and how many bytes it has, by the Xing or LAME index in its first frame, if any."""
    file.seek(0)
    tag = file.read(10)
    start = 0
    if tag[:3] == b"ID3" and len(tag) == 10:
        # Four 7-bit digits; the header of 10 bytes is not counted, nor is a footer of the same size.
        start = 10 + sum(digit << shift for digit, shift in zip(tag[6:10], (21, 14, 7, 0), strict=True))
        start += 10 if tag[5] & 0x10 else 0
    file.seek(start)
    frame = file.read(64)
    index = max(frame.find(b"Xing"), frame.find(b"Info"))
    if index < 0 or index + 16 > len(frame):
        return None
    flags = int.from_bytes(frame[index + 4 : index + 8], "big")
    if flags & 3 != 3:  # both the number of frames and that of bytes, in this order
        return None
    return start, int.from_bytes(frame[index + 12 : index + 16], "big")
