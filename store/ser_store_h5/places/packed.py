"""A store packed into one HDF5 file."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from ser_store_h5 import corpus_file, member_file, runs
from ser_store_h5.corpus import Corpus, CorpusHeader
from ser_store_h5.errors import FormatError, SerstoreError
from ser_store_h5.findings import stated_way_on
from ser_store_h5.hdf5.arrays import StoredArray
from ser_store_h5.hdf5.files import check_format, open_file, stated_damage
from ser_store_h5.hdf5.groups import Group
from ser_store_h5.member_file import MemberFile, OpenMember
from ser_store_h5.names import RUN_TEXTS, is_run_name, member_group, parse_member_group
from ser_store_h5.runs import RunRecord

FORMAT_NAME = "ser-store/pack"
FORMAT_VERSION = 1


class PackedPlace:
    """Reads a packed file, as ``FolderPlace`` a folder. The names in it are read once: it is never written again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self.open() as root:
            require_group(root, "corpus")

    @contextmanager
    def open(self) -> Iterator[Group]:
        """The root group of the file."""
        with open_file(self.path, format_name=FORMAT_NAME, version=FORMAT_VERSION) as root:
            yield root

    @contextmanager
    def _open_corpus(self) -> Iterator[Group]:
        with self.open() as root:
            yield find_corpus(root)

    def read_corpus(self) -> Corpus:
        with self._open_corpus() as group:
            return corpus_file.read_corpus_group(group)

    def read_header(self) -> CorpusHeader:
        with self._open_corpus() as group:
            return corpus_file.read_header_group(group, self._open_corpus)

    @cached_property
    def _steps(self) -> dict[str, list[int]]:
        """The runs, ascending, and the steps of each."""
        with self.open() as root:
            inside = root.group("runs")
            if inside is None:
                return {}
            found = {run: inside.group(run) for run in inside.names() if is_run_name(run)}
            held = {run: (find_steps(group), "run.json" in group) for run, group in found.items() if group is not None}
            return {run: steps for run, (steps, has_record) in held.items() if steps or has_record}

    def runs(self) -> list[str]:
        return list(self._steps)

    def has_run(self, run: str) -> bool:
        return run in self._steps

    def steps(self, run: str) -> list[int]:
        return list(self._steps.get(run, ()))

    def has_member(self, run: str, step: int) -> bool:
        return step in self._steps.get(run, ())

    def locate(self, run: str, step: int) -> str:
        return f"runs/{run}/{member_group(step)}"

    def misnamed(self, run: str) -> list[str]:
        """None: nobody keeps files in a packed store."""
        return []

    def read_run(self, run: str) -> RunRecord:
        with stated_way_on(), self.open() as root:
            stored = find_texts(find_run(root, run))["run.json"]
            return runs.parse_run(stored.read().tobytes(), run=run, where=stored.where)

    def read_curves(self, run: str) -> list[dict[str, Any]]:
        with self.open() as root:
            stored = find_texts(find_run(root, run)).get("curves.jsonl") if self.has_run(run) else None
            return [] if stored is None else runs.parse_curves(stored.read().tobytes(), where=stored.where)

    def read_texts(self, run: str) -> dict[str, bytes]:
        self.read_run(run)  # both refuse what is not what FORMAT.md says
        self.read_curves(run)
        with self.open() as root:
            return {name: stored.read().tobytes() for name, stored in find_texts(find_run(root, run)).items()}

    @contextmanager
    def opened(self, corpus: Corpus | CorpusHeader) -> Iterator[OpenMember]:
        @contextmanager
        def open_member(run: str, step: int) -> Iterator[MemberFile]:
            with stated_way_on(), open_packed_member(root, corpus, run, step) as member:
                yield member

        with self.open() as root:
            yield open_member

    def measure_corpus(self) -> int:
        """What the file holds besides its runs."""
        return self.path.stat().st_size - sum(map(self.measure_run, self.runs()))

    def measure_run(self, run: str) -> int:
        header = self.read_header()
        with self.open() as root, self.opened(header) as open_member:
            total = 0
            with suppress(SerstoreError):  # what is damaged is not for the one who measures to say
                total += sum(stored.stored_bytes for stored in find_texts(find_run(root, run)).values())
            for step in self.steps(run):
                with suppress(SerstoreError), open_member(run, step) as member:
                    total += member.describe().bytes
            return total

    def measure_checkpoints(self, run: str) -> int:
        """None are packed."""
        return 0


def require_group(parent: Group, name: str, *, where: str | None = None) -> Group:
    found = parent.group(name, where=where)
    if found is None:
        raise FormatError(f"{parent.where}: {name} is missing: expected a group")
    return found


def find_corpus(root: Group) -> Group:
    """The group of the corpus, as if it were a file."""
    group = require_group(root, "corpus", where=f"{root.where}: corpus")
    check_format(group, corpus_file.FORMAT_NAME, corpus_file.FORMAT_VERSION)
    return group


def find_run(root: Group, run: str) -> Group:
    """The group of a run, as if it were a folder."""
    return require_group(require_group(root, "runs"), run, where=f"{root.where}: runs/{run}")


def find_steps(run: Group) -> list[int]:
    """The steps of a run that have a member, ascending."""
    return sorted(step for step in map(parse_member_group, run.names()) if step is not None)


def find_texts(run: Group) -> dict[str, StoredArray]:
    """``run.json``, and ``curves.jsonl`` where there is one, before they are read.

    Raises:
        FormatError: if they are not what FORMAT.md says.
    """
    names = [name for name in RUN_TEXTS if name in run or name == "run.json"]
    found = {name: run.array(name, kinds=("u1",), shape=(None,)) for name in names}
    for stored in found.values():
        if stored.nbytes > runs.MAX_BYTES:
            raise FormatError(f"{stored.where}: has {stored.nbytes} bytes: expected at most {runs.MAX_BYTES}")
    return found


@contextmanager
def open_packed_member(root: Group, corpus: Corpus | CorpusHeader, run: str, step: int) -> Iterator[MemberFile]:
    """Open one member of an open pack.

    Raises:
        FormatError: if it is not what FORMAT.md says, of another member, or of another corpus.
        IntegrityError: if its bytes are damaged.
    """
    where = f"{root.where}: runs/{run}/{member_group(step)}"
    with stated_damage(where):
        group = require_group(find_run(root, run), member_group(step), where=where)
        check_format(group, member_file.FORMAT_NAME, member_file.FORMAT_VERSION)
        yield MemberFile(group, corpus, run, step, is_packed=True)
