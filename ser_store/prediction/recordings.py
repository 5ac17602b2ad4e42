"""Recordings that no corpus need have: which files are meant, what is in them, and which windows they are cut into."""

import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ser_store.audio.decode import (
    AUDIO_SUFFIXES,
    MIN_SECONDS,
    SAMPLE_RATE,
    compute_audio_digest,
    load_speech,
    load_waveform,
)
from ser_store.common.checks import check_number
from ser_store.common.display import format_count
from ser_store.common.threads import map_threaded
from ser_store.corpora.folders import find_files
from ser_store.corpora.splits.fitted import find_fitted
from ser_store.errors import AudioError
from ser_store_h5.progress import Progress
from ser_store_h5.store import Store

_NAMED = 3


@dataclass(frozen=True)
class Heard:
    """What is in a recording.

    Attributes:
        path: of its file, as it was named.
        seconds: how long it is.
        sample_rate: at which it was recorded.
        channels: that it has.
        note: what its header says that is not so.
        digest: of its samples, as a corpus has it.
    """

    path: Path
    seconds: float
    sample_rate: int
    channels: int
    note: str | None
    digest: bytes


@dataclass(frozen=True)
class Span:
    """A recording, or a window of it, in seconds."""

    path: Path
    start: float
    end: float


class SpanRecordings:
    """Spans of files as :class:`~ser_store.audio.recordings.Recordings`, by their place; one file is kept decoded."""

    def __init__(self, spans: Sequence[Span], *, are_windows: bool) -> None:
        self._spans = spans
        self._are_windows = are_windows
        self._lock = threading.Lock()
        self._last: tuple[Path, NDArray[np.float32]] | None = None

    def load(self, row: int) -> NDArray[np.float32]:
        span = self._spans[row]
        if not self._are_windows:
            return load_speech(span.path)
        with self._lock:
            if self._last is None or self._last[0] != span.path:
                self._last = span.path, load_speech(span.path)
            samples = self._last[1]
        return samples[round(span.start * SAMPLE_RATE) : round(span.end * SAMPLE_RATE)]

    def load_seconds(self, rows: NDArray[np.int32]) -> NDArray[np.float64]:
        return np.array([self._spans[row].end - self._spans[row].start for row in rows.tolist()])

    def name(self, row: int) -> str:
        return str(self._spans[row].path)

    def identify(self, row: int) -> bytes:
        return str(row).encode()


def find_recordings(files: Sequence[str | os.PathLike[str]]) -> tuple[list[Path], list[str]]:
    """Return the recordings that are named, each once, and lines on what was left out of folders.

    Args:
        files: files, whatever their suffix; and folders, of which all below counts that has a recording's suffix.

    Raises:
        AudioError: if a folder has no recording.
    """
    found, others, problems = dict[Path, None](), Counter[str](), list[str]()
    for one in files:
        path = Path(one).expanduser()
        if not path.is_dir():
            found[path] = None
            continue
        below, unread = find_files(path)
        visible = [file for file in below if not file.name.startswith(".")]
        own = [file for file in visible if file.suffix.lower() in AUDIO_SUFFIXES]
        if not own:
            raise AudioError(
                f"{path} has no recordings{f' among its {len(visible)} files' if visible else ''}: expected files such "
                f"as {', '.join(sorted(AUDIO_SUFFIXES))}"
            )
        others.update(file.suffix.lower() or file.name for file in visible if file not in set(own))
        problems += unread
        found |= dict.fromkeys(own)
    lines = [f"left out: {one}" for one in problems]
    if others:
        kinds = ", ".join(f"{suffix} {n}" for suffix, n in others.most_common(_NAMED))
        more = ", …" if len(others) > _NAMED else ""
        lines.append(f"left out {format_count(sum(others.values()), 'file')} that are no recordings ({kinds}{more})")
    return list(found), lines


def hear(paths: Sequence[Path], *, skips_bad: bool, progress: Progress) -> tuple[list[Heard], dict[str, str]]:
    """Decode every file once; return what is in those that can be used, and why the others cannot, by name.

    Raises:
        AudioError: on the first that cannot be used, unless bad ones are skipped; if none can.
    """

    def look(path: Path) -> Heard | AudioError:
        try:
            waveform = load_waveform(path)
        except AudioError as problem:
            return problem
        digest = compute_audio_digest(waveform)
        return Heard(path, waveform.seconds, waveform.sample_rate, waveform.channels, waveform.note, digest)

    looked = map_threaded(look, paths, progress=progress, label="reading")
    bad = {str(path): one for path, one in zip(paths, looked, strict=True) if isinstance(one, AudioError)}
    usable = [one for one in looked if isinstance(one, Heard)]
    if bad and not (skips_bad and usable):
        first = next(iter(bad.values()))
        raise AudioError(f"{first}{_describe_others(len(bad) - 1, len(paths), skips_bad=skips_bad)}") from first
    return usable, {name: str(problem) for name, problem in bad.items()}


