"""Where a store's bytes are: in a folder of files, or in one packed file. Reading is the same for both."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

from ser_store_h5.corpus import Corpus, CorpusHeader
from ser_store_h5.errors import FormatError, IntegrityError
from ser_store_h5.member_file import MemberFile
from ser_store_h5.runs import RunRecord

OpenMember = Callable[[str, int], AbstractContextManager[MemberFile]]


@contextmanager
def stated_way_on(*ways: str) -> Iterator[None]:
    """What is said of a damaged member or run ends with how to go on without it; ``ways`` come first."""
    try:
        yield
    except (FormatError, IntegrityError) as problem:
        others = ", ".join([*ways, "name other members", "or leave it out (`exclude`)"])
        raise type(problem)(f"{problem}; to go on without it: {others}") from problem


class Place(Protocol):
    """What a store reads from. Names of runs are checked by the caller; steps are whole numbers."""

    path: Path

    def locate(self, run: str, step: int) -> str:
        """Where a member stands, relative to the store."""
        ...

    def misnamed(self, run: str) -> list[str]:
        """What a user could take for members of a run by its name, though no reader does."""
        ...

    def read_corpus(self) -> Corpus: ...

    def read_header(self) -> CorpusHeader: ...

    def runs(self) -> list[str]:
        """Names of the runs, ascending."""
        ...

    def has_run(self, run: str) -> bool: ...

    def steps(self, run: str) -> list[int]:
        """Steps that have a member, ascending."""
        ...

    def has_member(self, run: str, step: int) -> bool: ...

    def read_run(self, run: str) -> RunRecord: ...

    def read_curves(self, run: str) -> list[dict[str, Any]]: ...

    def read_texts(self, run: str) -> dict[str, bytes]:
        """The bytes of ``run.json``, and of ``curves.jsonl`` where there is one."""
        ...

    def opened(self, corpus: Corpus | CorpusHeader) -> AbstractContextManager[OpenMember]:
        """Within the block: a function that opens one member after another."""
        ...

    def measure_corpus(self) -> int:
        """Size of the corpus in bytes."""
        ...

    def measure_run(self, run: str) -> int:
        """Size of a run in bytes, without checkpoints."""
        ...

    def measure_checkpoints(self, run: str) -> int:
        """Size of a run's checkpoints in bytes."""
        ...
