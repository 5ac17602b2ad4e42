"""How many utterances per second each backbone represents on this machine."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from measuring.running import PACKAGES, list_tiny_models
from measuring.surroundings import describe_machine, list_package_versions
from measuring.training_corpus import scratch_store
from ser_store.backbones.catalogue import is_acoustic
from ser_store.backbones.description import Init
from ser_store.errors import SerstoreError, require
from ser_store.extraction.extract import extract
from ser_store_h5.progress import Progress, silent
from ser_store_h5.store import Store

T = TypeVar("T")


@dataclass(frozen=True)
class ExtractionRate:
    """One backbone.

    Attributes:
        model: its key.
        utterances: that were represented.
        seconds: that this took, decoding included; without loading the model and writing the member.
        peak_bytes: of memory, see :class:`measuring.memory.Peak`.
    """

    model: str
    utterances: int
    seconds: float
    peak_bytes: int

    @property
    def per_second(self) -> float:
        """Utterances per second."""
        return self.utterances / self.seconds

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "per_second": self.per_second}


@dataclass(frozen=True)
class ExtractionComparison:
    """All backbones, in one run, in batches of ``batch_size``; ``problems`` are those that could not run, and why."""

    corpus: str
    batch_size: int
    seed: int
    hardware: Mapping[str, Any]
    rates: tuple[ExtractionRate, ...]
    problems: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        return {
            "corpus": self.corpus,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "weights": "random",
            "machine": {**describe_machine(), **self.hardware},
            "versions": list_package_versions(PACKAGES),
            "rates": [rate.to_json() for rate in self.rates],
            "problems": dict(self.problems),
        }


def compare_extraction(
    models: Sequence[str] | None = None,
    *,
    audio: Path | None = None,
    batch_size: int = 8,
    seed: int = 42,
    folder: Path | None = None,
    progress: Progress = silent,
) -> ExtractionComparison:
    """Represent all recordings by each backbone, from random weights.

    Args:
        models: keys of the catalogue. Default: ``mfcc`` and the tiny presets.
        audio: RAVDESS recordings. Default: synthetic ones.
        folder: where the store lies for a while. Default: the system's temporary folder.
    """
    require("torch")
    from ser_store.common.provenance import describe_hardware

    names = ("mfcc", *list_tiny_models()) if models is None else tuple(models)
    rates, problems = [], {}
    with scratch_store(audio, folder=folder, progress=progress) as store:
        for model in progress(names, total=len(names), label="backbones"):
            try:
                rates.append(_time_model(store, model, batch_size=batch_size, seed=seed))
            except SerstoreError as problem:
                problems[model] = str(problem)
        corpus = store.corpus.name
    return ExtractionComparison(corpus, batch_size, seed, describe_hardware(), tuple(rates), problems)


class _Stopwatch:
    """A progress that notes how long its work took."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, items: Iterable[T], /, *, total: int, label: str) -> Iterator[T]:
        started = time.perf_counter()
        yield from items
        self.seconds = time.perf_counter() - started


def _time_model(store: Store, model: str, *, batch_size: int, seed: int) -> ExtractionRate:
    from measuring.memory import measure_peak
    from ser_store.inference.out_of_memory import free_memory

    watch = _Stopwatch()
    init: Init = "pretrained" if is_acoustic(model) else "random"
    try:
        with measure_peak() as peak:
            done = extract(store, model=model, init=init, batch_size=batch_size, seed=seed, progress=watch)[0]
    finally:
        free_memory()
    return ExtractionRate(model, done.computed, watch.seconds, peak.bytes)