def _describe_others(n: int, total: int, *, skips_bad: bool) -> str:
    if skips_bad:
        return f"; none of the {total} recordings can be used" if n else ""
    return f"; so with {n} more of {total}, `on_bad` skip leaves them out" if n else "; `on_bad` skip leaves it out"


def cut_spans(heard: Sequence[Heard], window: float | None, hop: float | None) -> list[Span]:
    """Return each recording whole, or its windows; the last window ends with the recording.

    >>> one = Heard(Path("a.wav"), 10.5, 16_000, 1, None, b"")
    >>> [(span.start, span.end) for span in cut_spans([one], 4, 3)]
    [(0.0, 4.0), (3.0, 7.0), (6.0, 10.0), (6.5, 10.5)]
    """
    if window is None:
        return [Span(one.path, 0.0, one.seconds) for one in heard]
    return [Span(one.path, *bounds) for one in heard for bounds in _iter_windows(one.seconds, window, hop or window)]


def _iter_windows(seconds: float, window: float, hop: float) -> Iterator[tuple[float, float]]:
    last = max(0.0, seconds - window)
    count = int(last / hop + 1e-9)
    for place in range(count + 1):
        yield float(place * hop), float(min(place * hop + window, seconds))
    if last - count * hop > 1 / SAMPLE_RATE:
        yield last, seconds


def describe_heard(heard: Sequence[Heard]) -> Iterator[str]:
    """Yield what becomes of the recordings before a model hears them, as far as it is anything."""
    n = len(heard)
    rates = Counter(one.sample_rate for one in heard if one.sample_rate != SAMPLE_RATE)
    mixed = Counter(one.channels for one in heard if one.channels > 1)
    done = []
    if rates:
        listed = ", ".join(f"{times} from {rate / 1000:g} kHz" for rate, times in rates.most_common())
        done.append(f"resampled to {SAMPLE_RATE // 1000} kHz {sum(rates.values())} of {n} ({listed})")
    if mixed:
        done.append(f"mixed down to one channel {sum(mixed.values())} of {n}")
    if done:
        yield f"recordings: {'; '.join(done)}"
    notes = [one.note for one in heard if one.note]
    if notes:
        yield f"{notes[0]}{f'; so with {len(notes) - 1} more' if len(notes) > 1 else ''}"


def caution_learned(store: Store, runs: Sequence[str], heard: Sequence[Heard]) -> Iterator[str]:
    """Yield a line where models of the runs have learned from some of the recordings, in a fold or in all.

    A recording is told by its samples; where the corpus has no digests, by its name.
    """
    corpus = store.corpus
    by_run = [fitted for run in runs if (fitted := find_fitted(store, run)) is not None]
    learned = np.any([np.zeros(len(corpus), dtype=bool), *(one.learned.any(axis=0) for one in by_run)], axis=0)
    rows = np.flatnonzero(learned)
    if corpus.audio_digests is None:
        ids = set(corpus.ids[rows].tolist())
        known = [str(one.path) for one in heard if one.path.stem in ids]
    else:
        digests = {digest.tobytes() for digest in corpus.audio_digests[rows]}
        known = [str(one.path) for one in heard if one.digest in digests]
    if known:
        few = len(heard) == 1
        which = "this recording" if few else f"{len(known)} of these {len(heard)} recordings (such as {known[0]})"
        yield (
            f"caution: {', '.join(runs)} learned from {which}: what is said of {'it' if few else 'them'} is surer, and "
            "more often right, than of new ones"
        )


def check_window(window: float | None, hop: float | None) -> None:
    """Refuse windows that cannot be.

    Raises:
        AudioError: saying what is expected.
    """
    if window is not None:
        check_number("window", window, AudioError, least=MIN_SECONDS)
    if hop is None:
        return
    if window is None:
        raise AudioError(f"`hop` is {hop:g} without `window`: expected both; windows begin every `hop` seconds")
    check_number("hop", hop, AudioError, least=0.01, most=window)
