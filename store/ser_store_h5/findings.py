"""What is found wrong with the files of a store, collected so that one does not hide the others."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ser_store_h5.errors import SerstoreError

MISNAMED = "bears no name of a member, such as step-001100.h5, and nobody reads it"
TWINS = "differs from run {} in case alone, which not every disk tells apart: expected names that differ in more"


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one file, relative to the store; in a packed store, with what has that place in it."""

    file: str
    problem: str


class Findings:
    """Collects problems of the store at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.problems: list[Problem] = []

    @contextmanager
    def noting(self, file: str) -> Iterator[None]:
        """Within the block, a stated problem is noted and ends the block, and nothing else."""
        try:
            yield
        except SerstoreError as problem:
            self.add(file, str(problem))

    def add(self, file: str, text: str) -> None:
        for prefix in (f"{self._path}{os.sep}", f"{self._path}: ", f"{file}: "):
            text = text.removeprefix(prefix)
        self.problems.append(Problem(file, text))
