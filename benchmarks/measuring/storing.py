"""How fast and how small formats keep what models said, after checking that they give back what was put in."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from measuring.formats import FORMATS, Array, Format
from measuring.surroundings import describe_machine, list_package_versions
from measuring.workload import Workload
from ser_store.errors import StoreError
from ser_store_h5.progress import Progress, silent

WRITES = 3
LOSS = 1 / 32  # what lilcom may be off at its usual accuracy
PACKAGES = ("ser-store", "numpy", "h5py", "lhotse", "lilcom", "anndata", "zarr", "torch")


@dataclass(frozen=True)
class Costs:
    """What one format takes; seconds are medians, from closed files, with the files in the system's cache.

    Attributes:
        write: seconds to write everything and flush it to the disk.
        bytes: size of all files.
        open: seconds to list all members with the shapes of their logits.
        logits: seconds to read the logits of the test utterances by all members.
        pooled: seconds to read all pooled representations of one member.
        utterance: seconds to read the pooled representation of one utterance by every member.
    """

    write: float
    bytes: float
    open: float
    logits: float
    pooled: float
    utterance: float

    def scaled(self, factor: float) -> "Costs":
        """As for ``factor`` times as many members; what is read of one member stays."""
        changed = {field.name: getattr(self, field.name) * factor for field in fields(self)}
        return Costs(**{**changed, "pooled": self.pooled})

    def divided_by(self, other: "Costs") -> "Costs":
        return Costs(**{field.name: getattr(self, field.name) / getattr(other, field.name) for field in fields(self)})


@dataclass(frozen=True)
class FormatCosts:
    """One line of the comparison.

    Attributes:
        name: of the format.
        members: how many were measured; where fewer than the workload has, the costs are scaled.
        largest_error: of any number read back; 0 if the format is exact.
        costs: for the whole workload.
        ratios: the costs divided by those of serstore; above 1, serstore is ahead.
    """

    name: str
    members: int
    largest_error: float
    costs: Costs
    ratios: Costs


@dataclass(frozen=True)
class StorageComparison:
    """All formats in one run, and which could not be measured for want of a package."""

    workload: Workload
    repeats: int
    formats: tuple[FormatCosts, ...]
    missing: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        own = {field.name: getattr(self.workload, field.name) for field in fields(self.workload)}
        return {
            "workload": {**own, "test_utterances": len(self.workload.test), "bytes": self.workload.bytes},
            "repeats": self.repeats,
            "machine": describe_machine(),
            "versions": list_package_versions(PACKAGES),
            "formats": [
                {**vars(line), "costs": vars(line.costs), "ratios": vars(line.ratios)} for line in self.formats
            ],
            "missing": self.missing,
        }


def compare_storage(
    workload: Workload | None = None,
    *,
    repeats: int = 5,
    slow_members: int = 6,
    folder: Path | None = None,
    formats: Iterable[Format] = FORMATS,
    progress: Progress = silent,
) -> StorageComparison:
    """Write and read a workload with every format whose packages are installed.

    Args:
        workload: default: 84 members of 1,440 utterances, 1,024 numbers each.
        repeats: readings of each kind, of which the median counts; writings are 3 at most.
        slow_members: formats that keep each utterance by itself get so many members, and are scaled.
        folder: where the files are written, for a while. Default: the system's temporary folder.

    Raises:
        StoreError: if a format does not give back what was written, or the disk refuses.
    """
    workload = workload or Workload()
    chosen = tuple(formats)
    found = {one.name: [library for library in one.libraries if find_spec(library) is None] for one in chosen}
    able = [one for one in chosen if not found[one.name]]
    measured: list[tuple[str, int, float, Costs]] = []
    for one in progress(able, total=len(able), label="formats"):
        for library in one.libraries:
            import_module(library)
        own = replace(workload, members=min(slow_members, workload.members)) if one.is_slow else workload
        with tempfile.TemporaryDirectory(dir=folder, prefix=".serstore-bench-") as scratch:
            error, costs = _measure(one, own, Path(scratch), repeats)
        measured.append((one.name, own.members, error, costs.scaled(workload.members / own.members)))
    baseline = measured[0][3]
    return StorageComparison(
        workload=workload,
        repeats=repeats,
        formats=tuple(
            FormatCosts(name, members, error, costs, costs.divided_by(baseline))
            for name, members, error, costs in measured
        ),
        missing={name: ", ".join(libraries) for name, libraries in found.items() if libraries},
    )


def _measure(one: Format, workload: Workload, scratch: Path, repeats: int) -> tuple[float, Costs]:
    """The largest error, and the costs."""
    row, member = int(workload.test[0]), workload.names[len(workload.names) // 2]
    _ = workload.pooled, workload.logits  # drawn before the clock runs
    writing = []
    for attempt in range(min(WRITES, repeats)):
        folder = scratch / str(attempt)
        folder.mkdir()
        started = time.perf_counter()
        one.write(folder, workload)
        _flush(folder)
        writing.append(time.perf_counter() - started)
        if attempt:
            shutil.rmtree(scratch / str(attempt - 1))
    error = _find_error(one, folder, workload, row=row, member=member)
    return error, Costs(
        write=median(writing),
        bytes=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        open=_time(lambda: one.list_members(folder), repeats),
        logits=_time(lambda: one.read_logits(folder, workload.test), repeats),
        pooled=_time(lambda: one.read_pooled(folder, member), repeats),
        utterance=_time(lambda: one.read_utterance(folder, row), repeats),
    )


def _find_error(one: Format, folder: Path, workload: Workload, *, row: int, member: str) -> float:
    """The largest error of whatever is going to be timed, if it is one that the format may make."""
    place = workload.names.index(member)
    shape = (workload.n, workload.n_classes)
    if one.list_members(folder) != [(name, shape) for name in workload.names]:
        raise StoreError(f"{one.name} lists other members than were written: nothing is timed")
    read: list[tuple[str, Array, Array]] = [
        ("logits", one.read_logits(folder, workload.test), workload.logits[:, workload.test]),
        ("pooled", one.read_pooled(folder, member), workload.pooled[place]),
        ("utterance", one.read_utterance(folder, row), workload.pooled[:, row]),
    ]
    largest = 0.0
    for content, found, expected in read:
        if found.shape != expected.shape or (one.is_exact and found.dtype != expected.dtype):
            raise StoreError(f"{one.name}: {content} is {found.dtype} {found.shape}: expected {expected.shape}")
        error = float(np.abs(found.astype(np.float64) - expected).max())
        if error > (0 if one.is_exact else LOSS):
            raise StoreError(f"{one.name}: {content} is off by {error:g}: nothing is timed")
        largest = max(largest, error)
    return largest


def _time(read: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        read()
        seconds.append(time.perf_counter() - started)
    return median(seconds)


def _flush(folder: Path) -> None:
    """Every format shall be on the disk when the clock stops, as the store is when a command ends."""
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb+") as opened:
                os.fsync(opened.fileno())
