"""What is found wrong with the files of a store, collected so that one does not hide the others."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ser_store_h5.errors import FormatError, IntegrityError, SerstoreError
from ser_store_h5.member import MemberInfo
from ser_store_h5.runs import RunRecord

MISNAMED = "bears no name of a member, such as step-001100.h5, and nobody reads it"
TWINS = "differs from run {} in case alone, which not every disk tells apart: expected names that differ in more"


@dataclass(frozen=True)
class FileProblem:
    """One thing wrong with one file, relative to the store; in a packed store, with what has that place in it."""

    file: str
    problem: str


@dataclass(frozen=True)
class Verification:
    """What :func:`.verify.verify_store` found.

    Attributes:
        files: number of files looked at.
        bytes: their sizes together.
        problems: what is wrong, by file.
        leftovers: files and folders of writers that were killed, and curves whose last line they tore; no reader looks
            at them, :func:`.sweeping.gc` removes them.
        seconds: how long it took.
    """

    files: int
    bytes: int
    problems: tuple[FileProblem, ...]
    leftovers: tuple[str, ...]
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def rate(self) -> float:
        """Bytes verified in a second."""
        return self.bytes / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Survey:
    """What can be read of the runs and members of a store, and what is wrong with the rest.

    Attributes:
        records: of every run whose record can be read, by its name.
        members: what each holds, by run and step.
        problems: by run; each names a file and how to go on without it.
    """

    records: Mapping[str, RunRecord]
    members: tuple[MemberInfo, ...]
    problems: tuple[FileProblem, ...]


class Findings:
    """Collects what is wrong with the store at ``path``, but for files that were removed meanwhile, and may be."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.problems: list[FileProblem] = []

    @contextmanager
    def noting(self, file: str) -> Iterator[None]:
        """Within the block, a problem is noted and ends the block, and nothing else."""
        try:
            yield
        except (SerstoreError, OSError) as problem:
            self.add(file, str(problem))

    def add(self, file: str, text: str) -> None:
        if self._is_gone(file):
            return
        text = " ".join(text.splitlines())
        for prefix in (f"{self._path}{os.sep}", f"{self._path}: ", f"{file}: "):
            text = text.removeprefix(prefix)
        self.problems.append(FileProblem(file, text))

    def _is_gone(self, file: str) -> bool:
        """Whether a file is not there, nor the folder that must hold it: a store its corpus, a run its record."""
        if not self._path.is_dir():  # a packed store
            return False
        place = self._path / file
        return not os.path.lexists(place.parent if place.name in ("run.json", "corpus.h5") else place)


@contextmanager
def stated_way_on(*ways: str) -> Iterator[None]:
    """What is said of a damaged member or run ends with how to go on without it; ``ways`` come first."""
    try:
        yield
    except (FormatError, IntegrityError) as problem:
        others = ", ".join([*ways, "name other members", "or leave it out (`exclude`)"])
        raise type(problem)(f"{problem}; to go on without it: {others}") from problem
