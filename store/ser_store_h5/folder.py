"""A store as a folder of files."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from ser_store_h5 import corpus_file, runs
from ser_store_h5.corpus import Corpus, CorpusHeader
from ser_store_h5.inside import check_inside
from ser_store_h5.member_file import MemberFile, open_member
from ser_store_h5.names import is_run_name, member_file, parse_member_file
from ser_store_h5.runs import RunRecord
from ser_store_h5.sources import OpenMember


class FolderSource:
    """Reads a folder; see :class:`.sources.Source`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def corpus_path(self) -> Path:
        return self.path / "corpus.h5"

    def run_folder(self, run: str) -> Path:
        folder = self.path / "runs" / run
        check_inside(folder, self.path)  # what is written there must not land elsewhere
        return folder

    def member_path(self, run: str, step: int) -> Path:
        return self.run_folder(run) / member_file(step)

    def read_corpus(self) -> Corpus:
        check_inside(self.corpus_path, self.path)
        return corpus_file.read_corpus(self.corpus_path)

    def read_header(self) -> CorpusHeader:
        check_inside(self.corpus_path, self.path)
        return corpus_file.read_header(self.corpus_path)

    def runs(self) -> list[str]:
        found = (record.parent.name for record in self.path.glob("runs/*/run.json"))
        return sorted(run for run in found if is_run_name(run))

    def has_run(self, run: str) -> bool:
        return (self.run_folder(run) / "run.json").is_file()

    def steps(self, run: str) -> list[int]:
        found = (parse_member_file(file.name) for file in self.run_folder(run).glob("step-*.h5"))
        return sorted(step for step in found if step is not None)

    def has_member(self, run: str, step: int) -> bool:
        return self.member_path(run, step).is_file()

    def read_run(self, run: str) -> RunRecord:
        return runs.read_run(self.run_folder(run))

    def read_curves(self, run: str) -> list[dict[str, Any]]:
        return runs.read_curves(self.run_folder(run))

    def read_texts(self, run: str) -> dict[str, bytes]:
        runs.read_run(self.run_folder(run))  # both refuse what is not what FORMAT.md says
        runs.read_curves(self.run_folder(run))
        paths = (self.run_folder(run) / name for name in ("run.json", "curves.jsonl"))
        return {path.name: path.read_bytes() for path in paths if path.exists()}

    @contextmanager
    def opened(self, corpus: Corpus | CorpusHeader) -> Iterator[OpenMember]:
        def open_inside(run: str, step: int) -> AbstractContextManager[MemberFile]:
            path = self.member_path(run, step)
            check_inside(path, self.path)
            return open_member(path, corpus)

        yield open_inside

    def measure_corpus(self) -> int:
        return self.corpus_path.stat().st_size

    def measure_run(self, run: str) -> int:
        return sum(file.stat().st_size for file in self.run_folder(run).iterdir() if file.is_file())

    def measure_checkpoints(self, run: str) -> int:
        folder = self.run_folder(run) / "checkpoints"
        found = () if folder.is_symlink() else folder.rglob("*")
        return sum(file.stat().st_size for file in found if file.is_file() and not file.is_symlink())
